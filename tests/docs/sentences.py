"""The sentences of a page: its paragraphs and list items, without code blocks, tables, directives and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.myst_role import myst_role_plugin

MARKDOWN = MarkdownIt("commonmark").enable("table").use(deflist_plugin).use(myst_role_plugin)
#: A full stop, with what may close after it, and then a new sentence: a capital, a digit, or code.
BETWEEN = re.compile(r"(?<=[.!?])[)\"”]*\s+(?=[(\"“]*[A-Z0-9`{])")


def sentences(page: str) -> list[str]:
    """Return every sentence of a page's prose; code keeps its backticks, links and emphasis are plain words."""
    return [sentence for text in _paragraphs(page) for sentence in BETWEEN.split(text) if length(sentence)]


def length(sentence: str) -> int:
    """Return how many words a sentence has."""
    return sum(any(letter.isalnum() for letter in word) for word in sentence.split())


def _paragraphs(page: str) -> Iterator[str]:
    page = re.sub(r"^\([\w-]+\)=$", "", page, flags=re.MULTILINE)  # targets, which MyST knows and CommonMark does not
    for before, token in pairwise(MARKDOWN.parse(page)):
        if token.type == "inline" and before.type == "paragraph_open":
            yield "".join(_text(child) for child in token.children or [])


def _text(token: Token) -> str:
    if token.type in ("softbreak", "hardbreak"):
        return " "
    return f"`{token.content}`" if token.type in ("code_inline", "myst_role") else token.content
