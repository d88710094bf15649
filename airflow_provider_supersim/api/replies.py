"""Reads replies and judges failures: plain functions over a :class:`Reply`. No I/O.

Sources: https://www.twilio.com/docs/iot/supersim/api, the pages of the *IpCommands*, *Sims* and *Fleets* resources, and
https://www.twilio.com/docs/api/errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar

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
    """A bearer token, and for how many seconds it can be used."""

    access_token: str
    expires_in: float

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
        token = msgspec.json.decode(response.content, type=Token)
    except ValueError as error:
        # Not quoted, because the body may hold the token.
        raise _unreadable(response, f"the token endpoint's reply cannot be read ({error})", Verdict.TRY_AGAIN) from None
    usable = token.access_token.isascii() and token.access_token.isprintable()  # as a header must be
    if not token.access_token or not usable or token.expires_in <= 0:
        raise _unreadable(response, "the token endpoint's reply holds no usable token", Verdict.TRY_AGAIN)
    return token


class Page(msgspec.Struct, Generic[R], frozen=True):
    """One page of a list, and the link to the next."""

    items: list[R]
    next_page_url: str | None


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
    for kind in (IpCommand, Sim, Fleet, _IpCommandPage, _SimPage, _FleetPage)
}
_PAGES: Mapping[type, tuple[type, str]] = {
    IpCommand: (_IpCommandPage, "ip_commands"),
    Sim: (_SimPage, "sims"),
    Fleet: (_FleetPage, "fleets"),
}


def read_one(response: Reply, kind: type[R], redact: Redact) -> R:
    """Read a reply that should be one resource.

    :raises ApiError: the reply has an error status
    :raises UnreadableReplyError: the reply is anything but the resource
    """
    resource = _read(response, kind, redact)
    if not resource.sid:
        raise _unreadable(response, f"the {kind.__name__} in the reply has no sid", unsure(response.request))
    return resource


def read_page(response: Reply, kind: type[R], redact: Redact) -> Page[R]:
    """Read a reply that should be a page of a list.

    :raises SuperSimError: as :func:`read_one` does
    """
    page_kind, key = _PAGES[kind]
    page: Any = _read(response, page_kind, redact)
    return Page(getattr(page, key), page.meta.next_page_url)


T = TypeVar("T")


def _read(response: Reply, kind: type[T], redact: Redact) -> T:
    if not response.is_success:
        raise failure(response, redact)
    try:
        return _DECODERS[kind].decode(response.content)  # type: ignore[return-value]  # decodes what it is keyed by
    except ValueError as error:
        said = redact(str(error))
    # Outside of the except clause, so that it is not chained: the decoder's error quotes the reply.
    words = f"{said}; it begins {_excerpt(response, redact)!r}" if response.content else "it is empty"
    raise _unreadable(response, f"the reply cannot be read: {words}", unsure(response.request))


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
    said = ": ".join(word for key in _WORDS if (word := _text(problem, key)))
    code = _text(problem, "code")
    return kind(
        redact(said) or _excerpt(response, redact) or "the reply gives no reason",
        request=describe(response.request),
        verdict=verdict,
        status=response.status_code,
        code=int(code) if code.isdecimal() and len(code) < 10 else None,
        more_info=redact(_text(problem, "more_info")) or None,
        retry_after=_retry_after(response),
    )


def error_field(response: Reply, key: str) -> str:
    """Return a field of an error body as text; empty if there is none."""
    return _text(_problem(response), key)


def date_of(response: Reply) -> datetime | None:
    """Return the API's own time, from the reply's ``Date`` header."""
    return _http_date(response.headers.get("Date", ""))


def _unreadable(response: Reply, message: str, verdict: Verdict) -> UnreadableReplyError:
    return UnreadableReplyError(
        message, request=describe(response.request), verdict=verdict, status=response.status_code
    )


def _problem(response: Reply) -> dict[str, object]:
    """Return the error body: ``code``, ``message``, ``more_info``, and what a gateway adds (``error…``)."""
    try:
        body = msgspec.json.decode(response.content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _text(problem: Mapping[str, object], key: str) -> str:
    value = problem.get(key)
    return str(value) if isinstance(value, str | int) else ""


def _excerpt(response: Reply, redact: Redact) -> str:
    # Redacted before it is cut, because half a secret would not be found.
    return " ".join(redact(response.content.decode(errors="replace")).split())[:200]


def _retry_after(response: Reply) -> float | None:
    """Return the seconds to wait. If the header is a date, it is compared with the reply's own date."""
    value = response.headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        until, now = _http_date(value), date_of(response)
        if until is None or now is None:
            return None
        seconds = (until - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
