"""Reads the statuses of many commands for few requests: pages of the account's list, single reads, or both.

What has been read is believed, and nothing else: that the list does not show a command says nothing about it. The list
is in practice newest first, may lag behind, and may be crowded with commands of others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection

import anyio

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import NotFoundError
from airflow_provider_supersim.api.models import Direction, IpCommand
from airflow_provider_supersim.api.requests import IP_COMMANDS

#: So many commands that the list did not show are read one by one without more ado.
FEW = 25
#: Seconds after which a command should be in the list, if it ever will.
LAG = 10.0
#: Pages to read beyond those that our commands alone would fill.
MARGIN = 2
#: Reading on is worth it while it costs less than this share of the single reads that it may save.
WORTH = 1 / 8


class StatusReader:
    """Reads statuses, round after round, and learns what a round costs.

    :param take: called with each command as it was read
    :param gone: called with the sid and the error of a command that is not there
    """

    def __init__(self, take: Callable[[IpCommand], None], gone: Callable[[str, NotFoundError], None]) -> None:
        self._take = take
        self._gone = gone
        self._reach = 0  # pages to read at least, as the last rounds have taught
        self._list_cost: int | None = None  # requests that the last round with the list took
        self._missing: dict[str, float] = {}  # sid: since when the list has not shown it

    async def read(self, client: AsyncSuperSimClient, wanted: Collection[str], urgent: Collection[str]) -> None:
        """Read each of the commands, but for those that the list should show soon.

        :param urgent: those of ``wanted`` that must be read in this round
        :raises SuperSimError: the round failed; what was read until then was taken
        """
        reach = max(self._reach, math.ceil(len(wanted) / client.page_size(IP_COMMANDS)) + MARGIN)
        # Before the list was tried once it is taken to be ours alone: MARGIN is then no cost.
        cost = reach - MARGIN + 1 if self._list_cost is None else self._list_cost
        if len(wanted) <= cost:
            await self._read_singly(client, wanted)
            return
        reach = min(reach, len(wanted) - 1)  # one is left for those that it does not show
        missed, pages = await self._walk(client, wanted, reach)
        singles = self._worth_a_request(missed, urgent, pages, whole=pages < reach)
        self._list_cost = pages + len(singles)
        await self._read_singly(client, singles)

    async def _walk(self, client: AsyncSuperSimClient, wanted: Collection[str], reach: int) -> tuple[set[str], int]:
        """Read so many pages of the list; return what they did not show, and how many were needed."""
        missed, seen, size = set(wanted), 0, client.page_size(IP_COMMANDS)
        async for command in client.iter_ip_commands(direction=Direction.TO_SIM):
            seen += 1
            if command.sid in missed:
                missed.discard(command.sid)
                self._take(command)
            if not missed or seen >= reach * size:
                break
        return missed, math.ceil(seen / size)

    def _worth_a_request(
        self, missed: Collection[str], urgent: Collection[str], pages: int, *, whole: bool
    ) -> Collection[str]:
        """Return those to read singly now, and set how far the next round reads.

        :param whole: whether the list was read to its end
        """
        now = time.monotonic()
        self._missing = {sid: self._missing.get(sid, now) for sid in missed}
        if not missed:
            self._reach = pages + MARGIN
        if len(missed) <= max(FEW, pages):
            return missed
        if not whole and pages <= WORTH * len(missed):  # ours may be behind those of others: read on next time
            self._reach = 2 * pages
            return [sid for sid in missed if sid in urgent]
        return [sid for sid, since in self._missing.items() if sid in urgent or now - since >= LAG]

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
        except ExceptionGroup as errors:  # not except*: before Python 3.11.4 that would put a group around it again
            raise errors.exceptions[0] from None
