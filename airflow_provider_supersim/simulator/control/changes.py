"""The endpoints that change the world: reset, seed, clock, settings, faults, SIMs, Fleets, devices."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request

from airflow_provider_supersim.simulator.api.faults import Fault
from airflow_provider_supersim.simulator.control import bodies, rendering
from airflow_provider_supersim.simulator.control.endpoints import body, find_fleet, find_sim
from airflow_provider_supersim.simulator.control.seeding import add, refuse_taken
from airflow_provider_supersim.simulator.control.simulation import Simulation
from airflow_provider_supersim.simulator.world.clock import FIRST, LAST, parse_iso


class Changes:
    """Endpoints that change the world."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def reset(self, request: Request) -> Any:
        """``POST /reset``: begin a fresh world; the body overrides options of the start."""
        await self._simulation.reset(await body(request, dict[str, Any]))
        return rendering.overview(self._simulation)

    async def seed(self, request: Request) -> Any:
        """``POST /seed``: add Fleets and SIMs; if one is refused, none is added."""
        world = self._simulation.world
        fleets, sims = add(world, await body(request, bodies.Seed))
        return {
            "fleets": [rendering.fleet(fleet) for fleet in fleets],
            "sims": [rendering.sim(sim, world) for sim in sims],
        }

    async def clock(self, request: Request) -> Any:
        """``GET /clock``; ``POST``: stop, set, advance, run."""
        if request.method == "POST":
            change = await body(request, bodies.ClockChange)
            clock = self._simulation.clock
            moment = clock.now() if change.set is None else _possible("set", _moment(change.set))
            _possible("advance", moment + (change.advance or 0.0))
            if change.stop:
                clock.stop()
            if change.set is not None:
                clock.set(moment)
            if change.advance is not None:
                clock.advance(change.advance)
            if change.run:
                clock.run()
            await self._simulation.network.quiet()
        return rendering.clock(self._simulation)

    async def settings(self, request: Request) -> Any:
        """``GET /settings``; ``PATCH``: change some in the running world."""
        if request.method == "PATCH":
            self._simulation.change(await body(request, dict[str, Any]))
        return rendering.settings(self._simulation)

    async def faults(self, request: Request) -> Any:
        """``GET /faults``; ``PUT``: use these instead; ``DELETE``: use none."""
        if request.method == "PUT":
            self._simulation.faults.replace(await body(request, list[Fault]))
        elif request.method == "DELETE":
            self._simulation.faults.replace([])
        return {"faults": self._simulation.faults.describe()}

    async def sim(self, request: Request) -> Any:
        """``GET /sims/{sid or name}``; ``PATCH``: status, fleet, unique_name."""
        world = self._simulation.world
        sim = find_sim(world, request.path_params["key"])
        if request.method == "PATCH":
            patch = await body(request, bodies.SimPatch)
            status = sim.status if patch.status is msgspec.UNSET else patch.status
            fleet = sim.fleet
            if patch.fleet is not msgspec.UNSET:
                fleet = None if patch.fleet is None else find_fleet(world, patch.fleet)
            if patch.unique_name is not msgspec.UNSET and patch.unique_name != sim.unique_name:
                refuse_taken(world, patch.unique_name)
                world.sims.rename(sim, patch.unique_name)
            world.sims.change(sim, status=status, fleet=fleet)
            sim.updated = self._simulation.clock.now()
        return rendering.sim(sim, world)

    async def fleet(self, request: Request) -> Any:
        """``GET /fleets/{sid or name}``; ``PATCH``: every field of a seed but unique_name."""
        fleet = find_fleet(self._simulation.world, request.path_params["key"])
        if request.method == "PATCH":
            for name, value in msgspec.structs.asdict(await body(request, bodies.FleetPatch)).items():
                if value is not msgspec.UNSET:
                    setattr(fleet, name, value)
            fleet.updated = self._simulation.clock.now()
        return rendering.fleet(fleet)

    async def device(self, request: Request) -> Any:
        """``GET /devices/{sid or name}``; ``PATCH``: change parts of its behaviour."""
        world = self._simulation.world
        sim = find_sim(world, request.path_params["key"])
        if request.method == "PATCH":
            world.behaviours.patch(sim.number, await body(request, dict[str, Any]))
        return rendering.sim(sim, world)

    async def devices(self, request: Request) -> Any:
        """``PATCH /devices``: change parts of the behaviour of many devices."""
        world = self._simulation.world
        patch = await body(request, bodies.DevicesPatch)
        if patch.sims == "all":
            world.behaviours.patch_all(patch.behaviour)
            return {"changed": len(world.sims)}
        sims = [find_sim(world, key) for key in patch.sims]
        for sim in sims:
            world.behaviours.patch(sim.number, patch.behaviour)
        return {"changed": len(sims)}


def _moment(text: str) -> float:
    try:
        return parse_iso(text)
    except ValueError:
        raise ValueError(f"set: {text!r} is not an ISO 8601 time") from None


def _possible(name: str, moment: float) -> float:
    if not FIRST <= moment <= LAST:
        raise ValueError(f"{name}: the clock goes from 1970 to 9000")
    return moment
