"""Give every device of a Fleet its configuration, at three in the morning where the devices are.

1. `rollout` sends to 5 devices, then to a tenth of the Fleet, then to all. Before each next wave it waits for the
   results of the last one. If more than `tolerated_percent` of its devices failed, it halts, and the other devices keep
   what they have. One failed device of the first 5 is enough for that. A device whose command failed gets a second
   attempt after `attempt_delay` seconds.
2. `summary` logs the result.

**If it failed**: the log of `rollout` names the devices that did not get their command, and its last line says what to
do. Super SIM stores nothing for later, so these devices keep their old configuration. Clear `rollout`: it continues
with every device that is not yet `sent`.

**Before Airflow 3.3**, set `ledger_folder` to a folder that all workers can reach. Without it, a clear sends to all
again. Airflow 2.11 also begins a first run at once when you switch the DAG on.
"""

import logging
from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import Param, dag, task
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator

log = logging.getLogger(__name__)

# Each device reports at a second of its own, so that they do not all call at once. The second comes from its ICCID.
CONFIGURATION = (
    '{"report_every":{{ params.report_every }},"report_at":{{ device.iccid[-4:] | int % params.report_every }}}'
)

# In Airflow 3, without a start_date and with run_immediately of length 0, the first run is the next one that is due. So
# nothing is sent when you switch the DAG on during the day. Airflow 2.11 has no run_immediately and needs a start_date.
FIRST_RUN = {"run_immediately": timedelta(0)} if AIRFLOW_V_3_0_PLUS else {}


@task
def summary(rollout: dict) -> None:
    """Log the result. Replace this with your own mail or chat."""
    log.info("%s of %s devices were sent their configuration.", rollout["sent"], rollout["devices"])
    for wave in rollout["waves"]:
        log.info("Wave %s: %s sent, %s failed", wave["wave"], wave["sent"], wave["failed"])


@dag(
    schedule=CronTriggerTimetable("0 3 * * *", timezone="Europe/Berlin", **FIRST_RUN),
    start_date=None if AIRFLOW_V_3_0_PLUS else datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "fleet": Param("field-devices", type="string", minLength=1, description="Unique name or sid (HF…)"),
        "report_every": Param(900, type="integer", minimum=1, description="Seconds between two reports of a device"),
        "device_port": Param(4000, type="integer", minimum=1, maximum=65535, description="UDP port of the devices"),
        "tolerated_percent": Param(
            10, type="number", minimum=0, maximum=100, description="Percent of a wave that may fail"
        ),
        "attempt_delay": Param(300, type="number", minimum=0, description="Seconds before a second attempt"),
        "report_folder": Param("", type="string", description="Folder for the report, such as s3://…; empty: none"),
        "ledger_folder": Param("", type="string", description="Folder for the ledger, needed before Airflow 3.3"),
    },
    tags=["super-sim", "example"],
    doc_md=__doc__,
)
def nightly_reconfiguration() -> None:
    """Roll out, then log the result."""
    rollout = SuperSimRolloutOperator(
        task_id="rollout",
        fleet="{{ params.fleet }}",
        payload=CONFIGURATION,
        device_port="{{ params.device_port }}",
        waves=[5, "10%", "100%"],
        max_failure_ratio="{{ params.tolerated_percent / 100 }}",
        attempts=2,
        attempt_delay="{{ params.attempt_delay }}",
        ledger_path="{{ params.ledger_folder }}",
        report_path="{{ params.report_folder and params.report_folder ~ '/' ~ run_id ~ '.csv' }}",
        deferrable=True,
        poll_interval=2,
        retries=2,
    )
    summary(rollout.output)


nightly_reconfiguration()
