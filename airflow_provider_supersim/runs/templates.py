"""Templated arguments as they are written: Airflow changes line ends, and makes a word of ``None``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from jinja2 import Environment, Template, pass_context
from jinja2.nativetypes import NativeEnvironment, NativeTemplate

from airflow_provider_supersim.api.errors import BadInputError
from airflow_provider_supersim.delivery.targets.payload_template import Data, PayloadTemplate, read_file
from airflow_provider_supersim.delivery.targets.sandbox import LineEnds, NoneValueError, not_none
from airflow_provider_supersim.exceptions import BadArgumentError

T = TypeVar("T")

SHOWN = 60  # characters of an argument that an error quotes


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

    def rendered(strict: Environment) -> list[Any]:
        return [
            {column: value if column == "payload" else render(value, strict) for column, value in row.items()}
            if isinstance(row, dict)
            else render(row, strict)
            for row in rows
        ]

    return _without_none("targets", rows, exact, rendered)


def rendered_field(task: Any, content: Any, environment: Environment, render: Callable[[Environment], Any]) -> Any:
    """Return a field as Airflow renders it.

    :param environment: the DAG's
    :param render: renders the content in an environment
    :raises BadArgumentError: a part of a text gives ``None``; nothing was sent
    """
    names = [name for name in task.template_fields if getattr(task, name, None) is content]
    return _without_none(names[0], content, environment, render) if names else render(environment)


def with_pushed(content: Any, resolve: Callable[[Any], Any]) -> Any:
    """Return a rollout's payload with what other tasks pushed. That is data, even if it looks like a template.

    :param resolve: returns what a task pushed
    """
    return _resolved(content, lambda pushed: Data(resolve(pushed)))


def _without_none(name: str, content: Any, environment: Environment, render: Callable[[Environment], T]) -> T:
    strict: Environment
    if isinstance(environment, NativeEnvironment):
        strict = environment.overlay(finalize=environment.finalize or _unchanged)
        strict.template_class = _TextWithoutNone
    else:
        strict = environment.overlay(finalize=not_none)
    try:
        return render(strict)
    except NoneValueError:
        raise BadArgumentError(
            f"Nothing was sent: {name} has an expression that gives None, such as an XCom that is not there. Correct "
            f"what should give it, or write | default('…', true). It is {str(content)[:SHOWN]!r}"
        ) from None


class _TextWithoutNone(NativeTemplate):
    """A template with native objects that refuses a ``None`` inside a text.

    If the whole value is ``None``, it is passed on, and the argument's own check decides.
    """

    @classmethod
    def _from_namespace(cls, *args: Any, **kwargs: Any) -> Template:
        template = super()._from_namespace(*args, **kwargs)
        render = template.root_render_func
        template.root_render_func = lambda context: _none_alone(render(context))
        return template


def _none_alone(parts: Iterator[Any]) -> Iterator[Any]:
    """Pass the parts of a template on.

    :raises NoneValueError: one of several is ``None``
    """
    has_none = False
    for number, part in enumerate(parts):
        has_none = has_none or part is None
        if has_none and number:
            raise NoneValueError
        yield part


@pass_context  # without it, Jinja would join constants to a text before anybody sees a None among them
def _unchanged(_context: Any, value: Any) -> Any:
    return value


def _resolved(value: Any, resolve: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(item, resolve) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_resolved(item, resolve) for item in value]
    return value if value is None or isinstance(value, str | bytes | int | float) else resolve(value)
