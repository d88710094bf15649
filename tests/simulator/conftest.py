"""What the tests against the running simulator share."""

from __future__ import annotations

import logging
import socket

import pytest


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(params=["twilio", "kore"])
def vendor(request):
    """Both vendors, one after the other."""
    return request.param


@pytest.fixture
def everything_logged(caplog):
    """All log records of all libraries, from DEBUG on."""
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.fixture
def free_port():
    """A TCP port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]  # bound, but not listening: connections are refused
