"""Targets, report and ledger in a real S3 bucket: they work, and whatever the storage does is said in one sentence."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from s3_server import BUCKET, CONNECTION

from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator
from airflow_provider_supersim.runs import storage

DEVICES = [f"device-{number:04}" for number in range(1, 7)]
HERE = f"s3://{CONNECTION}@{BUCKET}"
TARGETS = "sim\n" + "\n".join(DEVICES)


@pytest.fixture
def roll_out(new_dag, play):
    """Return a function that plays a rollout and returns how its task ended."""

    def run(*, retries: int = 0, **arguments: Any) -> Any:
        given = {"targets": DEVICES, "payload": "x", "device_port": 4000, "poll_interval": 0.1}
        if "targets_path" in arguments:
            del given["targets"]
        with new_dag(default_args={"retries": retries}) as dag:
            SuperSimRolloutOperator(task_id="roll_out", **given | arguments)
        played = play(dag)
        return played.tasks["roll_out"], played

    return run


def sent(world: Any) -> list[int]:
    return [len(world.commands(sim)) for sim in DEVICES]


def refuse_the_report(s3: Any, request: str) -> None:
    """Refuse the report, but not the proof before."""
    s3.refused = "report" if request == f"PUT /{BUCKET}/report.csv" else None


def rows(report: str) -> list[Mapping[str, str]]:
    return list(csv.DictReader(io.StringIO(report)))


def test_targets_ledger_and_report_are_in_a_bucket(world, s3, roll_out):
    s3.put("targets.csv", TARGETS)
    ended, _ = roll_out(
        targets_path=f"{HERE}/targets.csv",
        ledger_path=f"{HERE}/ledgers",
        report_path=f"{HERE}/reports/{{{{ task.task_id }}}}.csv",
    )

    assert (ended.state, ended.tries) == ("success", 1)
    assert sent(world) == [1] * 6
    report = rows(s3.get("reports/roll_out.csv"))
    assert [(row["sim"], row["status"]) for row in report] == [(sim, "sent") for sim in DEVICES]
    assert any(key.endswith("/supersim_ledger.json") for key in s3.list_keys("ledgers/"))


def test_one_commands_ledger_is_in_a_bucket(world, s3, new_dag, play, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_OF_ONE_COMMAND", s3.connection_json())  # a file system that is not made yet
    with new_dag() as dag:
        SuperSimIpCommandOperator(
            task_id="send",
            sim=DEVICES[0],
            payload="x",
            device_port=4000,
            ledger_path=f"s3://of_one_command@{BUCKET}/ledgers",
        )
    played = play(dag)

    assert played.tasks["send"].state == "success"
    assert sent(world)[0] == 1
    assert any(key.endswith("/supersim_ledger.json") for key in s3.list_keys("ledgers/"))


def test_a_bucket_that_goes_away_in_mid_rollout_and_comes_back_costs_a_retry_and_no_command(
    world, s3, roll_out, monkeypatch
):
    """The server stops when the second chunk is begun: the first one has left by then, and its outcomes are lost."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # of botocore's; five take a minute
    came_back = threading.Event()

    def stop_at_the_second_write(request: str) -> None:
        if request.startswith("PUT") and request.endswith("_0_0.json") and world.commands(DEVICES[0]):
            threading.Thread(target=s3.stop).start()
            raise ConnectionAbortedError

    def restart(context: Any) -> None:
        s3.restart()
        came_back.set()

    s3.on_request = stop_at_the_second_write
    ended, played = roll_out(
        retries=1, ledger_path=f"{HERE}/ledgers", report_path=f"{HERE}/report.csv", on_retry_callback=restart
    )

    assert came_back.is_set()
    assert (ended.state, ended.tries) == ("success", 2)
    assert sent(world) == [1] * 6
    assert [row["status"] for row in rows(s3.get("report.csv"))] == ["sent"] * 6
    assert played.lines("ledger_path", f"{HERE}/ledgers", "cannot be", "[storage]")


@pytest.mark.parametrize(
    ("argument", "path"),
    [("targets_path", "targets.csv"), ("ledger_path", "ledgers"), ("report_path", "reports/today.csv")],
)
def test_a_storage_that_refuses_is_named_with_the_argument_before_anything_is_sent(world, s3, roll_out, argument, path):
    s3.put("targets.csv", TARGETS)
    s3.refused = f"/{path.partition('/')[0]}"
    ended, _ = roll_out(**{argument: f"{HERE}/{path}"})

    assert ended.state == "failed"
    (error,) = ended.errors
    assert error.startswith(f"{argument} {HERE}/{path} cannot be ")
    assert error.splitlines()[0].endswith("[storage]")
    assert f"connection {CONNECTION}" in error
    assert sent(world) == [0] * 6


@pytest.mark.parametrize("argument", ["ledger_path", "report_path"])
def test_a_bucket_that_does_not_exist_is_not_made(world, s3, roll_out, argument):
    ended, _ = roll_out(**{argument: f"s3://{CONNECTION}@flete/folder/file.csv"})

    assert ended.state == "failed"
    assert ended.errors[0].startswith(f"{argument} s3://{CONNECTION}@flete/folder/file.csv cannot be written (")
    assert ended.errors[0].splitlines()[0].endswith("[storage]")
    assert s3.buckets() == {BUCKET}
    assert sent(world) == [0] * 6


def test_a_targets_file_that_is_not_there_is_an_argument_of_the_author(world, s3, roll_out):
    ended, _ = roll_out(targets_path=f"{HERE}/nosuch.csv", retries=1)

    assert (ended.state, ended.tries) == ("failed", 1)
    assert f"targets_path '{HERE}/nosuch.csv' does not exist" in ended.errors[0]


@pytest.mark.parametrize("argument", ["targets_path", "ledger_path", "report_path"])
def test_a_path_without_a_connection_says_how_to_name_one(world, s3, roll_out, monkeypatch, argument):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    s3.refused = "."
    ended, _ = roll_out(**{argument: f"s3://{BUCKET}/without/connection.csv"})

    assert ended.state == "failed"
    assert ended.errors[0].startswith(f"{argument} s3://{BUCKET}/without/connection.csv cannot be ")
    assert f"s3://CONN_ID@{BUCKET}/" in ended.errors[0]
    assert sent(world) == [0] * 6


def test_a_connection_that_is_not_defined_is_named(world, s3, roll_out, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    s3.refused = "."
    ended, _ = roll_out(ledger_path=f"s3://no_such_connection@{BUCKET}/ledgers")

    assert ended.errors[0].startswith("ledger_path s3://no_such_connection@fleet/ledgers cannot be ")
    assert "connection no_such_connection is not defined" in ended.errors[0]


@pytest.mark.parametrize("argument", ["targets_path", "ledger_path", "report_path"])
def test_without_s3fs_argument_and_package_are_named(world, s3, roll_out, monkeypatch, argument):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.setenv("AIRFLOW_CONN_WITHOUT_S3FS", s3.connection_json())  # a file system that is not made yet
    ended, _ = roll_out(**{argument: f"s3://without_s3fs@{BUCKET}/file.csv"}, retries=1)

    assert (ended.state, ended.tries) == ("failed", 1)
    assert f"{argument} 's3://without_s3fs@{BUCKET}/file.csv' cannot be used" in ended.errors[0]
    assert "install apache-airflow-providers-amazon[s3fs]" in ended.errors[0]
    assert ended.errors[0].splitlines()[0].endswith("[bad-argument]")
    assert sent(world) == [0] * 6


@pytest.mark.parametrize(
    ("argument", "path"),
    [("targets_path", "targets.csv"), ("ledger_path", "ledgers"), ("report_path", "report.csv")],
)
def test_a_slow_storage_is_said_to_be_slow_while_it_is(world, s3, roll_out, monkeypatch, argument, path):
    """The server answers only after the log has said that it does not."""
    said, first = threading.Event(), threading.Lock()
    warn = storage.log.warning

    def note(message: str, *arguments: object) -> None:
        warn(message, *arguments)
        if "[storage-slow]" in message:
            said.set()

    monkeypatch.setattr(storage, "SLOW", 0.05)
    monkeypatch.setattr(storage.log, "warning", note)
    s3.put("targets.csv", TARGETS)
    s3.on_request = lambda request: said.wait(60) if path in request and first.acquire(blocking=False) else None
    ended, played = roll_out(**{argument: f"{HERE}/{path}"})

    assert said.is_set()
    assert ended.state == "success"
    assert played.lines(f"{argument} {HERE}/{path}", "[storage-slow]")
    assert sent(world) == [1] * 6


@pytest.mark.parametrize(
    ("argument", "path"), [("targets_path", "targets.csv"), ("ledger_path", "ledgers"), ("report_path", "report.csv")]
)
def test_a_storage_that_never_answers_ends_the_task(world, s3, roll_out, monkeypatch, argument, path):
    over = threading.Event()
    monkeypatch.setattr(storage, "SLOW", 0.05)
    monkeypatch.setattr(storage, "GIVE_UP", 0.2)
    s3.put("targets.csv", TARGETS)
    s3.on_request = lambda request: over.wait(60) if path in request else None
    ended, _ = roll_out(**{argument: f"{HERE}/{path}"})
    over.set()

    assert ended.state == "failed"
    assert re.match(rf"{argument} {re.escape(HERE)}/{path} cannot be (read|written) \(no answer for ", ended.errors[0])
    assert ended.errors[0].splitlines()[0].endswith("[storage]")
    assert sent(world) == [0] * 6


def test_a_report_that_cannot_be_written_at_the_end_says_that_all_was_sent_and_where_the_rows_are(world, s3, roll_out):
    s3.on_request = lambda request: refuse_the_report(s3, request)
    ended, _ = roll_out(report_path=f"{HERE}/report.csv", ledger_path=f"{HERE}/ledgers")

    assert ended.state == "failed"
    (error,) = ended.errors
    assert error.startswith(f"Rollout complete, but report_path {HERE}/report.csv cannot be written (")
    assert error.splitlines()[0].endswith("[report-not-written]")
    kept = next(word for word in error.split() if word.endswith("/report.csv") and word.startswith("/"))
    with open(kept) as file:  # noqa: PTH123  # the path is the message's
        assert [row["status"] for row in rows(file.read())] == ["sent"] * 6
    assert "sends nothing" in error
    assert sent(world) == [1] * 6


def test_the_next_try_writes_the_report_and_sends_nothing(world, s3, roll_out):
    def refuse_once(request: str) -> None:
        s3.refused = "report" if s3.requests.count(request) == 1 and request == f"PUT /{BUCKET}/report.csv" else None

    s3.on_request = refuse_once
    ended, _ = roll_out(report_path=f"{HERE}/report.csv", ledger_path=f"{HERE}/ledgers", retries=1)

    assert (ended.state, ended.tries) == ("success", 2)
    assert [row["status"] for row in rows(s3.get("report.csv"))] == ["sent"] * 6
    assert sent(world) == [1] * 6


def test_without_a_ledger_nothing_is_tried_again_for_the_sake_of_a_report(world, s3, roll_out, monkeypatch):
    from airflow_provider_supersim.delivery.once.store import MemoryOnly
    from airflow_provider_supersim.runs import rollout

    monkeypatch.setattr(rollout, "store_for", lambda *_: MemoryOnly())  # as on Airflow before 3.3
    s3.on_request = lambda request: refuse_the_report(s3, request)
    ended, _ = roll_out(report_path=f"{HERE}/report.csv", retries=1)

    assert (ended.state, ended.tries) == ("failed", 1)
    assert ended.errors[0].splitlines()[0].endswith("[report-not-written]")
    assert sent(world) == [1] * 6


def test_a_halted_rollout_whose_report_cannot_be_written_is_halted_and_says_both(world, s3, roll_out):
    for sim in DEVICES:
        world.set_behaviour(sim, network="offline")
    s3.on_request = lambda request: refuse_the_report(s3, request)
    ended, _ = roll_out(report_path=f"{HERE}/report.csv", ledger_path=f"{HERE}/ledgers", min_sample=1)

    assert ended.errors[0].startswith("Rollout halted")
    assert f"report_path {HERE}/report.csv cannot be written" in ended.errors[0]


def test_the_proof_that_a_report_can_be_written_leaves_the_last_report_and_nothing_else(world, s3, roll_out):
    s3.put("report.csv", "of yesterday")
    s3.put("targets.csv", "sim,payload\ndevice-0001,\ndevice-0001,")
    roll_out(targets_path=f"{HERE}/targets.csv", report_path=f"{HERE}/report.csv")

    assert s3.get("report.csv") == "of yesterday"
    assert s3.list_keys() == ["report.csv", "targets.csv"]


def test_a_report_may_be_written_where_nothing_may_be_deleted(world, s3, roll_out):
    s3.refused = "^DELETE"
    ended, _ = roll_out(report_path=f"{HERE}/report.csv")

    assert ended.state == "success"
    assert "report.csv" in s3.list_keys()


def test_a_second_worker_takes_the_ledger_over(world, s3, tmp_path):
    """Two processes, each with its own connection to the bucket, as two workers have."""
    first = Worker(s3)
    assert first.do("open") == "0 entries"
    assert first.do("write device-0001") == "written"
    second = Worker(s3)
    assert second.do("open") == "1 entries"

    assert first.do("write device-0002") == "LedgerTakenError"
    assert second.do("write device-0003") == "written"
    assert second.do("open") == "2 entries"
    first.end()
    second.end()


class Worker:
    """A process that opens a ledger in the bucket and writes to it as it is told."""

    PROGRAM = """
import asyncio, sys
from types import SimpleNamespace
from airflow_provider_supersim.delivery.once.before import Before
from airflow_provider_supersim.delivery.once.held_journal import LedgerTakenError
from airflow_provider_supersim.runs.stores import ObjectStorageStore, open_ledger
ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, max_tries=0)
store = ObjectStorageStore(sys.argv[1], {"ti": ti})
for line in sys.stdin:
    what, _, sim = line.strip().partition(" ")
    if what == "open":
        ledger = asyncio.run(open_ledger(store, {"ti": ti}, "resume"))
        print("answer:", sum(ledger.statuses.values()), "entries", flush=True)
        continue
    try:
        asyncio.run(ledger.write_ahead({sim: "content"}, Before(0)))
        print("answer: written", flush=True)
    except LedgerTakenError as error:
        print("answer:", type(error).__name__, flush=True)
"""

    def __init__(self, s3: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", self.PROGRAM, f"{HERE}/ledgers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        for said in self._process.stdout:
            if said.startswith("answer: "):
                return said.removeprefix("answer: ").strip()
        raise AssertionError("the worker has ended")

    def end(self) -> None:
        self._process.communicate()
