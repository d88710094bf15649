"""Ten thousand single commands, deferred at once in one real triggerer: requests, CPU, and the event loop's lag.

To run ten thousand tasks would take an hour, so the task instances are written into Airflow's database. The triggerer
is Airflow's own, in its own processes. An extra trigger beside ours measures the lag of the event loop.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

import psutil
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_supersim.simulator import Simulator, run_simulator
from tests.benchmarks.airflow_home import make_home, run_python
from tests.benchmarks.load import cpu_of, devices, names, send_all
from tests.benchmarks.table import Line

WAITING = 10_000
INTERVAL = 5.0  # seconds between two looks
WATCHED = 40.0  # seconds
PATIENCE = 1800.0  # seconds; ten thousand events take ten minutes on a slow machine
TICK = 0.01  # seconds
PAGES = (("twilio", 1000, 15), ("kore", 100, 110))  # vendor, its largest page, most requests in an interval

DAG = f"""
from airflow.sdk import dag, task

@dag
def waiting():
    @task
    def wait(number):
        pass
    wait.expand(number=list(range({WAITING} + 1)))

waiting()
"""


class LagTrigger(BaseTrigger):
    """Writes how late the event loop wakes it. One line a second: number of tasks, then lags in seconds."""

    def __init__(self, path: str, deadline: datetime) -> None:
        super().__init__()
        self.path = path
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "tests.benchmarks.triggerer.LagTrigger", {"path": self.path, "deadline": self.deadline}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        while True:
            lags = []
            for _ in range(round(1 / TICK)):
                asked = time.monotonic() + TICK
                await asyncio.sleep(TICK)
                lags.append(round(time.monotonic() - asked, 4))
            with open(self.path, "a") as file:  # noqa: ASYNC230, PTH123  # its cost is part of the measurement
                print(len(asyncio.all_tasks()), *lags, file=file)
            if not lags:
                yield TriggerEvent(None)


class Seen(NamedTuple):
    """The cost of the triggerer while all tasks wait.

    :ivar requests: to the API, in an interval
    :ivar lag: of the event loop at the 99th percentile, in seconds
    :ivar cores: in use by the process in which triggers run
    :ivar parents_cores: in use by its parent, which reads Airflow's database and runs none of our code
    """

    requests: float
    lag: float
    cores: float
    parents_cores: float


def measure() -> list[Line]:
    return [line for vendor, pages, most in PAGES for line in _lines(vendor, pages, most)]


def _lines(vendor: str, pages: int, most: int) -> list[Line]:
    seen = _watch(vendor)
    what = f"{WAITING:,} commands waited for in a triggerer, pages of {pages:,}"
    return [
        Line(
            f"{what}: requests in {INTERVAL:.0f} s",
            f"{seen.requests:.1f}",
            "",
            f"at most {most}",
            seen.requests <= most,
        ),
        Line(
            f"{what}: lag of its event loop, 99th percentile",
            f"{seen.lag * 1000:.0f} ms",
            "",
            "under 100 ms",
            seen.lag < 0.1,
        ),
        Line(
            f"{what}: CPU",
            f"{seen.cores:.2f} cores",
            f"Airflow's own, in the parent: {seen.parents_cores:.2f}",
            "under 0.5",
            seen.cores < 0.5,
        ),
    ]


def _watch(vendor: str) -> Seen:
    with tempfile.TemporaryDirectory() as folder, run_simulator(sims=WAITING, settle=86_400.0) as simulator:
        home, lags = Path(folder), Path(folder) / "lags"
        environment = make_home(
            home,
            simulator,
            vendor,
            DAG,
            AIRFLOW__CORE__MAX_MAP_LENGTH=str(WAITING + 1),
            AIRFLOW__TRIGGERER__CAPACITY=str(2 * WAITING),
            AIRFLOW__TRIGGERER__MAX_TRIGGER_TO_SELECT_PER_LOOP="1000",  # a second; the default, 50, is for several
        )
        run_python(["-m", "airflow", "dags", "reserialize"], environment)
        asyncio.run(send_all(simulator, devices(names(simulator)), 100))
        _defer(environment, [command["sid"] for command in simulator.commands()], lags)
        simulator.forget_requests()
        with _triggerer(environment, home / "triggerer.log") as (parent, runner):
            _until(lambda: _tasks(lags) > WAITING, "all triggers run")
            seen = _watched(simulator, parent, runner, lags)
            simulator.advance(90_000.0)
            _until(lambda: _deferred(environment) == 1, "all triggers but the one that measures have fired")
    return seen


def _watched(simulator: Simulator, parent: psutil.Process, runner: psutil.Process, lags: Path) -> Seen:
    _until(lambda: simulator.requests()["total"] > 0, "statuses are read")
    simulator.forget_requests()
    lags.write_text("")
    began, before, parents = time.monotonic(), cpu_of(runner), cpu_of(parent)
    time.sleep(WATCHED)
    took = time.monotonic() - began
    measured = [float(lag) for line in lags.read_text().splitlines() for lag in line.split()[1:]]
    return Seen(
        requests=simulator.requests()["total"] / took * INTERVAL,
        lag=quantiles(measured, n=100)[-1],
        cores=(cpu_of(runner) - before) / took,
        parents_cores=(cpu_of(parent) - parents) / took,
    )


def _defer(environment: dict[str, str], sids: list[str], lags: Path) -> None:
    ours = "airflow_provider_supersim.triggers.ip_command.SuperSimIpCommandTrigger"
    arguments = {"supersim_conn_id": "supersim_default", "poll_interval": INTERVAL}
    triggers: list[tuple[str, dict[str, Any]]] = [(ours, {"ip_command_sids": [sid], **arguments}) for sid in sids]
    triggers.append((f"{__name__}.{LagTrigger.__name__}", {"path": str(lags)}))
    run_python(["-m", "tests.benchmarks.deferred_tasks", "defer"], environment, stdin=json.dumps(triggers))


def _deferred(environment: dict[str, str]) -> int:
    return int(run_python(["-m", "tests.benchmarks.deferred_tasks", "count"], environment))


@contextmanager
def _triggerer(environment: dict[str, str], log: Path) -> Iterator[tuple[psutil.Process, psutil.Process]]:
    """Run ``airflow triggerer``, and return its process and the child process that runs triggers."""
    command = [sys.executable, "-m", "airflow", "triggerer", "--skip-serve-logs"]
    with log.open("wb") as output:
        started = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    parent = psutil.Process(started.pid)
    try:
        _until(lambda: bool(parent.children()), "the triggerer starts its process for triggers")
        yield parent, parent.children()[0]
    finally:
        started.terminate()
        started.wait()


def _tasks(lags: Path) -> int:
    """Return how many tasks the event loop had in the last second."""
    lines = lags.read_text().splitlines() if lags.exists() else []
    return int(lines[-1].split()[0]) if lines else 0


def _until(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            raise RuntimeError(f"within {PATIENCE:.0f} s it did not come to this: {what}")
        time.sleep(1)
