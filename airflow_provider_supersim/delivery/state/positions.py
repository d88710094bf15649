"""A range of a rollout's devices, by their positions in its table: all of them, or one wave."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator

import anyio.lowlevel

from airflow_provider_supersim.delivery.state import working_set as table
from airflow_provider_supersim.delivery.state.device import Device
from airflow_provider_supersim.delivery.state.working_set import WorkingSet


class Positions:
    """Reads the table a thousand devices at a time, so that the rest of the process gets its turn in between.

    :param of: the table
    :param start: the first position
    :param end: the position after the last
    :param clears: number of times that the task was cleared by hand
    :param attempts: maximum number of commands to one device, the first included
    """

    def __init__(self, of: WorkingSet, start: int, end: int, *, clears: int, attempts: int) -> None:
        self._working_set = of
        self._start = start
        self._end = end
        self._values = {"clears": clears, "attempts": attempts}

    async def statuses(self) -> Counter[str | None]:
        """Return how many devices have each status; ``None`` for those without an entry."""
        counts: Counter[str | None] = Counter()
        for bite in self._bites():
            counts.update(self._working_set.statuses(*bite))
            await anyio.lowlevel.checkpoint()
        return counts

    async def timezones(self, which: str) -> Counter[str | None]:
        """Return how many of these devices are in each timezone; ``None`` for those without one.

        :param which: a condition, as in :meth:`WorkingSet.devices`
        """
        counts: Counter[str | None] = Counter()
        for bite in self._bites():
            counts.update(self._working_set.timezones(which, *bite, **self._values))
            await anyio.lowlevel.checkpoint()
        return counts

    async def devices(self, which: str) -> AsyncIterator[Device]:
        """Yield these devices in the order of the plan.

        :param which: a condition, as in :meth:`WorkingSet.devices`
        """
        for bite in self._bites():
            for device in self._working_set.devices(which, *bite, **self._values):
                yield device
            await anyio.lowlevel.checkpoint()

    async def open_sids(self, most: int) -> list[str]:
        """Return the sids of commands without a final status, from the last device to the first.

        :param most: maximum number of sids
        """
        sids: list[str] = []
        for bite in reversed(list(self._bites())):
            sids += self._working_set.open_sids(*bite)
            if len(sids) >= most:
                break
            await anyio.lowlevel.checkpoint()
        return sids[:most]

    def _bites(self) -> Iterator[tuple[int, int]]:
        for first in range(self._start, self._end, table.BITE):
            yield first, min(first + table.BITE, self._end)
