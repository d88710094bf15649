"""A whole Airflow of one's own: scheduler, DAG processor, triggerer and API server, each a process, as in production.

``airflow standalone`` starts the same four, but on fixed ports and with a pause of seconds between them.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import psutil
from cryptography.fernet import Fernet

READY_WITHIN = 150.0  # seconds; twenty where the processors are free
STOP_WITHIN = 5.0

Json = dict[str, Any]


class RealAirflow:
    """A running Airflow.

    :param home: its AIRFLOW_HOME
    :param url: of its API server
    """

    def __init__(self, home: Path, url: str) -> None:
        self.home = home
        self.url = url
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._token = ""

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """Call the public API; ``path`` is what follows ``/api/v2/``."""
        if not self._token:
            self._token = self._request("GET", "/auth/token", None)["access_token"]
        return self._request(method, f"/api/v2/{path}", body)

    def trigger(self, dag_id: str) -> str:
        """Start a run, and return its id."""
        return str(self.call("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None})["dag_run_id"])

    def clear(self, dag_id: str, run_id: str) -> None:
        """Clear all tasks of a run, as the button does."""
        body = {"dag_run_id": run_id, "dry_run": False, "only_failed": False, "reset_dag_runs": True}
        self.call("POST", f"dags/{dag_id}/clearTaskInstances", body)

    def tasks(self, dag_id: str, run_id: str) -> dict[tuple[str, int], Json]:
        """Return the task instances of a run, by task and map index."""
        found = self.call("GET", f"dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances")["task_instances"]
        return {(one["task_id"], one["map_index"]): one for one in found}

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom's value."""
        path = f"dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task_id}/xcomEntries/{key}?map_index={map_index}"
        return self.call("GET", path)["value"]

    def wait_for(self, what: str, ready: Callable[[], Any], *, within: float) -> Any:
        """Return what ``ready`` returns, as soon as it is something."""
        deadline = time.monotonic() + within
        while not (result := ready()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {within:g} s")
            time.sleep(0.2)
        return result

    def wait_until_over(self, dag_id: str, run_id: str, *, within: float) -> str:
        """Return the final state of a run."""

        def state() -> str | None:
            found = self.call("GET", f"dags/{dag_id}/dagRuns/{quote(run_id)}")["state"]
            return found if found in ("success", "failed") else None

        return str(self.wait_for(f"{dag_id} to end", state, within=within))

    def running_process(self, dag_id: str, run_id: str, task_id: str) -> psutil.Process:
        """Return the process in which a task runs; its parent is the executor's worker."""

        def pid() -> int | None:
            task = self.tasks(dag_id, run_id)[task_id, -1]
            return task["pid"] if task["state"] == "running" else None

        return psutil.Process(self.wait_for(f"{task_id} to run", pid, within=30))

    def log(self, dag_id: str, run_id: str, task_id: str) -> list[Json]:
        """Return the log of all tries, line by line, of worker and triggerer."""
        folder = self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        lines: list[Json] = []
        for path in sorted(folder.glob("attempt=*.log*")):
            lines += [json.loads(line) for line in path.read_text().splitlines()]
        return lines

    def _request(self, method: str, path: str, body: Json | None) -> Json:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"{self.url}{path}", data, headers, method=method), timeout=30) as reply:
            return dict(json.loads(reply.read() or "{}"))


@contextmanager
def run_airflow(home: Path, database: Path, dags: Path, **settings: str) -> Iterator[RealAirflow]:
    """Run a whole Airflow for as long as the block lasts.

    :param home: an empty folder
    :param database: a migrated SQLite database of its own
    :param settings: more of Airflow's configuration, as environment variables
    """
    port = _free_port()
    airflow = RealAirflow(home, f"http://127.0.0.1:{port}")
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": airflow.url,
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{airflow.url}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
        # A worker that was killed says nothing: the scheduler misses its heartbeats.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "1",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        **settings,
    }
    components = {
        "api-server": ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        "scheduler": ["--skip-serve-logs"],
        "dag-processor": [],
        "triggerer": ["--skip-serve-logs"],
    }
    with ExitStack() as stack:
        stack.callback(lambda: _stop(airflow.processes.values()))
        for name, arguments in components.items():
            output = stack.enter_context((home / f"{name}.out").open("wb"))
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow", name, *arguments],
                env=environment,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            airflow.processes[name] = process
        airflow.wait_for("Airflow to be ready", lambda: _is_ready(airflow, dags), within=READY_WITHIN)
        yield airflow


def _is_ready(airflow: RealAirflow, dags: Path) -> bool:
    for name, process in airflow.processes.items():
        if process.poll() is not None:
            raise RuntimeError(f"airflow {name} ended: {(airflow.home / f'{name}.out').read_text()[-3000:]}")
    try:
        health = airflow.call("GET", "monitor/health")
        if any(health[name]["status"] != "healthy" for name in ("scheduler", "triggerer", "dag_processor")):
            return False
        if errors := airflow.call("GET", "importErrors")["import_errors"]:
            raise RuntimeError(f"a DAG file cannot be imported: {errors}")
        return len(airflow.call("GET", "dags")["dags"]) >= len(list(dags.glob("*.py")))
    except (URLError, ConnectionError):
        return False


def _stop(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """End all components with all that they have started."""
    mains = [psutil.Process(process.pid) for process in processes if process.poll() is None]
    family = [member for main in mains for member in (main, *main.children(recursive=True))]
    for main in mains:
        main.terminate()
    _, obstinate = psutil.wait_procs(family, timeout=STOP_WITHIN)
    for member in obstinate:
        member.kill()
    for process in processes:
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
