"""The payload as a Jinja template: compiled once, then rendered for each device in a sandbox."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jinja2 import Environment, Template, TemplateError, TemplateSyntaxError, Undefined, UndefinedError, meta, nodes
from jinja2.exceptions import SecurityError, TemplateNotFound

from airflow_provider_supersim.api.errors import BadInputError
from airflow_provider_supersim.delivery.targets.sandbox import DEVICE, Columns, NoneValueError, Sandbox, not_none

SHOWN = 60  # characters of a template that an error quotes
FILES = (".json", ".txt")  # how the name of a payload's file ends

#: What an expression raises if it does not fit the row: it does so in each try. Other errors are not the template's.
#: Airflow's variables, for example, are read from its API, which may be out of reach for a while.
_EXPRESSION_ERRORS = (ArithmeticError, AttributeError, LookupError, TemplateError, TypeError, ValueError)
_VALUE = "value"  # the variable that holds what a template of one expression gives

_Names = dict[str, Any]
_Part = Callable[[_Names], Any]


class Data:
    """A part of a payload that is no template, even if it looks like one."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __str__(self) -> str:
        return str(self.value)


class PayloadTemplate:
    """A payload, with placeholders for what differs between devices.

    Strings may be Jinja templates, also inside a ``dict`` or ``list``. A value in there that is one expression, such as
    ``"{{ device.limit }}"``, keeps its type if that is a number, a boolean, a ``dict`` or a ``list``. ``bytes`` are
    sent as they are.

    :param content: the operator's ``payload``
    :param environment: its syntax, filters, macros and files can be used; default: Jinja's own
    :raises ValueError: it is not a valid template
    """

    def __init__(
        self, content: str | bytes | dict[Any, Any] | list[Any], environment: Environment | None = None
    ) -> None:
        self._content = content
        self._environment = environment
        self._sandbox: Sandbox | None = None
        self._names: set[str] = set()
        self._all_names = False
        self._part = self._compile(content, top=True)

    @property
    def constant(self) -> bool:
        """Whether all devices get the same payload, because it holds no template."""
        return self._part is None

    def render(
        self, device: Mapping[str, Any] | None, variables: Mapping[str, Any]
    ) -> str | bytes | dict[Any, Any] | list[Any]:
        """Return the payload for one device. A payload without templates is always the same object.

        :param device: the row, ``device`` in the template; ``None`` if there are no rows
        :param variables: other names that the template may use; only those that it uses are read
        :raises ValueError: a column or name is missing or None, the sandbox forbids something, or an expression fails
        """
        if self._part is None:
            return self._content
        used = variables if self._all_names else self._names
        names = {name: variables[name] for name in used if name in variables}
        if device is not None:
            names[DEVICE] = Columns(device)
        payload: str | bytes | dict[Any, Any] | list[Any] = self._part(names)
        return payload

    def _compile(self, content: Any, *, top: bool = False) -> _Part | None:
        """Return a function that renders the content; ``None`` if the content holds no template."""
        if isinstance(content, str):
            return self._compile_text(content, top=top)
        if isinstance(content, list | tuple):
            return _list_part(content, [self._compile(item) for item in content])
        if isinstance(content, Data):
            return lambda _: content.value
        if isinstance(content, dict):
            keys = [self._compile(key, top=True) for key in content]
            return _dict_part(content, keys, [self._compile(item) for item in content.values()])
        return None

    def _compile_text(self, text: str, *, top: bool) -> _Part | None:
        sandbox = self._sandbox = self._sandbox or Sandbox(self._environment)
        if not any(opening in text for opening in _openings(sandbox)):
            return None
        try:
            tree = sandbox.parse(text)
            self._note_names(sandbox, tree, set())
            one = _one_expression(tree)
            template = sandbox.from_string(_assigned(one) if one else tree)
        except TemplateSyntaxError as error:
            shown = text if len(text) <= SHOWN else text[:SHOWN] + "…"
            where = f"line {error.lineno} of {shown!r}"
            raise BadInputError(f"the payload is not a valid Jinja template: {error.message} ({where})") from None
        columns = sorted(_columns(tree))

        def render(names: _Names) -> Any:
            value = _guarded(_value if one else _text, template, names, columns, text)
            number = not top and type(value) in (bool, int, float)
            return value if number or isinstance(value, bytes | dict | list) else str(value)

        return render

    def _note_names(self, sandbox: Sandbox, tree: nodes.Template, seen: set[str]) -> None:
        """Note the names that the template reads, and those that the files that it includes read."""
        self._names |= meta.find_undeclared_variables(tree)
        for file in meta.find_referenced_templates(tree):
            if file is None:  # its name is known when it is rendered
                self._all_names = True
            elif file not in seen and sandbox.loader:
                seen.add(file)
                try:
                    source = sandbox.loader.get_source(sandbox, file)[0]
                except TemplateNotFound:
                    continue  # rendering says so, unless the template ignores it
                self._note_names(sandbox, sandbox.parse(source), seen)


def read_file(content: Any, environment: Environment) -> Any:
    """Return the text of the file that a payload names, or the payload itself if it names none.

    A payload names a file if it ends in ``.json`` or ``.txt`` and holds no white space, no template and no ``://``.

    :param environment: knows the folders of files
    :raises ValueError: there is no such file
    """
    if not isinstance(content, str) or not content.endswith(FILES) or re.search(r"\s|://|\{[{%#]", content):
        return content
    sandbox = Sandbox(environment)
    try:
        if sandbox.loader:
            return sandbox.loader.get_source(sandbox, content)[0]
    except TemplateNotFound:
        pass
    raise BadInputError(
        f"payload names a file that is not in the DAG's folder or its template_searchpath: {content!r}. To send these "
        "words as text, write them as a template: {{ '…' }}"
    )


def _openings(sandbox: Sandbox) -> Iterator[str]:
    yield from (sandbox.variable_start_string, sandbox.block_start_string, sandbox.comment_start_string)
    yield from filter(None, (sandbox.line_statement_prefix, sandbox.line_comment_prefix))


def _one_expression(tree: nodes.Template) -> nodes.Expr | None:
    """Return the expression, if a template is nothing else."""
    match tree.body:
        case [nodes.Output(nodes=[expression])] if not isinstance(expression, nodes.TemplateData):
            return expression
        case _:
            return None


def _assigned(expression: nodes.Expr) -> nodes.Template:
    """Return a template that puts the value of an expression into a variable, as Jinja's own expressions do."""
    target = nodes.Name(_VALUE, "store", lineno=1)
    return nodes.Template([nodes.Assign(target, expression, lineno=1)], lineno=1)


def _columns(tree: nodes.Template) -> Iterator[str]:
    """Yield the columns that a template names."""
    for attribute in tree.find_all(nodes.Getattr):
        if isinstance(attribute.node, nodes.Name) and attribute.node.name == DEVICE:
            yield attribute.attr
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.node, nodes.Name) and item.node.name == DEVICE and isinstance(item.arg, nodes.Const):
            yield str(item.arg.value)


def _text(template: Template, names: _Names) -> str:
    # Not template.render(): it rewrites the traceback of each error, which costs more than a thousand renderings.
    return "".join(template.root_render_func(template.new_context(names)))


def _value(template: Template, names: _Names) -> Any:
    context = template.new_context(names)
    for _ in template.root_render_func(context):
        pass
    value = not_none(context.vars[_VALUE])
    return str(value) if isinstance(value, Undefined) else value


def _guarded(
    render: Callable[[Template, _Names], Any], template: Template, names: _Names, columns: list[str], text: str
) -> Any:
    """Render, and say in one sentence what went wrong.

    :param columns: those that the template names
    :param text: the template
    """
    try:
        return render(template, names)
    except NoneValueError:
        row = names.get(DEVICE, {})
        empty = [column for column in columns if column in row and row[column] is None]
        if empty:
            raise BadInputError(f"column {empty[0]!r} is empty (None) and the payload needs it; {_OTHERWISE}") from None
        shown = text if len(text) <= SHOWN else text[:SHOWN] + "…"
        raise BadInputError(
            f"an expression of the payload gives None, such as an XCom that is not there: {shown!r}; {_OTHERWISE}"
        ) from None
    except UndefinedError as error:
        raise BadInputError(error.message) from None
    except TemplateNotFound as error:
        raise BadInputError(f"the payload includes a file that is not there: {error.message}") from None
    except SecurityError as error:
        raise BadInputError(f"the payload does something that the sandbox forbids: {error.message}") from None
    except _EXPRESSION_ERRORS as error:
        raise BadInputError(f"the payload fails with {type(error).__name__}: {error}") from None


_OTHERWISE = "to send something else instead, write | default('…', true)"


def _list_part(content: Sequence[Any], parts: list[_Part | None]) -> _Part | None:
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
