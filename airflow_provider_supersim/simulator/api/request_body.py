"""Reads the body of a request, as far as a request may go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from airflow_provider_supersim.simulator.api.errors import too_long

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


async def read(headers: Mapping[bytes, bytes], receive: Receive, most: int) -> bytes:
    """Return the body. The server throws away what is left unread.

    :param most: bytes that a body may have.
    :raises ApiError: 413, the body has more, or says so before it comes.
    """
    said = headers.get(b"content-length", b"0")
    if said.isdigit() and int(said) > most:
        raise too_long(most)
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > most:
            raise too_long(most)
        more = message.get("more_body", False)
    return bytes(body)


def media_type(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the body's media type in small letters and without parameters; empty if none is named."""
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
