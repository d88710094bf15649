"""DAGs that the tests run through a whole Airflow. The SIMs are a simulator's.

What does not say ``deferrable`` follows the configuration, where ``default_deferrable`` is on.
"""

import logging
import os
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_supersim.hooks.supersim import SuperSimHook
from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator
from airflow_provider_supersim.sensors.ip_command import SuperSimIpCommandSensor

OUT = Path(os.environ["AIRFLOW_HOME"]) / "out"
PORT = 4000


#: On a busy machine the scheduler may fail a task that does well: it misses a heartbeat, or takes the late end of the
#: worker that has deferred for the end of the one that goes on. The next try sends nothing twice.
RETRIES = {"retries": 9, "retry_delay": timedelta(0)}


def dag(name: str, **defaults: Any) -> DAG:
    return DAG(name, schedule=None, is_paused_upon_creation=False, default_args=defaults)


with dag("killed_worker", **RETRIES):
    SuperSimRolloutOperator(
        task_id="roll_out",
        fleet="field-devices",
        payload={"name": "{{ device.unique_name }}"},
        device_port=PORT,
        waves=["10%", "100%"],
        max_rate=30,
        report_path=f"{OUT}/killed.csv",
        deferrable=False,
        poll_interval=0.5,
    )

with dag("cleared_by_hand", **RETRIES):
    for place in ("store", "folder"):
        for on_clear in ("resume", "restart"):
            SuperSimRolloutOperator(
                task_id=f"{on_clear}_{place}",
                targets=[f"{on_clear}-{place}-{number:02d}" for number in range(1, 6)],
                payload="apn=iot.example",
                device_port=PORT,
                max_failure_ratio=1,
                ledger_path=f"{OUT}/ledgers" if place == "folder" else None,
                on_clear=on_clear,
                poll_interval=0.5,
                deferrable=place == "store",
            )

with dag("sharded", **RETRIES):
    SuperSimRolloutOperator.partial(
        task_id="roll_out", fleet="lab", payload="{{ device.sim }}", device_port=PORT, poll_interval=0.5
    ).expand(shard=[(0, 2), (1, 2)])

with dag("deferred", **RETRIES):
    send = SuperSimIpCommandOperator(
        task_id="send",
        sim="deferred-1",
        payload=b"\x00\xff",
        device_port="{{ 4000 + 1 }}",
        poll_interval=0.5,
        supersim_conn_id="supersim_kore",
    )
    SuperSimIpCommandOperator(
        task_id="send_here", sim="deferred-1", payload="x", device_port=PORT, deferrable=False, poll_interval=0.5
    )
    SuperSimIpCommandSensor(task_id="seen", ip_command_sid=send.output["ip_command_sid"], poke_interval=0.5)
    SuperSimIpCommandOperator(
        task_id="refused", sim="deferred-1", payload="x", device_port=PORT, supersim_conn_id="supersim_wrong"
    )

with dag("terminated"):
    SuperSimIpCommandOperator(
        task_id="wait", sim="never-1", payload="x", device_port=PORT, deferrable=False, poll_interval=0.5
    )
    SuperSimRolloutOperator(
        task_id="roll_out",
        targets=[f"slow-{number:03d}" for number in range(1, 201)],
        payload="x",
        device_port=PORT,
        max_rate=3,
        deferrable=False,
    )

with dag("busy"):
    SuperSimIpCommandOperator(
        task_id="send", sim="busy-1", payload="x", device_port=PORT, deferrable=False, poll_interval=0.5
    )

with dag("blabbing"):

    @task
    def blab(conn_id: str) -> None:
        """Say in each way what nobody must know."""
        with closing(SuperSimHook(conn_id)) as hook:
            header = hook.run(lambda client: client._auth.header(client._transport.send))
            secret = hook.account.password
        logging.getLogger(__name__).info("blabbed: %s %s :blabbed", header, secret)
        print(f"blabbed: {header} {secret} :blabbed")  # noqa: T201
        raise ValueError(f"blabbed: {header} {secret} :blabbed")

    blab.override(task_id="twilio")("supersim_default")
    blab.override(task_id="kore")("supersim_kore")
