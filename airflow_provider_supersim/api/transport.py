"""Carries a request to its host and back, and says what a failure on the way tells about it.

Requests are httpx's, aiohttp carries them: httpx's own pool costs O(connections) for each request, which at 100
connections is 74 requests a second where the API allows 1,000. No client of httpx's stands between, so no redirect is
followed, no cookie is kept, and no line is logged for each request. Nor does httpx-aiohttp, which would stream each
reply through six generators: a reply of 400 bytes, read at once, takes 0.05 ms less of the 0.37 ms that a command took.
"""

from __future__ import annotations

import ssl
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
    """Connections to the API's host and the token endpoint's. An asynchronous context manager.

    :param ca_bundle: path of a CA bundle; the system's where there is none
    :param redact: takes the secrets out of a text
    """

    def __init__(self, ca_bundle: str | None, redact: replies.Redact) -> None:
        self._ca_bundle = ca_bundle
        self._redact = redact
        self._proxies: dict[tuple[str, str], httpx.Proxy | None] = {}  # by origin

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=ssl.create_default_context(cafile=self._ca_bundle),
                limit=0,  # the pace limits
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # httpx does it
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, request: httpx.Request) -> replies.Reply:
        """Send the request once, and read the whole reply, whatever its status.

        :raises SuperSimError: no reply came, or none that can be read, with the verdict on the request
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
                if "Content-Encoding" in reply.headers:
                    body = httpx.Response(reply.status, headers=reply.raw_headers, content=body).content
                return replies.Reply(request, reply.status, reply.headers, body)
        except (httpx.DecodingError, aiohttp.ClientError) as error:
            failure = _judge(request, error, self._redact)
        raise failure  # out here, for aiohttp's errors hold the Authorization header and must not be chained to it

    def _proxy(self, url: httpx.URL) -> httpx.Proxy | None:
        origin = url.scheme, url.host
        if origin not in self._proxies:
            self._proxies[origin] = _proxy(url)
        return self._proxies[origin]


@lru_cache(maxsize=16)
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    # No limit on the whole, nor on the wait for a connection of the pool: the pace, not the pool, decides who waits.
    return aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds)


def _proxy(url: httpx.URL) -> httpx.Proxy | None:
    """Look up the environment's proxy.

    aiohttp's trust_env does it for each request, in a thread, and reads ~/.netrc besides, whose credentials have no
    business here: together 0.2 ms of CPU a request.
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
    # As a header, for aiohttp has deprecated its parameter for a proxy's credentials.
    sign_in = {"Proxy-Authorization": basic_header(proxy.username, proxy.password)} if proxy.userinfo else None
    return httpx.Proxy(proxy.copy_with(userinfo=b""), headers=sign_in)


def _judge(request: httpx.Request, error: Exception, redact: replies.Redact) -> SuperSimError:
    """Say what a failure of the transport tells about the request."""
    what = describe(request)
    said = " ".join(redact(str(error)).split())  # it may quote what came
    if isinstance(error, httpx.DecodingError):
        words = f"the reply cannot be decoded: {said}"
        return UnreadableReplyError(words, request=what, verdict=unsure(request))
    words = f"{request.url.host}: {said or type(error).__name__}"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        words = f"the certificate is not trusted of {words}"
        return NotConnectedError(words, request=what, verdict=Verdict.REFUSED)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError):
        return NotConnectedError(f"no connection to {words}", request=what, verdict=Verdict.TRY_AGAIN)
    return NoReplyError(f"no whole reply from {words}", request=what, verdict=unsure(request))
