"""Reads the statuses of many commands with few requests: pages of the account's list, single reads, or both.

Only what was read counts: a command that is missing in the list may exist all the same. In practice the list is newest
first, may lag, and may be full of commands that others sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import anyio

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import ApiError, BadInputError, SuperSimError, Verdict
from airflow_provider_supersim.api.models import Direction, IpCommand
from airflow_provider_supersim.api.requests import IP_COMMANDS

#: Up to this many commands that the list did not show are fetched individually, in the same round.
FEW = 25
#: Seconds after which a command is in the list, if it ever will be. Then it is fetched individually.
LAG = 10.0
#: Pages to read beyond those that our commands alone would fill.
MARGIN = 2
#: Reading on pays if it costs at most this share of the single reads that it may save.
WORTH = 1 / 8
#: After so many failed single reads in a row no further one is begun in a round.
HOPELESS = 10


class StatusReader:
    """Reads statuses, round after round, and learns what a round costs.

    :param take: called with each command that was read
    :param gone: called with the sid and the error of a command that cannot be read, now or later
    """

    def __init__(
        self, take: Callable[[IpCommand], None], gone: Callable[[str, SuperSimError | BadInputError], None]
    ) -> None:
        self._take = take
        self._gone = gone
        self._least_pages = 0  # to read, as the last rounds have taught
        self._list_cost: int | None = None  # requests of the last round that read the list
        self._missing_since: dict[str, float] = {}  # by sid: when the list first did not show the command

    async def read(self, client: AsyncSuperSimClient, wanted: Collection[str], urgent: Collection[str]) -> None:
        """Read each command, except those that the list will show soon.

        :param wanted: sids
        :param urgent: those of ``wanted`` that must be read in this round
        :raises SuperSimError: not all could be read; the commands that were read were taken
        """
        pages = max(self._least_pages, math.ceil(len(wanted) / client.page_size(IP_COMMANDS)) + MARGIN)
        # Until the list was read once, assume that it holds our commands alone: then MARGIN costs nothing.
        cost = pages - MARGIN + 1 if self._list_cost is None else self._list_cost
        if len(wanted) <= cost:
            await self._read_singly(client, wanted)
            return
        pages = min(pages, len(wanted) - 1)  # one request is left for commands that the list does not show
        missing, pages_read = await self._read_list(client, wanted, urgent, pages)
        singles = self._choose_singles(missing, urgent, pages_read, whole=pages_read < pages)
        self._list_cost = pages_read + len(singles)
        await self._read_singly(client, singles)

    async def _read_list(
        self, client: AsyncSuperSimClient, wanted: Collection[str], urgent: Collection[str], pages: int
    ) -> tuple[set[str], int]:
        """Read so many pages of the list, and further ones while they cost less than single reads.

        :return: the sids that they did not show, and the number of pages read
        """
        missing, missing_urgent, seen, size = set(wanted), set(urgent), 0, client.page_size(IP_COMMANDS)
        missing_before = len(missing)  # when the page began
        async for command in client.iter_ip_commands(direction=Direction.TO_SIM):
            seen += 1
            if command.sid in missing:
                missing.discard(command.sid)
                missing_urgent.discard(command.sid)
                self._take(command)
            if not missing:
                break
            if seen % size == 0:
                shown, missing_before = missing_before - len(missing), len(missing)
                read = seen // size
                if read >= pages and shown * WORTH < 1 and read > WORTH * len(missing_urgent):
                    break
        return missing, math.ceil(seen / size)

    def _choose_singles(
        self, missing: Collection[str], urgent: Collection[str], pages_read: int, *, whole: bool
    ) -> Collection[str]:
        """Return the sids to fetch individually now, and set how far the next round reads the list.

        :param whole: the list was read to its end
        """
        now = anyio.current_time()
        self._missing_since = {sid: self._missing_since.get(sid, now) for sid in missing}
        if not missing:
            self._least_pages = pages_read + MARGIN
        if len(missing) <= max(FEW, pages_read):
            return missing
        if not whole and pages_read <= WORTH * len(missing):  # ours may come after those of others: read on next time
            self._least_pages = 2 * pages_read
            return [sid for sid in missing if sid in urgent]
        return [sid for sid, since in self._missing_since.items() if sid in urgent or now - since >= LAG]

    async def _read_singly(self, client: AsyncSuperSimClient, sids: Collection[str]) -> None:
        """Read each by itself. One that fails keeps no other from being read.

        :raises SuperSimError: the first error that was not one command's own
        """
        left = iter(sids)
        failed: list[SuperSimError] = []
        in_a_row = 0

        async def read() -> None:
            nonlocal in_a_row
            for sid in left:
                try:
                    self._take(await client.get_ip_command(sid))
                    in_a_row = 0
                except BadInputError as error:
                    self._gone(sid, error)
                except SuperSimError as error:
                    if _concerns_one_command(error):
                        self._gone(sid, error)
                        continue
                    failed.append(error)
                    in_a_row += 1
                    if in_a_row >= HOPELESS or not error.retryable:
                        return

        async with anyio.create_task_group() as group:
            for _ in range(min(len(sids), client.vendor.max_concurrency)):
                group.start_soon(read)
        if failed:
            raise next((error for error in failed if not error.retryable), failed[0])


def _concerns_one_command(error: SuperSimError) -> bool:
    """Tell whether the API refuses this one command. With 401 it refuses the credentials, and so all."""
    return isinstance(error, ApiError) and error.verdict is Verdict.REFUSED and error.status != 401
