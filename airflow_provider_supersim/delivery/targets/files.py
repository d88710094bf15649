"""Files of targets, read as streams: a row for each line, and what is wrong with those that cannot be read."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

import msgspec

SUFFIXES = (".csv", ".jsonl")

#: Columns that are not only for the template. An empty cell in one of these is no value.
OWN_COLUMNS = ("sim_sid", "payload", "payload_type", "device_port", "timezone")


class FileRow(dict[str, Any]):
    """A row that knows its line in the file, and why it could not be read, if so."""

    __slots__ = ("line", "problem")

    def __init__(self, line: int, columns: Mapping[str, Any] | None = None, problem: str | None = None) -> None:
        super().__init__(columns or {})
        self.line = line
        self.problem = problem


def read_rows(stream: IO[str] | Iterable[str], suffix: str) -> Iterator[dict[str, Any]]:
    """Read a file of targets line by line.

    What cannot be read becomes a row with a ``problem``, which
    :func:`~airflow_provider_supersim.delivery.targets.plan.plan` lists with all others.

    :param stream: its lines, from a file opened with ``newline=""``, so that a cell may hold line breaks
    :param suffix: ``.csv`` (the first line names the columns, commas between cells) or ``.jsonl``
    :raises ValueError: for another suffix
    """
    readers = {".csv": _csv_rows, ".jsonl": _json_rows}
    if suffix not in readers:
        raise ValueError(f"targets_path must end in {' or '.join(SUFFIXES)}, got {suffix!r}")
    return readers[suffix](_without_mark(stream))


def _without_mark(lines: Iterable[str]) -> Iterator[str]:
    """Leave out the byte order mark that some editors put first."""
    first = True
    for line in lines:
        yield line.removeprefix("\ufeff") if first else line
        first = False


def _csv_rows(lines: Iterator[str]) -> Iterator[FileRow]:
    reader = csv.reader(lines, strict=True)
    header: list[str] = []
    line = 1
    try:
        for cells in reader:
            if header and cells:
                yield _csv_row(line, header, cells)
            elif cells:
                header = [cell.strip() for cell in cells]
                if problem := _header_problem(header):
                    yield FileRow(line, problem=problem)
                    return
            line = reader.line_num + 1
    except (csv.Error, UnicodeDecodeError) as error:
        yield FileRow(line, problem=f"here, or a little later, the file cannot be read as CSV in UTF-8: {error}")
        return
    if not header:
        yield FileRow(line, problem="the file is empty; its first line must name the columns, 'sim' among them")


def _header_problem(names: list[str]) -> str | None:
    if "sim" not in names:
        hint = "; commas, not semicolons, stand between columns" if len(names) == 1 and ";" in names[0] else ""
        return f"the first line must name the columns, 'sim' among them, got {', '.join(names)}{hint}"
    twice = [name for name in names if names.count(name) > 1]
    return f"the first line names the column {twice[0]!r} twice" if twice else None


def _csv_row(line: int, header: list[str], cells: list[str]) -> FileRow:
    if len(cells) != len(header):
        return FileRow(line, problem=f"it has {len(cells)} cells, but the first line names {len(header)} columns")
    return FileRow(
        line, {name: cell for name, cell in zip(header, cells, strict=True) if cell or name not in OWN_COLUMNS}
    )


def _json_rows(lines: Iterator[str]) -> Iterator[FileRow]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield FileRow(number, decode(line))
            except msgspec.DecodeError as error:
                yield FileRow(number, problem=f"it is no JSON object: {error}")
    except UnicodeDecodeError as error:
        yield FileRow(number + 1, problem=f"here, or a little later, the file cannot be read as UTF-8: {error}")
