"""The endpoints that show what was accepted, what devices received, and which requests came in."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from airflow_provider_supersim.simulator.control import rendering
from airflow_provider_supersim.simulator.control.endpoints import find_fleet, find_sim, portion
from airflow_provider_supersim.simulator.control.simulation import Simulation


class Queries:
    """Endpoints that read. Only ``DELETE /requests`` changes something: counters."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def overview(self, _request: Request) -> Any:
        """``GET /``: the options in force, Fleets, sockets, clock."""
        return rendering.overview(self._simulation)

    async def connections(self, request: Request) -> Any:
        """``GET /connections``: the fields of an Airflow connection to this simulator, by vendor."""
        url = f"{request.url.scheme}://{request.url.netloc}"
        return {vendor.name: vendor.connection(url) for vendor in self._simulation.vendors}

    async def commands(self, request: Request) -> Any:
        """``GET /commands?sim=&status=&direction=to_sim|from_sim|all``: every command in order."""
        world = self._simulation.world
        direction = request.query_params.get("direction", "to_sim")
        status = request.query_params.get("status")
        name = request.query_params.get("sim")
        every = world.commands if name is None else find_sim(world, name).commands
        chosen = (
            command for command in every if direction in ("all", command.direction) and status in (None, command.status)
        )
        return portion("commands", request, chosen, rendering.command)

    async def datagrams(self, request: Request) -> Any:
        """``GET /datagrams?sim=``: every datagram that a device received, in order."""
        await self._simulation.network.quiet()
        every = self._simulation.network.datagrams
        name = request.query_params.get("sim")
        if name is not None:
            sim = find_sim(self._simulation.world, name)
            every = [datagram for datagram in every if datagram.sim is sim]
        return portion("datagrams", request, every, rendering.datagram)

    async def requests(self, request: Request) -> Any:
        """``GET /requests``: the requests that came in. ``DELETE``: count again from zero."""
        if request.method == "DELETE":
            self._simulation.traffic.forget()
        return rendering.requests(self._simulation)

    async def alerts(self, request: Request) -> Any:
        """``GET /alerts``: callbacks that failed (83402)."""
        return portion("alerts", request, self._simulation.callbacks.alerts, rendering.alert)

    async def summary(self, request: Request) -> Any:
        """``GET /summary?fleet=``: counts that show whether anything was lost or sent twice."""
        await self._simulation.network.quiet()
        name = request.query_params.get("fleet")
        fleet = None if name is None else find_fleet(self._simulation.world, name)
        return rendering.summary(self._simulation, fleet)

    async def sims(self, request: Request) -> Any:
        """``GET /sims?fleet=&status=``: SIMs in the order in which they were added."""
        world = self._simulation.world
        name = request.query_params.get("fleet")
        fleet = None if name is None else find_fleet(world, name)
        every = world.sims.newer(-1, fleet, request.query_params.get("status"))
        return portion("sims", request, every, lambda sim: rendering.sim(sim, world))

    async def fleets(self, request: Request) -> Any:
        """``GET /fleets``."""
        return portion("fleets", request, self._simulation.world.fleets, rendering.fleet)
