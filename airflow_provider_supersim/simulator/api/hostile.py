"""Sends replies as a hostile server does: a byte at a time, without end, or with odd headers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow_provider_supersim.simulator.api import faults as kinds
from airflow_provider_supersim.simulator.api.replies import Reply

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: Bytes of each part of a body without end.
PART = b" " * 65536


async def send_reply(
    reply: Reply,
    fault: kinds.Drip | kinds.EndlessBody | kinds.OddHeaders,
    headers: list[tuple[bytes, bytes]],
    receive: Receive,
    send: Send,
) -> None:
    """Send a reply as the fault says, until the client hangs up."""
    if isinstance(fault, kinds.OddHeaders):
        odd = {name.lower().encode(): value.encode() for name, value in fault.headers.items()}
        headers = [(name, value) for name, value in headers if name not in odd] + list(odd.items())
    elif isinstance(fault, kinds.EndlessBody):
        headers = [(name, value) for name, value in headers if name != b"content-length"]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if isinstance(fault, kinds.OddHeaders):
        await send({"type": "http.response.body", "body": reply.body})
        return
    gone = asyncio.create_task(_gone(receive))
    try:
        if isinstance(fault, kinds.Drip):
            for byte in reply.body:
                await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(gone), fault.seconds)
                if gone.done():
                    return
            await send({"type": "http.response.body", "body": b""})
        while isinstance(fault, kinds.EndlessBody) and not gone.done():
            await send({"type": "http.response.body", "body": PART, "more_body": True})
            await asyncio.sleep(0)
    finally:
        gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
