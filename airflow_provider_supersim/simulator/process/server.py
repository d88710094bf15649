"""Runs the simulator on uvicorn until a signal comes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from airflow_provider_supersim.simulator.api.asgi import TRANSPORT
from airflow_provider_supersim.simulator.control.simulation import Simulation
from airflow_provider_supersim.simulator.devices.network import DeviceNetwork
from airflow_provider_supersim.simulator.process.app import App
from airflow_provider_supersim.simulator.world.options import Options


class _Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # uvicorn chooses the class at run time
    """Puts the transport into the ASGI state, so that a fault can cut the connection: ASGI has no word for that."""

    app_state: dict[str, Any]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}


class _Server(uvicorn.Server):
    """Ends at once and with exit code 0. Uvicorn's own server ends by the signal."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stop = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop.set)
        yield

    async def main_loop(self) -> None:
        await self.stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Replies that are delayed on purpose end here. Uvicorn would log each of them as an error with a traceback.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


def open_socket(host: str, port: int) -> socket.socket:
    """Open the API's socket before anything else, so that a taken port shows at once.

    :raises OSError: the port is taken or the address is not this host's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def run(
    options: Options,
    listener: socket.socket,
    network: DeviceNetwork,
    *,
    announce: Callable[[Simulation], None],
    until_stdin_closes: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM.

    :param announce: called when the server accepts requests.
    :param until_stdin_closes: end also when standard input closes, because the program that started this has ended.
    """

    async def serve() -> None:
        simulation = Simulation(options, network)
        network.start()
        config = uvicorn.Config(
            App(simulation),
            http=_Protocol,
            lifespan="off",
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,  # the simulator's clock tells the date
            timeout_keep_alive=75,
            timeout_graceful_shutdown=0,  # replies that hang on purpose must not delay the end
        )
        server = _Server(config)
        if until_stdin_closes:
            asyncio.get_running_loop().add_reader(sys.stdin, server.stop.set)
        listener.listen(config.backlog)  # from here on requests wait until uvicorn takes them
        announce(simulation)
        await server.serve(sockets=[listener])
        await simulation.close()

    with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
        runner.run(serve())


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # not a dependency: used if it is installed
    except ImportError:
        return None
    return uvloop.new_event_loop
