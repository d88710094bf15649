"""Replies of the API: the ordinary ones, refusals, and what a fault makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from airflow_provider_supersim.simulator.api import faults as kinds
from airflow_provider_supersim.simulator.api.errors import CODE_OF_STATUS, TOO_MANY_REQUESTS, ApiError
from airflow_provider_supersim.simulator.api.vendors import Headers, Vendor

_JSON = b"application/json"
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Reply:
    """A reply that was not sent yet."""

    status: int
    body: bytes
    content_type: bytes = _JSON
    headers: Headers = ()


def resource(status: int, content: dict[str, Any]) -> Reply:
    """Return a reply with a resource in it."""
    return Reply(status, _encode(content))


def refusal(vendor: Vendor[Any], error: ApiError) -> Reply:
    """Return a refusal as the vendor writes it."""
    return Reply(error.status, _encode(vendor.error_body(error)), headers=error.headers)


def too_many(message: str, retry_after: int | None) -> ApiError:
    """Return a 429.

    :param retry_after: seconds for the ``Retry-After`` header; None: no such header.
    """
    return ApiError(429, TOO_MANY_REQUESTS, message, headers=_retry_after(retry_after))


def error_of(fault: kinds.ErrorBefore | kinds.ErrorAfter) -> ApiError:
    """Return the error that a fault describes."""
    code = fault.code or CODE_OF_STATUS.get(fault.status, fault.status + 20000)
    return ApiError(fault.status, code, fault.message, headers=_retry_after(fault.retry_after))


def spoiled(reply: Reply, fault: kinds.Fault | None, vendor: Vendor[Any]) -> Reply | None:
    """Return what a fault leaves of a reply once the work is done; None: nothing.

    Errors and garbage replace successes only: a refusal stays as it is, unless it is lost.
    """
    match fault:
        case kinds.DropAfter() | kinds.Hang():
            return None
        case kinds.ErrorAfter() if reply.status < 400:
            return refusal(vendor, error_of(fault))
        case kinds.Garbage() if reply.status < 400:
            return _garbage(reply, fault.body)
        case kinds.CyclicPages() | kinds.BadRow() if reply.status < 400:
            return _bad_page(reply, fault)
    return reply


def _retry_after(seconds: int | None) -> Headers:
    return () if seconds is None else ((b"retry-after", b"%d" % seconds),)


def _bad_page(reply: Reply, fault: kinds.CyclicPages | kinds.BadRow) -> Reply:
    content = msgspec.json.decode(reply.body)
    meta = content.get("meta")
    if meta is None:
        return reply  # no list
    if isinstance(fault, kinds.CyclicPages):
        meta["next_page_url"] = meta["first_page_url"]
    elif rows := content[meta["key"]]:
        rows[0] = None
    return Reply(reply.status, _encode(content))


def _garbage(reply: Reply, body: str) -> Reply:
    match body:
        case "html":
            page = b"<html><body><h1>Welcome</h1><p>The proxy is being configured.</p></body></html>"
            return Reply(reply.status, page, b"text/html; charset=utf-8")
        case "empty":
            return Reply(reply.status, b"")
        case "truncated":
            return Reply(reply.status, reply.body[: len(reply.body) // 2])
        case _:
            return Reply(reply.status, b'{"result":["ok"]}')
