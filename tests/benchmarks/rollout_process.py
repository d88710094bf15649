"""Run a rollout in this process as a task does, and print its cost as JSON. Called by :mod:`tests.benchmarks.scale`.

python -m tests.benchmarks.rollout_process CONNECTION FOLDER

The folder holds ``targets.jsonl``, and ``first.jsonl`` and ``second.jsonl`` with one other device each. The ledgers and
the reports go beside them.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator


def measure(folder: Path) -> dict[str, Any]:
    roll_out(folder, "first.jsonl")  # so that imports are not counted
    cpu, memory = _cpu(), _memory()
    roll_out(folder, "second.jsonl")
    start, cpu, began = _cpu() - cpu, _cpu(), time.monotonic()
    summary = roll_out(folder, "targets.jsonl")
    return {
        "devices": summary["devices"],
        "memory_at_start": memory,
        "memory": _memory(),
        "start": start,
        "cpu": _cpu() - cpu,
        "seconds": time.monotonic() - began,
    }


def roll_out(folder: Path, targets: str) -> dict[str, Any]:
    ledger = tempfile.mkdtemp(dir=folder)
    operator = SuperSimRolloutOperator(
        task_id="roll_out",
        payload="apn=iot.example;name={{ device.sim }}",
        device_port=5683,
        ledger_path=ledger,
        poll_interval=5,
        targets_path=str(folder / targets),
        report_path=str(folder / f"report of {targets}"),
    )
    names = {"dag_id": "dag", "run_id": "run", "task_id": "roll_out", "map_index": -1}
    ti = SimpleNamespace(**names, max_tries=0, xcom_push=lambda **_: None)
    summary: dict[str, Any] = operator.execute({"ti": ti})
    return summary


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _memory() -> float:
    """Return the peak of resident memory in MB. getrusage() would begin with the parent's peak."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+([0-9]+) kB", status)[1]) / 1024


if __name__ == "__main__":
    os.environ["AIRFLOW_CONN_SUPERSIM_DEFAULT"] = sys.argv[1]
    print(json.dumps(measure(Path(sys.argv[2]))))
