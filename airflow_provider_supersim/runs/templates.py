"""Templated arguments whose bytes reach a device: Airflow changes line ends, and makes a word of ``None``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jinja2 import Environment

from airflow_provider_supersim.api.errors import BadInputError
from airflow_provider_supersim.delivery.targets.payload_template import PayloadTemplate, read_file
from airflow_provider_supersim.delivery.targets.sandbox import LineEnds
from airflow_provider_supersim.exceptions import BadArgumentError


def rendered_payload(
    content: Any, context: Mapping[str, Any], environment: Environment, resolve: Callable[[Any], Any]
) -> Any:
    """Return the payload of one command.

    :param content: what the DAG says: text, the name of a file, a ``dict`` or a ``list``
    :param environment: the DAG's
    :param resolve: returns what another task pushed, for an XCom inside a ``dict`` or ``list``
    :raises BadArgumentError: it cannot be rendered; nothing was sent
    """
    try:
        template = PayloadTemplate(read_file(content, environment), environment)
        return _resolved(template.render(None, context), resolve)
    except BadInputError as error:
        raise BadArgumentError(f"Nothing was sent: {error}") from None


def rendered_rows(
    rows: Sequence[Any], environment: Environment, render: Callable[[Any, Environment], Any]
) -> list[Any]:
    """Return the rows of ``targets`` with every line end. A row's own payload is data, so it stays as it is.

    :param environment: the DAG's
    :param render: renders a value as Airflow does
    """
    exact = environment.overlay(extensions=[LineEnds], keep_trailing_newline=True)
    return [
        {column: value if column == "payload" else render(value, exact) for column, value in row.items()}
        if isinstance(row, dict)
        else render(row, exact)
        for row in rows
    ]


def _resolved(value: Any, resolve: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(item, resolve) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_resolved(item, resolve) for item in value]
    return value if value is None or isinstance(value, str | bytes | int | float) else resolve(value)
