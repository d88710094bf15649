"""What the package says to people, read from its source: the words of errors and of warnings in the log."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from documentation import CHECKOUT

PACKAGE = CHECKOUT / "airflow_provider_supersim"


class Message(NamedTuple):
    """A message: where it is, and its words with ``…`` for what differs from one time to the next."""

    where: str
    words: str


def raised(*names: str, kinds: tuple[str, ...]) -> list[Message]:
    """Return what these modules raise.

    :param names: paths of modules or folders, in the package
    :param kinds: names of exceptions
    """
    return [message for path in _modules(names) for message in _messages(path, kinds)]


def warned(*names: str) -> list[Message]:
    """Return what these modules log as warnings and errors."""
    return [
        Message(f"{path.name}:{node.lineno}", _words(node.args[0]))
        for path in _modules(names)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("warning", "error")
    ]


def returned(name: str, suffix: str) -> list[Message]:
    """Return what the functions of a module whose names end so return."""
    path = PACKAGE / name
    return [
        Message(f"{path.name}:{node.lineno}", _words(node.value))
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef) and function.name.endswith(suffix)
        for node in ast.walk(function)
        if isinstance(node, ast.Return) and node.value is not None
    ]


def _modules(names: tuple[str, ...]) -> Iterator[Path]:
    for name in names:
        path = PACKAGE / name
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _messages(path: Path, kinds: tuple[str, ...]) -> Iterator[Message]:
    for node in ast.walk(ast.parse(path.read_text())):
        call = node.exc if isinstance(node, ast.Raise) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in kinds and call.args:
            yield Message(f"{path.name}:{node.lineno}", _words(call.args[0]))


def _words(node: ast.expr) -> str:
    """Return the words of a string; ``…`` for a placeholder, and for all that is no string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.replace("%s", "…").replace("%.0f", "…")
    if isinstance(node, ast.JoinedStr):
        return "".join(_words(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _words(node.left) + _words(node.right)
    return "…"
