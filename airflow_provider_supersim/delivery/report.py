"""What became of each device, and of all: rows for a file, counts for XCom, lines for the log."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from importlib.util import find_spec
from itertools import islice
from pathlib import PurePosixPath
from typing import IO, Any

import msgspec

from airflow_provider_supersim.api.models import Status

SUFFIXES = (".csv", ".jsonl", ".parquet")
BATCH = 20_000  # rows in memory at a time

#: The statuses of a row that are not the API's.
REFUSED = "refused"  # by the API, which did not act on it
NOT_SENT = "not_sent"  # nothing left for this device
UNKNOWN = "unknown"  # it may have been sent: nothing that was read says so


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
    status: str = NOT_SENT
    sent_at: str | None = None
    settled_at: str | None = None
    error: str | None = None


class Counts(msgspec.Struct):
    """How many devices, and how many of them ended how.

    :ivar unsettled: devices whose command was, or may have been, taken by the API, without a final status so far
    """

    devices: int = 0
    sent: int = 0
    failed: int = 0
    unsettled: int = 0
    not_sent: int = 0

    def add(self, status: str, devices: int = 1) -> None:
        """Count devices, by their rows' status."""
        self.devices += devices
        if status == NOT_SENT:
            self.not_sent += devices
        elif status in (REFUSED, Status.FAILED):
            self.failed += devices
        elif Status(status).succeeded:
            self.sent += devices
        else:
            self.unsettled += devices

    def merge(self, other: Counts) -> None:
        """Count the devices of ``other`` too."""
        for field in self.__struct_fields__:
            setattr(self, field, getattr(self, field) + getattr(other, field))


def summarise(waves: Sequence[Counts], *, duration: float, commands: int, halted: bool) -> dict[str, Any]:
    """Return what the task leaves in XCom.

    :param waves: each wave's counts, also of those that were not sent
    :param duration: of the whole rollout, in seconds
    :param commands: that left, second attempts included
    :param halted: a gate shut
    """
    total = Counts()
    for counts in waves:
        total.merge(counts)
    return {
        **msgspec.structs.asdict(total),
        "waves": [{"wave": number, **msgspec.structs.asdict(counts)} for number, counts in enumerate(waves, 1)],
        "duration": round(duration, 3),
        "commands": commands,
        "commands_per_second": round(commands / duration, 1) if duration > 0 else 0.0,
        "halted": halted,
    }


class Progress(msgspec.Struct, kw_only=True):
    """How far a rollout is.

    :ivar wave: the number of the wave that is under way, from 1
    :ivar waves: how many there are
    :ivar counts: of all devices; the unsettled ones are waited for, those not sent have still to come
    :ivar in_flight: how many of the unsettled ones are being sent or looked up: no reply says that they were accepted
    :ivar rate: commands a second; ``None`` while it is not known
    """

    wave: int
    waves: int
    counts: Counts
    in_flight: int = 0
    rate: float | None = None

    def record(self) -> dict[str, Any]:
        """Return JSON types, for a page to read."""
        return dict(msgspec.to_builtins(self))

    def line(self) -> str:
        """Say it in one line of a log."""
        counts, rate = self.counts, self.rate
        to_come = counts.not_sent + self.in_flight
        parts = [f"{counts.sent:,} sent", f"{counts.failed:,} failed", f"{counts.unsettled - self.in_flight:,} waiting"]
        if self.in_flight:
            parts.append(f"{self.in_flight:,} being sent or looked up")
        done = f"{counts.devices - to_come:,} of {counts.devices:,} devices"
        line = f"wave {self.wave} of {self.waves}, {done}: {', '.join(parts)}"
        if rate is None or not math.isfinite(rate) or rate < 0:
            return line
        line += f"; {rate:,.1f} commands/s"
        if rate and to_come:
            line += f"; about {_span(to_come / rate)} left"
        return line


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


def _span(seconds: float) -> str:
    whole = math.ceil(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = math.ceil(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
