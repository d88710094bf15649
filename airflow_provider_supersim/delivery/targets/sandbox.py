"""A Jinja sandbox that keeps every byte of a template, with the filters, macros and files of another environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from jinja2 import BaseLoader, Environment, StrictUndefined, TemplateNotFound
from jinja2.defaults import DEFAULT_NAMESPACE
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

DEVICE = "device"  # the row's name in the template

#: Stand-ins for a carriage return while Jinja splits a template: white space to Jinja, and never a line end. The first
#: begins each pair, so that a template may hold these characters itself.
_MARK, _IS_RETURN, _IS_MARK = "\x1c", "\x1d", "\x1e"


class Columns(dict[str, Any]):
    """A row, as the template sees it."""


class NoneValueError(Exception):
    """An expression gave ``None``, which would become the word *None* in a text."""


def not_none(value: Any) -> Any:
    """Pass the value of an expression on.

    :raises NoneValueError: it is ``None``
    """
    if value is None:
        raise NoneValueError
    return value


class LineEnds(Extension):
    """Keeps the line ends of a template. Jinja makes all of them alike; devices that take AT commands do not."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Hide each carriage return."""
        return source.replace(_MARK, _MARK + _IS_MARK).replace("\r", _MARK + _IS_RETURN)

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """Show it again, in text and in strings."""
        for token in stream:
            value = token.value
            if isinstance(value, str) and _MARK in value:
                value = value.replace(_MARK + _IS_RETURN, "\r").replace(_MARK + _IS_MARK, _MARK)
            yield Token(token.lineno, token.type, value)


class _Missing(StrictUndefined):
    """Says what is missing in words that fit a file of targets."""

    @property
    def _undefined_message(self) -> str:
        name = self._undefined_name
        if self._undefined_hint:
            return self._undefined_hint
        if isinstance(self._undefined_obj, Columns):
            columns = ", ".join(map(str, self._undefined_obj))
            return f"no column {name!r} for the payload; the columns are {columns}"
        if self._undefined_obj is not missing:
            return f"no {name!r} for the payload; {super()._undefined_message}"
        return f"no {name!r} for the payload; a column is written {DEVICE}.{name}"


class _Loader(BaseLoader):
    """Reads the files of another loader with their line ends, which Jinja's own loader changes.

    :param files: the other loader
    """

    def __init__(self, files: BaseLoader) -> None:
        self._files = files

    def get_source(self, environment: Environment, template: str) -> tuple[str, str | None, Callable[[], bool] | None]:
        """Return the file's text, its path, and whether it is still the same."""
        text, path, is_current = self._files.get_source(environment, template)
        if path is not None:
            try:
                with open(path, encoding=getattr(self._files, "encoding", "utf-8"), newline="") as file:  # noqa: PTH123
                    text = file.read()
            except OSError:
                raise TemplateNotFound(template) from None
        return text, path, is_current


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja in which ``device.items`` is the column ``items``, if there is one, and not the dict's method.

    :param like: environment with the syntax, filters, macros, tests and files to take over; default: Jinja's own
    """

    def __init__(self, like: Environment | None = None) -> None:
        like = like or Environment(autoescape=False)  # noqa: S701  # a payload is no HTML
        super().__init__(
            block_start_string=like.block_start_string,
            block_end_string=like.block_end_string,
            variable_start_string=like.variable_start_string,
            variable_end_string=like.variable_end_string,
            comment_start_string=like.comment_start_string,
            comment_end_string=like.comment_end_string,
            line_statement_prefix=like.line_statement_prefix,
            line_comment_prefix=like.line_comment_prefix,
            trim_blocks=like.trim_blocks,
            lstrip_blocks=like.lstrip_blocks,
            keep_trailing_newline=True,
            extensions=[LineEnds, *(type(extension) for extension in like.extensions.values())],
            undefined=_Missing,
            finalize=not_none,
            loader=_Loader(like.loader) if like.loader else None,
            cache_size=0,
        )
        self.filters.update(like.filters)
        self.tests.update(like.tests)
        # Not Jinja's own, for the sandbox has a safe range() among them.
        self.globals.update({name: one for name, one in like.globals.items() if name not in DEFAULT_NAMESPACE})

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return an attribute, as a template asks for it."""
        if type(obj) is Columns and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)
