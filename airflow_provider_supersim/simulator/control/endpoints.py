"""What the control plane's endpoints share: JSON in, JSON out, refusals, and lists in portions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from airflow_provider_supersim.simulator.api import request_body
from airflow_provider_supersim.simulator.api.errors import ApiError
from airflow_provider_supersim.simulator.control.web_pages import refuse_web_pages
from airflow_provider_supersim.simulator.world.models import Fleet, Sim
from airflow_provider_supersim.simulator.world.options import field_first
from airflow_provider_supersim.simulator.world.world import World

DEFAULT_LIMIT = 10_000
"""Items in one reply of a list if the client names no limit."""

MAX_BODY = 64 * 2**20
"""Bytes. The sids of a million SIMs take 38 MB."""

T = TypeVar("T")


def endpoint(handler: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    """Make an endpoint of a function: what it returns becomes JSON, and a ValueError a 400."""

    async def serve(request: Request) -> Response:
        refuse_web_pages(request)
        try:
            return _json(await handler(request))
        except msgspec.ValidationError as error:
            return _json({"error": field_first(error)}, 400)
        except ValueError as error:
            return _json({"error": str(error)}, 400)

    return serve


def http_error(_request: Request, error: Exception) -> Response:
    """Answer with JSON to Starlette's own errors."""
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
    return _json({"error": detail}, status)


async def body(request: Request, kind: type[T]) -> T:
    """Read a JSON body; an empty body means an empty object.

    :raises HTTPException: 413, it is too long; 415, it does not say that it is JSON, as no form of a web page can.
    :raises ValueError: it is not JSON or does not fit ``kind``.
    """
    headers = dict(request.scope["headers"])
    try:
        text = await request_body.read(headers, request.receive, MAX_BODY)
    except ApiError as error:
        raise HTTPException(error.status, error.message) from None
    if text and request_body.media_type(headers) != b"application/json":
        raise HTTPException(415, "the body must be JSON, with the header 'Content-Type: application/json'")
    try:
        return msgspec.json.decode(text or b"{}", type=kind)
    except RecursionError:
        raise ValueError("the body is nested too deeply") from None


def portion(key: str, request: Request, items: Iterable[T], view: Callable[[T], Any]) -> dict[str, Any]:
    """Return ``limit`` items from ``offset`` on, and the offset of the next ones (null: there are none)."""
    offset = _number(request, "offset", 0)
    limit = _number(request, "limit", DEFAULT_LIMIT)
    found = list(islice(items, offset, offset + limit + 1))
    more = len(found) > limit
    return {key: [view(item) for item in found[:limit]], "next_offset": offset + limit if more else None}


def find_sim(world: World, key: str) -> Sim:
    """Return the SIM with this sid or unique_name.

    :raises HTTPException: 404, there is none.
    """
    sim = world.sims.find(key)
    if sim is None:
        raise HTTPException(404, f"there is no SIM with the sid or unique_name {key!r}")
    return sim


def find_fleet(world: World, key: str) -> Fleet:
    """Return the Fleet with this sid or unique_name.

    :raises HTTPException: 404, there is none.
    """
    fleet = world.find_fleet(key)
    if fleet is None:
        raise HTTPException(404, f"there is no Fleet with the sid or unique_name {key!r}")
    return fleet


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdecimal():
        raise ValueError(f"{name}: {text!r} is not a whole number from 0")
    return int(text)
