"""Reads replies: plain functions over a :class:`~airflow_provider_supersim.api.reply.Reply`. No I/O.

Source: https://www.twilio.com/docs/iot/supersim/api, the pages of the *IpCommands*, *Sims* and *Fleets* resources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

from airflow_provider_supersim.api.errors import Verdict
from airflow_provider_supersim.api.judging import failure, unreadable, unusable
from airflow_provider_supersim.api.models import Fleet, IpCommand, Resource, Sim, parse_field
from airflow_provider_supersim.api.reply import BAD_JSON, Redact, Reply
from airflow_provider_supersim.words import quoted

#: Characters of a sid that is believed.
LONGEST_SID = 64

R = TypeVar("R", bound=Resource)


class Token(msgspec.Struct, frozen=True):
    """A bearer token, and for how many seconds it can be used; ``None``: the endpoint does not say."""

    access_token: str
    expires_in: float | None = None

    def __repr__(self) -> str:
        return f"Token(expires_in={self.expires_in})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("expires_in", self.expires_in)]


def read_token(response: Reply, redact: Redact) -> Token:
    """Read the token endpoint's reply.

    :raises SuperSimError: the reply is not a token
    """
    if not response.is_success:
        raise failure(response, redact)
    try:
        token = msgspec.json.decode(response.content, type=Token, strict=False)  # the life may be written as text
    except BAD_JSON as error:
        # Not quoted, because the body may hold the token.
        raise unreadable(response, f"the token endpoint's reply cannot be read ({error})", Verdict.TRY_AGAIN) from None
    usable = token.access_token.isascii() and token.access_token.isprintable()  # as a header must be
    lives = token.expires_in is None or token.expires_in > 0
    if not token.access_token or not usable or not lives:
        raise unreadable(response, "the token endpoint's reply holds no usable token", Verdict.TRY_AGAIN)
    return token


class Page(msgspec.Struct, Generic[R], frozen=True):
    """One page of a list, and the link to the next.

    :ivar skipped: number of rows that could not be read
    """

    items: list[R]
    next_page_url: str | None
    skipped: int = 0


class _Meta(msgspec.Struct, frozen=True):
    next_page_url: str | None = None


class _IpCommandPage(msgspec.Struct, frozen=True):
    ip_commands: list[IpCommand]
    meta: _Meta


class _SimPage(msgspec.Struct, frozen=True):
    sims: list[Sim]
    meta: _Meta


class _FleetPage(msgspec.Struct, frozen=True):
    fleets: list[Fleet]
    meta: _Meta


_DECODERS: dict[type, msgspec.json.Decoder[object]] = {
    kind: msgspec.json.Decoder(kind, dec_hook=parse_field)
    for kind in (IpCommand, Sim, Fleet, _IpCommandPage, _SimPage, _FleetPage, _Meta)
}
_PAGES: Mapping[type, tuple[type, str]] = {
    IpCommand: (_IpCommandPage, "ip_commands"),
    Sim: (_SimPage, "sims"),
    Fleet: (_FleetPage, "fleets"),
}
_FIELDS: Mapping[type, Mapping[str, msgspec.json.Decoder[object]]] = {
    kind: {
        # Not strict: a number that is written as a text is read.
        field.encode_name: msgspec.json.Decoder(field.type, dec_hook=parse_field, strict=False)
        for field in msgspec.structs.fields(kind)
    }
    for kind in _PAGES
}
_RAW_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAW_ROWS = msgspec.json.Decoder(list[msgspec.Raw])


def read_one(response: Reply, kind: type[R], redact: Redact) -> R:
    """Read a reply that should be one resource. Only its sid must be there and be readable.

    :raises ApiError: the reply has an error status
    :raises UnreadableReplyError: the reply is anything but the resource
    """
    resource: R = _read(response, redact, _DECODERS[kind].decode, partial(_read_fields, kind))
    sid = resource.sid
    if not sid or len(sid) > LONGEST_SID or not sid.isprintable():
        raise unusable(response, "it has no sid that can be used", redact)
    return resource


def read_page(response: Reply, kind: type[R], redact: Redact) -> Page[R]:
    """Read a reply that should be a page of a list. A row that cannot be read costs no other row.

    :raises SuperSimError: as :func:`read_one` does
    """
    page_kind, key = _PAGES[kind]

    def read_whole(content: bytes) -> Page[R]:
        page: Any = _DECODERS[page_kind].decode(content)
        return Page(getattr(page, key), page.meta.next_page_url)

    def read_row_by_row(content: bytes) -> Page[R]:
        page = _RAW_FIELDS.decode(content)
        meta: Any = _DECODERS[_Meta].decode(page["meta"])
        read = [_read_row(kind, row) for row in _RAW_ROWS.decode(page[key])]
        rows = [row for row in read if row is not None]
        return Page(rows, meta.next_page_url, skipped=len(read) - len(rows))

    page: Page[R] = _read(response, redact, read_whole, read_row_by_row)
    if kind is IpCommand:
        return page  # a row without a sid may be a command that is looked for
    rows = [row for row in page.items if row.sid]
    return Page(rows, page.next_page_url, page.skipped + len(page.items) - len(rows))


def _read_row(kind: type[R], row: msgspec.Raw) -> R | None:
    with suppress(*BAD_JSON):
        return _DECODERS[kind].decode(row)  # type: ignore[return-value]  # decodes what it is keyed by
    with suppress(*BAD_JSON):
        return _read_fields(kind, row)
    return None


def _read_fields(kind: type[R], content: bytes | msgspec.Raw) -> R:
    """Read each field by itself. One that cannot be read is as good as missing."""
    given = _RAW_FIELDS.decode(content)
    fields: dict[str, object] = {}
    for name, decoder in _FIELDS[kind].items():
        if name in given:
            with suppress(*BAD_JSON):
                fields[name] = decoder.decode(given[name])
    return kind(**fields)  # type: ignore[arg-type]  # each was decoded as its field says


T = TypeVar("T")


def _read(response: Reply, redact: Redact, read_whole: Callable[[bytes], Any], read_parts: Callable[[bytes], T]) -> T:
    """Read a reply at once; if that fails, read what can be read of it."""
    if not response.is_success:
        raise failure(response, redact)
    try:
        return read_whole(response.content)  # type: ignore[no-any-return]
    except BAD_JSON as error:
        said = quoted(redact(str(error)))
    with suppress(KeyError, *BAD_JSON):
        return read_parts(response.content)
    # Outside of the except clause, so that it is not chained: the decoder's error quotes the reply.
    raise unusable(response, said, redact)
