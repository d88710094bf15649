"""Reports: a row for each device, in each kind of file."""

from __future__ import annotations

import csv
import io
import json
import sys
from datetime import UTC, datetime

import pytest

from airflow_provider_supersim.delivery.rollout import report
from airflow_provider_supersim.delivery.rollout.report import (
    SUFFIXES,
    Cause,
    Row,
    check_report_library,
    check_report_path,
    write_report,
)

SENT = Row(
    sim="device-0001",
    sim_sid="HS1",
    sid="HG1",
    attempt=2,
    status="sent",
    sent_at="2026-03-29T01:00:00.5Z",
    settled_at="2026-03-29T01:00:07+00:00",
)
REFUSED = Row(sim='=A1,"x"\r\né', attempt=1, status="refused", error="POST /v1/IpCommands answered 400 (code 83600)")
WAITING = Row(sim="device-0003")
COLUMNS = ["sim", "sim_sid", "sid", "attempt", "status", "sent_at", "settled_at", "error"]


def written(rows, suffix: str) -> bytes:
    stream = io.BytesIO()
    write_report(rows, stream, suffix)
    assert not stream.closed
    return stream.getvalue()


def test_csv_has_a_header_and_leaves_data_as_it_is():
    data = written([SENT, REFUSED, WAITING], ".csv").decode()
    assert data.splitlines(keepends=True)[0] == ",".join(COLUMNS) + "\r\n"
    rows = list(csv.DictReader(io.StringIO(data, newline=""), strict=True))
    assert rows[0] == {
        "sim": "device-0001",
        "sim_sid": "HS1",
        "sid": "HG1",
        "attempt": "2",
        "status": "sent",
        "sent_at": "2026-03-29T01:00:00.5Z",
        "settled_at": "2026-03-29T01:00:07+00:00",
        "error": "",
    }
    assert rows[1]["sim"] == REFUSED.sim
    assert (rows[2]["status"], rows[2]["attempt"], rows[2]["sent_at"]) == ("not_sent", "0", "")


def test_jsonl_has_an_object_on_each_line():
    lines = written([SENT, REFUSED], ".jsonl").decode().splitlines()
    first, second = map(json.loads, lines)
    assert list(first) == COLUMNS
    assert (first["sim"], first["attempt"], first["sent_at"]) == ("device-0001", 2, "2026-03-29T01:00:00.5Z")
    assert (second["sim"], second["sid"], second["error"]) == (REFUSED.sim, None, REFUSED.error)


def test_parquet_has_types():
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(io.BytesIO(written([SENT, REFUSED, WAITING], ".parquet")))
    assert table.column_names == COLUMNS
    assert [str(table.schema.field(name).type) for name in ("sim", "attempt", "sent_at")] == [
        "string",
        "int32",
        "timestamp[us, tz=UTC]",
    ]
    first, second, third = table.to_pylist()
    assert first["sent_at"] == datetime(2026, 3, 29, 1, 0, 0, 500_000, UTC)
    assert first["settled_at"] == datetime(2026, 3, 29, 1, 0, 7, tzinfo=UTC)
    assert (second["sim"], second["error"], second["sid"]) == (REFUSED.sim, REFUSED.error, None)
    assert (third["attempt"], third["settled_at"]) == (0, None)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_are_taken_in_batches_and_all_of_them_written(suffix, monkeypatch):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(report, "BATCH", 10)
    alive = set()

    class Tracked(Row):
        def __post_init__(self):
            alive.add(self.sim)

        def __del__(self):
            alive.discard(self.sim)

    def rows():
        for n in range(95):
            assert len(alive) <= 21, "more than a batch being written and one being read"
            yield Tracked(sim=f"device-{n}")

    data = written(rows(), suffix)
    assert _sims(data, suffix) == [f"device-{n}" for n in range(95)]
    assert _sims(written([], suffix), suffix) == []


def _sims(data: bytes, suffix: str) -> list[str]:
    if suffix == ".parquet":
        from pyarrow.parquet import read_table

        return read_table(io.BytesIO(data)).column("sim").to_pylist()
    if suffix == ".jsonl":
        return [json.loads(line)["sim"] for line in data.splitlines()]
    return [row["sim"] for row in csv.DictReader(io.StringIO(data.decode(), newline=""))]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_error_of_the_rows_is_not_covered_up(suffix):
    def rows():
        yield SENT
        raise LookupError("the ledger is gone")

    stream = io.BytesIO()
    with pytest.raises(LookupError, match="the ledger is gone"):
        write_report(rows(), stream, suffix)
    assert not stream.closed


@pytest.mark.parametrize(
    ("path", "suffix"),
    [
        ("report.csv", ".csv"),
        ("s3://bucket/{{ ds }}/report.jsonl", ".jsonl"),
        ("file:///a.b/report.PARQUET", ".parquet"),
    ],
)
def test_the_path_says_how_a_report_is_written(path, suffix):
    assert check_report_path(path) == suffix


@pytest.mark.parametrize("path", ["", "report", "report.json", "report.csv.gz", "s3://bucket/a.csv/report", ".csv"])
def test_another_path_is_refused(path):
    with pytest.raises(ValueError, match=r"report_path must end in \.csv, \.jsonl or \.parquet, got"):
        check_report_path(path)
    with pytest.raises(ValueError, match=r"report_path must end in one of \.csv, \.jsonl, \.parquet, got 'xlsx'"):
        write_report([], io.BytesIO(), "xlsx")


def test_without_its_library_parquet_is_refused_before_anything_is_sent(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for use in (lambda: check_report_library(".parquet"), lambda: write_report([], io.BytesIO(), ".parquet")):
        with pytest.raises(ValueError, match=r"install airflow-provider-supersim\[parquet\]"):
            use()
    check_report_library(".csv")
    assert written([SENT], ".jsonl")


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        (
            Cause("failed", "most often no network (83401)", 7, ["ship-1", "ship-2"]),
            "failed, most often no network (83401), 7 devices: ship-1, ship-2 and 5 more",
        ),
        (Cause("queued", None, 1, ["ship-3"]), "queued, 1 device: ship-3"),
    ],
)
def test_a_cause_comes_before_its_devices(cause, sentence):
    assert cause.sentence() == sentence


def test_a_cause_is_short_among_others():
    assert Cause("failed", "most often no network (83401)", 1_234, []).short() == (
        "1,234 × failed, most often no network (83401)"
    )
