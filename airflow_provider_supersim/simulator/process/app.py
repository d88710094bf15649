"""The control plane and the vendors' API in one application: ``/_simulator/`` is control, everything else API."""

from __future__ import annotations

from airflow_provider_supersim.simulator.api.asgi import Scope, Send
from airflow_provider_supersim.simulator.api.request_body import Receive
from airflow_provider_supersim.simulator.control.routes import control_plane
from airflow_provider_supersim.simulator.control.simulation import Simulation


class App:
    """The ASGI application that the server runs."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._control = control_plane(simulation)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return  # a websocket: without an answer uvicorn refuses it
        if scope["path"] == "/_simulator" or scope["path"].startswith("/_simulator/"):
            await self._control(scope, receive, send)
        else:
            await self._simulation.api(scope, receive, send)
