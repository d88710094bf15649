"""A whole Airflow for a test: scheduler, DAG processor, triggerer and API server, each a process, as in production.

``airflow standalone`` starts the same four, but on fixed ports and with a pause of seconds between them.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

import psutil
from cryptography.fernet import Fernet
from servers import PATIENCE, end_sessions, free_port

TAIL = 25  # lines of a log that a failed test shows
LOCAL = {
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}

Json = dict[str, Any]

_opener = build_opener(ProxyHandler({}))  # never through a proxy: this Airflow is on this host


class Airflow:
    """A running Airflow. Each component has a session of its own, by which all that it has started is found.

    :param home: its AIRFLOW_HOME
    :param url: of its API server
    :param environment: of all components
    """

    def __init__(self, home: Path, url: str, environment: Mapping[str, str]) -> None:
        self.home = home
        self.url = url
        self._environment = environment
        self._components: dict[str, subprocess.Popen[bytes]] = {}
        self._sessions: set[int] = set()
        self._token = ""

    # --- its processes ------------------------------------------------------------------------------------------

    def start(self, name: str, *arguments: str) -> None:
        """Start a component, whose output goes to ``<name>.out``.

        :param arguments: of the ``airflow`` command
        """
        with self._output(name).open("ab") as output:
            self._components[name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", *arguments],
                env={**self._environment, "PGAPPNAME": name},
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._sessions.add(self._components[name].pid)

    def kill(self, name: str) -> None:
        """Kill a component and all that it has started, as when its host goes down."""
        _kill_all({self._components[name].pid})
        self._components[name].wait()

    def kill_alone(self, name: str) -> None:
        """Kill a component's main process; what it has started lives on.

        The local executor's workers have inherited the scheduler's connections to PostgreSQL and keep them open. A
        transaction in which it died would go on for ever, and its locks would keep every other scheduler from starting
        a task. So its sessions are ended here, as PostgreSQL itself ends those of a host that is gone.
        """
        self._components[name].kill()
        self._components[name].wait()
        end_sessions(self._environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], name)

    def stop(self) -> None:
        """Kill everything: nothing of it is needed any more."""
        _kill_all(self._sessions)
        for component in self._components.values():
            component.wait()

    # --- its public API -----------------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """Call the public API; ``path`` is what follows ``/api/v2/``."""
        if not self._token:
            self._token = self._request("GET", "/auth/token", None)["access_token"]
        return self._request(method, f"/api/v2/{path}", body)

    def add_connection(self, name: str, fields: Json) -> None:
        """Add a connection as the form does."""
        self.call("POST", "connections", {**fields, "connection_id": name, "extra": json.dumps(fields["extra"])})

    def trigger(self, dag_id: str) -> str:
        """Start a run, and return its id."""
        return str(self.call("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None})["dag_run_id"])

    def clear(self, dag_id: str, run_id: str) -> None:
        """Clear all tasks of a run, as the button does."""
        body = {"dag_run_id": run_id, "dry_run": False, "only_failed": False, "reset_dag_runs": True}
        self.call("POST", f"dags/{dag_id}/clearTaskInstances", body)

    def mark_failed(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Mark a task failed, as the button does."""
        self.call("PATCH", f"{_task(dag_id, run_id, task_id)}", {"new_state": "failed"})

    def tasks(self, dag_id: str, run_id: str) -> dict[tuple[str, int], Json]:
        """Return the task instances of a run, by task and map index."""
        found = self.call("GET", f"dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances")["task_instances"]
        return {(one["task_id"], one["map_index"]): one for one in found}

    def states(self, dag_id: str, run_id: str) -> set[str | None]:
        """Return the states in which the tasks of a run are."""
        return {task["state"] for task in self.tasks(dag_id, run_id).values()}

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom's value."""
        return self.call("GET", f"{_task(dag_id, run_id, task_id)}/xcomEntries/{key}?map_index={map_index}")["value"]

    def state_store(self, dag_id: str, run_id: str, task_id: str, key: str) -> Any:
        """Return a value that a task has put into its state store."""
        return self.call("GET", f"{_task(dag_id, run_id, task_id)}/state-store/{key}")["value"]

    # --- waiting and reading ------------------------------------------------------------------------------------

    def wait_for(self, what: str, ready: Callable[[], Any]) -> Any:
        """Return what ``ready`` returns, as soon as it is something."""
        deadline = time.monotonic() + PATIENCE
        while not (result := ready()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {PATIENCE:g} s")
            time.sleep(0.2)
        return result

    def wait_until_over(self, dag_id: str, run_id: str) -> str:
        """Return the final state of a run."""

        def state() -> str | None:
            found = self.call("GET", f"dags/{dag_id}/dagRuns/{quote(run_id)}")["state"]
            return found if found in ("success", "failed") else None

        return str(self.wait_for(f"{dag_id} to end", state))

    def wait_until_all(self, state: str, dag_id: str, run_id: str) -> None:
        """Wait until all tasks of a run are in this state."""
        self.wait_for(f"all tasks of {dag_id} to be {state}", lambda: self.states(dag_id, run_id) == {state})

    def wait_until_ready(self, dags: Path) -> None:
        """Wait until every component is at work, and every DAG file has been read."""
        try:
            self.wait_for("Airflow to be ready", lambda: self._is_ready(dags))
        except Exception as error:
            error.add_note(self.tails())
            raise

    def running_process(self, dag_id: str, run_id: str, task_id: str) -> psutil.Process:
        """Return the process in which a task runs; its parent is the executor's worker."""

        def pid() -> int | None:
            task = self.tasks(dag_id, run_id)[task_id, -1]
            return task["pid"] if task["state"] == "running" else None

        return psutil.Process(self.wait_for(f"{task_id} to run", pid))

    def log(self, dag_id: str, run_id: str, task_id: str) -> list[Json]:
        """Return the log of all tries, line by line, of worker and triggerer."""
        folder = self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        lines: list[Json] = []
        for path in sorted(folder.rglob("attempt=*.log*")):
            lines += [json.loads(line) for line in path.read_text().splitlines()]
        return lines

    def tails(self) -> str:
        """Return the last lines of all logs, of tasks and components, for the report of a failed test."""
        logs = [*sorted(self.home.glob("logs/dag_id=*/**/attempt=*")), *sorted(self.home.glob("*.out"))]
        return "\n".join(line for path in logs for line in ["", f"--- {path.relative_to(self.home)}", *_tail(path)])

    def _is_ready(self, dags: Path) -> bool:
        for name, component in self._components.items():
            if component.poll() is not None:
                raise RuntimeError(f"airflow {name} ended with {component.returncode}")
        try:
            health = self.call("GET", "monitor/health")
            if any(health[name]["status"] != "healthy" for name in ("scheduler", "triggerer", "dag_processor")):
                return False
            if errors := self.call("GET", "importErrors")["import_errors"]:
                raise RuntimeError(f"a DAG file cannot be imported: {errors}")
            return len(self.call("GET", "dags")["dags"]) >= len(list(dags.glob("*.py")))
        except OSError:  # no server listens yet
            return False

    def _output(self, name: str) -> Path:
        return self.home / f"{name}.out"

    def _request(self, method: str, path: str, body: Json | None) -> Json:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        data = None if body is None else json.dumps(body).encode()
        with _opener.open(Request(f"{self.url}{path}", data, headers, method=method), timeout=PATIENCE) as reply:
            return dict(json.loads(reply.read() or "{}"))


@contextmanager
def run_airflow(
    home: Path, database: str, dags: Path, components: Mapping[str, list[str]] = LOCAL, **settings: str
) -> Iterator[Airflow]:
    """Run a whole Airflow for as long as the block lasts.

    :param home: an empty folder
    :param database: URL of a migrated database of its own
    :param components: beside the API server: the arguments of the ``airflow`` command, by name
    :param settings: more of Airflow's configuration, as environment variables
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
        # A worker that was killed says nothing: the scheduler misses its heartbeats. On a busy machine a worker that is
        # alive may be silent for 20 s.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "1",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        **settings,
    }
    airflow = Airflow(home, url, environment)
    try:
        airflow.start("api-server", "api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1")
        for name, arguments in components.items():
            airflow.start(name, *arguments)
        airflow.wait_until_ready(dags)
        yield airflow
    finally:
        airflow.stop()


def _task(dag_id: str, run_id: str, task_id: str) -> str:
    return f"dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task_id}"


def _kill_all(sessions: set[int]) -> None:
    while members := _members(sessions):  # again, because a process may have started another meanwhile
        for member in members:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(members, timeout=1)


def _members(sessions: set[int]) -> list[psutil.Process]:
    """Return all processes of these sessions: also those whose parents are dead, and those in groups of their own."""
    members = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
    return members


def _tail(path: Path) -> list[str]:
    """Return the last lines of a log; a task's are JSON, with a stack of frames for each error."""
    tail = []
    for line in path.read_text(errors="replace").splitlines()[-TAIL:]:
        try:
            entry = json.loads(line)
            errors = [f"{error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail", [])]
            tail.append(" ".join([entry["timestamp"], entry["level"], entry["event"], *errors]))
        except (ValueError, KeyError, TypeError):
            tail.append(line)
    return tail
