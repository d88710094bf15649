"""The client: sends what :mod:`~airflow_provider_supersim.api.requests` builds, at the account's pace."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Self, TypeVar

import anyio
import httpx

from airflow_provider_supersim.api import reading
from airflow_provider_supersim.api.auth import Auth
from airflow_provider_supersim.api.errors import (
    BadRequestError,
    SuperSimError,
    TooManyRequestsError,
)
from airflow_provider_supersim.api.failing import Failing
from airflow_provider_supersim.api.models import Fleet, IpCommand, IpCommandRequest, Resource, Sim
from airflow_provider_supersim.api.pace import Pace
from airflow_provider_supersim.api.paging import Pages
from airflow_provider_supersim.api.reply import Redact, Reply
from airflow_provider_supersim.api.requests import FLEETS, IP_COMMANDS, SIMS, Endpoint
from airflow_provider_supersim.api.signatures import with_arguments_of
from airflow_provider_supersim.api.transport import Transport
from airflow_provider_supersim.api.vendors import Vendor
from airflow_provider_supersim.words import count

log = logging.getLogger(__name__)

R = TypeVar("R", bound=Resource)
T = TypeVar("T")
K = TypeVar("K", bound=Resource)
Read = Callable[[Reply, type[K], Redact], T]

#: Seconds: the first pause before a request is made again, at most; each further one may be twice as long.
FIRST_PAUSE = 0.25
#: Seconds: no pause is longer, unless the API asks for it.
LONGEST_PAUSE = 10.0


def _nothing() -> None:
    """Hold no command back, and note nothing."""


class AsyncSuperSimClient:
    """A session with one account. Use it as an asynchronous context manager.

    :param vendor: the account's vendor, one of :data:`~airflow_provider_supersim.api.vendors.VENDORS`
    :param auth: signs the requests in
    :param base_url: URL of the API, such as a simulator's; default: the vendor's own
    :param timeout: seconds for a request in all, from the connection to the last byte of the reply; default 30
    :param pace: what all clients of the account share; default: a pace of its own
    :param ca_bundle: path of a CA bundle, for a proxy that signs for the API; default: the system's
    :param keep_trying: seconds after its first failure for which a request is made again, if that is safe; default 120
    :param wait_if_busy: the same for a request that is answered 429; default 120
    """

    def __init__(
        self,
        vendor: Vendor,
        auth: Auth,
        *,
        base_url: str | None = None,
        timeout: float = 30.0,
        pace: Pace | None = None,
        ca_bundle: str | None = None,
        keep_trying: float = 120.0,
        wait_if_busy: float = 120.0,
    ) -> None:
        self.vendor = vendor
        self._endpoint = Endpoint((base_url or vendor.base_url).rstrip("/"), timeout)
        self._auth = auth
        self._pace = pace or Pace(vendor.max_concurrency)
        self._transport = Transport(ca_bundle, auth.redact)
        self._keep_trying = keep_trying
        self._wait_if_busy = wait_if_busy
        self._failing = Failing(httpx.URL(self._endpoint.origin).netloc.decode(), keep_trying)
        self._small_pages: set[str] = set()  # lists whose documented page size the API refused
        self._skipped: set[str] = set()  # lists with rows that could not be read; each is said once

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    @with_arguments_of(IpCommandRequest.build)
    async def send_ip_command(self, command: IpCommandRequest) -> IpCommand:
        """Send one IP Command. Arguments: :meth:`~airflow_provider_supersim.api.models.IpCommandRequest.build`.

        :raises ValueError: for an argument that the API could not take; nothing was sent
        :raises SuperSimError: with the verdict on the request. ``UNKNOWN``: the API may have accepted the command.
        """
        return await self.send(command)

    async def send(
        self,
        command: IpCommandRequest,
        *,
        may_leave: Callable[[], None] = _nothing,
        came_back: Callable[[], None] = _nothing,
    ) -> IpCommand:
        """Send a command that was built before, as :meth:`send_ip_command` does.

        :param may_leave: called each time right before the request leaves; what it raises holds the request back
        :param came_back: called each time the request left and was not processed, before it waits for another turn
        """
        request = self._endpoint.create_ip_command(command)
        return await self._call(
            request, reading.read_one, IpCommand, rated=True, may_leave=may_leave, came_back=came_back
        )

    async def get_ip_command(self, sid: str) -> IpCommand:
        """Return the IP Command with this sid (``HG…``).

        :raises NotFoundError: the account has no such command
        """
        return await self._get_one(IP_COMMANDS, sid, IpCommand)

    async def get_sim(self, sid_or_name: str) -> Sim:
        """Return the SIM with this sid (``HS…``) or unique name."""
        return await self._get_one(SIMS, sid_or_name, Sim)

    async def get_fleet(self, sid_or_name: str) -> Fleet:
        """Return the Fleet with this sid (``HF…``) or unique name."""
        return await self._get_one(FLEETS, sid_or_name, Fleet)

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

        :param sim: sid or unique name of a SIM; default: all SIMs
        :param sim_iccid: ICCID of a SIM; default: all SIMs
        :param status: ``queued``, ``sent``, ``received`` or ``failed``; default: all
        :param direction: ``to_sim`` or ``from_sim``; default: both
        :param page_size: commands in each page; default: :meth:`page_size`
        """
        query = {"Sim": sim, "SimIccid": sim_iccid, "Status": status, "Direction": direction}
        return self._iterate(IP_COMMANDS, query, IpCommand, page_size)

    def iter_sims(
        self,
        *,
        fleet: str | None = None,
        status: str | None = None,
        iccid: str | None = None,
        page_size: int | None = None,
    ) -> AsyncIterator[Sim]:
        """Iterate over the account's SIMs, page by page.

        :param fleet: sid or unique name of a Fleet; default: all Fleets
        :param status: ``new``, ``ready``, ``active``, ``inactive`` or ``scheduled``; default: all
        :param iccid: ICCID of a SIM; default: all SIMs
        :param page_size: SIMs in each page; default: :meth:`page_size`
        """
        return self._iterate(SIMS, {"Fleet": fleet, "Status": status, "Iccid": iccid}, Sim, page_size)

    def iter_fleets(self, *, page_size: int | None = None) -> AsyncIterator[Fleet]:
        """Iterate over the account's Fleets, page by page.

        :param page_size: Fleets in each page; default: :meth:`page_size`
        """
        return self._iterate(FLEETS, {}, Fleet, page_size)

    @property
    def paused_for(self) -> float:
        """Seconds for which the API has asked all requests of this account to wait."""
        return self._pace.paused_for

    def page_size(self, collection: str) -> int:
        """Return how many items of a list to ask for at once: the most that the API takes, as far as is known.

        :param collection: path of the list, such as ``/v1/Sims``
        """
        if collection in self._small_pages:
            return self.vendor.smallest_page_size
        return self.vendor.page_sizes[collection]

    async def _get_one(self, collection: str, sid_or_name: str, kind: type[R]) -> R:
        return await self._call(self._endpoint.get_one(collection, sid_or_name), reading.read_one, kind)

    async def _iterate(
        self, collection: str, query: Mapping[str, str | None], kind: type[R], page_size: int | None
    ) -> AsyncIterator[R]:
        request, page = await self._first_page(collection, query, kind, page_size)
        pages: Pages[R] = Pages(request)
        while True:
            self._say_skipped(collection, page.skipped)
            for item in pages.new_rows(page):
                yield item
            if not page.next_page_url:
                return
            following = pages.follow(self._endpoint.next_page(page.next_page_url))
            page = await self._call(following, reading.read_page, kind)

    def _say_skipped(self, collection: str, rows: int) -> None:
        if rows and collection not in self._skipped:
            self._skipped.add(collection)
            log.warning(
                "Skipped %s of the list %s: the API sent what cannot be read. The other rows are used. [rows-skipped]",
                count(rows, "row"),
                collection,
            )

    async def _first_page(
        self, collection: str, query: Mapping[str, str | None], kind: type[R], page_size: int | None
    ) -> tuple[httpx.Request, reading.Page[R]]:
        size = page_size or self.page_size(collection)
        request = self._endpoint.get(collection, {**query, "PageSize": size})
        try:
            return request, await self._call(request, reading.read_page, kind)
        except BadRequestError:
            if page_size or size == self.vendor.smallest_page_size:
                raise
        # The API may enforce less than the vendor documents.
        request = self._endpoint.get(collection, {**query, "PageSize": self.vendor.smallest_page_size})
        page = await self._call(request, reading.read_page, kind)
        self._small_pages.add(collection)
        return request, page

    async def _call(
        self,
        request: httpx.Request,
        read: Read[K, T],
        kind: type[K],
        *,
        rated: bool = False,
        may_leave: Callable[[], None] = _nothing,
        came_back: Callable[[], None] = _nothing,
    ) -> T:
        """Make the request, and make it again as long as that is safe and may help."""
        attempts: list[float] = []  # when each began; before that, the request may wait long for its turn

        async def attempt() -> T:
            attempts.append(time.monotonic())
            return read(await self._authorized(request, may_leave, came_back), kind, self._auth.redact)

        failed_at: float | None = None  # the first time
        longest = FIRST_PAUSE
        answered = False
        try:
            while True:
                try:
                    answer = await self._pace.run(attempt, rated=rated)
                except SuperSimError as error:
                    now = time.monotonic()
                    failed_at = now if failed_at is None else failed_at
                    busy = isinstance(error, TooManyRequestsError)
                    pause = max(_jitter(longest), error.retry_after or 0.0)
                    patience = self._wait_if_busy if busy else self._keep_trying
                    if not error.retryable or now + pause >= failed_at + patience:
                        error.tried_for = now - attempts[0] if len(attempts) > 1 else 0.0
                        raise
                    if not busy:  # the pace speaks of 429
                        self._failing.failed(request, error, attempts[0], now)
                else:
                    answered = True
                    return answer
                came_back()
                await anyio.sleep(pause)
                longest = min(2 * longest, LONGEST_PAUSE)
        finally:
            if failed_at is not None:
                self._failing.ended(request, time.monotonic(), answered=answered)

    async def _authorized(
        self, request: httpx.Request, may_leave: Callable[[], None], came_back: Callable[[], None]
    ) -> Reply:
        header = await self._auth.header(self._transport.send)
        request.headers["Authorization"] = header
        may_leave()
        response = await self._transport.send(request)
        self._pace.at_work = self.vendor.under_way(response)
        if self.vendor.says_token_expired(response):
            # The API did not look at the request, so this is no second command.
            came_back()
            self._auth.renew(header)
            request.headers["Authorization"] = await self._auth.header(self._transport.send)
            may_leave()
            response = await self._transport.send(request)
        return response


def _jitter(longest: float) -> float:
    """Return a random pause, so that requests that failed together do not come back together."""
    return random.uniform(0, longest)  # noqa: S311  # no secret
