"""The quick start's DAG."""

# [START dag]
from airflow.providers.common.compat.sdk import dag

from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator


@dag(schedule=None)
def first_command():
    SuperSimIpCommandOperator(
        task_id="send",
        sim="device-0001",
        payload={"report_every": 900},
        device_port=4000,
        deferrable=True,
        retries=2,
    )


first_command()
# [END dag]
