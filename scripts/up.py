"""``make up``: ``airflow standalone`` and a simulator, with the connection and the example DAGs set up."""
# ruff: noqa: T201  # its job is to print

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from airflow_provider_supersim.testing import run_simulator
from scripts.airflow_api import AirflowApi
from scripts.airflow_home import CHECKOUT, AirflowHome, end_in_order, free_port

SIMS = 200
CONNECTION = "supersim_default"
PATIENCE = 600  # seconds until Airflow must be healthy; the first start creates the database, and a laptop may be busy
FAREWELL = 20  # seconds in which Airflow may end by itself


def main() -> None:
    """Run until Ctrl-C."""
    end_in_order()
    home = AirflowHome("up")
    api = AirflowApi(f"http://127.0.0.1:{free_port(8080)}")
    print(f"Starting Airflow and a simulator; Airflow logs to {home.show(home.log)}")
    with run_simulator(sims=SIMS) as simulator, standalone(home, api.url) as airflow:
        wait_until(api.healthy, airflow, home)
        password = json.loads((home.path / "simple_auth_manager_passwords.json.generated").read_text())["admin"]
        api.sign_in("admin", password)
        # The host names the port as well: in Airflow 3.3.1 and 3.3.2 the Test button wants it in its field.
        api.put_connection(CONNECTION, simulator.connection() | {"port": urlsplit(simulator.url).port})
        examples = {path.stem for path in (CHECKOUT / "dags_examples").glob("*.py")}
        wait_until(lambda: examples <= api.dag_ids(), airflow, home)
        print(f"""
Airflow     {api.url}   user admin, password {password}
Simulator   {simulator.url}/_simulator/   {SIMS} devices, device-0001 and on
Connection  {CONNECTION}: Admin > Connections; its Test button works
DAGs        {", ".join(sorted(examples))}

Ctrl-C ends both.""")
        airflow.wait()
        raise home.complain("Airflow ended by itself")


@contextmanager
def standalone(home: AirflowHome, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``airflow standalone``, and at the end stop whatever is left of it."""
    environment = home.environment(
        AIRFLOW__API__HOST="127.0.0.1",
        AIRFLOW__API__PORT=url.rpartition(":")[2],
        AIRFLOW__API__BASE_URL=url,
        AIRFLOW__API__WORKERS="1",
        AIRFLOW__CORE__PARALLELISM="8",
        AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL="10",
    )
    # In a new session: otherwise Ctrl-C reaches the scheduler twice, and it never ends.
    airflow = home.start("standalone", environment=environment, own_session=True)
    try:
        yield airflow
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one Ctrl-C is enough
        with suppress(OSError):  # nothing may be listening any more
            print("\nEnding Airflow and the simulator …")
        airflow.send_signal(signal.SIGINT)
        try:
            airflow.wait(FAREWELL)
        except subprocess.TimeoutExpired:
            with suppress(OSError):
                print(f"Airflow has not ended within {FAREWELL} s and is killed.")
        with suppress(ProcessLookupError):  # nothing is left
            os.killpg(airflow.pid, signal.SIGKILL)
        airflow.wait()


def wait_until(ready: Callable[[], bool], airflow: subprocess.Popen[bytes], home: AirflowHome) -> None:
    """Wait until Airflow meets a condition.

    :raises SystemExit: Airflow ended, or it takes too long
    """
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if airflow.poll() is not None or time.monotonic() > deadline:
            raise home.complain("Airflow did not start")
        time.sleep(0.5)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("Stopped. Nothing is left running.")
