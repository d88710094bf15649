"""A simulator with a stopped clock, a client for each vendor, free ports, and a server for callbacks."""

import socket
from collections.abc import Callable, Iterator

import pytest
from callback_listener import CallbackListener
from vendor_api import NEW_YEAR, Api, basic

from airflow_provider_supersim.testing import Simulator


@pytest.fixture
def simulator(supersim_simulator: Simulator) -> Simulator:
    """A fresh simulator whose clock is stopped at New Year 2026."""
    supersim_simulator.stop_clock(NEW_YEAR)
    return supersim_simulator


@pytest.fixture
def anyone(simulator: Simulator) -> Api:
    return Api(simulator.url, None)


@pytest.fixture
def twilio(simulator: Simulator) -> Api:
    return Api(simulator.url, basic())


@pytest.fixture
def kore(anyone: Api) -> Api:
    return anyone.token()


@pytest.fixture
def free_udp_port() -> Callable[[], int]:
    def find() -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("0.0.0.0", 0))
            return probe.getsockname()[1]

    return find


@pytest.fixture
def port(free_udp_port: Callable[[], int]) -> int:
    return free_udp_port()


@pytest.fixture
def callback_listener() -> Iterator[CallbackListener]:
    listener = CallbackListener()
    yield listener
    listener.server.shutdown()
    listener.server.server_close()
