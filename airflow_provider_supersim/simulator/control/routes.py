"""The control plane under ``/_simulator/``: tests turn the world here and read what really happened.

No faults, no latency, no limit and no sign-in: it is not part of what is simulated.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from airflow_provider_supersim.simulator.control.changes import Levers
from airflow_provider_supersim.simulator.control.endpoints import endpoint, http_error
from airflow_provider_supersim.simulator.control.queries import Truth
from airflow_provider_supersim.simulator.control.simulation import Simulation


def control_plane(simulation: Simulation) -> Starlette:
    """Return the control plane of a simulation as an application."""
    truth, levers = Truth(simulation), Levers(simulation)
    routes = [
        ("/", "GET", truth.overview),
        ("/commands", "GET", truth.commands),
        ("/datagrams", "GET", truth.datagrams),
        ("/requests", "GET DELETE", truth.requests),
        ("/alerts", "GET", truth.alerts),
        ("/summary", "GET", truth.summary),
        ("/sims", "GET", truth.sims),
        ("/fleets", "GET", truth.fleets),
        ("/reset", "POST", levers.reset),
        ("/seed", "POST", levers.seed),
        ("/clock", "GET POST", levers.clock),
        ("/settings", "GET PATCH", levers.settings),
        ("/faults", "GET PUT DELETE", levers.faults),
        ("/sims/{key}", "GET PATCH", levers.sim),
        ("/fleets/{key}", "GET PATCH", levers.fleet),
        ("/devices", "PATCH", levers.devices),
        ("/devices/{key}", "GET PATCH", levers.device),
    ]
    return Starlette(
        routes=[
            Route(f"/_simulator{path}", endpoint(handler), methods=methods.split()) for path, methods, handler in routes
        ],
        exception_handlers={HTTPException: http_error},
    )
