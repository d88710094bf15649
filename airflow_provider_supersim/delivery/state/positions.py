"""Some of a rollout's devices, from one position of its table to another: all of them, or a wave."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator

import anyio.lowlevel

from airflow_provider_supersim.delivery.state import working_set as table
from airflow_provider_supersim.delivery.state.device import Device
from airflow_provider_supersim.delivery.state.working_set import WorkingSet


class Positions:
    """Reads the table in bites, and lets the rest of the process have its turn after each.

    :param start: the first position
    :param end: the position behind the last
    :param clears: how often the task was cleared by hand
    :param attempts: most commands to one device
    """

    def __init__(self, of: WorkingSet, start: int, end: int, *, clears: int, attempts: int) -> None:
        self._table = of
        self._start = start
        self._end = end
        self._values = {"clears": clears, "attempts": attempts}

    async def statuses(self) -> Counter[str | None]:
        """Return how many devices have each status; ``None`` for those without an entry."""
        counts: Counter[str | None] = Counter()
        for bite in self._bites():
            counts.update(self._table.statuses(*bite))
            await anyio.lowlevel.checkpoint()
        return counts

    async def timezones(self, which: str) -> Counter[str | None]:
        """Return how many devices are in each timezone.

        :param which: as in :meth:`WorkingSet.devices`
        """
        counts: Counter[str | None] = Counter()
        for bite in self._bites():
            counts.update(self._table.timezones(which, *bite, **self._values))
            await anyio.lowlevel.checkpoint()
        return counts

    async def devices(self, which: str) -> AsyncIterator[Device]:
        """Yield devices in the order of the plan.

        :param which: as in :meth:`WorkingSet.devices`
        """
        for bite in self._bites():
            for device in self._table.devices(which, *bite, **self._values):
                yield device
            await anyio.lowlevel.checkpoint()

    async def open_sids(self, most: int) -> list[str]:
        """Return the sids of commands that the API has not settled yet, the last device's first.

        :param most: not more of them
        """
        sids: list[str] = []
        for bite in reversed(list(self._bites())):
            sids += self._table.open_sids(*bite)
            if len(sids) >= most:
                break
            await anyio.lowlevel.checkpoint()
        return sids[:most]

    def _bites(self) -> Iterator[tuple[int, int]]:
        for first in range(self._start, self._end, table.BITE):
            yield first, min(first + table.BITE, self._end)
