"""Where a task's ledger is kept: in Airflow's task state store, in object storage, or, at worst, in memory."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.once.store import NoStore, Store
from airflow_provider_supersim.delivery.state.working_set import WorkingSet

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


async def open_ledger(store: Store, context: Context, on_clear: str, table: WorkingSet | None = None) -> Ledger:
    """Read the ledger of this task instance.

    :param on_clear: ``restart`` or ``resume``, after a clear by hand
    :param table: as in :meth:`Ledger.open`
    """
    # max_tries stays as it is from one retry to the next, and grows with each clear: it tells the two apart.
    return await Ledger.open(store, table, clears=context["ti"].max_tries, restart=on_clear == "restart")


def store_for(context: Context, ledger_path: str | None, log: Any) -> Store:
    """Choose where the ledger is kept: ``ledger_path`` where it is given, else Airflow's task state store (3.3+).

    :raises ValueError: ``ledger_path`` cannot be used
    """
    if ledger_path:
        return ObjectStorageStore(ledger_path, context)
    if (state_store := context.get("task_state_store")) is not None:
        return TaskStateStore(state_store)
    log.warning(
        "This Airflow has no task state store (3.3+) and the task no ledger_path: what was sent is remembered while "
        "this process lives. Should it die, a retry may send a command twice. Set ledger_path to object storage."
    )
    return NoStore()


class TaskStateStore:
    """Airflow's task state store (3.3+), which survives retries, deferral and a clear by hand."""

    def __init__(self, accessor: Any) -> None:
        self._accessor = accessor
        # dag.test() answers in this process, and takes away what a second thread needs while it does.
        self._one_at_a_time = Lock()

    def get(self, key: str) -> Any | None:
        """Return the value, or ``None`` where there is none."""
        with self._one_at_a_time:
            return self._accessor.get(key)

    def set(self, key: str, value: Any) -> None:
        """Write or overwrite the value."""
        with self._one_at_a_time:
            self._accessor.set(key, value)


class ObjectStorageStore:
    """A folder in object storage for each task instance: ``ledger_path/dag_id/run_id/task_id/map_index``.

    :param ledger_path: URL or path that all workers can read and write, e.g. ``s3://bucket/ledgers``
    """

    def __init__(self, ledger_path: str, context: Context) -> None:
        ti = context["ti"]
        try:
            base = ObjectStoragePath(ledger_path)
            self._folder = base / ti.dag_id / ti.run_id / ti.task_id / str(ti.map_index)
            self._folder.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError, ImportError) as error:
            raise ValueError(f"ledger_path {ledger_path!r} cannot be used: {error}") from error

    def get(self, key: str) -> Any | None:
        """Return the value, or ``None`` where there is none."""
        try:
            return json.loads((self._folder / f"{key}.json").read_text())
        except FileNotFoundError:
            return None

    def set(self, key: str, value: Any) -> None:
        """Write or overwrite the value, whole or not at all."""
        path = self._folder / f"{key}.json"
        text = json.dumps(value)
        if path.protocol not in ("", "file", "local"):
            path.write_text(text)  # an object appears whole
            return
        half = self._folder / f"{key}.half"
        half.write_text(text)
        Path(half.path).replace(path.path)
