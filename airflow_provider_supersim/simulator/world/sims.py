"""All SIMs. They are generated in batches and become objects only when they are asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from airflow_provider_supersim.simulator.world.identifiers import SidCodec, iccid, iccid_number
from airflow_provider_supersim.simulator.world.models import Fleet, Sim

_MAX_DIGITS = 9
"""No generated name has a longer number."""


@dataclass(frozen=True, slots=True)
class Batch:
    """SIMs that are alike: numbers ``first`` to ``last - 1``."""

    first: int
    last: int
    fleet: Fleet | None
    status: str
    created: float
    prefix: str | None
    """None: the SIMs have no unique_name."""
    start: int
    """The number in the name of the first SIM."""
    width: int

    def name(self, number: int) -> str | None:
        """Return the unique_name that SIM ``number`` was generated with."""
        return None if self.prefix is None else f"{self.prefix}-{self.start + number - self.first:0{self.width}d}"


class Sims:
    """All SIMs, in the order in which they were added."""

    def __init__(self, seed: int) -> None:
        self._codec = SidCodec("HS", seed)
        self._batches: list[Batch] = []
        self._firsts: list[int] = []
        self._made: dict[int, Sim] = {}
        self._by_prefix: dict[str, list[Batch]] = {}
        self._changed: set[int] = set()
        """Numbers of the SIMs that may differ from their batch in status or Fleet."""
        self._names: dict[str, int] = {}
        self._iccids: dict[str, int] = {}

    def __len__(self) -> int:
        return self._batches[-1].last if self._batches else 0

    def count(self, fleet: Fleet | None) -> int:
        """Return the number of SIMs of a Fleet; None: of all SIMs."""
        if fleet is None:
            return len(self)
        generated = sum(batch.last - batch.first for batch in self._batches if batch.fleet is fleet)
        moved = sum((self[number].fleet is fleet) - (self._batch(number).fleet is fleet) for number in self._changed)
        return generated + moved

    @property
    def made(self) -> Iterator[Sim]:
        """The SIMs that were asked for: no other can have a command."""
        return iter(self._made.values())

    def add_batch(
        self,
        count: int,
        *,
        fleet: Fleet | None,
        status: str,
        created: float,
        prefix: str | None,
        start: int = 1,
        width: int = 2,
    ) -> range:
        """Add ``count`` SIMs with names from ``prefix-start`` up; return their numbers."""
        first = len(self)
        if count:
            batch = Batch(first, first + count, fleet, status, created, prefix, start, width)
            self._batches.append(batch)
            self._firsts.append(first)
            if prefix is not None:
                self._by_prefix.setdefault(prefix, []).append(batch)
        return range(first, first + count)

    def add(
        self,
        *,
        fleet: Fleet | None,
        status: str,
        created: float,
        unique_name: str | None,
        iccid: str | None,
    ) -> Sim:
        """Add one SIM with a name of its own."""
        (number,) = self.add_batch(1, fleet=fleet, status=status, created=created, prefix=None)
        sim = self[number]
        if iccid is not None:
            sim.iccid = iccid
            self._iccids[iccid] = number
        if unique_name is not None:
            self.rename(sim, unique_name)
        return sim

    def rename(self, sim: Sim, unique_name: str) -> None:
        """Give a SIM another unique_name."""
        if sim.unique_name is not None:
            self._names.pop(sim.unique_name, None)
        sim.unique_name = unique_name
        self._names[unique_name] = sim.number

    def change(self, sim: Sim, *, status: str, fleet: Fleet | None) -> None:
        """Give a SIM another status or Fleet."""
        sim.status = status
        sim.fleet = fleet
        self._changed.add(sim.number)

    def __getitem__(self, number: int) -> Sim:
        sim = self._made.get(number)
        if sim is None:
            batch = self._batch(number)
            sim = Sim(
                number=number,
                sid=self._codec.encode(number),
                unique_name=batch.name(number),
                iccid=iccid(number),
                status=batch.status,
                fleet=batch.fleet,
                created=batch.created,
                updated=batch.created,
            )
            self._made[number] = sim
        return sim

    def find(self, key: str) -> Sim | None:
        """Return the SIM with this sid or unique_name."""
        return self.by_sid(key) or self.by_name(key)

    def by_sid(self, sid: str) -> Sim | None:
        """Return the SIM with this sid."""
        if len(sid) != 34 or not sid.startswith("HS"):
            return None
        number = self._codec.decode(sid)
        return self[number] if number is not None and number < len(self) else None

    def by_name(self, name: str) -> Sim | None:
        """Return the SIM with this unique_name."""
        number = self._names.get(name)
        if number is not None:
            return self[number]
        prefix, _, digits = name.rpartition("-")
        if not digits.isdecimal() or len(digits) > _MAX_DIGITS:
            return None
        for batch in self._by_prefix.get(prefix, ()):
            number = batch.first + int(digits) - batch.start
            if batch.first <= number < batch.last and batch.name(number) == name:
                sim = self[number]
                return sim if sim.unique_name == name else None
        return None

    def by_iccid(self, text: str) -> Sim | None:
        """Return the SIM with this ICCID."""
        number = self._iccids.get(text)
        if number is None:
            number = iccid_number(text)
        if number is None or number >= len(self):
            return None
        sim = self[number]
        return sim if sim.iccid == text else None

    def older(self, than: int | None, fleet: Fleet | None, status: str | None) -> Iterator[Sim]:
        """Yield SIMs numbered below ``than`` (None: all), newest first, of one Fleet and status (None: any)."""
        for batch in reversed(self._batches):
            last = batch.last if than is None else min(batch.last, than)
            yield from self._of_batch(batch, range(batch.first, last)[::-1], fleet, status)

    def newer(self, than: int, fleet: Fleet | None, status: str | None) -> Iterator[Sim]:
        """Yield SIMs numbered above ``than``, oldest first, of one Fleet and status (None: any)."""
        for batch in self._batches:
            yield from self._of_batch(batch, range(max(batch.first, than + 1), batch.last), fleet, status)

    def _batch(self, number: int) -> Batch:
        return self._batches[bisect_right(self._firsts, number) - 1]

    def _of_batch(self, batch: Batch, numbers: range, fleet: Fleet | None, status: str | None) -> Iterator[Sim]:
        if fleet not in (None, batch.fleet) or status not in (None, batch.status):
            # Of this batch only changed SIMs can fit: skip the walk through up to a million others.
            changed = (number for number in self._changed if number in numbers)
            walk: Iterable[int] = sorted(changed, reverse=numbers.step < 0)
        else:
            walk = numbers
        for number in walk:
            sim = self[number]
            if fleet in (None, sim.fleet) and status in (None, sim.status):
                yield sim
