"""Send one IP Command to one SIM, and wait until Super SIM has sent it. The worker slot is free while it waits.

Trigger it with the SIM, the payload and the device's UDP port.

`sent` means that the datagram left Super SIM. Only a reply from the device proves that it arrived.
"""

from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator


@dag(
    schedule=None,
    params={
        "sim": Param("device-0001", type="string", minLength=1, description="Unique name or sid (HS…) of the SIM"),
        "payload": Param("report_every=900", type="string", minLength=1, description="Text, at most 1300 bytes"),
        "device_port": Param(4000, type="integer", minimum=1, maximum=65535, description="UDP port of the device"),
    },
    tags=["super-sim", "example"],
    doc_md=__doc__,
)
def send_one_command() -> None:
    """Send, and wait."""
    SuperSimIpCommandOperator(
        task_id="send",
        sim="{{ params.sim }}",
        payload="{{ params.payload }}",
        device_port="{{ params.device_port }}",
        deferrable=True,
        retries=2,
    )


send_one_command()
