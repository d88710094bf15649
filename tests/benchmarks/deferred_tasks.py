"""Write deferred task instances into Airflow's database, as workers would; or count those that still wait.

Called by :mod:`tests.benchmarks.triggerer`, in Airflow's environment: ``count``; or ``defer`` with JSON on standard
input, a trigger for each task instance of the DAG *waiting* as ``[class path, arguments]``.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

from airflow.api.common.trigger_dag import trigger_dag
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType
from sqlalchemy import func, select


def defer(triggers: list[tuple[str, dict[str, object]]]) -> None:
    run = trigger_dag("waiting", triggered_by=DagRunTriggeredByType.TEST)
    deadline = datetime.now(UTC) + timedelta(hours=1)
    with create_session() as session:
        rows = [Trigger(classpath=path, kwargs={**kwargs, "deadline": deadline}) for path, kwargs in triggers]
        session.add_all(rows)
        session.flush()
        waiting = session.scalars(select(TaskInstance).where(TaskInstance.run_id == run.run_id)).all()
        if len(waiting) != len(rows):
            raise RuntimeError(f"the run has {len(waiting)} task instances, not {len(rows)}")
        for instance, row in zip(waiting, rows, strict=True):
            instance.state = TaskInstanceState.DEFERRED
            instance.trigger_id = row.id
            instance.next_method = "execute_complete"


def count() -> int:
    with create_session() as session:
        return int(session.scalar(select(func.count()).where(TaskInstance.state == TaskInstanceState.DEFERRED)))


if __name__ == "__main__":
    if sys.argv[1] == "defer":
        defer(json.load(sys.stdin))
    else:
        print(count())
