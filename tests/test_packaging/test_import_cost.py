"""Every DAG file is parsed again and again: the operators must cost next to nothing there."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

IMPORT_OPERATORS = """
import json, sys, time
import airflow.sdk
before, started = set(sys.modules), time.perf_counter()
import airflow_provider_supersim.operators.ip_command
import airflow_provider_supersim.sensors.ip_command
cost = time.perf_counter() - started
print(json.dumps({"cost": cost, "modules": sorted(set(sys.modules) - before)}))
"""


@pytest.fixture(scope="module")
def imports() -> list[dict]:
    """Return what three fresh interpreters saw."""
    return [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", IMPORT_OPERATORS], capture_output=True, text=True, check=True
            ).stdout.splitlines()[-1]
        )
        for _ in range(3)
    ]


def test_the_operators_cost_at_most_60_ms_more_than_airflow_sdk(imports):
    # The quickest of three: what other programs did meanwhile is in the others.
    assert min(once["cost"] for once in imports) < 0.060


def test_nothing_heavy_is_imported_where_a_dag_is_parsed(imports):
    heavy = {"aiohttp", "anyio", "asyncio", "httpx", "msgspec", "pendulum", "ssl", "tenacity"}

    for once in imports:
        assert not heavy & {module.partition(".")[0] for module in once["modules"]}
        assert "airflow.triggers" not in once["modules"]
        assert not [module for module in once["modules"] if module.startswith("airflow_provider_supersim.api")]
