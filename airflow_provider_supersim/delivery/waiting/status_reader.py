"""Reads the statuses of many commands with few requests: pages of the account's list, single reads, or both.

Only what was read counts: a command that is missing in the list may exist all the same. In practice the list is newest
first, may lag, and may be full of commands that others sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import anyio

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import NotFoundError
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


class StatusReader:
    """Reads statuses, round after round, and learns what a round costs.

    :param take: called with each command that was read
    :param gone: called with the sid and the error of a command that does not exist
    """

    def __init__(self, take: Callable[[IpCommand], None], gone: Callable[[str, NotFoundError], None]) -> None:
        self._take = take
        self._gone = gone
        self._least_pages = 0  # to read, as the last rounds have taught
        self._list_cost: int | None = None  # requests of the last round that read the list
        self._missing_since: dict[str, float] = {}  # by sid: when the list first did not show the command

    async def read(self, client: AsyncSuperSimClient, wanted: Collection[str], urgent: Collection[str]) -> None:
        """Read each command, except those that the list will show soon.

        :param wanted: sids
        :param urgent: those of ``wanted`` that must be read in this round
        :raises SuperSimError: the round failed; the commands that it had read were taken
        """
        pages = max(self._least_pages, math.ceil(len(wanted) / client.page_size(IP_COMMANDS)) + MARGIN)
        # Until the list was read once, assume that it holds our commands alone: then MARGIN costs nothing.
        cost = pages - MARGIN + 1 if self._list_cost is None else self._list_cost
        if len(wanted) <= cost:
            await self._read_singly(client, wanted)
            return
        pages = min(pages, len(wanted) - 1)  # one request is left for commands that the list does not show
        missing, pages_read = await self._read_list(client, wanted, pages)
        singles = self._choose_singles(missing, urgent, pages_read, whole=pages_read < pages)
        self._list_cost = pages_read + len(singles)
        await self._read_singly(client, singles)

    async def _read_list(
        self, client: AsyncSuperSimClient, wanted: Collection[str], pages: int
    ) -> tuple[set[str], int]:
        """Read the list up to this many pages; return the sids that they did not show, and the number of pages read."""
        missing, seen, size = set(wanted), 0, client.page_size(IP_COMMANDS)
        async for command in client.iter_ip_commands(direction=Direction.TO_SIM):
            seen += 1
            if command.sid in missing:
                missing.discard(command.sid)
                self._take(command)
            if not missing or seen >= pages * size:
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
        left = iter(sids)

        async def read() -> None:
            for sid in left:
                try:
                    self._take(await client.get_ip_command(sid))
                except NotFoundError as error:
                    self._gone(sid, error)

        try:
            async with anyio.create_task_group() as group:
                for _ in range(min(len(sids), client.vendor.max_concurrency)):
                    group.start_soon(read)
        except ExceptionGroup as errors:  # not except*: before Python 3.11.4 it wraps the error in a group again
            raise errors.exceptions[0] from None
