"""Every way to send one IP Command."""

from __future__ import annotations

from pathlib import Path

from airflow.providers.common.compat.sdk import dag

from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator

FOLDER = Path(__file__).parent


@dag(schedule=None, template_searchpath=str(FOLDER), default_args={"retries": 2})
def one_command() -> None:
    """Send one command in every way."""
    # [START text]
    SuperSimIpCommandOperator(
        task_id="text",
        sim="device-0001",
        payload="report_every=900; run={{ run_id }}",
        device_port=4000,
        deferrable=True,
        retries=2,
    )
    # [END text]

    # [START json]
    SuperSimIpCommandOperator(
        task_id="json",
        sim="device-0002",
        payload={"report_every": 900, "apn": "iot.example"},
        device_port=4000,
        deferrable=True,
        retries=2,
    )
    # [END json]

    # [START file]
    SuperSimIpCommandOperator(
        task_id="file",
        sim="device-0003",
        payload="configuration.json",  # in the DAG's folder, or in template_searchpath
        device_port=4000,
        deferrable=True,
        retries=2,
    )
    # [END file]

    # [START binary]
    SuperSimIpCommandOperator(
        task_id="bytes",
        sim="device-0004",
        payload=b"\x01\x03\x84",
        device_port=4000,
        deferrable=True,
        retries=2,
    )
    SuperSimIpCommandOperator(
        task_id="base64",
        sim="device-0005",
        payload="AQOE",
        payload_type="binary",
        device_port=4000,
        deferrable=True,
        retries=2,
    )
    # [END binary]

    # [START no_wait]
    SuperSimIpCommandOperator(
        task_id="accepted",
        sim="device-0006",
        payload="reboot",
        device_port=4000,
        wait_for_completion=False,
    )
    # [END no_wait]

    # [START patience]
    SuperSimIpCommandOperator(
        task_id="patient",
        sim="device-0007",
        payload="reboot",
        device_port=4000,
        deferrable=True,
        retries=2,
        poll_interval=10,
        timeout=3600,
        on_clear="resume",
        supersim_conn_id="supersim_default",
    )
    # [END patience]


one_command()
