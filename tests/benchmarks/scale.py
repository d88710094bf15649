"""What a rollout costs as it grows: memory, time a command, requests a command."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow_provider_supersim.simulator.handle import run_simulator
from tests.benchmarks.table import Line

SMALL, LARGE = 1_000, 100_000
GROWTH, FACTOR = 150, 1.2
MANY = 10_000
MILLION, MOST = 1_000_000, 600


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


def measure_million() -> list[Line]:
    """The same for a million devices: some twenty minutes."""
    small, large = _rollout(MANY, "twilio"), _rollout(MILLION, "twilio")
    small_cost, large_cost = (each["cpu"] / each["devices"] * 1000 for each in (small, large))
    return [
        Line(
            f"memory of a rollout to {MILLION:,} devices, in all",
            f"{large['memory']:.0f} MB",
            f"{large['memory_at_start']:.0f} MB at its start",
            f"under {MOST} MB",
            large["memory"] < MOST,
        ),
        Line(
            f"CPU for each device at {MILLION:,}, waiting included",
            f"{large_cost:.2f} ms",
            f"{small_cost:.2f} ms at {MANY:,}",
            f"at most {FACTOR} times",
            large_cost <= FACTOR * small_cost,
        ),
    ]


def _rollout(sims: int, vendor: str) -> dict[str, Any]:
    """Run a rollout in a process of its own, so that its memory is its own."""
    with TemporaryDirectory() as folder, run_simulator(sims=sims, settle=1.0) as simulator:
        _write_targets(Path(folder) / "targets.jsonl", sims)
        connection = json.dumps(simulator.connection(vendor))
        child = [sys.executable, "-m", "tests.benchmarks.rollout_process", connection, folder]
        said = subprocess.run(child, check=True, capture_output=True, text=True).stdout
        result: dict[str, Any] = json.loads(said.splitlines()[-1])  # after the task's log
        truth = simulator.summary(fleet="field-devices")["sims"]
        if truth["with_1_command"] != sims:
            raise RuntimeError(f"not every device got exactly one command: {truth}")
        result["requests"] = simulator.requests()["total"]
        return result


def _write_targets(path: Path, sims: int) -> None:
    """Name the simulator's SIMs in an order that is not theirs, as files from elsewhere do."""
    width = max(4, len(str(sims)))
    names = [f"device-{number:0{width}d}" for number in range(1, sims + 1)]
    random.Random(1).shuffle(names)  # no secret
    path.write_text("".join(f'{{"sim": "{name}"}}\n' for name in names))
