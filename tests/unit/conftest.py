"""What the unit tests share."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run, on a slow machine too: a failure is the code's, and can be had again.
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture
def anyio_backend():
    return "asyncio"
