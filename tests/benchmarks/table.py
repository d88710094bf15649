"""The table: a line for each thing that was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

HEADINGS = ("what", "ours", "beside it", "wanted", "")


class Line(NamedTuple):
    what: str
    ours: str
    peer: str
    wanted: str
    holds: bool


def as_text(parts: Mapping[str, Sequence[Line]]) -> str:
    """Return one table with each part under its title."""
    rows: list[Sequence[str]] = [HEADINGS]
    for title, lines in parts.items():
        rows.append((f"**{title}**", "", "", "", ""))
        rows += [(*line[:4], "yes" if line.holds else "**no**") for line in lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text) + "\n"
