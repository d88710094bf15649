"""What a rollout costs as it grows: memory, time a command, requests a command."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from airflow_provider_supersim.simulator.handle import run_simulator
from tests.benchmarks.table import Line

SMALL, LARGE = 1_000, 100_000
GROWTH, FACTOR = 150, 1.2
MANY = 10_000


def measure() -> list[Line]:
    small, large = _rollout(SMALL, "twilio"), _rollout(LARGE, "twilio")
    grown = large["memory"] - small["memory"]
    small_cost, large_cost = (each["cpu"] / each["devices"] * 1000 for each in (small, large))
    lines = [
        Line(
            f"memory of a rollout to {LARGE:,} devices, over one to {SMALL:,}",
            f"{grown:.0f} MB more",
            f"{small['memory']:.0f} MB",
            f"at most {GROWTH} MB",
            grown <= GROWTH,
        ),
        Line(
            f"CPU for each device at {LARGE:,}, waiting included",
            f"{large_cost:.2f} ms",
            f"{small_cost:.2f} ms at {SMALL:,}",
            f"at most {FACTOR} times",
            large_cost <= FACTOR * small_cost,
        ),
    ]
    for vendor, pages, most in (("twilio", 1000, 1.05), ("kore", 100, 1.3)):
        many = _rollout(MANY, vendor)
        each = many["requests"] / many["devices"]
        lines.append(
            Line(
                f"requests for each of {MANY:,} devices, pages of {pages:,}, waiting included",
                f"{each:.3f}",
                "",
                f"at most {most}",
                each <= most,
            )
        )
    return lines


def _rollout(sims: int, vendor: str) -> dict[str, Any]:
    """Run a rollout in a process of its own, so that its memory is its own."""
    with run_simulator(sims=sims, settle=1.0) as simulator:
        child = [sys.executable, "-m", "tests.benchmarks.rollout_process", json.dumps(simulator.connection(vendor))]
        result: dict[str, Any] = json.loads(subprocess.run(child, check=True, capture_output=True, text=True).stdout)
        truth = simulator.summary(fleet="field-devices")["sims"]
        if truth["with_1_command"] != sims:
            raise RuntimeError(f"not every device got exactly one command: {truth}")
        result["requests"] = simulator.requests()["total"]
        return result
