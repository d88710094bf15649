"""Judges replies that are no answer: which error to raise, and what it says about the request. No I/O.

Source: https://www.twilio.com/docs/api/errors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

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
from airflow_provider_supersim.api.reply import BAD_JSON, Redact, Reply
from airflow_provider_supersim.api.requests import describe, unsure
from airflow_provider_supersim.words import duration, quoted

#: Seconds: no pause is longer, whatever ``Retry-After`` asks for.
LONGEST_RETRY_AFTER = 120.0
#: Characters of an address that a log offers.
LONGEST_PAGE = 200

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


def unusable(response: Reply, why: str, redact: Redact) -> UnreadableReplyError:
    """Return the error for a reply that is not what it should be.

    :param why: what is wrong with it, in words that may be shown
    """
    words = f"{why}; it begins {_excerpt(response, redact)!r}" if response.content else "it is empty"
    return unreadable(response, f"the reply cannot be read: {words}", unsure(response.request))


def unreadable(response: Reply, message: str, verdict: Verdict) -> UnreadableReplyError:
    """Return the error for a reply that cannot be read, of which nothing is quoted."""
    return UnreadableReplyError(
        message, request=describe(response.request), verdict=verdict, status=response.status_code
    )


def error_field(response: Reply, key: str) -> str:
    """Return a field of an error body as text; empty if there is none."""
    return _text(_problem(response), key)


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
