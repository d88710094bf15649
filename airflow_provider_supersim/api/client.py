"""The one client: sends what :mod:`~airflow_provider_supersim.api.requests` builds, paced."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_before_delay, wait_random_exponential

from airflow_provider_supersim.api import replies
from airflow_provider_supersim.api import requests as protocol
from airflow_provider_supersim.api.auth import Auth
from airflow_provider_supersim.api.errors import SuperSimError, UnreadableReplyError, Verdict
from airflow_provider_supersim.api.models import Fleet, IpCommand, IpCommandRequest, Resource, Sim
from airflow_provider_supersim.api.pace import Pace
from airflow_provider_supersim.api.transport import Transport

R = TypeVar("R", bound=Resource)
T = TypeVar("T")

#: Seconds for which a reply's date still serves.
FRESH = 10.0

K = TypeVar("K", bound=Resource)
Read = Callable[[replies.Reply, type[K], replies.Redact], T]


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
        self._transport = Transport(ca_bundle, auth.redact)
        self._keep_trying = keep_trying
        self._date: datetime | None = None
        self._dated_at = 0.0
        self._date_header: str | None = None

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

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
        """Send one IP Command. Arguments: :meth:`~airflow_provider_supersim.api.models.IpCommandRequest.build`.

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

    async def send(self, command: IpCommandRequest, *, may_leave: Callable[[], None] = lambda: None) -> IpCommand:
        """Send a command that was built before; as :meth:`send_ip_command`.

        :param may_leave: called each time right before the request leaves; what it raises holds the request back
        """
        request = self._endpoint.create_ip_command(command)
        return await self._call(request, replies.read_one, IpCommand, rated=True, may_leave=may_leave)

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

        What is sent from now on is created at this time or later, and by no more than some seconds.
        """
        if self._date is None or time.monotonic() - self._dated_at > FRESH:
            await self._call(self._endpoint.get(protocol.IP_COMMANDS, {"PageSize": 1}), replies.read_page, IpCommand)
        if self._date is None:
            raise UnreadableReplyError(
                "the API's replies carry no readable Date header",
                request=f"GET {protocol.IP_COMMANDS}",
                verdict=Verdict.REFUSED,
            )
        return self._date

    async def _get_one(self, collection: str, sid_or_name: str, kind: type[R]) -> R:
        return await self._call(self._endpoint.get_one(collection, sid_or_name), replies.read_one, kind)

    async def _iterate(
        self, collection: str, query: dict[str, str | None], kind: type[R], page_size: int | None
    ) -> AsyncIterator[R]:
        request = self._endpoint.get(collection, {**query, "PageSize": page_size or self.vendor.max_page_size})
        while True:
            page = await self._call(request, replies.read_page, kind)
            for item in page.items:
                yield item
            if not page.next_page_url:
                return
            this, request = request, self._endpoint.next_page(page.next_page_url)
            if request.url == this.url:
                raise UnreadableReplyError(
                    "the list's next page is the same page again",
                    request=protocol.describe(this),
                    verdict=Verdict.REFUSED,
                )

    async def _call(
        self,
        request: httpx.Request,
        read: Read[K, T],
        kind: type[K],
        *,
        rated: bool = False,
        may_leave: Callable[[], None] = lambda: None,
    ) -> T:
        """Make the request, and make it again for as long as that is safe and may help."""
        try:
            return await self._attempt(request, read, kind, rated, may_leave)
        except SuperSimError as error:
            if not error.retryable or not self._keep_trying:
                raise
            failed = [error]

        async def attempt() -> T:
            if failed:
                raise failed.pop()
            return await self._attempt(request, read, kind, rated, may_leave)

        # Made only now, with the failure as its first attempt: tenacity costs as much as a request that goes well.
        patiently = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, SuperSimError) and error.retryable),
            wait=_pause,
            stop=stop_before_delay(self._keep_trying),
            reraise=True,
        )
        return await patiently(attempt)

    async def _attempt(
        self,
        request: httpx.Request,
        read: Read[K, T],
        kind: type[K],
        rated: bool,
        may_leave: Callable[[], None],
    ) -> T:
        async with self._pace.admit(rated=rated):
            return read(await self._authorized(request, may_leave), kind, self._auth.redact)

    async def _authorized(self, request: httpx.Request, may_leave: Callable[[], None]) -> replies.Reply:
        header = await self._auth.header(self._transport.send)
        request.headers["Authorization"] = header
        may_leave()
        response = await self._transport.send(request)
        if replies.says_token_expired(response) and self._auth.renew(header):
            # It was refused at the door, so this is no second command.
            request.headers["Authorization"] = await self._auth.header(self._transport.send)
            may_leave()
            response = await self._transport.send(request)
        if date := response.headers.get("Date"):
            if date != self._date_header:
                self._date_header, self._date = date, replies.date_of(response) or self._date
            self._dated_at = time.monotonic()
        return response


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, SuperSimError) else None
    return max(asked or 0.0, _jitter(state))


_jitter = wait_random_exponential(multiplier=0.25, max=10)
