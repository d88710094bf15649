"""The vendors' API as an ASGI application: sign-in, faults, latency, the concurrency limit.

It is a bare application because benchmarks run through this path. With uvloop and httptools on one of two cores, and
the client on the other, it took 7,800 commands a second to 100,000 SIMs. Each of them went on as a UDP datagram.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow_provider_supersim.simulator.api import faults as kinds
from airflow_provider_supersim.simulator.api import hostile, parameters, replies, request_body
from airflow_provider_supersim.simulator.api.errors import ApiError, method_not_allowed, not_found
from airflow_provider_supersim.simulator.api.operations import OPERATIONS, Request, route_of
from airflow_provider_supersim.simulator.api.replies import Reply
from airflow_provider_supersim.simulator.api.request_body import Receive
from airflow_provider_supersim.simulator.api.traffic import SeenRequest, Traffic
from airflow_provider_supersim.simulator.api.vendors import Vendors
from airflow_provider_supersim.simulator.world.clock import http_date
from airflow_provider_supersim.simulator.world.world import World

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

TRANSPORT = "transport"
"""Key of the connection's transport in the ASGI state. The server puts it there, so that a fault can cut it."""

_FORM = b"application/x-www-form-urlencoded"

_MAX_BODY = 64 * 1024
"""Bytes. The longest command that is in order takes some 6,000, and a long CallbackUrl."""


class VendorApi:
    """Serves the vendors' paths for one world: a reset makes another one."""

    def __init__(self, world: World, vendors: Vendors, faults: kinds.Faults, traffic: Traffic) -> None:
        self._world = world
        self._vendors = vendors
        self._faults = faults
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        self._traffic.enter()
        try:
            await self._serve(scope, receive, send)
        finally:
            self._traffic.leave()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await self._read(scope, receive)
        vendor, options = request.vendor, self._world.options
        fault: kinds.Fault | None = None
        reply: Reply | None
        limit = options.max_concurrency
        if limit and self._traffic.in_flight > limit and request.path != vendor.token_path:
            message = f"Too many requests: more than {limit} at once"
            reply = replies.refusal(vendor, replies.too_many(message, options.retry_after or None))
            wait = 0.0
        else:
            fault = self._faults.draw(request.method, request.path, signs_in_by_token=vendor.token_path is not None)
            reply = self._reply(request, fault)
            wait = options.latency
        self._note(request, reply, fault)
        if isinstance(fault, kinds.Slow | kinds.Hang):
            await _wait(wait + fault.seconds, receive)
        elif wait:
            await asyncio.sleep(wait)
        if reply is None:
            await _cut(scope, receive)
            return
        headers = [
            (b"date", http_date(self._world.clock.now() + options.date_offset)),
            (b"content-type", reply.content_type),
            (b"content-length", b"%d" % len(reply.body)),
            *vendor.reply_headers(self._traffic.in_flight),
            *reply.headers,
        ]
        if isinstance(fault, kinds.Drip | kinds.EndlessBody | kinds.OddHeaders):
            await hostile.send_reply(reply, fault, headers, receive, send)
            return
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def _read(self, scope: Scope, receive: Receive) -> Request:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        path: str = scope["path"]
        route, key = route_of(scope["raw_path"].decode("latin-1"))
        query: dict[str, str] = {}
        form: dict[str, str] = {}
        malformed = None
        try:
            body = await request_body.read(headers, receive, _MAX_BODY)
            query = parameters.parse(scope["query_string"])
            if request_body.media_type(headers) == _FORM:
                form = parameters.parse(body)
        except ApiError as error:
            malformed = error
        return Request(
            method=scope["method"],
            path=path,
            route=route,
            key=key,
            base_url=f"{scope['scheme']}://{headers.get(b'host', b'').decode('latin-1')}",
            headers=headers,
            vendor=self._vendors.of_request(path, headers),
            query=query,
            form=form,
            malformed=malformed,
        )

    def _reply(self, request: Request, fault: kinds.Fault | None) -> Reply | None:
        """Do what is asked, unless a fault prevents it; None: there is no reply."""
        match fault:
            case kinds.TooManyRequests():
                return replies.refusal(request.vendor, replies.too_many("Too many requests", fault.retry_after))
            case kinds.ErrorBefore():
                return replies.refusal(request.vendor, replies.error_of(fault))
            case kinds.DropBefore() | kinds.Hang(accepted=False):
                return None
        try:
            reply = self._perform(request, fault)
        except ApiError as error:
            reply = replies.refusal(request.vendor, error)
        return replies.spoiled(reply, fault, request.vendor)

    def _perform(self, request: Request, fault: kinds.Fault | None) -> Reply:
        vendor = request.vendor
        if request.path == vendor.token_path:
            if request.method != "POST":
                raise method_not_allowed(request.method, "POST")
            if request.malformed is not None:
                raise request.malformed
            return replies.resource(200, vendor.issue_token(request.form))
        expired = isinstance(fault, kinds.ExpiredToken)
        vendor.authenticate(request.headers, may_write=request.method == "POST", expired=expired)
        operations = OPERATIONS.get(request.route)
        if operations is None:
            raise not_found(request.path)
        operation = operations.get(request.method)
        if operation is None:
            raise method_not_allowed(request.method, ", ".join(operations))
        if request.malformed is not None:
            raise request.malformed
        lag = fault.seconds if isinstance(fault, kinds.ListLag) else self._world.options.list_lag
        return replies.resource(*operation(self._world, request, lag))

    def _note(self, request: Request, reply: Reply | None, fault: kinds.Fault | None) -> None:
        """Remember the request, without its secrets."""
        vendor, form = request.vendor, request.form
        if request.path == vendor.token_path:
            form = {name: value for name, value in form.items() if name not in vendor.secret_fields}
        self._traffic.note(
            SeenRequest(
                at=self._world.clock.now(),
                vendor=vendor.name,
                method=request.method,
                path=request.path,
                route=request.route,
                query=request.query,
                form=form,
                status=0 if reply is None else reply.status,
                fault=None if fault is None else kinds.kind(fault),
            )
        )


async def _wait(seconds: float, receive: Receive) -> None:
    """Wait, but no longer than the client does."""
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
