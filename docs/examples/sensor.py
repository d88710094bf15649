"""Wait for IP Commands that another task submitted."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_supersim.hooks.supersim import SuperSimHook
from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator
from airflow_provider_supersim.sensors.ip_command import SuperSimIpCommandSensor


@dag(schedule=None, default_args={"retries": 2})
def sensor() -> None:
    """Send here, wait there."""
    # [START one]
    send = SuperSimIpCommandOperator(
        task_id="send",
        sim="device-0001",
        payload="reboot",
        device_port=4000,
        wait_for_completion=False,
    )
    wait = SuperSimIpCommandSensor(
        task_id="wait",
        ip_command_sid="{{ ti.xcom_pull('send', key='ip_command_sid') }}",
        deferrable=True,
        retries=2,
        poke_interval=5,
        timeout=600,
    )
    send >> wait
    # [END one]

    # [START many]
    @task
    def send_with_the_hook() -> list[str]:
        hook, sims = SuperSimHook(), ("device-0002", "device-0003")
        return [hook.send_ip_command(sim, "reboot", 4000).sid for sim in sims]

    SuperSimIpCommandSensor(
        task_id="wait_for_all",
        ip_command_sid=send_with_the_hook(),
        mode="reschedule",
        poke_interval=5,
        timeout=600,
    )
    # [END many]


sensor()
