"""Carries a request to its host and the reply back, and says what a failure on the way tells about the request.

Requests are httpx's, and aiohttp carries them: ``docs/why_it_is_fast.md`` says why. No redirect is followed.
"""

from __future__ import annotations

import gzip
import ssl
import zlib
from functools import lru_cache
from typing import Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from multidict import CIMultiDict
from yarl import URL

from airflow_provider_supersim.api import replies
from airflow_provider_supersim.api.auth import basic_header
from airflow_provider_supersim.api.errors import (
    NoReplyError,
    NotConnectedError,
    SuperSimError,
    UnreadableReplyError,
    Verdict,
)
from airflow_provider_supersim.api.requests import describe, unsure


class Transport:
    """Connections to the hosts of the API and of the token endpoint. An asynchronous context manager.

    :param ca_bundle: path of a CA bundle; ``None`` for the system's
    :param redact: takes the secrets out of a text
    """

    def __init__(self, ca_bundle: str | None, redact: replies.Redact) -> None:
        self._ca_bundle = ca_bundle
        self._redact = redact
        self._proxies: dict[tuple[str, str], httpx.Proxy | None] = {}  # by scheme and host

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

    async def send(self, request: httpx.Request) -> replies.Reply:
        """Send the request once, and read the whole reply, whatever its status.

        :raises SuperSimError: no reply came, or none that can be read; with the verdict on the request
        """
        proxy = self._proxy(request.url)
        try:
            async with self._session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=CIMultiDict((name.decode(), value.decode()) for name, value in request.headers.raw),
                data=request.read() or None,
                allow_redirects=False,
                timeout=_timeout(request.extensions["timeout"]),
                proxy=str(proxy.url) if proxy else None,
                proxy_headers=proxy.headers if proxy else None,
            ) as reply:
                body = await reply.read()
        except aiohttp.ClientError as error:
            failure = _judge(request, error, self._redact)
        else:
            if reply.headers.get("Content-Encoding", "").lower() == "gzip":
                body = _unpack(request, body)
            return replies.Reply(request, reply.status, reply.headers, body)
        # Outside of the except clause, so that it is not chained: aiohttp's errors hold the Authorization header.
        raise failure

    def _proxy(self, url: httpx.URL) -> httpx.Proxy | None:
        key = url.scheme, url.host
        if key not in self._proxies:
            self._proxies[key] = _proxy(url)
        return self._proxies[key]


def _unpack(request: httpx.Request, body: bytes) -> bytes:
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        words = f"the reply cannot be unpacked: {error}"
        raise UnreadableReplyError(words, request=describe(request), verdict=unsure(request)) from None


@lru_cache(maxsize=16)
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    # No limit on the whole, and none on the wait for a connection: the pace decides who waits, not the pool.
    return aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds)


def _proxy(url: httpx.URL) -> httpx.Proxy | None:
    """Return the environment's proxy for a URL.

    aiohttp's ``trust_env`` would also take credentials from ``~/.netrc``, which are not this account's.

    :raises NotConnectedError: the environment names a proxy of a kind that is not supported
    """
    proxies = {} if proxy_bypass(url.host) else getproxies()
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address:
        return None
    try:
        proxy = httpx.URL(address if "://" in address else f"http://{address}")
    except httpx.InvalidURL:
        proxy = httpx.URL()
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise NotConnectedError(
            f"the environment's proxy for {url.host} is no http(s) URL",
            request=f"connection to {url.host}",
            verdict=Verdict.REFUSED,
        )
    # As a header, because aiohttp has deprecated its parameter for a proxy's credentials.
    sign_in = {"Proxy-Authorization": basic_header(proxy.username, proxy.password)} if proxy.userinfo else None
    return httpx.Proxy(proxy.copy_with(userinfo=b""), headers=sign_in)


def _judge(request: httpx.Request, error: aiohttp.ClientError, redact: replies.Redact) -> SuperSimError:
    """Say what a failure of the transport tells about the request."""
    what = describe(request)
    said = " ".join(redact(str(error)).split())  # it may quote the reply
    host, said = request.url.host, said or type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        words = f"the certificate of {host} is not trusted: {said}"
        return NotConnectedError(words, request=what, verdict=Verdict.REFUSED)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError):
        return NotConnectedError(f"no connection to {host}: {said}", request=what, verdict=Verdict.TRY_AGAIN)
    return NoReplyError(f"no whole reply from {host}: {said}", request=what, verdict=unsure(request))
