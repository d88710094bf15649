"""A fleet through real Airflow, sent and settled, beside a mapped HttpOperator that sends and a mapped HttpSensor.

Both run one after the other in the same Airflow, each in its own process (``airflow dags test``). This favours the
mapped pair: normally each of its tasks would start a process.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from airflow_provider_supersim.simulator import run_simulator
from tests.benchmarks.airflow_home import make_home, run_python
from tests.benchmarks.table import Line

DEVICES, TIMES = 1_000, 25

DAG = """
from airflow.sdk import dag, task
from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator

@dag
def nothing():
    @task
    def done():
        pass
    done()

@dag
def rollout():
    SuperSimRolloutOperator(task_id="rollout", fleet="field-devices", payload="a", device_port=5683, poll_interval=1)

@dag
def mapped():
    sent = HttpOperator.partial(
        task_id="send", http_conn_id="api", endpoint="v1/IpCommands", method="POST",
        headers={{"Content-Type": "application/x-www-form-urlencoded"}},
        response_filter=lambda response: "v1/IpCommands/" + response.json()["sid"],
    ).expand(data=[f"Sim=device-{{n:04d}}&Payload=a&DevicePort=5683" for n in range(1, {devices} + 1)])
    HttpSensor.partial(
        task_id="wait", http_conn_id="api", poke_interval=1,
        response_check=lambda response: response.json()["status"] == "sent",
    ).expand(endpoint=sent.output)

nothing(); rollout(); mapped()
"""


def measure() -> list[Line]:
    with tempfile.TemporaryDirectory() as home, run_simulator(sims=DEVICES, settle=1.0) as simulator:
        environment = make_home(Path(home), simulator, "twilio", DAG.format(devices=DEVICES))
        start = min(_seconds("nothing", environment) for _ in range(2))  # Airflow's own start, which is in both
        ours = _seconds("rollout", environment) - start
        truth = simulator.summary(fleet="field-devices")
        if truth["sims"]["with_1_command"] != DEVICES or truth["commands"]["by_status"]["sent"] != DEVICES:
            raise RuntimeError(f"not every device was sent exactly one command: {truth}")
        peer = _seconds("mapped", environment) - start
        if simulator.summary()["commands"]["by_status"]["sent"] != 2 * DEVICES:
            raise RuntimeError("the mapped operators did not do their work: the figure would mean nothing")
    return [
        Line(
            f"{DEVICES:,} devices through Airflow, sent and settled",
            f"{ours:.1f} s",
            f"mapped HttpOperator and HttpSensor {peer:.0f} s",
            f"{TIMES} times faster",
            peer >= TIMES * ours,
        )
    ]


def _seconds(dag_id: str, environment: dict[str, str]) -> float:
    began = time.monotonic()
    run_python(["-m", "airflow", "dags", "test", dag_id], environment)
    return time.monotonic() - began
