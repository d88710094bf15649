"""Files of targets, read as streams: one row for each line. A line that cannot be read becomes a row that says why."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from airflow_provider_supersim.api.errors import BadInputError
from airflow_provider_supersim.words import count

SUFFIXES = (".csv", ".jsonl")
ENCODING = "utf-8-sig"  # UTF-8, with or without the byte order mark that some editors write first

#: Columns that the plan itself reads. An empty cell in one of these means that the row has no such value.
OWN_COLUMNS = ("sim_sid", "payload", "payload_type", "device_port", "timezone")


class FileRow(dict[str, Any]):
    """A row that knows its line in the file, and, if it could not be read, why.

    :ivar line: number of its first line, from 1
    :ivar problem: one sentence, or ``None``
    """

    __slots__ = ("line", "problem")

    def __init__(self, line: int, columns: Mapping[str, Any] | None = None, problem: str | None = None) -> None:
        super().__init__(columns or {})
        self.line = line
        self.problem = problem


def rows_from_file(lines: Iterable[str], suffix: str) -> Iterator[FileRow]:
    """Read a file of targets line by line.

    A line that cannot be read becomes a row with a ``problem``, which
    :func:`~airflow_provider_supersim.delivery.targets.plan.plan` reports with all others.

    :param lines: of a file opened with :data:`ENCODING` and ``newline=""``, so that a cell may hold line breaks
    :param suffix: ``.csv`` (the first line names the columns, commas between cells) or ``.jsonl``
    :raises ValueError: the suffix is another one
    """
    readers = {".csv": _csv_rows, ".jsonl": _json_rows}
    if suffix not in readers:
        raise BadInputError(f"targets_path must end in {' or '.join(SUFFIXES)}, got {suffix!r}")
    return readers[suffix](lines)


def _csv_rows(lines: Iterable[str]) -> Iterator[FileRow]:
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
        yield FileRow(line, problem=f"from here on the file is not CSV in UTF-8: {error}")
        return
    if not header:
        yield FileRow(line, problem="the file is empty; its first line must name the columns, 'sim' among them")


def _header_problem(names: list[str]) -> str | None:
    if "sim" not in names:
        hint = "; separate columns by commas, not semicolons" if len(names) == 1 and ";" in names[0] else ""
        return f"the first line must name the columns, 'sim' among them, got {', '.join(names)}{hint}"
    twice = [name for name in names if names.count(name) > 1]
    return f"the first line names the column {twice[0]!r} twice" if twice else None


def _csv_row(line: int, header: list[str], cells: list[str]) -> FileRow:
    if len(cells) != len(header):
        cells_found, columns = count(len(cells), "cell"), count(len(header), "column")
        return FileRow(line, problem=f"{cells_found}, but the first line names {columns}")
    return FileRow(
        line, {name: cell for name, cell in zip(header, cells, strict=True) if cell or name not in OWN_COLUMNS}
    )


def _json_rows(lines: Iterable[str]) -> Iterator[FileRow]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield FileRow(number, decode(line))
            except (msgspec.DecodeError, RecursionError) as error:
                yield FileRow(number, problem=f"not a JSON object; {error}")
    except UnicodeDecodeError as error:
        yield FileRow(number + 1, problem=f"from here on the file is not UTF-8: {error}")
