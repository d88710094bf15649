"""A simulator whose commands settle at once."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from airflow_provider_supersim.testing import Simulator

settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def simulator(supersim_simulator: Simulator) -> Simulator:
    supersim_simulator.settings(settle=0)
    return supersim_simulator
