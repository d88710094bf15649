"""Give every device of a Fleet its configuration, at three in the morning where the devices are.

1. `devices` lists the Fleet's SIMs that can be sent a command, each with its configuration.
2. `configure` sends each device its own: one mapped task instance for each, labelled with the device's name.
3. `summary` names the devices that were not reached. A few are normal, for they were off. More than
   `tolerated_percent` of the Fleet are not: then it fails, and the run with it.

**When it failed**: the message of `summary` names the devices, the log of each one's `configure` says why it was not
reached. Super SIM stores nothing for later, so these devices keep their old configuration. To send it to them again,
clear their `configure` instances with the option *Only Failed*: the others were sent theirs already.
"""

import logging
from datetime import timedelta
from typing import Any
from zlib import crc32

from airflow.sdk import CronTriggerTimetable, Param, dag, task
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_supersim.hooks.supersim import SuperSimHook
from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator

log = logging.getLogger(__name__)


@task
def devices(params: dict) -> list[dict]:
    """List the devices, each with the configuration that it is to have: yours may come out of a table instead."""
    period = params["report_every"]
    hook = SuperSimHook()
    found = [
        {
            "sim": sim.unique_name or sim.sid,
            # Each device reports at a second of its own, or all of them would call at once.
            "payload": {"report_every": period, "report_at": crc32(sim.sid.encode()) % period},
        }
        for sim in hook.iter_sims(fleet=params["fleet"])
        if sim.status in ("active", "ready")
    ]
    if not found:
        raise AirflowFailException(f"Fleet {params['fleet']!r} has no SIM that is active or ready.")
    return found


@task(trigger_rule="all_done")
def summary(wanted: list[dict] | None, params: dict, ti: Any) -> dict:
    """Say which devices were not reached, and fail where they are too many."""
    if not wanted:
        raise AirflowFailException("Nothing was sent: there is no list of devices. See the task 'devices'.")
    commands = ti.xcom_pull(task_ids="configure", map_indexes=range(len(wanted)))
    missed = [device["sim"] for device, command in zip(wanted, commands, strict=True) if command is None]
    words = f"{len(wanted) - len(missed)} of {len(wanted)} devices were sent their configuration."
    if missed:
        words += f" Not reached: {', '.join(missed)}."
    if len(missed) > len(wanted) * params["tolerated_percent"] / 100:
        raise AirflowFailException(words)
    log.info(words)
    return {"sent": len(wanted) - len(missed), "not_reached": missed}


@dag(
    # Without a start_date the first run is the next one that falls due: to unpause the DAG sends nothing.
    schedule=CronTriggerTimetable("0 3 * * *", timezone="Europe/Berlin"),
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    params={
        "fleet": Param("field-devices", type="string", minLength=1, description="Unique name or sid (HF…)"),
        "report_every": Param(900, type="integer", minimum=1, description="Seconds between two reports of a device"),
        "device_port": Param(4000, type="integer", minimum=1, maximum=65535, description="UDP port of the devices"),
        "tolerated_percent": Param(
            5, type="number", minimum=0, maximum=100, description="Devices that may be missed before the run fails"
        ),
    },
    tags=["super-sim", "example"],
    doc_md=__doc__,
)
def nightly_reconfiguration() -> None:
    """List the devices, send to each, sum up."""
    wanted = devices()
    configure = SuperSimIpCommandOperator.partial(
        task_id="configure",
        device_port="{{ params.device_port }}",
        deferrable=True,
        poll_interval=2,
        retries=1,  # after Airflow's own pause of five minutes: [core] default_task_retry_delay
        map_index_template="{{ task.sim }}",
    ).expand_kwargs(wanted)
    configure >> summary(wanted)


nightly_reconfiguration()
