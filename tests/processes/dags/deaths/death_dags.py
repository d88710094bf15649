"""DAGs during which schedulers and triggerers die, and people change their minds. The SIMs are a simulator's."""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator

PORT = 4000


def dag(name: str, **defaults: Any) -> DAG:
    # On a busy machine the scheduler may fail a task that does well: it misses a heartbeat, or takes the late end of
    # the worker that has deferred for the end of the one that goes on. The next try sends nothing twice.
    defaults |= {"retries": 9, "retry_delay": timedelta(0), "device_port": PORT}
    return DAG(name, schedule=None, is_paused_upon_creation=False, default_args=defaults)


with dag("waiting", supersim_conn_id="supersim_stopped", deferrable=True, poll_interval=0.5):
    SuperSimRolloutOperator(task_id="roll_out", fleet="waiting", payload="apn=iot.example")
    SuperSimIpCommandOperator.partial(task_id="send", payload="x").expand(sim=["single-1", "single-2"])

with dag("pooled", supersim_conn_id="supersim_stopped", deferrable=True, poll_interval=0.5, pool="one_slot"):
    for number in (1, 2, 3):
        SuperSimRolloutOperator(task_id=f"roll_out_{number}", fleet=f"pooled-{number}", payload="x")

with dag("marked", supersim_conn_id="supersim_marked", poll_interval=0.2):
    SuperSimRolloutOperator(task_id="wait", fleet="waiting", payload="x", deferrable=True)
    SuperSimRolloutOperator(task_id="send", fleet="sending", payload="x", deferrable=False, max_rate=5)

with dag("orphaned"):
    SuperSimRolloutOperator(
        task_id="roll_out", fleet="field-devices", payload="x", deferrable=False, poll_interval=0.5, max_rate=30
    )
