"""Adds the Fleets and SIMs that a test asks for by name."""

from __future__ import annotations

import msgspec

from airflow_provider_supersim.simulator.control.bodies import FleetSeed, Seed, SimSeed
from airflow_provider_supersim.simulator.world.behaviour import Behaviour
from airflow_provider_supersim.simulator.world.models import Fleet, Sim
from airflow_provider_supersim.simulator.world.options import MAX_SIMS
from airflow_provider_supersim.simulator.world.world import World


def add(world: World, seed: Seed) -> tuple[list[Fleet], list[Sim]]:
    """Add Fleets and SIMs and return them.

    :raises ValueError: a name is taken or a Fleet unknown; nothing was added.
    """
    _check(world, seed)
    fleets = [_add_fleet(world, wanted) for wanted in seed.fleets]
    sims = [sim for wanted in seed.sims for sim in _add_sims(world, wanted)]
    return fleets, sims


def refuse_taken(world: World, name: str) -> None:
    """Check that no SIM has a unique_name.

    :raises ValueError: a SIM has it.
    """
    if world.sims.by_name(name) is not None:
        raise ValueError(f"unique_name: SIM {name!r} already exists")


def _check(world: World, seed: Seed) -> None:
    fleets = [fleet.unique_name for fleet in seed.fleets]
    for name in fleets:
        if world.find_fleet(name) is not None or fleets.count(name) > 1:
            raise ValueError(f"unique_name: Fleet {name!r} already exists")
    names: set[str] = set()
    total = len(world.sims)
    for wanted in seed.sims:
        if wanted.fleet is not None and wanted.fleet not in fleets and world.find_fleet(wanted.fleet) is None:
            raise ValueError(f"fleet: there is no Fleet {wanted.fleet!r}")
        if wanted.count is not None and (wanted.prefix is None or wanted.unique_name or wanted.iccid):
            raise ValueError("count: needs prefix, and allows neither unique_name nor iccid")
        if wanted.iccid is not None and world.sims.by_iccid(wanted.iccid) is not None:
            raise ValueError(f"iccid: SIM {wanted.iccid!r} already exists")
        first = wanted.unique_name if wanted.count is None else f"{wanted.prefix}-{1:0{_width(wanted.count)}d}"
        if first is not None:
            refuse_taken(world, first)
            if first in names:
                raise ValueError(f"unique_name: {first!r} is given twice")
            names.add(first)
        Behaviour().patched(wanted.behaviour)
        total += wanted.count or 1
    if total > 2 * MAX_SIMS:
        raise ValueError(f"sims: {total} SIMs are more than one simulator holds ({2 * MAX_SIMS})")


def _add_fleet(world: World, wanted: FleetSeed) -> Fleet:
    fleet = world.add_fleet(wanted.unique_name)
    for name, value in msgspec.structs.asdict(wanted).items():
        setattr(fleet, name, value)
    return fleet


def _add_sims(world: World, wanted: SimSeed) -> list[Sim]:
    fleet = None if wanted.fleet is None else world.find_fleet(wanted.fleet)
    now = world.clock.now()
    if wanted.count is None:
        name, iccid = wanted.unique_name, wanted.iccid
        sims = [world.sims.add(fleet=fleet, status=wanted.status, created=now, unique_name=name, iccid=iccid)]
    else:
        width = _width(wanted.count)
        numbers = world.sims.add_batch(
            wanted.count, fleet=fleet, status=wanted.status, created=now, prefix=wanted.prefix, width=width
        )
        sims = [world.sims[number] for number in numbers]
    if wanted.behaviour:
        for sim in sims:
            world.behaviours.patch(sim.number, wanted.behaviour)
    return sims


def _width(count: int) -> int:
    return max(2, len(str(count)))
