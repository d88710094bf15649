"""Tell the causes of a failure apart: when to try again. Needs Airflow 3.3, the first that has a retry policy."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule, dag

from airflow_provider_supersim.exceptions import LedgerUnreadableError, ThrottledError
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator

# [START retry_policy]
WHEN_TO_TRY_AGAIN = ExceptionRetryPolicy(
    rules=[
        RetryRule(ThrottledError, RetryAction.RETRY, timedelta(minutes=15), "something else uses the account"),
        RetryRule(LedgerUnreadableError, RetryAction.FAIL, reason="someone has to restore it"),
    ]
)
# [END retry_policy]


@dag(schedule=None)
def retry_policy() -> None:
    """Roll out, and try again as the cause demands."""
    SuperSimRolloutOperator(
        task_id="rollout",
        fleet="field-devices",
        payload="report_every=900",
        device_port=4000,
        deferrable=True,
        retries=2,
        retry_policy=WHEN_TO_TRY_AGAIN,
    )


retry_policy()
