"""The vendors' API over HTTP: sign-in, faults, latency, the concurrency limit, headers and error bodies.

A bare ASGI application, as this is the path that benchmarks run through: with uvloop and httptools on one of two
cores, the client on the other, it took 7,800 commands a second to 100,000 SIMs, each sent on as a UDP datagram
(12,700 to 200 SIMs); at 100 ms latency 100 connections got 980 of the 1,000 that are possible.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import msgspec

from airflow_provider_supersim.simulator.api import faults as kinds
from airflow_provider_supersim.simulator.api import parameters
from airflow_provider_supersim.simulator.api.errors import (
    CODE_OF_STATUS,
    TOO_MANY_REQUESTS,
    ApiError,
    method_not_allowed,
    not_found,
)
from airflow_provider_supersim.simulator.api.operations import OPERATIONS, Request, route_of
from airflow_provider_supersim.simulator.api.traffic import SeenRequest
from airflow_provider_supersim.simulator.api.vendors.kore import Dialect
from airflow_provider_supersim.simulator.control.simulation import Simulation
from airflow_provider_supersim.simulator.process.announcement import TOKEN_PATH
from airflow_provider_supersim.simulator.world.clock import http_date

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

TRANSPORT = "transport"
"""Where in the ASGI state the server leaves the connection's transport, so that a fault can cut it."""

_FORM = b"application/x-www-form-urlencoded"
_JSON = b"application/json"
_SECRETS = frozenset({"client_secret"})
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Reply:
    """A reply, not sent yet."""

    status: int
    body: bytes
    content_type: bytes = _JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Api:
    """Serves both vendors' paths."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        simulation = self._simulation
        traffic = simulation.traffic  # of the world it came into: a reset may happen meanwhile
        traffic.enter()
        try:
            request = await self._read(scope, receive)
            limit = simulation.options.max_concurrency
            fault: kinds.Fault | None = None
            reply: Reply | None
            if limit and traffic.in_flight > limit and request.route != TOKEN_PATH:
                reply = self._over_limit(request, limit)
                wait = 0.0
            else:
                fault = simulation.faults.draw(request.method, request.path, request.dialect.name)
                reply = self._reply(request, fault)
                wait = simulation.options.latency
            traffic.note(
                SeenRequest(
                    at=simulation.clock.now(),
                    vendor=request.dialect.name,
                    method=request.method,
                    path=request.path,
                    route=request.route,
                    query=request.query,
                    form=request.form,
                    status=0 if reply is None else reply.status,
                    fault=None if fault is None else kinds.kind(fault),
                )
            )
            if isinstance(fault, kinds.Slow | kinds.Hang):
                await _wait(wait + fault.seconds, receive)
            elif wait:
                await asyncio.sleep(wait)
            if reply is None:
                await _cut(scope, receive)
                return
            headers = [
                (b"date", http_date(simulation.clock.now())),
                (b"content-type", reply.content_type),
                (b"content-length", b"%d" % len(reply.body)),
                *request.dialect.headers(traffic.in_flight),
                *reply.headers,
            ]
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            await send({"type": "http.response.body", "body": reply.body})
        finally:
            traffic.leave()

    async def _read(self, scope: Scope, receive: Receive) -> Request:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        authorization = host = content_type = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"host":
                host = value
            elif name == b"content-type":
                content_type = value
        path: str = scope["path"]
        presented = authorization.decode("latin-1")
        query: dict[str, str] = {}
        form: dict[str, str] = {}
        malformed = None
        try:
            query = parameters.parse(scope["query_string"])
            if content_type.startswith(_FORM):
                form = parameters.parse(body)
        except ApiError as error:
            malformed = error
        return Request(
            method=scope["method"],
            path=path,
            route=path if path == TOKEN_PATH else route_of(path),
            base_url=f"{scope['scheme']}://{host.decode('latin-1')}",
            authorization=presented,
            dialect=self._dialect(path, presented),
            query=query,
            form=form,
            malformed=malformed,
        )

    def _dialect(self, path: str, authorization: str) -> Dialect:
        vendor: str = self._simulation.options.vendor
        if vendor == "both":
            bearer = authorization[:7].lower() == "bearer "
            vendor = "kore" if bearer or path == TOKEN_PATH else "twilio"
        return self._simulation.dialects[vendor]

    def _reply(self, request: Request, fault: kinds.Fault | None) -> Reply | None:
        """Do what is asked, as far as the fault lets it; None: there will be no reply."""
        match fault:
            case kinds.TooManyRequests():
                return _refusal(request, _too_many("Too many requests", fault.retry_after))
            case kinds.ErrorBefore():
                return _refusal(request, _failure(fault))
            case kinds.DropBefore() | kinds.Hang(accepted=False):
                return None
        try:
            reply = self._perform(request, fault)
        except ApiError as error:
            reply = _refusal(request, error)
        return _spoil(request, reply, fault)

    def _perform(self, request: Request, fault: kinds.Fault | None) -> Reply:
        simulation = self._simulation
        if request.path == TOKEN_PATH and request.dialect.name == "kore":
            return self._issue_token(request)
        request.dialect.authenticate(
            request.authorization,
            may_write=request.method == "POST",
            expired=isinstance(fault, kinds.ExpiredToken),
        )
        operations = OPERATIONS.get(request.route)
        if operations is None:
            raise not_found(request.path)
        operation = operations.get(request.method)
        if operation is None:
            raise method_not_allowed(request.method, ", ".join(operations))
        if request.malformed is not None:
            raise request.malformed
        lag = fault.seconds if isinstance(fault, kinds.ListLag) else simulation.options.list_lag
        status, resource = operation(simulation, request, lag)
        return Reply(status, _encode(resource))

    def _issue_token(self, request: Request) -> Reply:
        if request.method != "POST":
            raise method_not_allowed(request.method, "POST")
        form = request.form
        request.form = {name: value for name, value in form.items() if name not in _SECRETS}
        return Reply(200, _encode(self._simulation.kore.issue(form)))

    def _over_limit(self, request: Request, limit: int) -> Reply:
        message = f"Too many requests: more than {limit} at once"
        return _refusal(request, _too_many(message, self._simulation.options.retry_after or None))


def _spoil(request: Request, reply: Reply, fault: kinds.Fault | None) -> Reply | None:
    """Do to a reply what a fault does once the work is done. A refusal stays what it is, unless it is lost."""
    match fault:
        case kinds.DropAfter() | kinds.Hang():
            return None
        case kinds.ErrorAfter() if reply.status < 400:
            return _refusal(request, _failure(fault))
        case kinds.Garbage() if reply.status < 400:
            return _garbage(reply, fault.body)
    return reply


def _refusal(request: Request, error: ApiError) -> Reply:
    body = error.body or {
        "code": error.code,
        "message": error.message,
        "more_info": f"{request.dialect.docs}{error.code}",
        "status": error.status,
    }
    return Reply(error.status, _encode(body), headers=error.headers)


def _too_many(message: str, retry_after: int | None) -> ApiError:
    return ApiError(429, TOO_MANY_REQUESTS, message, headers=_retry_after(retry_after))


def _failure(fault: kinds.ErrorBefore | kinds.ErrorAfter) -> ApiError:
    code = fault.code or CODE_OF_STATUS.get(fault.status, fault.status + 20000)
    return ApiError(fault.status, code, fault.message, headers=_retry_after(fault.retry_after))


def _retry_after(seconds: int | None) -> tuple[tuple[bytes, bytes], ...]:
    return () if seconds is None else ((b"retry-after", b"%d" % seconds),)


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


async def _wait(seconds: float, receive: Receive) -> None:
    """Wait, but not for a client that has gone."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await _gone(receive)


async def _cut(scope: Scope, receive: Receive) -> None:
    """Close the connection as a broken line does: at once, without a byte."""
    scope["state"][TRANSPORT].abort()
    await _gone(receive)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
