"""The four shapes that the pictures are made of."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

#: Fill and edge of a box by what it says.
COLOURS = {
    "plain": ("#ffffff", "#8a99a5"),
    "ledger": ("#e8eef3", "#5b7083"),
    "good": ("#dff3e3", "#3c8a53"),
    "bad": ("#fbe3e1", "#b5483f"),
    "doubt": ("#fff1cf", "#b98a1d"),
}
FONT = "font-family='system-ui, sans-serif' fill='#22303a'"


def picture(width: float, height: float, parts: Iterable[str]) -> str:
    """Return a whole SVG. Its ground is white, so that it can be read on a dark page."""
    body = "\n".join(parts)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:g} {height:g}' width='{width:g}'>\n"
        f"<rect width='{width:g}' height='{height:g}' fill='#ffffff'/>\n{body}\n</svg>\n"
    )


def box(x: float, y: float, size: tuple[float, float], *, kind: str, words: str) -> str:
    """Return a box with words in its middle.

    :param size: width and height
    :param kind: a key of :data:`COLOURS`
    """
    width, height = size
    fill, edge = COLOURS[kind]
    return (
        f"<rect x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}' rx='4' fill='{fill}' stroke='{edge}'/>\n"
        + text(x + width / 2, y + height / 2 + 4, words, anchor="middle")
    )


def text(x: float, y: float, words: str, *, size: float = 11, anchor: str = "start", bold: bool = False) -> str:
    """Return a line of text; ``y`` is its base line."""
    weight = " font-weight='600'" if bold else ""
    return (
        f"<text x='{x:g}' y='{y:g}' font-size='{size:g}' text-anchor='{anchor}'{weight} {FONT}>{escape(words)}</text>"
    )


def arrow(x: float, y: float, length: float) -> str:
    """Return a short arrow to the right."""
    tip = x + length
    return f"<path d='M{x:g} {y:g}H{tip:g}m-4 -3l4 3l-4 3' fill='none' stroke='#8a99a5'/>"
