"""The DAG that runs on PostgreSQL and Celery. The SIMs are a simulator's."""

import os
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator

OUT = Path(os.environ["AIRFLOW_HOME"]) / "out"
SHARDS = 8

with DAG("sharded", schedule=None, is_paused_upon_creation=False):
    SuperSimRolloutOperator.partial(
        task_id="roll_out",
        fleet="field-devices",
        payload={"name": "{{ device.unique_name }}"},
        device_port=4000,
        max_rate=250,
        report_path=f"{OUT}/{{{{ ti.map_index }}}}.csv",
        deferrable=True,
        poll_interval=2,
        retries=9,
        retry_delay=timedelta(0),
    ).expand(shard=[(index, SHARDS) for index in range(SHARDS)])
