"""Results of a DAG's latest run, read from the tables of Airflow's database: importing Airflow takes seconds."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


class RunResults:
    """The latest run of one DAG.

    :param database: path of Airflow's SQLite database
    :ivar state: ``success`` or ``failed``; None where the DAG never ran
    """

    def __init__(self, database: Path, dag_id: str) -> None:
        self._database = database
        latest = self._select("SELECT run_id, state FROM dag_run WHERE dag_id = ? ORDER BY id DESC LIMIT 1", dag_id)
        self.state: str | None = latest[0][1] if latest else None
        self._run = (dag_id, latest[0][0] if latest else None)

    def returned(self, task_id: str) -> dict[int, Any]:
        """Return what each instance of a task returned, by map index; -1 is a task that is not mapped."""
        rows = self._select(
            "SELECT map_index, value FROM xcom"
            " WHERE dag_id = ? AND run_id = ? AND task_id = ? AND key = 'return_value'",
            *self._run,
            task_id,
        )
        return {map_index: json.loads(value) for map_index, value in rows}

    def states(self, task_id: str) -> dict[int, str]:
        """Return the state of each instance of a task, by map index."""
        return dict(
            self._select(
                "SELECT map_index, state FROM task_instance WHERE dag_id = ? AND run_id = ? AND task_id = ?",
                *self._run,
                task_id,
            )
        )

    def _select(self, statement: str, *values: str | None) -> list[Any]:
        with closing(sqlite3.connect(self._database)) as database:
            return database.execute(statement, values).fetchall()
