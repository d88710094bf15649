"""What the package says to people, read from its source: errors, and warnings in the log."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from documentation import CHECKOUT

PACKAGE = CHECKOUT / "airflow_provider_supersim"
#: The rooms whose words reach users: not the simulator's.
ROOMS = ("operators", "sensors", "triggers", "runs", "hooks", "delivery", "api")


class Message(NamedTuple):
    """A message.

    :ivar where: file and line
    :ivar words: its text, with ``{name}`` for a placeholder that is a plain name, and ``…`` for any other
    """

    where: str
    words: str


def logged(source: str, where: str = "") -> list[Message]:
    """Return what a module logs as warnings and errors, but for an error as such: ``log.error("%s", error)``."""
    calls = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("warning", "error", "exception", "critical")
    ]
    messages = [Message(f"{where}:{call.lineno}", _words(call.args[0]) if call.args else "") for call in calls]
    return [message for message in messages if message.words != "%s"]


def raised(source: str, *kinds: str, where: str = "") -> list[Message]:
    """Return what a module raises of these kinds.

    :param kinds: names of exceptions, as the module calls them
    """
    return [
        Message(f"{where}:{node.lineno}", _words(node.exc.args[0]) if node.exc.args else "")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and _name(node.exc.func) in kinds
    ]


def sources() -> Iterator[tuple[str, str]]:
    """Yield the path in the package and the source of every module of the rooms."""
    for room in ROOMS:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            yield str(path.relative_to(PACKAGE)), path.read_text()


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _words(node: ast.expr) -> str:
    """Return the words of an expression that makes a string."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.FormattedValue(value=ast.Name(id=name)):
            return f"{{{name}}}"
        case ast.JoinedStr(values=parts):
            return "".join(map(_words, parts))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _words(left) + _words(right)
        case ast.IfExp(body=body, orelse=other):
            return f"{_words(body)} {_words(other)}"
        case _:
            return "…"
