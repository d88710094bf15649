"""The one client: sends what :mod:`~airflow_provider_supersim.api.protocol` builds, paced.

It speaks to httpx's transport, not to ``httpx.AsyncClient``: no redirect is followed, no cookie is kept, and no line is
logged for each request. ``httpx-aiohttp`` carries it, because httpx's own pool costs O(connections) for each request.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_delay, wait_random_exponential

from airflow_provider_supersim.api import protocol
from airflow_provider_supersim.api.auth import Auth
from airflow_provider_supersim.api.errors import (
    NoReplyError,
    NotConnectedError,
    SuperSimError,
    UnreadableReplyError,
    Verdict,
)
from airflow_provider_supersim.api.models import Fleet, IpCommand, IpCommandRequest, Resource, Sim
from airflow_provider_supersim.api.pace import Pace

R = TypeVar("R", bound=Resource)
T = TypeVar("T")

K = TypeVar("K", bound=Resource)
Read = Callable[[httpx.Response, type[K], protocol.Redact], T]


class AsyncSuperSimClient:
    """A session with one account. Use it as an asynchronous context manager.

    :param vendor: page size and the API's home
    :param auth: the account's credentials
    :param base_url: another home than the vendor's own, e.g. a simulator's
    :param timeout: seconds for the connection, and again for each part of the reply
    :param pace: shared by all that speak for the account in this process
    :param ca_bundle: path of a CA bundle, for a proxy that signs for the API
    :param keep_trying: seconds for which a request that can safely be made again is made again
    """

    def __init__(
        self,
        vendor: protocol.Vendor,
        auth: Auth,
        *,
        base_url: str | None = None,
        timeout: float = 30.0,
        pace: Pace | None = None,
        ca_bundle: str | None = None,
        keep_trying: float = 120.0,
    ) -> None:
        self.vendor = vendor
        self._endpoint = protocol.Endpoint((base_url or vendor.base_url).rstrip("/"), timeout)
        self._auth = auth
        self._pace = pace or Pace(vendor.max_concurrency)
        self._ca_bundle = ca_bundle
        self._keep_trying = keep_trying
        self._date: datetime | None = None
        self._date_header: str | None = None

    async def __aenter__(self) -> Self:
        tls = ssl.create_default_context(cafile=self._ca_bundle)
        self._transport = AiohttpTransport(verify=tls, client=lambda: _session(tls))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.aclose()

    async def send_ip_command(
        self,
        sim: str,
        payload: str | bytes | dict[str, Any] | list[Any],
        device_port: int | str,
        *,
        payload_type: str | None = None,
        callback_url: str | None = None,
        callback_method: str | None = None,
    ) -> IpCommand:
        """Send one IP Command. The arguments are those of :meth:`IpCommandRequest.build`.

        :raises ValueError: for an argument that the API could not take; nothing was sent
        :raises SuperSimError: with the verdict on the request. ``UNKNOWN``: the command may have been accepted.
        """
        request = IpCommandRequest.build(
            sim,
            payload,
            device_port,
            payload_type=payload_type,
            callback_url=callback_url,
            callback_method=callback_method,
        )
        return await self.send(request)

    async def send(self, command: IpCommandRequest) -> IpCommand:
        """Send a command that was built before; as :meth:`send_ip_command`."""
        request = self._endpoint.create_ip_command(command)
        return await self._call(request, protocol.read_one, IpCommand, rated=True)

    async def get_ip_command(self, sid: str) -> IpCommand:
        """Return the IP Command with this sid (``HG…``).

        :raises NotFoundError: there is none in this account
        """
        return await self._get_one(protocol.IP_COMMANDS, sid, IpCommand)

    async def get_sim(self, sid_or_name: str) -> Sim:
        """Return the SIM with this sid (``HS…``) or unique name."""
        return await self._get_one(protocol.SIMS, sid_or_name, Sim)

    async def get_fleet(self, sid_or_name: str) -> Fleet:
        """Return the Fleet with this sid (``HF…``) or unique name."""
        return await self._get_one(protocol.FLEETS, sid_or_name, Fleet)

    def iter_ip_commands(
        self,
        *,
        sim: str | None = None,
        sim_iccid: str | None = None,
        status: str | None = None,
        direction: str | None = None,
        page_size: int | None = None,
    ) -> AsyncIterator[IpCommand]:
        """Iterate over the account's IP Commands, in practice newest first, page by page.

        :param sim: sid or unique name of a SIM
        :param page_size: the vendor's largest where it is not given (Twilio 1000, KORE 100)
        """
        query = {"Sim": sim, "SimIccid": sim_iccid, "Status": status, "Direction": direction}
        return self._iterate(protocol.IP_COMMANDS, query, IpCommand, page_size)

    def iter_sims(
        self,
        *,
        fleet: str | None = None,
        status: str | None = None,
        iccid: str | None = None,
        page_size: int | None = None,
    ) -> AsyncIterator[Sim]:
        """Iterate over the account's SIMs, or over those of one Fleet (sid or unique name)."""
        return self._iterate(protocol.SIMS, {"Fleet": fleet, "Status": status, "Iccid": iccid}, Sim, page_size)

    def iter_fleets(self, *, page_size: int | None = None) -> AsyncIterator[Fleet]:
        """Iterate over the account's Fleets."""
        return self._iterate(protocol.FLEETS, {}, Fleet, page_size)

    async def date(self) -> datetime:
        """Return a time by the API's own clock: its latest ``Date`` header, or that of a small request made for it.

        What is sent from now on was created at this time or later.
        """
        if self._date is None:
            await self._call(self._endpoint.get(protocol.IP_COMMANDS, {"PageSize": 1}), protocol.read_page, IpCommand)
        if self._date is None:
            raise UnreadableReplyError(
                "the API's replies carry no readable Date header",
                request=f"GET {protocol.IP_COMMANDS}",
                verdict=Verdict.REFUSED,
            )
        return self._date

    async def _get_one(self, collection: str, sid_or_name: str, kind: type[R]) -> R:
        return await self._call(self._endpoint.get_one(collection, sid_or_name), protocol.read_one, kind)

    async def _iterate(
        self, collection: str, query: dict[str, str | None], kind: type[R], page_size: int | None
    ) -> AsyncIterator[R]:
        request = self._endpoint.get(collection, {**query, "PageSize": page_size or self.vendor.max_page_size})
        while True:
            page = await self._call(request, protocol.read_page, kind)
            for item in page.items:
                yield item
            if not page.next_page_url:
                return
            request = self._endpoint.next_page(page.next_page_url)

    async def _call(self, request: httpx.Request, read: Read[K, T], kind: type[K], *, rated: bool = False) -> T:
        """Make the request, and make it again for as long as that is safe and may help."""
        try:
            return await self._attempt(request, read, kind, rated)
        except SuperSimError as error:
            if not error.retryable or not self._keep_trying:
                raise
        # Made only now: tenacity's machinery costs as much as a request that goes well.
        patiently = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, SuperSimError) and error.retryable),
            wait=_pause,
            stop=stop_after_delay(self._keep_trying),
            reraise=True,
        )
        return await patiently(self._attempt, request, read, kind, rated)

    async def _attempt(self, request: httpx.Request, read: Read[K, T], kind: type[K], rated: bool) -> T:
        async with self._pace.admit(rated=rated):
            return read(await self._authorized(request), kind, self._auth.redact)

    async def _authorized(self, request: httpx.Request) -> httpx.Response:
        header = await self._auth.header(self._carry)
        request.headers["Authorization"] = header
        response = await self._carry(request)
        if protocol.says_token_expired(response) and self._auth.renew(header):
            # It was refused at the door, so this is no second command.
            request.headers["Authorization"] = await self._auth.header(self._carry)
            response = await self._carry(request)
        if (date := response.headers.get("Date")) != self._date_header:
            self._date_header, self._date = date, protocol.date_of(response) or self._date
        return response

    async def _carry(self, request: httpx.Request) -> httpx.Response:
        try:
            response = await self._transport.handle_async_request(request)
            try:
                await response.aread()
            finally:
                await response.aclose()
        except (httpx.RequestError, aiohttp.ClientError) as error:
            raise _judge(request, error) from error
        return response


def _session(tls: ssl.SSLContext) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls, limit=0),  # the pace limits
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=True,  # HTTPS_PROXY and NO_PROXY, as everywhere in Airflow
    )


def _judge(request: httpx.Request, error: Exception) -> SuperSimError:
    """Say what a failure of the transport tells about the request."""
    what = protocol.describe(request)
    if isinstance(error, httpx.DecodingError):
        words = f"the reply cannot be decoded: {error}"
        return UnreadableReplyError(words, request=what, verdict=protocol.unsure(request))
    # httpx-aiohttp calls a connection that was *lost* a ConnectTimeout too: only aiohttp's own error can tell.
    cause = error if isinstance(error, aiohttp.ClientError) else error.__cause__
    words = f"{request.url.host}: {cause or error or type(cause or error).__name__}"
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        words = f"the certificate is not trusted of {words}"
        return NotConnectedError(words, request=what, verdict=Verdict.REFUSED)
    if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError):
        return NotConnectedError(f"no connection to {words}", request=what, verdict=Verdict.TRY_AGAIN)
    return NoReplyError(f"no whole reply from {words}", request=what, verdict=protocol.unsure(request))


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, SuperSimError) else None
    return max(asked or 0.0, _jitter(state))


_jitter = wait_random_exponential(multiplier=0.25, max=10)
