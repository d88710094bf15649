"""The payload as a Jinja template: compiled once, then rendered for each device in a sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, UndefinedError, meta
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from airflow_provider_supersim.api.errors import BadInputError

DEVICE = "device"  # the row's name in the template
SHOWN = 60  # characters of a template that an error quotes

#: What an expression raises if it does not fit the row: it does so in each try. Other errors are not the template's.
#: Airflow's variables, for example, are read from its API, which may be out of reach for a while.
_EXPRESSION_ERRORS = (ArithmeticError, AttributeError, LookupError, TemplateError, TypeError, ValueError)

_Names = dict[str, Any]
_Part = Callable[[_Names], Any]


class _Columns(dict[str, Any]):
    """A row, as the template sees it."""


class _Missing(StrictUndefined):
    """Says what is missing in words that fit a file of targets."""

    @property
    def _undefined_message(self) -> str:
        name = self._undefined_name
        if self._undefined_hint:
            return self._undefined_hint
        if isinstance(self._undefined_obj, _Columns):
            columns = ", ".join(map(str, self._undefined_obj))
            return f"no column {name!r} for the payload; the columns are {columns}"
        if self._undefined_obj is not missing:
            return f"no {name!r} for the payload; {super()._undefined_message}"
        return f"no {name!r} for the payload; a column is written {DEVICE}.{name}"


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja in which ``device.items`` is the column ``items``, if there is one, and not the dict's method."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is _Columns and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


#: Jinja changes all line ends of a template to one kind. Devices that take AT commands tell the kinds apart.
_LINE_ENDS: tuple[Literal["\n", "\r\n", "\r"], ...] = ("\n", "\r\n", "\r")
_JINJA = {end: _Sandbox(undefined=_Missing, keep_trailing_newline=True, newline_sequence=end) for end in _LINE_ENDS}


class PayloadTemplate:
    """The payload of a rollout, with placeholders for what differs between devices.

    Strings may be Jinja templates, also inside a ``dict`` or ``list``. ``bytes`` are sent as they are.

    :param content: the operator's ``payload``
    :raises ValueError: it is not a valid template
    """

    def __init__(self, content: str | bytes | dict[Any, Any] | list[Any]) -> None:
        self._content = content
        self._names: set[str] = set()
        self._part = self._compile(content)

    def render(
        self, device: Mapping[str, Any], variables: Mapping[str, Any]
    ) -> str | bytes | dict[Any, Any] | list[Any]:
        """Return the payload for one device. A payload without templates is always the same object.

        :param device: the row, ``device`` in the template
        :param variables: other names that the template may use; only those that it uses are read
        :raises ValueError: a column or name is missing, the sandbox forbids something, or an expression fails
        """
        if self._part is None:
            return self._content
        names = {name: variables[name] for name in self._names if name in variables}
        names[DEVICE] = _Columns(device)
        payload: str | dict[Any, Any] | list[Any] = self._part(names)
        return payload

    def _compile(self, content: Any) -> _Part | None:
        """Return a function that renders the content; ``None`` if the content holds no template."""
        if isinstance(content, str):
            return self._compile_text(content)
        if isinstance(content, list):
            return _list_part(content, [self._compile(item) for item in content])
        if isinstance(content, dict):
            keys, values = ([self._compile(item) for item in side] for side in (content.keys(), content.values()))
            return _dict_part(content, keys, values)
        return None

    def _compile_text(self, text: str) -> _Part | None:
        if not any(opening in text for opening in ("{{", "{%", "{#")):
            return None
        jinja = _JINJA[_line_end(text)]
        try:
            tree = jinja.parse(text)
            self._names |= meta.find_undeclared_variables(tree)
            template = jinja.from_string(tree)
        except TemplateSyntaxError as error:
            shown = text if len(text) <= SHOWN else text[:SHOWN] + "…"
            where = f"line {error.lineno} of {shown!r}"
            raise BadInputError(f"the payload is not a valid Jinja template: {error.message} ({where})") from None
        return lambda names: _render(template, names)


def _line_end(text: str) -> Literal["\n", "\r\n", "\r"]:
    rest = text.replace("\r\n", "")
    ends = [end for end, there in zip(_LINE_ENDS, ("\n" in rest, rest != text, "\r" in rest), strict=True) if there]
    if len(ends) > 1:
        raise BadInputError(
            f"the payload is a template with different line ends, {ends}, and Jinja would change all to one kind; "
            "write the others as an expression, such as {{ '\\n' }}"
        )
    return ends[0] if ends else "\n"


def _render(template: Template, names: _Names) -> str:
    # Not template.render(): it rewrites the traceback of each error, which costs more than a thousand renderings.
    try:
        return "".join(template.root_render_func(template.new_context(names)))
    except UndefinedError as error:
        raise BadInputError(error.message) from None
    except SecurityError as error:
        raise BadInputError(f"the payload does something that the sandbox forbids: {error.message}") from None
    except _EXPRESSION_ERRORS as error:
        raise BadInputError(f"the payload fails with {type(error).__name__}: {error}") from None


def _list_part(content: list[Any], parts: list[_Part | None]) -> _Part | None:
    if not any(parts):
        return None
    pairs = list(zip(content, parts, strict=True))
    return lambda names: [part(names) if part else item for item, part in pairs]


def _dict_part(content: dict[Any, Any], keys: list[_Part | None], values: list[_Part | None]) -> _Part | None:
    if not any(keys) and not any(values):
        return None
    entries = list(zip(content.items(), keys, values, strict=True))

    def render(names: _Names) -> dict[Any, Any]:
        rendered: dict[Any, Any] = {}
        for (key, value), key_part, value_part in entries:
            name = key_part(names) if key_part else key
            if name in rendered:
                raise BadInputError(f"the payload gets the key {name!r} twice")
            rendered[name] = value_part(names) if value_part else value
        return rendered

    return render
