"""Where a task's ledger is kept: in Airflow's task state store, in a folder or object storage, or only in memory."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow_provider_supersim.delivery.once.journal_format import JournalError
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.once.store import MemoryOnly, Store
from airflow_provider_supersim.delivery.state.working_set import WorkingSet
from airflow_provider_supersim.exceptions import NoLedgerError
from airflow_provider_supersim.hooks.masking import ONE_AT_A_TIME
from airflow_provider_supersim.runs.storage import Storage

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


async def open_ledger(store: Store, context: Context, on_clear: str, working_set: WorkingSet | None = None) -> Ledger:
    """Read the ledger of this task instance.

    :param on_clear: after a manual clear, ``restart`` to start over or ``resume`` to continue
    :param working_set: as in :meth:`Ledger.open`
    :raises JournalError: it cannot be read; nothing was sent
    """
    # max_tries stays the same from one retry to the next and grows with each clear, so it tells the two apart.
    return await Ledger.open(store, working_set, clears=context["ti"].max_tries, restart=on_clear == "restart")


def store_for(context: Context, ledger_path: str | None, log: Any) -> Store:
    """Choose where the ledger is kept: ``ledger_path`` if it is given, otherwise Airflow's task state store (3.3+).

    Without both, a warning says that a retry sends nothing, and a clear sends again.

    Call it outside of an event loop.

    :raises NoLedgerError: without both, in a retry
    :raises BadInputError: no storage is known for ``ledger_path``, or a package is missing
    :raises StorageError: the storage cannot be used
    """
    if ledger_path:
        return ObjectStorageStore(ledger_path, context)
    if (state_store := context.get("task_state_store")) is not None:
        return TaskStateStore(state_store, context)
    if _is_retry(context["ti"]):
        raise NoLedgerError(
            "Nothing was sent by this retry: without a ledger it cannot know what the last try sent.\n"
            "Look up what was sent before you clear this task, because a clear sends to all again.\n"
            "Set ledger_path to object storage, or use Airflow 3.3, which has a task state store."
        )
    log.warning(
        "This task has no ledger: a retry sends nothing, and a clear sends again. Set ledger_path to object storage, "
        "or use Airflow 3.3, which has a task state store. [no-ledger]"
    )
    return MemoryOnly()


def has_ledger(context: Context, ledger_path: str | None) -> bool:
    """Tell whether :func:`store_for` finds a place for the ledger."""
    return bool(ledger_path) or context.get("task_state_store") is not None


def _is_retry(ti: Any) -> bool:
    """Whether this try is neither the first one nor the first after a clear, which moves ``max_tries`` on."""
    return bool(ti.try_number > ti.max_tries - ti.task.retries + 1)


class TaskStateStore:
    """Airflow's task state store (3.3+), which survives retries, deferral and a manual clear.

    :param accessor: the context's ``task_state_store``
    """

    def __init__(self, accessor: Any, context: Context) -> None:
        self._accessor = accessor
        ti = context["ti"]
        mapped = "" if ti.map_index in (None, -1) else f", map index {ti.map_index}"
        self.place = f"Airflow's task state store of {ti.dag_id}.{ti.task_id}, run {ti.run_id}{mapped}"

    def get(self, key: str) -> Any | None:
        """Return the value, or ``None`` if there is none."""
        with ONE_AT_A_TIME:
            try:
                return self._accessor.get(key)
            except ValueError as error:
                raise JournalError(self.place, key, f"{key} cannot be decoded ({error})") from error

    def set(self, key: str, value: Any) -> None:
        """Write or overwrite the value."""
        with ONE_AT_A_TIME:
            self._accessor.set(key, value)


#: Folders that hold the name of a folder that may have been made just now: ledger_path's own, and one for each below.
_FOLDERS = 5


class ObjectStorageStore:
    """A folder for each task instance: ``ledger_path/dag_id/run_id/task_id/map_index``.

    Make it outside of an event loop, as :class:`Storage`.

    A value on a local path survives a power cut once it is written: the file and its folder are flushed to the disk.
    That makes a write of 50 KB take 11 ms instead of 1 ms (median, ext4 on a virtual disk).

    :param ledger_path: URL or path that all workers can read and write, e.g. ``s3://aws_default@bucket/ledgers``
    :raises BadInputError: no storage is known for the path, or a package is missing
    :raises StorageError: the storage cannot be used
    """

    def __init__(self, ledger_path: str, context: Context) -> None:
        ti = context["ti"]
        self._storage = storage = Storage("ledger_path", ledger_path)
        names = [ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index)]
        self._folder = "/".join([storage.path.rstrip("/"), *names])
        self.place = "/".join([ledger_path.rstrip("/"), *names])
        storage.make_folder(self._folder)
        self._process = uuid4().hex
        if storage.is_local:
            for folder in list(Path(self._folder).parents)[:_FOLDERS]:
                _flush_folder(folder)

    def get(self, key: str) -> Any | None:
        """Return the value, or ``None`` if there is none.

        :raises StorageError: the storage does not give it
        """
        try:
            content = self._storage.call("read", self._storage.fs.cat_file, self._path(key), expected=FileNotFoundError)
        except FileNotFoundError:
            return None
        try:
            return json.loads(content)
        except ValueError as error:
            what = f"not JSON ({error})" if content else "an empty file"
            raise JournalError(self.place, key, f"{key} is {what}") from error

    def set(self, key: str, value: Any) -> None:
        """Write or overwrite the value, whole or not at all.

        :raises StorageError: the storage does not take it
        """
        # An object appears whole by itself.
        write = self._write_local if self._storage.is_local else self._storage.fs.pipe_file
        self._storage.call("written", write, self._path(key), json.dumps(value).encode())

    def _path(self, key: str) -> str:
        return f"{self._folder}/{key}.json"

    def _write_local(self, path: str, content: bytes) -> None:
        # A name for each process and value: two writers of one file would leave a mixture, or exchange their values.
        unfinished = Path(f"{path}.{self._process}.unfinished")
        with unfinished.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
        _flush_folder(unfinished.parent)


def _flush_folder(folder: Path) -> None:
    """Make sure that the names in a folder survive a power cut.

    Some file systems cannot do that for a folder, and PostgreSQL ignores it there in the same way:
    https://github.com/postgres/postgres/blob/master/src/common/file_utils.c
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return  # a folder above that we may only pass through, and so did not make
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EINVAL):
            raise
    finally:
        os.close(descriptor)
