"""Carries a request to its host and back, and says what a failure on the way tells about it.

httpx's transport interface is spoken to, not ``httpx.AsyncClient``: no redirect is followed, no cookie is kept, and no
line is logged for each request. ``httpx-aiohttp`` does the work, for httpx's own pool costs O(connections) per request.
"""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack
from typing import Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from airflow_provider_supersim.api import protocol, replies
from airflow_provider_supersim.api.errors import (
    NoReplyError,
    NotConnectedError,
    SuperSimError,
    UnreadableReplyError,
    Verdict,
)


class Transport:
    """Connections to the API's host and the token endpoint's. An asynchronous context manager.

    :param ca_bundle: path of a CA bundle; the system's where there is none
    :param redact: takes the secrets out of a text
    """

    def __init__(self, ca_bundle: str | None, redact: replies.Redact) -> None:
        self._ca_bundle = ca_bundle
        self._redact = redact
        self._by_origin: dict[tuple[str, str], AiohttpTransport] = {}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._tls = ssl.create_default_context(cafile=self._ca_bundle)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send the request once, and read the whole reply, whatever its status.

        :raises SuperSimError: no reply came, or none that can be read, with the verdict on the request
        """
        transport = self._by_origin.get((request.url.scheme, request.url.host)) or self._connect(request.url)
        try:
            response = await transport.handle_async_request(request)
            try:
                await response.aread()
            finally:
                await response.aclose()
        except (httpx.RequestError, aiohttp.ClientError) as error:
            failure = _judge(request, error, self._redact)
        else:
            return response
        raise failure  # out here, for aiohttp's errors hold the Authorization header and must not be chained to it

    def _connect(self, url: httpx.URL) -> AiohttpTransport:
        transport = AiohttpTransport(
            verify=self._tls,
            proxy=_proxy(url),
            client=lambda: aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),  # the pace limits
                cookie_jar=aiohttp.DummyCookieJar(),
            ),
        )
        self._open.push_async_callback(transport.aclose)
        self._by_origin[url.scheme, url.host] = transport
        return transport


def _proxy(url: httpx.URL) -> httpx.Proxy | None:
    """Look up the environment's proxy, once.

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
    # As a header, for httpx-aiohttp hands credentials over in a way that aiohttp has deprecated.
    sign_in = {"Proxy-Authorization": protocol.basic_header(proxy.username, proxy.password)} if proxy.userinfo else None
    return httpx.Proxy(proxy.copy_with(userinfo=b""), headers=sign_in)


def _judge(request: httpx.Request, error: Exception, redact: replies.Redact) -> SuperSimError:
    """Say what a failure of the transport tells about the request."""
    what = protocol.describe(request)
    if isinstance(error, httpx.DecodingError):
        words = f"the reply cannot be decoded: {redact(str(error))}"
        return UnreadableReplyError(words, request=what, verdict=protocol.unsure(request))
    # httpx-aiohttp calls a connection that was *lost* a ConnectTimeout too: only aiohttp's own error can tell.
    cause = error if isinstance(error, aiohttp.ClientError) else error.__cause__
    said = " ".join(redact(str(cause or error)).split())  # it may quote what came
    words = f"{request.url.host}: {said or type(cause or error).__name__}"
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        words = f"the certificate is not trusted of {words}"
        return NotConnectedError(words, request=what, verdict=Verdict.REFUSED)
    if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError):
        return NotConnectedError(f"no connection to {words}", request=what, verdict=Verdict.TRY_AGAIN)
    return NoReplyError(f"no whole reply from {words}", request=what, verdict=protocol.unsure(request))
