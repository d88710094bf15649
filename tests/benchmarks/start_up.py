"""Time from when Airflow calls the operator until its first POST arrives, in a new process."""

from __future__ import annotations

import tempfile
from pathlib import Path

from airflow_provider_supersim.simulator import run_simulator
from tests.benchmarks.airflow_home import make_home, run_python
from tests.benchmarks.table import Line

MOST = 0.3  # seconds
TURNS = 5

DAG = """
import time
from pathlib import Path
from airflow.sdk import dag
from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator

def noting(operator):
    class Noting(operator):
        def execute(self, context):
            Path(__file__).with_name("handed_over").write_text(str(time.time()))
            return super().execute(context)
    return Noting

@dag
def one():
    noting(SuperSimIpCommandOperator)(
        task_id="send", sim="device-0001", payload="a", device_port=4000, wait_for_completion=False
    )

@dag
def fleet():
    noting(SuperSimRolloutOperator)(task_id="send", fleet="field-devices", payload="a", device_port=4000)

one(); fleet()
"""


def measure() -> list[Line]:
    return [
        _line("one command", "one"),
        _line("a rollout to a Fleet of 200", "fleet"),
    ]


def _line(what: str, dag_id: str) -> Line:
    with tempfile.TemporaryDirectory() as home, run_simulator(sims=200, settle=0.1) as simulator:
        environment = make_home(Path(home), simulator, "twilio", DAG)
        took = []
        for _ in range(TURNS):
            simulator.forget_requests()
            run_python(["-m", "airflow", "dags", "test", dag_id], environment)
            handed_over = float((Path(home) / "dags" / "handed_over").read_text())
            first = min(request["at"] for request in simulator.requests()["recent"] if request["method"] == "POST")
            took.append(first - handed_over)
    best = min(took)  # of several: noise only ever adds time
    return Line(
        f"from Airflow's hand-over to the first POST, {what}",
        f"{best * 1000:.0f} ms",
        "",
        f"at most {MOST * 1000:.0f} ms",
        best <= MOST,
    )
