"""What a rollout costs as it grows, from a thousand devices to a million: memory, CPU and requests for each device."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow_provider_supersim.simulator import run_simulator
from tests.benchmarks.plot import plot_scale
from tests.benchmarks.table import Line

SIZES = (1_000, 10_000, 100_000, 1_000_000)  # devices; two of them are used by the rollouts to one device
LARGE = 100_000
TURNS = {1_000: 3, 10_000: 3}  # runs of which the best counts: short ones suffer most from what else the machine does
GROWTH, RESIDENT = 150, 600  # MB
SPEED = 2_000  # devices a second
FACTOR = 1.2
PAGES = (("twilio", 1_000, 1.05), ("kore", 100, 1.3))  # vendor, its largest page, most requests for each device
MANY = 10_000


def measure() -> list[Line]:
    runs = [min((_rollout(size) for _ in range(TURNS.get(size, 1))), key=lambda run: run["cpu"]) for size in SIZES]
    small, large, largest = runs[0], runs[SIZES.index(LARGE)], runs[-1]
    grown = large["memory"] - small["memory"]
    costs = [_cost(run) for run in runs]
    plot_scale(SIZES, costs, [run["memory"] for run in runs])
    return [
        Line(
            f"memory of a rollout to {large['devices']:,} devices, over one to {small['devices']:,}",
            f"{grown:.0f} MB more",
            f"{small['memory']:.0f} MB",
            f"at most {GROWTH} MB",
            grown <= GROWTH,
        ),
        Line(
            f"memory of a rollout to {largest['devices']:,} devices from a file, in all",
            f"{largest['memory']:.0f} MB",
            f"{largest['memory_at_start']:.0f} MB before it",
            f"under {RESIDENT} MB",
            largest["memory"] < RESIDENT,
        ),
        Line(
            f"CPU for each of {', '.join(format(size, ',') for size in SIZES)} devices, waiting and report included",
            ", ".join(f"{cost:.2f}" for cost in costs) + " ms",
            f"and {min(run['start'] for run in runs):.2f} s for a rollout to one, which are taken off",
            f"none above {FACTOR} times another",
            max(costs) <= FACTOR * min(costs),
        ),
        Line(
            f"devices a second where the API replies at once, {largest['devices']:,} of them, report included",
            f"{largest['devices'] / largest['seconds']:,.0f}/s",
            "",
            f"{SPEED:,}/s",
            largest["devices"] >= SPEED * largest["seconds"],
        ),
        *(_requests(*pages) for pages in PAGES),
    ]


def _requests(vendor: str, pages: int, most: float) -> Line:
    run = _rollout(MANY, vendor)
    each = run["requests"] / run["devices"]
    what = f"requests for each of {MANY:,} devices, pages of {pages:,}, waiting included"
    return Line(what, f"{each:.3f}", "", f"at most {most}", each <= most)


def _cost(run: dict[str, Any]) -> float:
    """Return milliseconds of CPU for each device, less those of a rollout to one device."""
    return float((run["cpu"] - run["start"]) / run["devices"] * 1000)


def _rollout(size: int, vendor: str = "twilio") -> dict[str, Any]:
    """Run a rollout in a new process, so that its memory can be told apart."""
    with TemporaryDirectory() as folder, run_simulator(sims=size, settle=1.0) as simulator:
        names = _names(size)
        random.Random(1).shuffle(names)  # as in files from elsewhere
        for file, some in (("first", names[:1]), ("second", names[1:2]), ("targets", names[2:])):
            (Path(folder) / f"{file}.jsonl").write_text("".join(f'{{"sim": "{name}"}}\n' for name in some))
        connection = json.dumps(simulator.connection(vendor))
        child = [sys.executable, "-m", "tests.benchmarks.rollout_process", connection, folder]
        said = subprocess.run(child, check=True, capture_output=True, text=True).stdout
        run: dict[str, Any] = json.loads(said.splitlines()[-1])  # after the task's log
        truth = simulator.summary(fleet="field-devices")["sims"]
        if truth["with_1_command"] != size:
            raise RuntimeError(f"not every device got exactly one command: {truth}")
        return {**run, "requests": simulator.requests()["total"]}


def _names(count: int) -> list[str]:
    """Return the names of the simulator's devices."""
    width = max(4, len(str(count)))
    return [f"device-{number:0{width}d}" for number in range(1, count + 1)]
