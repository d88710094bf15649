"""Carries a request to its host and the reply back, and says what a failure on the way tells about the request.

Requests are httpx's, and aiohttp carries them: ``docs/why_it_is_fast.md`` says why. No redirect is followed.
"""

from __future__ import annotations

import ssl
import zlib
from functools import lru_cache
from typing import Self

import aiohttp
import httpx
from multidict import CIMultiDict
from yarl import URL

from airflow_provider_supersim.api.errors import (
    NoReplyError,
    NotConnectedError,
    SuperSimError,
    UnreadableReplyError,
    Verdict,
)
from airflow_provider_supersim.api.proxies import proxy_for
from airflow_provider_supersim.api.reply import Redact, Reply
from airflow_provider_supersim.api.requests import describe, unsure
from airflow_provider_supersim.words import quoted

#: Bytes of a reply, packed and unpacked. A page of 1,000 commands with the largest payloads has less than 3 MB.
MOST_BYTES = 16 << 20


class Transport:
    """Connections to the hosts of the API and of the token endpoint. An asynchronous context manager.

    :param ca_bundle: path of a CA bundle; ``None`` for the system's
    :param redact: takes the secrets out of a text
    """

    def __init__(self, ca_bundle: str | None, redact: Redact) -> None:
        self._ca_bundle = ca_bundle
        self._redact = redact
        self._proxies: dict[tuple[str, str, int | None], httpx.Proxy | None] = {}  # by scheme, host and port

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=ssl.create_default_context(cafile=self._ca_bundle) if self._ca_bundle else True,
                limit=0,  # the pace limits
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # its errors do not tell a reply that cannot be unpacked from one that was cut off
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, request: httpx.Request) -> Reply:
        """Send the request once, and read the whole reply, whatever its status.

        :raises SuperSimError: no reply came, or none that can be read; with the verdict on the request
        """
        proxy = self._proxy(request.url)
        seconds: float = request.extensions["timeout"]
        try:
            async with self._session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=CIMultiDict((name.decode(), value.decode()) for name, value in request.headers.raw),
                data=request.read() or None,
                allow_redirects=False,
                timeout=_timeout(seconds),
                proxy=str(proxy.url) if proxy else None,
                proxy_headers=proxy.headers if proxy else None,
            ) as reply:
                body = await _read(reply)
        except aiohttp.ClientError as error:
            failure = _judge(request, error, self._redact)
        except TimeoutError:
            failure = _judge(request, TimeoutError(f"not within {seconds:g} seconds"), self._redact)
        else:
            if body is not None and reply.headers.get("Content-Encoding", "").lower() == "gzip":
                body = _unpack(request, body)
            if body is None:
                raise _unreadable(request, f"the reply is larger than {MOST_BYTES >> 20} MB")
            return Reply(request, reply.status, reply.headers, body)
        # Outside of the except clause, so that it is not chained: aiohttp's errors hold the Authorization header.
        raise failure

    def _proxy(self, url: httpx.URL) -> httpx.Proxy | None:
        key = url.scheme, url.host, url.port
        if key not in self._proxies:
            self._proxies[key] = proxy_for(url)
        return self._proxies[key]


async def _read(reply: aiohttp.ClientResponse) -> bytes | None:
    """Return the whole body, or ``None`` if it is too large. Then the connection is closed, and the rest not read."""
    if reply.content_length is not None and reply.content_length <= MOST_BYTES:
        return await reply.read()
    parts, size = [], reply.content_length or 0
    if size <= MOST_BYTES:
        async for part in reply.content.iter_any():
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES:
                break
    if size > MOST_BYTES:
        reply.close()
        return None
    return b"".join(parts)


def _unpack(request: httpx.Request, body: bytes) -> bytes | None:
    """Return the body unpacked, or ``None`` if it is too large then."""
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(body, MOST_BYTES)
    except zlib.error as error:
        raise _unreadable(request, f"the reply cannot be unpacked: {error}") from None
    if not unpacker.eof:
        if len(content) >= MOST_BYTES:
            return None
        raise _unreadable(request, "the reply cannot be unpacked: it is cut off")
    return content


def _unreadable(request: httpx.Request, words: str) -> UnreadableReplyError:
    return UnreadableReplyError(words, request=describe(request), verdict=unsure(request))


@lru_cache(maxsize=16)
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    # Less for the connection, so that its end is seen first: then it is known that the request did not leave.
    return aiohttp.ClientTimeout(total=seconds, sock_connect=0.9 * seconds)


def _judge(request: httpx.Request, error: Exception, redact: Redact) -> SuperSimError:
    """Say what a failure of the transport tells about the request."""
    what = describe(request)
    said = quoted(redact(str(error)))  # it may quote the reply
    host, said = request.url.host, said or type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        words = f"the certificate of {host} is not trusted: {said}"
        return NotConnectedError(words, request=what, verdict=Verdict.REFUSED)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError):
        return NotConnectedError(f"no connection to {host}: {said}", request=what, verdict=Verdict.TRY_AGAIN)
    return NoReplyError(f"no whole reply from {host}: {said}", request=what, verdict=unsure(request))
