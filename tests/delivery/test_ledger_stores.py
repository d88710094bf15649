"""Where a ledger is kept, and how a clear by hand is told from a retry there."""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio.to_thread
import killed_writer
import pytest
from s3_server import BUCKET, CONNECTION
from support import entries

from airflow_provider_supersim.api.errors import BadInputError
from airflow_provider_supersim.delivery.once.before import Before
from airflow_provider_supersim.delivery.once.store import MemoryOnly
from airflow_provider_supersim.exceptions import NoLedgerError, StorageError
from airflow_provider_supersim.runs.stores import ObjectStorageStore, TaskStateStore, open_ledger, store_for

LOG = logging.getLogger(__name__)


def context(*, max_tries: int = 2, try_number: int = 1, map_index: int = -1, **fields: Any) -> dict[str, Any]:
    ti = SimpleNamespace(
        dag_id="nightly",
        run_id="manual__2026-01-01T00:00:00+00:00",
        task_id="group.roll_out",
        map_index=map_index,
        max_tries=max_tries,
        try_number=try_number,
        task=SimpleNamespace(retries=2),
    )
    return {"ti": ti, **fields}


@pytest.fixture(params=["path", "file://", "s3://"])
def ledger_path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3://":
        request.getfixturevalue("s3")
        return f"s3://{CONNECTION}@{BUCKET}/{tmp_path.name}"
    return {"path": str(tmp_path), "file://": f"file://{tmp_path}"}[request.param]


def test_what_is_set_is_got_in_another_process_place(ledger_path: str) -> None:
    assert ObjectStorageStore(ledger_path, context()).get("key") is None

    ObjectStorageStore(ledger_path, context()).set("key", {"one": [1, None, "ü"]})
    ObjectStorageStore(ledger_path, context()).set("other", 1)
    ObjectStorageStore(ledger_path, context()).set("key", {"two": 2})

    assert ObjectStorageStore(ledger_path, context()).get("key") == {"two": 2}
    assert ObjectStorageStore(ledger_path, context(map_index=3)).get("key") is None


def test_an_unfinished_file_is_no_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStorageStore(str(tmp_path), context())
    store.set("key", {"whole": True})
    monkeypatch.setattr(Path, "replace", lambda *_: None)  # the process dies before its file gets its name
    store.set("key", {"whole": False})
    store.set("new", {"whole": False})
    monkeypatch.undo()

    again = ObjectStorageStore(str(tmp_path), context())
    assert again.get("key") == {"whole": True}
    assert again.get("new") is None
    again.set("key", {"whole": "again"})
    assert store.get("key") == {"whole": "again"}


def test_two_values_that_are_written_at_once_are_not_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollout writes its record beside the ledger in one thread, and the ledger's chunks in others."""
    store, flush = ObjectStorageStore(str(tmp_path), context()), os.fsync

    def write_the_other_first(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", flush)
        store.set("rollout", {"the": "record"})
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", write_the_other_first)
    store.set("supersim_ledger_0_0", {"the": "chunk"})

    assert store.get("supersim_ledger_0_0") == {"the": "chunk"}
    assert store.get("rollout") == {"the": "record"}


def test_a_local_write_is_on_the_disk_before_it_has_its_name_and_the_name_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the first, a power cut leaves an empty file; without the second, the former value."""
    steps: list[str] = []
    flush, rename = os.fsync, Path.replace

    def noted_flush(descriptor: int) -> None:
        status = os.fstat(descriptor)
        steps.append("folder" if stat.S_ISDIR(status.st_mode) else f"file of {status.st_size} bytes")
        flush(descriptor)

    def noted_rename(path: Path, target: str) -> Path:
        steps.append("name")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted_flush)
    monkeypatch.setattr(Path, "replace", noted_rename)
    store = ObjectStorageStore(str(tmp_path), context())
    assert steps == 5 * ["folder"]  # they hold the names of ledger_path and of the four folders under it
    steps.clear()
    store.set("key", "value")

    assert steps == ["file of 7 bytes", "name", "folder"]


def test_a_file_system_that_cannot_flush_a_folder_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flush(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", flush)
    number = errno.EINVAL
    store = ObjectStorageStore(str(tmp_path), context())
    store.set("key", "value")
    assert store.get("key") == "value"

    number = errno.EIO
    with pytest.raises(StorageError, match="Input/output error"):
        store.set("key", "value")


def test_a_process_may_be_killed_while_it_writes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, killed_writer.__file__, str(tmp_path), "10"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 10


def test_a_path_that_cannot_be_used_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match=r"ledger_path .*file.* cannot be written"):
        ObjectStorageStore(str(tmp_path / "file"), context())
    with pytest.raises(BadInputError, match="cannot be used"):
        ObjectStorageStore("nosuchscheme://bucket/ledgers", context())


@pytest.mark.anyio
@pytest.mark.parametrize("on_clear", ["resume", "restart"])
async def test_a_clear_is_told_from_a_retry_by_max_tries(ledger_path: str, on_clear: str) -> None:
    """A clear sets ``max_tries`` to the number of the try plus the retries; a retry leaves it as it is."""

    async def known(max_tries: int) -> set[str]:
        now = context(max_tries=max_tries)
        store = await anyio.to_thread.run_sync(store_for, now, ledger_path, LOG)  # outside of the event loop
        ledger = await open_ledger(store, now, on_clear)
        found = set(entries(ledger))
        await ledger.write_ahead({f"device-{len(found)}": "content"}, Before(0))
        return found

    first, second, third = (await known(2), await known(2), await known(2))
    assert (first, second, third) == (set(), {"device-0"}, {"device-0", "device-1"})
    cleared = await known(4)
    assert cleared == (set() if on_clear == "restart" else {"device-0", "device-1", "device-2"})
    assert await known(4) > cleared


class Accessor:
    """Airflow's own, as far as it is used."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str) -> Any:
        return json.loads(self.values[key]) if key in self.values else None

    def set(self, key: str, value: Any) -> None:
        self.values[key] = json.dumps(value)


@pytest.mark.anyio
async def test_airflows_task_state_store_serves_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = context(task_state_store=Accessor())
    ledger = await open_ledger(store_for(now, None, LOG), now, "resume")
    await ledger.write_ahead({"device-0001": "content"}, Before(0))

    assert isinstance(store_for(now, None, LOG), TaskStateStore)
    assert entries(await open_ledger(store_for(now, None, LOG), now, "resume")).keys() == {"device-0001"}
    assert isinstance(store_for(now, str(tmp_path), LOG), ObjectStorageStore)
    assert not caplog.records


def test_without_either_the_log_says_what_that_means(caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(store_for(context(), None, LOG), MemoryOnly)

    assert caplog.messages[0].startswith("This task has no ledger: a retry sends nothing, and a clear sends again.")
    assert caplog.messages[0].endswith(" [no-ledger]")


@pytest.mark.parametrize(("try_number", "max_tries"), [(1, 2), (2, 3), (4, 5)], ids=["first", "cleared", "again"])
def test_without_either_the_first_try_and_the_first_after_a_clear_run(try_number: int, max_tries: int) -> None:
    now = context(try_number=try_number, max_tries=max_tries)
    assert isinstance(store_for(now, None, LOG), MemoryOnly)


@pytest.mark.parametrize(("try_number", "max_tries"), [(2, 2), (3, 2), (3, 3)], ids=["retry", "last", "after_a_clear"])
def test_without_either_a_retry_is_refused(try_number: int, max_tries: int) -> None:
    with pytest.raises(NoLedgerError) as refused:
        store_for(context(try_number=try_number, max_tries=max_tries), None, LOG)
    assert str(refused.value).splitlines()[0].endswith("[no-ledger]")


def test_a_store_names_its_place(tmp_path: Path) -> None:
    airflows = store_for(context(task_state_store=Accessor(), map_index=3), None, LOG)
    run = "manual__2026-01-01T00:00:00+00:00"

    assert airflows.place == f"Airflow's task state store of nightly.group.roll_out, run {run}, map index 3"
    assert store_for(context(), str(tmp_path), LOG).place.endswith(f"{tmp_path}/nightly/{run}/group.roll_out/-1")
