"""Reads replies and judges failures: plain functions over a :class:`Reply`. No I/O.

Sources: https://www.twilio.com/docs/iot/supersim/api, the pages of the *IpCommands*, *Sims* and *Fleets* resources, and
https://www.twilio.com/docs/api/errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from airflow_provider_supersim.api.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    ServerError,
    SuperSimError,
    TooManyRequestsError,
    UnreadableReplyError,
    Verdict,
)
from airflow_provider_supersim.api.models import Fleet, IpCommand, Resource, Sim, parse_field
from airflow_provider_supersim.api.requests import describe, unsure
from airflow_provider_supersim.words import duration, quoted

#: Seconds: no pause is longer, whatever ``Retry-After`` asks for.
LONGEST_RETRY_AFTER = 120.0
#: Characters of a sid or an address that is believed.
LONGEST_SID, LONGEST_PAGE = 64, 200
#: What decoding raises for a reply that is not what it should be.
BAD_JSON = (ValueError, RecursionError)

R = TypeVar("R", bound=Resource)
Redact = Callable[[str], str]


class Reply(msgspec.Struct, frozen=True):
    """A whole reply, with its body unpacked."""

    request: httpx.Request
    status_code: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        """Tell whether the status is one of 2xx."""
        return 200 <= self.status_code < 300


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
        raise _unreadable(response, f"the token endpoint's reply cannot be read ({error})", Verdict.TRY_AGAIN) from None
    usable = token.access_token.isascii() and token.access_token.isprintable()  # as a header must be
    lives = token.expires_in is None or token.expires_in > 0
    if not token.access_token or not usable or not lives:
        raise _unreadable(response, "the token endpoint's reply holds no usable token", Verdict.TRY_AGAIN)
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
        raise _unusable(response, "it has no sid that can be used", redact)
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
    raise _unusable(response, said, redact)


def _unusable(response: Reply, why: str, redact: Redact) -> UnreadableReplyError:
    words = f"{why}; it begins {_excerpt(response, redact)!r}" if response.content else "it is empty"
    return _unreadable(response, f"the reply cannot be read: {words}", unsure(response.request))


#: Statuses that say more than "4xx" or "5xx". 408: the server gave up on the request, and does not say how far it was.
_BY_STATUS: Mapping[int, tuple[type[ApiError], Verdict]] = {
    401: (AuthenticationError, Verdict.REFUSED),
    403: (AuthenticationError, Verdict.REFUSED),
    404: (NotFoundError, Verdict.REFUSED),
    408: (ServerError, Verdict.UNKNOWN),
    429: (TooManyRequestsError, Verdict.TRY_AGAIN),
}


_WORDS = ("message", "error", "error_description")


def failure(response: Reply, redact: Redact) -> SuperSimError:
    """Turn a reply with an error status into the error to raise."""
    kind, verdict = _BY_STATUS.get(
        response.status_code,
        (BadRequestError, Verdict.REFUSED)
        if 400 <= response.status_code < 500
        else (ServerError, unsure(response.request)),
    )
    if verdict is Verdict.UNKNOWN:
        verdict = unsure(response.request)
    problem = _problem(response)
    said = redact(": ".join(word for key in _WORDS if (word := _text(problem, key))))
    said = quoted(said) or _excerpt(response, redact) or "the reply gives no reason"
    code = _text(problem, "code")
    wish = _retry_after(response)
    if wish is not None and wish > LONGEST_RETRY_AFTER:
        asked = quoted(response.headers["Retry-After"], 40)
        said = f"{said.rstrip('.')}; Retry-After: {asked} is above the longest pause of {duration(LONGEST_RETRY_AFTER)}"
        wish = LONGEST_RETRY_AFTER
    return kind(
        said,
        request=describe(response.request),
        verdict=verdict,
        status=response.status_code,
        code=int(code) if code.isdecimal() and len(code) < 10 else None,
        more_info=_web_page(redact(_text(problem, "more_info"))),
        retry_after=wish,
    )


def error_field(response: Reply, key: str) -> str:
    """Return a field of an error body as text; empty if there is none."""
    return _text(_problem(response), key)


def _unreadable(response: Reply, message: str, verdict: Verdict) -> UnreadableReplyError:
    return UnreadableReplyError(
        message, request=describe(response.request), verdict=verdict, status=response.status_code
    )


def _problem(response: Reply) -> dict[str, object]:
    """Return the error body: ``code``, ``message``, ``more_info``, and what a gateway adds (``error…``)."""
    try:
        body = msgspec.json.decode(response.content)
    except BAD_JSON:
        return {}
    return body if isinstance(body, dict) else {}


def _text(problem: Mapping[str, object], key: str) -> str:
    value = problem.get(key)
    return str(value) if isinstance(value, str | int) else ""


def _web_page(address: str) -> str | None:
    """Return an address that a log may offer for a click: a short http(s) URL, or none."""
    with suppress(ValueError):
        parts = urlsplit(address)
        signs = address.isascii() and address.isprintable() and " " not in address
        if parts.scheme in ("http", "https") and parts.hostname and signs and len(address) <= LONGEST_PAGE:
            return address
    return None


def _excerpt(response: Reply, redact: Redact) -> str:
    # Redacted before it is cut, because half a secret would not be found.
    return quoted(redact(response.content.decode(errors="replace")), 200)


def _retry_after(response: Reply) -> float | None:
    """Return the seconds to wait. If the header is a date, it is compared with the reply's own date."""
    value = response.headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        until, now = _http_date(value), _http_date(response.headers.get("Date", ""))
        if until is None or now is None:
            return None
        seconds = (until - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
