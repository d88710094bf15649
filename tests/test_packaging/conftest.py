"""What the tests of the package share: the checkout, and Airflow's command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Return the checkout's folder."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture
def airflow(airflow_db: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs an ``airflow`` command."""

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "airflow", *command], check=False, capture_output=True, text=True, timeout=600
        )

    return run
