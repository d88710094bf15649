"""The control plane under ``/_simulator/``, where tests change the world and read what happened.

It is not part of what is simulated: it has no faults, no latency, no limit and no sign-in. Web pages may not use it.
The unique name in a path may hold ``/``.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from airflow_provider_supersim.simulator.control.changes import Changes
from airflow_provider_supersim.simulator.control.endpoints import endpoint, http_error
from airflow_provider_supersim.simulator.control.queries import Queries
from airflow_provider_supersim.simulator.control.simulation import Simulation


def control_plane(simulation: Simulation) -> Starlette:
    """Return the control plane of a simulation as an application."""
    queries, changes = Queries(simulation), Changes(simulation)
    routes = [
        ("/", "GET", queries.overview),
        ("/connections", "GET", queries.connections),
        ("/commands", "GET", queries.commands),
        ("/datagrams", "GET", queries.datagrams),
        ("/requests", "GET DELETE", queries.requests),
        ("/alerts", "GET", queries.alerts),
        ("/summary", "GET", queries.summary),
        ("/sims", "GET", queries.sims),
        ("/fleets", "GET", queries.fleets),
        ("/reset", "POST", changes.reset),
        ("/seed", "POST", changes.seed),
        ("/clock", "GET POST", changes.clock),
        ("/settings", "GET PATCH", changes.settings),
        ("/faults", "GET PUT DELETE", changes.faults),
        ("/sims/{key:path}", "GET PATCH", changes.sim),
        ("/fleets/{key:path}", "GET PATCH", changes.fleet),
        ("/devices", "PATCH", changes.devices),
        ("/devices/{key:path}", "GET PATCH", changes.device),
    ]
    return Starlette(
        routes=[
            Route(f"/_simulator{path}", endpoint(handler), methods=methods.split()) for path, methods, handler in routes
        ],
        exception_handlers={HTTPException: http_error},
    )
