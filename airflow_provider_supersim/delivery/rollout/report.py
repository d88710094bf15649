"""What became of each device: a row for each, and the file of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from itertools import islice
from pathlib import PurePosixPath
from typing import IO

import msgspec

from airflow_provider_supersim.delivery.state.device import Device, Entry
from airflow_provider_supersim.delivery.state.states import State, word

SUFFIXES = (".csv", ".jsonl", ".parquet")
BATCH = 20_000  # rows in memory at a time

NOT_REACHED = "not sent to the device, mostly because it was not attached to a network (83401)"


class Row(msgspec.Struct, kw_only=True):
    """One device's line in the report.

    :ivar sim: as it was given; a Fleet's SIMs by their unique names, where they have one
    :ivar sid: of the IP Command, where the API gave one
    :ivar attempt: which attempt the row tells of, 0 where there was none
    :ivar status: the API's, or ``refused``, ``not_sent``, ``unknown``
    :ivar sent_at: when the API took the command, ISO 8601 in UTC
    :ivar settled_at: when its status became final
    :ivar error: why it was refused, failed or not sent
    """

    sim: str
    sim_sid: str | None = None
    sid: str | None = None
    attempt: int = 0
    status: str = word(None)
    sent_at: str | None = None
    settled_at: str | None = None
    error: str | None = None

    @classmethod
    def build(cls, device: Device, entry: Entry | None) -> Row:
        """Make the row of a device.

        :param entry: its latest, ``None`` where nothing was attempted
        """
        if entry is None:
            return cls(sim=device.name or device.sim, sim_sid=device.sim_sid)
        return cls(
            sim=device.name or device.sim,
            sim_sid=entry.sim_sid or device.sim_sid,
            sid=entry.sid,
            attempt=len(entry.earlier) + int(entry.status != State.NOT_SENT),
            status=word(entry.status),
            sent_at=_iso(entry.sent_at),
            settled_at=_iso(entry.settled_at),
            error=entry.error or (NOT_REACHED if entry.status == State.FAILED else None),
        )


def check_report_path(path: str) -> str:
    """Return the path's suffix, which says how the report is written.

    :raises ValueError: for another suffix than ``.csv``, ``.jsonl`` or ``.parquet``
    """
    suffix = PurePosixPath(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"report_path must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, got {path!r}")
    return suffix


def check_report_library(suffix: str) -> None:
    """Check, before anything is sent, that a report of this kind can be written here.

    :raises ValueError: a library is missing; says which extra brings it
    """
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        raise ValueError(
            "a report as .parquet needs pyarrow: install airflow-provider-supersim[parquet], or name a .csv or .jsonl"
        )


def write_report(rows: Iterable[Row], stream: IO[bytes], suffix: str) -> None:
    """Write one row for each device; the stream stays open.

    Data is written as it is: a spreadsheet may take a cell of a ``.csv`` that starts with ``=`` for a formula.

    :param rows: read once, some thousands at a time
    :param suffix: what :func:`check_report_path` returned
    :raises ValueError: for another suffix, or where ``.parquet`` lacks its library
    """
    writers = {".csv": _write_csv, ".jsonl": _write_jsonl, ".parquet": _write_parquet}
    if suffix not in writers:
        raise ValueError(f"a report is written as {', '.join(SUFFIXES)}, not as {suffix!r}")
    check_report_library(suffix)
    writers[suffix](_batches(rows), stream)


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    source = iter(rows)
    while batch := list(islice(source, BATCH)):
        yield batch


def _write_csv(batches: Iterator[list[Row]], stream: IO[bytes]) -> None:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    try:
        writer = csv.writer(text)
        writer.writerow(Row.__struct_fields__)
        for batch in batches:
            writer.writerows(msgspec.structs.astuple(row) for row in batch)
    finally:
        text.detach()  # which flushes, and leaves the stream open


def _write_jsonl(batches: Iterator[list[Row]], stream: IO[bytes]) -> None:
    encoder = msgspec.json.Encoder()
    for batch in batches:
        stream.write(encoder.encode_lines(batch))


def _write_parquet(batches: Iterator[list[Row]], stream: IO[bytes]) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    kinds = {"attempt": pa.int32(), "sent_at": pa.timestamp("us", "UTC"), "settled_at": pa.timestamp("us", "UTC")}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in Row.__struct_fields__])
    with ParquetWriter(stream, schema) as writer:
        for batch in batches:
            columns = {name: [getattr(row, name) for row in batch] for name in schema.names}
            for name in ("sent_at", "settled_at"):
                columns[name] = [datetime.fromisoformat(date) if date else None for date in columns[name]]
            writer.write_batch(pa.RecordBatch.from_pydict(columns, schema))


def _iso(seconds: int | None) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds is not None else None
