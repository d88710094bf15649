"""Reads the statuses of many commands with few requests: pages of the account's list, single reads, or both.

Only what was read counts: a command that is missing in the list may exist all the same. In practice the list is newest
first, may lag, and may be full of commands that others sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import anyio

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import ApiError, BadInputError, NotFoundError, SuperSimError, Verdict
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
#: After so many failed or refused single reads in a row no further one is begun in a round.
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
            await self._read_singly(client, wanted, list_read=False)
            return
        pages = min(pages, len(wanted) - 1)  # one request is left for commands that the list does not show
        missing, pages_read = await self._read_list(client, wanted, urgent, pages)
        singles = self._choose_singles(missing, urgent, pages_read, whole=pages_read < pages)
        self._list_cost = pages_read + len(singles)
        await self._read_singly(client, singles, list_read=True)

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

    async def _read_singly(self, client: AsyncSuperSimClient, sids: Collection[str], *, list_read: bool) -> None:
        """Read each by itself. One that fails keeps no other from being read.

        :param list_read: the list was read in this round, and does not show these commands
        :raises SuperSimError: the first error that was not one command's own
        """
        left, answers = iter(sids), _Answers()

        async def read() -> None:
            for sid in left:
                try:
                    self._take(await client.get_ip_command(sid))
                except (BadInputError, NotFoundError) as error:
                    self._gone(sid, error)
                except SuperSimError as error:
                    if answers.end_with(sid, error):
                        return
                    continue
                answers.good()

        async with anyio.create_task_group() as group:
            for _ in range(min(len(sids), client.vendor.max_concurrency)):
                group.start_soon(read)
        refused = answers.refused
        if refused and not answers.any_good and not list_read:
            # Is it these commands, or does the API refuse everything? The list tells, and may show them.
            missing, _ = await self._read_list(client, refused, (), pages=1)
            refused = {sid: refused[sid] for sid in missing}
        for sid, error in refused.items():
            self._gone(sid, error)
        answers.raise_failure()


class _Answers:
    """How the single reads of one round were answered.

    :ivar refused: by sid: the error of each that may be refused alone
    :ivar any_good: the API has answered one as it should, be it that there is no such command
    """

    def __init__(self) -> None:
        self.refused: dict[str, SuperSimError] = {}
        self.any_good = False
        self._failed: list[SuperSimError] = []
        self._bad_in_a_row = 0

    def good(self) -> None:
        """Note an answer."""
        self.any_good, self._bad_in_a_row = True, 0

    def end_with(self, sid: str, error: SuperSimError) -> bool:
        """Note an error; return whether to begin no further read."""
        self._bad_in_a_row += 1
        if _concerns_one_command(error):
            self.refused[sid] = error
            return self._bad_in_a_row >= HOPELESS
        self._failed.append(error)
        return self._bad_in_a_row >= HOPELESS or not error.retryable

    def raise_failure(self) -> None:
        """Do nothing if all errors were of one command each.

        :raises SuperSimError: the first that was not; one that no further try can fix comes before others
        """
        if self._failed:
            raise next((error for error in self._failed if not error.retryable), self._failed[0])


def _concerns_one_command(error: SuperSimError) -> bool:
    """Tell whether the API may refuse this one command alone. With 401 it refuses the credentials, and so all."""
    return isinstance(error, ApiError) and error.verdict is Verdict.REFUSED and error.status != 401
