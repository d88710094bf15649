"""Tell the causes of a failure apart: whom to call."""

from __future__ import annotations

import logging

from airflow.providers.common.compat.sdk import dag

from airflow_provider_supersim.exceptions import (
    BadArgumentError,
    CredentialsRefusedError,
    RolloutHaltedError,
    SuperSimTaskError,
    TargetsInvalidError,
)
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator

log = logging.getLogger(__name__)


# [START callback]
def call_the_right_people(context):
    error = context["exception"]
    match error:
        case RolloutHaltedError():
            team = "fleet owners"  # the devices fail, not the task
        case BadArgumentError() | TargetsInvalidError() | CredentialsRefusedError():
            team = "DAG authors"  # the DAG, its targets or its connection is wrong
        case _:
            team = "on-call engineers"
    code = error.code if isinstance(error, SuperSimTaskError) else "other"
    log.error("For the %s: %s, %s", team, code, error)  # your mail or chat
    # [END callback]


@dag(schedule=None)
def alerts() -> None:
    """Roll out, and call the right people if it fails."""
    SuperSimRolloutOperator(
        task_id="rollout",
        fleet="field-devices",
        payload="report_every=900",
        device_port=4000,
        deferrable=True,
        retries=2,
        on_failure_callback=call_the_right_people,
    )


alerts()
