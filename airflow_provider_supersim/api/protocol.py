"""Builds requests, reads replies, judges failures. No I/O: plain functions over httpx's request and response.

Source: the vendor's pages of the *IpCommands*, *Sims* and *Fleets* resources, and each vendor's page on authentication.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

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
from airflow_provider_supersim.api.models import Fleet, IpCommand, IpCommandRequest, Resource, Sim, parse_field

IP_COMMANDS = "/v1/IpCommands"
SIMS = "/v1/Sims"
FLEETS = "/v1/Fleets"

R = TypeVar("R", bound=Resource)
Redact = Callable[[str], str]


class Vendor(msgspec.Struct, frozen=True):
    """What differs between the two vendors of one API."""

    name: str
    base_url: str
    token_url: str | None
    max_page_size: int
    max_concurrency: int


#: KORE publishes no limit; its former owner's is where the pace starts, and it adapts.
VENDORS: Mapping[str, Vendor] = {
    "twilio": Vendor("twilio", "https://supersim.twilio.com", None, 1000, 100),
    "kore": Vendor(
        "kore",
        "https://supersim.api.korewireless.com",
        "https://api.korewireless.com/api-services/v1/auth/token",
        100,
        100,
    ),
}


class Endpoint(msgspec.Struct, frozen=True):
    """Where requests of one client go, and how long each may take."""

    origin: str
    timeout: float

    def get(self, path: str, query: Mapping[str, str | int | None] | None = None) -> httpx.Request:
        """Return a GET; parameters that are ``None`` are left out."""
        given = {key: value for key, value in (query or {}).items() if value is not None}
        url = f"{self.origin}{path}" + (f"?{urlencode(given)}" if given else "")
        return httpx.Request("GET", url, headers=_HEADERS, extensions=_extensions(self.timeout, repeatable=True))

    def get_one(self, collection: str, sid_or_name: str) -> httpx.Request:
        """Return a GET of one resource; a name with ``/`` or ``?`` in it stays one path segment."""
        if not isinstance(sid_or_name, str) or not sid_or_name.strip(". \t\n"):
            raise ValueError(f"{collection}: a sid or a unique name is needed, got {sid_or_name!r}")
        return self.get(f"{collection}/{quote(sid_or_name, safe='')}")

    def create_ip_command(self, command: IpCommandRequest) -> httpx.Request:
        """Return the POST that sends a command. Optional parameters that were not given are left to the vendor."""
        form: dict[str, str | int] = {
            "Sim": command.sim,
            "Payload": command.payload,
            "DevicePort": command.device_port,
            "PayloadType": command.payload_type.value,
        }
        if command.callback_url is not None:
            form["CallbackUrl"] = command.callback_url
        if command.callback_method is not None:
            form["CallbackMethod"] = command.callback_method
        return _form(f"{self.origin}{IP_COMMANDS}", form, self.timeout, repeatable=False)

    def next_page(self, page_url: str) -> httpx.Request:
        """Return the GET of a list's next page.

        :raises UnreadableReplyError: when the link leads elsewhere; credentials never follow it there
        """
        home = httpx.URL(self.origin)
        try:
            url = home.join(page_url)
        except (httpx.InvalidURL, ValueError):
            raise _astray("an address that cannot be read", self.origin) from None
        if _origin(url) != _origin(home) or url.userinfo:
            raise _astray(f"{url.scheme}://{url.host}", self.origin)
        return httpx.Request("GET", url, headers=_HEADERS, extensions=_extensions(self.timeout, repeatable=True))


def _astray(where: str, origin: str) -> UnreadableReplyError:
    return UnreadableReplyError(
        f"the list goes on at {where}, not at {origin}; not followed there",
        request="GET of the next page",
        verdict=Verdict.REFUSED,
    )


#: The encodings are named, for aiohttp would ask for more than httpx can decode where only aiohttp has the library.
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate"}


def _extensions(timeout: float, *, repeatable: bool) -> dict[str, object]:
    # No limit on the wait for a connection of the pool ("pool"): the pace, not the pool, decides who waits.
    return {"timeout": {"connect": timeout, "read": timeout, "write": timeout}, "repeatable": repeatable}


def _form(url: str, form: Mapping[str, str | int], timeout: float, *, repeatable: bool) -> httpx.Request:
    return httpx.Request(
        "POST",
        _parsed(url),
        headers={**_HEADERS, "Content-Type": "application/x-www-form-urlencoded"},
        content=urlencode(form).encode(),
        extensions=_extensions(timeout, repeatable=repeatable),
    )


@lru_cache(maxsize=16)  # parsing the one URL that all commands go to took a tenth of a command's CPU
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    default = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, url.port or default


def basic_header(login: str, password: str) -> str:
    """Return the value of an ``Authorization`` header for HTTP Basic."""
    return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()


def token_request(url: str, client_id: str, client_secret: str, timeout: float) -> httpx.Request:
    """Return KORE's token request (its page *Authentication*)."""
    return _form(
        url,
        {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret},
        timeout,
        repeatable=True,
    )


class Token(msgspec.Struct, frozen=True):
    """A bearer token and its life in seconds."""

    access_token: str
    expires_in: float

    def __repr__(self) -> str:
        return f"Token(expires_in={self.expires_in})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("expires_in", self.expires_in)]


def read_token(response: httpx.Response, redact: Redact) -> Token:
    """Read the token endpoint's reply.

    :raises SuperSimError: where it is not a token
    """
    if not response.is_success:
        raise failure(response, redact)
    try:
        token = msgspec.json.decode(response.content, type=Token)
    except ValueError as error:
        # The body may hold the token: it is not quoted.
        raise _unreadable(response, f"the token endpoint's reply cannot be read ({error})", Verdict.TRY_AGAIN) from None
    usable = token.access_token.isascii() and token.access_token.isprintable()  # as a header must be
    if not token.access_token or not usable or token.expires_in <= 0:
        raise _unreadable(response, "the token endpoint's reply holds no usable token", Verdict.TRY_AGAIN)
    return token


class Page(msgspec.Struct, Generic[R], frozen=True):
    """One page of a list, and where the next is."""

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


def read_one(response: httpx.Response, kind: type[R], redact: Redact) -> R:
    """Read a reply that should be one resource.

    :raises SuperSimError: an :class:`ApiError` for an error status, an :class:`UnreadableReplyError` for anything but
        the resource
    """
    resource = _read(response, kind, redact)
    if not resource.sid:
        raise _unreadable(response, f"the {kind.__name__} in the reply has no sid", unsure(response.request))
    return resource


def read_page(response: httpx.Response, kind: type[R], redact: Redact) -> Page[R]:
    """Read a reply that should be a page of a list.

    :raises SuperSimError: as :func:`read_one` does
    """
    page_kind, key = _PAGES[kind]
    page: Any = _read(response, page_kind, redact)
    return Page(getattr(page, key), page.meta.next_page_url)


T = TypeVar("T")


def _read(response: httpx.Response, kind: type[T], redact: Redact) -> T:
    if not response.is_success:
        raise failure(response, redact)
    try:
        return _DECODERS[kind].decode(response.content)  # type: ignore[return-value]  # decodes what it is keyed by
    except ValueError as error:
        said = redact(str(error))
    # Out here, for the decoder's error quotes what it read and must not be chained to this one.
    words = f"{said}; it begins {_excerpt(response, redact)!r}" if response.content else "it is empty"
    raise _unreadable(response, f"the reply cannot be read: {words}", unsure(response.request))


#: Statuses that say more than their class does. 408: the server gave up on the request, at what point it does not say.
_BY_STATUS: Mapping[int, tuple[type[ApiError], Verdict]] = {
    401: (AuthenticationError, Verdict.REFUSED),
    403: (AuthenticationError, Verdict.REFUSED),
    404: (NotFoundError, Verdict.REFUSED),
    408: (ServerError, Verdict.UNKNOWN),
    429: (TooManyRequestsError, Verdict.TRY_AGAIN),
}


_WORDS = ("message", "error", "error_description")


def failure(response: httpx.Response, redact: Redact) -> SuperSimError:
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
        redact(said) or _excerpt(response, redact) or "no word of explanation came with it",
        request=describe(response.request),
        verdict=verdict,
        status=response.status_code,
        code=int(code) if code.isdecimal() and len(code) < 10 else None,
        more_info=redact(_text(problem, "more_info")) or None,
        retry_after=_retry_after(response),
    )


def says_token_expired(response: httpx.Response) -> bool:
    """Whether the API refuses the token rather than the request: 401, or KORE's 403 that speaks of the token."""
    return response.status_code == 401 or (
        response.status_code == 403 and "token" in _text(_problem(response), "error").lower()
    )


def unsure(request: httpx.Request) -> Verdict:
    """What is known of a request that was sent without a readable answer: only a repeatable one is harmless."""
    return Verdict.TRY_AGAIN if request.extensions.get("repeatable") else Verdict.UNKNOWN


def describe(request: httpx.Request) -> str:
    """Name a request in an error or a log line: method and path, without query, host or credentials."""
    return f"{request.method} {request.url.path}"


def date_of(response: httpx.Response) -> datetime | None:
    """Return the API's own time, from the reply's ``Date`` header."""
    return _http_date(response.headers.get("Date", ""))


def _unreadable(response: httpx.Response, message: str, verdict: Verdict) -> UnreadableReplyError:
    return UnreadableReplyError(
        message, request=describe(response.request), verdict=verdict, status=response.status_code
    )


def _problem(response: httpx.Response) -> dict[str, object]:
    """Return the error body: ``code``, ``message``, ``more_info``, and what KORE's gateway adds (``error…``)."""
    try:
        body = msgspec.json.decode(response.content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _text(problem: Mapping[str, object], key: str) -> str:
    value = problem.get(key)
    return str(value) if isinstance(value, str | int) else ""


def _excerpt(response: httpx.Response, redact: Redact) -> str:
    # Redacted before it is cut: half a secret would not be known again.
    return " ".join(redact(response.content.decode(errors="replace")).split())[:200]


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds to wait; the header's other form, a date, is measured against the reply's own date."""
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
