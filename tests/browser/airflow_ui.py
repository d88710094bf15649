"""An Airflow for the browser: only its web server, because nothing is scheduled; and what the tests share."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from features import airflow_is

from airflow_provider_supersim.testing import Simulator

CHECKOUT = Path(__file__).resolve().parents[2]
SCREENSHOTS = bool(os.environ.get("SUPERSIM_SCREENSHOTS"))

PASSWORD = "of-these-tests"
#: A page must not show these.
SECRETS = {"twilio": "twilio-T0p-s3cret", "kore": "kore-T0p-s3cret"}

PATIENCE = 600.0  # seconds for what takes ten or twenty on a quiet machine; it only ends a test that hangs

if airflow_is("3.0"):
    COMMAND, SECTION, SERVER_SETTINGS = ["api-server", "--host"], "API", {}
else:
    COMMAND, SECTION = ["webserver", "--hostname"], "WEBSERVER"
    # Its API is called by the form's Test button, as the user that the page has: here no one in particular.
    SERVER_SETTINGS = {
        "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.default",
        "AIRFLOW__WEBSERVER__WEB_SERVER_MASTER_TIMEOUT": f"{PATIENCE:.0f}",
        "AIRFLOW__WEBSERVER__WEB_SERVER_WORKER_TIMEOUT": f"{PATIENCE:.0f}",
    }

_opener = build_opener(ProxyHandler({}))  # never through a proxy: this Airflow is on this host


class Ui:
    """A running web server: the API server, or on Airflow 2 the webserver.

    :param environment: of every command of this Airflow
    """

    HEALTH = "/api/v2/monitor/health" if airflow_is("3.0") else "/health"

    def __init__(self, url: str, environment: dict[str, str]) -> None:
        self.url = url
        self.environment = environment

    def get(self, path: str) -> Any:
        """Ask the public API; ``path`` is what follows ``/api/v2/``."""
        token = self._call("/auth/token", {"username": "admin", "password": PASSWORD})["access_token"]
        return self._call(f"/api/v2/{path}", token=token)

    def healthy(self) -> bool:
        """Return whether it answers."""
        try:
            self._call(self.HEALTH)
        except OSError:
            return False
        return True

    def test_dag(self, dag_id: str, **params: Any) -> None:
        """Run a DAG to its end, without a scheduler; the API knows how it ended."""
        subprocess.run(
            [sys.executable, "-m", "airflow", "dags", "test", dag_id, "--conf", json.dumps(params)],
            env=self.environment,
            check=False,  # 1 where the run failed
            capture_output=True,
            timeout=PATIENCE,
        )

    def _call(self, path: str, body: Any = None, *, token: str = "") -> Any:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        with _opener.open(Request(self.url + path, data, headers), timeout=PATIENCE) as response:
            return json.load(response)


@contextmanager
def run_ui(home: Path, database: Path, simulator: Simulator) -> Iterator[Ui]:
    """Run the web server, with the example DAGs, for as long as the block lasts.

    :param home: an empty folder
    :param database: a migrated SQLite database, which is copied
    :raises RuntimeError: it did not start; the message has what it said
    """
    shutil.copyfile(database, home / "airflow.db")
    (home / "passwords.json").write_text(json.dumps({"admin": PASSWORD}))
    (home / "webserver_config.py").write_text('AUTH_ROLE_PUBLIC = "Admin"\n')  # Airflow 2: no one has to sign in
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ui = Ui(
        f"http://127.0.0.1:{port}",
        {
            **os.environ,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONN_SUPERSIM_DEFAULT": simulator.connection_json(),
            **SERVER_SETTINGS,
            f"AIRFLOW__{SECTION}__BASE_URL": f"http://127.0.0.1:{port}",
            f"AIRFLOW__{SECTION}__WORKERS": "1",
            "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags_examples"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        },
    )
    said = home / "server.out"
    with said.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "airflow", *COMMAND, "127.0.0.1", "--port", str(port)],
            env=ui.environment,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not ui.healthy():
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the web server did not start: {said.read_text()[-3000:]}")
            time.sleep(0.2)
        yield ui
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
