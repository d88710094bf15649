"""Eight rollouts on one account, each in a process of its own: how many requests are answered 429, and how many leave.

The simulator serves 100 at once. On a busy machine replies take longer, and so the figures say less.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from airflow_provider_supersim.simulator import run_simulator
from tests.benchmarks.load import names
from tests.benchmarks.table import Line

ROLLOUTS = 8
EACH = (400, 2_500)  # devices of each rollout
LATENCY, LIMIT = 0.2, 100
MOST_REFUSED = 0.03
#: Requests a command, by vendor. KORE's pages have 100 commands, and each process reads the commands of all.
MOST_REQUESTS = {"twilio": 1.05, "kore": 1.3}


def measure() -> list[Line]:
    return [line for vendor in MOST_REQUESTS for each in EACH for line in _lines(vendor, each)]


def _lines(vendor: str, each: int) -> list[Line]:
    devices = ROLLOUTS * each
    extra = 2 * ROLLOUTS  # each process rolls out to two devices first
    with run_simulator(sims=devices + extra, latency=LATENCY, max_concurrency=LIMIT, settle=1.0) as simulator:
        _roll_out(json.dumps(simulator.connection(vendor)), names(simulator), each)
        truth = simulator.summary(fleet="field-devices")["sims"]
        requests = simulator.requests()
    if truth["with_1_command"] != devices + extra:
        raise RuntimeError(f"not every device got exactly one command: {truth}")
    refused = requests["too_many_requests"] / requests["total"]
    sent = (requests["total"] - requests["too_many_requests"]) / (devices + extra)
    what = f"{ROLLOUTS} rollouts to {each:,} devices on one account, {vendor}"
    most = MOST_REQUESTS[vendor]
    return [
        Line(f"{what}: answered 429", f"{refused:.2%}", "", f"at most {MOST_REFUSED:.0%}", refused <= MOST_REFUSED),
        Line(f"{what}: requests a command", f"{sent:.3f}", "", f"at most {most}", sent <= most),
    ]


def _roll_out(connection: str, sims: list[str], each: int) -> None:
    """Run the rollouts together; each must succeed at its first try."""
    with TemporaryDirectory() as folder:
        running = []
        for number in range(ROLLOUTS):
            mine = sims[number * (each + 2) : (number + 1) * (each + 2)]
            place = Path(folder) / str(number)
            place.mkdir()
            for file, some in (("first", mine[:1]), ("second", mine[1:2]), ("targets", mine[2:])):
                (place / f"{file}.jsonl").write_text("".join(f'{{"sim": "{name}"}}\n' for name in some))
            child = [sys.executable, "-m", "tests.benchmarks.rollout_process", connection, str(place)]
            running.append(subprocess.Popen(child, stdout=subprocess.DEVNULL))
        if failed := [process.args for process in running if process.wait()]:
            raise RuntimeError(f"{len(failed)} of {ROLLOUTS} rollouts failed")
