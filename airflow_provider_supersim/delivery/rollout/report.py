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

from airflow_provider_supersim.api.errors import BadInputError
from airflow_provider_supersim.delivery.state.device import Device, Entry
from airflow_provider_supersim.delivery.state.states import State, word
from airflow_provider_supersim.words import count

SUFFIXES = (".csv", ".jsonl", ".parquet")
BATCH = 20_000  # rows in memory at a time
#: The API gives no reason for status ``failed``.
FAILED = "most often no network (83401)"


class Row(msgspec.Struct, kw_only=True):
    """One device's line in the report.

    :ivar sim: as it was given; a Fleet's SIMs by their unique names, if they have one
    :ivar sid: of the IP Command, if the API gave one
    :ivar attempt: number of the attempt that the row is about; 0 if there was none
    :ivar status: the API's, or ``refused``, ``not_sent``, ``unknown``, ``unconfirmed``
    :ivar sent_at: when the API took the command, ISO 8601 in UTC
    :ivar settled_at: when its status became final
    :ivar error: why it was refused, failed, not sent or unknown
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

        :param entry: its latest; ``None`` if nothing was attempted
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
            error=error_of(entry.status, entry.error),
        )


def error_of(state: str | None, error: str | None) -> str | None:
    """Return why a device has no command that succeeded.

    :param state: of its entry
    :param error: of its entry
    """
    return error or (FAILED if state == State.FAILED else None)


class Cause(msgspec.Struct, frozen=True):
    """Why the commands to some devices have not succeeded.

    :ivar word: their status in the report
    :ivar error: why, if there is more to say
    :ivar devices: how many there are
    :ivar labels: what people call the first of them
    """

    word: str
    error: str | None
    devices: int
    labels: list[str]

    def sentence(self) -> str:
        """Say it in one line of a log, the cause first."""
        more = f" and {self.devices - len(self.labels):,} more" if self.devices > len(self.labels) else ""
        return f"{self._why()}, {count(self.devices, 'device')}: {', '.join(self.labels)}{more}"

    def short(self) -> str:
        """Say it in a line that has several causes: ``3 × failed, most often no network (83401)``."""
        return f"{self.devices:,} × {self._why()}"

    def _why(self) -> str:
        return f"{self.word}, {self.error}" if self.error else self.word


def check_report_path(path: str) -> str:
    """Return the path's suffix, which says how the report is written.

    :raises ValueError: for another suffix than ``.csv``, ``.jsonl`` or ``.parquet``
    """
    suffix = PurePosixPath(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInputError(f"report_path must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, got {path!r}")
    return suffix


def check_report_library(suffix: str) -> None:
    """Check, before anything is sent, that a report of this kind can be written here.

    :raises ValueError: a library is missing; says which extra brings it
    """
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        raise BadInputError(
            "report_path ends in .parquet, which needs pyarrow: install airflow-provider-supersim[parquet], or name a "
            ".csv or .jsonl file"
        )


def write_report(rows: Iterable[Row], stream: IO[bytes], suffix: str) -> None:
    """Write one row for each device; the stream stays open.

    Data is written as it is: a spreadsheet may take a cell of a ``.csv`` that starts with ``=`` for a formula.

    :param rows: read once, some thousands at a time
    :param suffix: what :func:`check_report_path` returned
    :raises ValueError: for another suffix, or if the library for ``.parquet`` is missing
    """
    writers = {".csv": _write_csv, ".jsonl": _write_jsonl, ".parquet": _write_parquet}
    if suffix not in writers:
        raise BadInputError(f"report_path must end in one of {', '.join(SUFFIXES)}, got {suffix!r}")
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
