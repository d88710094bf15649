"""Rollouts: devices, payloads, waves, windows, shards, pace."""

from __future__ import annotations

import os
from pathlib import Path

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator

FOLDER = str(Path(__file__).parent)
REPORTS = os.environ["AIRFLOW_HOME"] + "/reports"  # s3://… in real life


@dag(schedule=None, default_args={"retries": 2})
def rollouts() -> None:
    """Roll out in every way."""
    # [START fleet]
    SuperSimRolloutOperator(
        task_id="fleet",
        fleet="field-devices",
        payload={"report_every": 900, "name": "{{ device.unique_name }}"},
        device_port=4000,
        deferrable=True,
        retries=2,
    )
    # [END fleet]

    # [START targets]
    SuperSimRolloutOperator(
        task_id="some_sims",
        targets=[
            "device-0001",
            {"sim": "device-0002", "payload": "report_every=60"},
            {"sim": "device-0003", "device_port": 4001, "zone": "north"},
        ],
        payload="report_every=900; zone={{ device.zone | default('south') }}",
        device_port=4000,
        deferrable=True,
        retries=2,
    )
    # [END targets]

    # [START file]
    SuperSimRolloutOperator(
        task_id="from_a_file",
        targets_path=FOLDER + "/targets.csv",  # or s3://…, gs://…
        payload="report_every={{ device.seconds }}",
        device_port=4000,
        deferrable=True,
        retries=2,
    )
    # [END file]

    # [START waves]
    SuperSimRolloutOperator(
        task_id="in_waves",
        fleet="field-devices",
        payload="firmware=1.8.2",
        device_port=4000,
        waves=[5, "10%", "100%"],
        max_failure_ratio=0.05,
        attempts=2,
        attempt_delay=300,
        wave_timeout=900,
        report_path=REPORTS + "/{{ run_id }}.csv",
        deferrable=True,
        retries=2,
    )
    # [END waves]

    # [START pace]
    SuperSimRolloutOperator(
        task_id="gently",
        fleet="field-devices",
        payload="report_every=900",
        device_port=4000,
        max_concurrency=20,
        max_rate=50,
        ledger_path=REPORTS + "/ledgers",
        on_clear="resume",
        poll_interval=10,
        deferrable=True,
        retries=2,
    )
    # [END pace]


@dag(schedule=None, default_args={"retries": 2})
def night_window() -> None:
    """Send only at night."""
    # [START window]
    SuperSimRolloutOperator(
        task_id="where_the_dag_lives",
        fleet="field-devices",
        payload="report_every=900",
        device_port=4000,
        window={"start": "01:00", "end": "05:00", "timezone": "Europe/Berlin"},
        deferrable=True,
        retries=2,
    )
    SuperSimRolloutOperator(
        task_id="where_each_device_is",
        targets=[
            {"sim": "device-0001", "timezone": "Europe/Lisbon"},
            {"sim": "device-0002", "timezone": "Asia/Tokyo"},
        ],
        payload="report_every=900",
        device_port=4000,
        window={"start": "22:00", "end": "11:00"},
        deferrable=True,
        retries=2,
    )
    # [END window]


@dag(schedule=None, default_args={"retries": 2})
def shards() -> None:
    """Send to a quarter of the Fleet in each of four tasks."""
    # [START shards]
    SuperSimRolloutOperator.partial(
        task_id="rollout",
        fleet="field-devices",
        payload="report_every=900",
        device_port=4000,
        report_path=REPORTS + "/{{ run_id }}-{{ ti.map_index }}.csv",
        deferrable=True,
        retries=2,
    ).expand(shard=[(number, 4) for number in range(4)])
    # [END shards]


@dag(schedule=None, default_args={"retries": 2})
def made_by_a_task() -> None:
    """Take targets and payloads from another task."""

    # [START xcom]
    @task
    def low_on_battery() -> list[dict]:
        return [
            {"sim": "device-0004", "payload": {"report_every": 3600}},
            {"sim": "device-0005"},
        ]

    SuperSimRolloutOperator(
        task_id="rollout",
        targets=low_on_battery(),
        payload={"report_every": 7200},
        device_port=4000,
        deferrable=True,
        retries=2,
    )
    # [END xcom]


rollouts()
night_window()
shards()
made_by_a_task()
