"""One line of the table for each thing that was measured."""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    what: str
    ours: str
    peer: str
    wanted: str
    holds: bool


def as_text(lines: list[Line]) -> str:
    rows = [
        ("what", "ours", "beside it", "wanted", ""),
        *[(*line[:4], "yes" if line.holds else "**no**") for line in lines],
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text) + "\n"
