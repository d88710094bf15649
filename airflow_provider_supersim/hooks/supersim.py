"""The hook: an Airflow connection in, the Super SIM API out."""

from __future__ import annotations

import os
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager, closing
from threading import Lock
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import SuperSimError
from airflow_provider_supersim.api.models import IpCommandRequest, Resource
from airflow_provider_supersim.api.signatures import with_arguments_of
from airflow_provider_supersim.hooks import connection_form as form
from airflow_provider_supersim.hooks.blocking import Session
from airflow_provider_supersim.hooks.connection import Account, BadConnectionError, Limits
from airflow_provider_supersim.hooks.masking import mask_password
from airflow_provider_supersim.hooks.results import ReturnableClient, returnable

if TYPE_CHECKING:
    from airflow_provider_supersim.api.models import Fleet, IpCommand, Sim

P = ParamSpec("P")
R = TypeVar("R")
K = TypeVar("K", bound=Resource)


class SuperSimHook(BaseHook):
    """Speak to the Super SIM API with the credentials of an Airflow connection.

    The methods block; :meth:`client` gives the same ones as coroutines. All of them raise
    :class:`~airflow_provider_supersim.api.errors.SuperSimError` if the API does not do what was asked. They raise
    :class:`ValueError` if an argument or the connection cannot be right. The first call opens a session, which
    further calls share. It ends with :meth:`close`, or with the hook.

    What the methods return, blocking or not, is a ``dict`` of JSON types, which a task can return: the next task gets
    the dict. Its fields are attributes too, with their own types.

    :param supersim_conn_id: id of a connection of type ``supersim``; default ``supersim_default``
    """

    conn_name_attr = "supersim_conn_id"
    default_conn_name = "supersim_default"
    conn_type = "supersim"
    hook_name = "Super SIM"

    def __init__(self, supersim_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.supersim_conn_id = supersim_conn_id
        self._connected: Account | None = None
        self._limits = Limits()
        self._session: Session | None = None
        self._opening = Lock()
        self._process = os.getpid()
        self._cancelled = False

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle without session and credentials: they are read again where the hook is unpickled."""
        return _restore, (type(self), self.supersim_conn_id, self._limits)

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's own fields, for Airflow 2.11 to 3.1."""
        return form.widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return labels, placeholders and hidden fields, for Airflow 2.11 to 3.1."""
        return form.older_ui_field_behaviour()

    @property
    def account(self) -> Account:
        """The connection's account, checked, within the limits of :meth:`limit`.

        :raises ValueError: the connection lacks something or contradicts itself
        """
        if self._connected is None:
            connection = self.get_connection(self.supersim_conn_id)
            self._connected = Account.read(connection, connection.extra_dejson)
        return self._connected.within(self._limits)

    async def aget_account(self) -> Account:
        """Return :attr:`account` from within an event loop, where a blocking read of the connection may deadlock."""
        if self._connected is None:
            connection = await get_async_connection(self.supersim_conn_id, self)
            self._connected = Account.read(connection, await get_async_extra_dejson(connection))
        return self._connected.within(self._limits)

    def limit(self, *, max_concurrency: int | None = None, max_rate: float | None = None, share: int = 1) -> None:
        """Use less of the account than the connection allows. Replaces the limits of an earlier call.

        A session that is open ends; the next call opens one within the limits.

        :param max_concurrency: requests at once; default: the connection's
        :param max_rate: commands a second; default: the connection's
        :param share: number of tasks that divide both among them; default 1
        """
        self._limits = Limits(max_concurrency, max_rate, share)
        self.close()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[AsyncSuperSimClient]:
        """Open a client for coroutines, and close it at the end of the block."""
        async with (await self.aget_account()).client(ReturnableClient) as client:
            yield client

    def get_conn(self) -> Session:
        """Return the session that this hook's calls share, and open it if none is open.

        The session runs coroutines with an open client: see :meth:`run`. A fork of the process opens its own.
        """
        if self._process != os.getpid():
            self._process = os.getpid()
            self._opening = Lock()  # a thread of the parent may have held it
            self.close()
        with self._opening:
            if self._cancelled:
                raise CancelledError
            if self._session is None:
                self._session = Session(self.account.client())
                weakref.finalize(self, self._session.close)
            if self._cancelled:  # while the session was being opened
                self._session.cancel()  # type: ignore[unreachable]
            return self._session

    def run(
        self, function: Callable[Concatenate[AsyncSuperSimClient, P], Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run a coroutine function with the open client, and return what it returns.

        :param function: takes the client, then the other arguments
        :raises concurrent.futures.CancelledError: :meth:`cancel` was called
        """
        return self.get_conn().run(function, *args, **kwargs)

    def raise_if_cancelled(self) -> None:
        """Check that :meth:`cancel` was not called, between two pieces of long work without a request.

        :raises concurrent.futures.CancelledError: it was called
        """
        if self._cancelled:
            raise CancelledError

    def close(self) -> None:
        """End the session, if one is open. The next call opens a new one."""
        session, self._session = self._session, None
        if session:
            session.close()

    def cancel(self) -> None:
        """End the call that is under way, and make no other. A signal handler or another thread may call this."""
        self._cancelled = True
        if self._session:
            self._session.cancel()

    @with_arguments_of(IpCommandRequest.build)
    def send_ip_command(self, command: IpCommandRequest) -> IpCommand:
        """Send one IP Command: ``POST /v1/IpCommands``.

        A request that was surely not processed (no connection, 429) is made again for up to two minutes. An error with
        the verdict ``UNKNOWN`` leaves open whether the API accepted the command.

        :param sim: sid (``HS…``) or unique name of a SIM that is ready or active
        :param payload: ``str`` as UTF-8 text, ``bytes`` as binary, ``dict`` or ``list`` as compact JSON text;
            1 to 1300 bytes as the device gets it
        :param device_port: the device's UDP port, 1 to 65535
        :param payload_type: ``binary`` if ``payload`` is a ``str`` that holds base64; default: ``binary`` for
            ``bytes``, ``text`` otherwise
        :param callback_url: http(s) URL that the API calls after it has sent the command; default: none
        :param callback_method: ``GET`` or ``POST``; default: the API's, ``POST``
        :return: the command as the API accepted it, in practice ``queued``
        """
        mask_password(command.callback_url)
        return returnable(self.run(AsyncSuperSimClient.send, command))

    def get_ip_command(self, sid: str) -> IpCommand:
        """Return one IP Command: ``GET /v1/IpCommands/{sid}``.

        :param sid: of the command (``HG…``)
        """
        return returnable(self.run(AsyncSuperSimClient.get_ip_command, sid))

    def iter_ip_commands(
        self,
        *,
        sim: str | None = None,
        sim_iccid: str | None = None,
        status: str | None = None,
        direction: str | None = None,
    ) -> Iterator[IpCommand]:
        """Iterate over the account's IP Commands, page by page: ``GET /v1/IpCommands``.

        :param sim: sid or unique name of a SIM; default: all SIMs
        :param sim_iccid: ICCID of a SIM; default: all SIMs
        :param status: ``queued``, ``sent``, ``received`` or ``failed``; default: all
        :param direction: ``to_sim`` or ``from_sim``; default: both
        """
        return self._iterate(
            AsyncSuperSimClient.iter_ip_commands, sim=sim, sim_iccid=sim_iccid, status=status, direction=direction
        )

    def get_sim(self, sid_or_name: str) -> Sim:
        """Return one SIM: ``GET /v1/Sims/{sid or unique name}``.

        :param sid_or_name: its sid (``HS…``) or unique name
        """
        return returnable(self.run(AsyncSuperSimClient.get_sim, sid_or_name))

    def iter_sims(self, *, fleet: str | None = None, status: str | None = None) -> Iterator[Sim]:
        """Iterate over the account's SIMs, page by page: ``GET /v1/Sims``.

        :param fleet: sid or unique name of a Fleet; default: all Fleets
        :param status: ``new``, ``ready``, ``active``, ``inactive`` or ``scheduled``; default: all
        """
        return self._iterate(AsyncSuperSimClient.iter_sims, fleet=fleet, status=status)

    def get_fleet(self, sid_or_name: str) -> Fleet:
        """Return one Fleet: ``GET /v1/Fleets/{sid or unique name}``.

        :param sid_or_name: its sid (``HF…``) or unique name
        """
        return returnable(self.run(AsyncSuperSimClient.get_fleet, sid_or_name))

    def iter_fleets(self) -> Iterator[Fleet]:
        """Iterate over the account's Fleets, page by page: ``GET /v1/Fleets``."""
        return self._iterate(AsyncSuperSimClient.iter_fleets)

    def _iterate(
        self,
        function: Callable[Concatenate[AsyncSuperSimClient, P], AsyncIterator[K]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Iterator[K]:
        # A generator that holds the hook: without it the hook could end, and its session with it, during an iteration.
        yield from map(returnable, self.get_conn().iterate(function, *args, **kwargs))

    def test_connection(self) -> tuple[bool, str]:
        """Read one Fleet with the connection's credentials, once, and say what was tried and what came back."""
        try:
            account = self.account
        except BadConnectionError as error:
            return False, error.problem
        tried = f"GET /v1/Fleets at {account.base_url} as {account.login} ({account.vendor.name})"
        with closing(Session(account.client(keep_trying=0, wait_if_busy=0))) as session:
            try:
                first = session.run(_first_fleet)
            except SuperSimError as error:
                return False, f"{tried} did not succeed. {error}"
        found = f"has the Fleet {first!r}" if first else "has no Fleet yet"
        return True, f"{tried} succeeded: the account {found}."


def _restore(kind: type[SuperSimHook], supersim_conn_id: str, limits: Limits) -> SuperSimHook:
    hook = kind(supersim_conn_id)
    hook.limit(max_concurrency=limits.max_concurrency, max_rate=limits.max_rate, share=limits.share)
    return hook


async def _first_fleet(client: AsyncSuperSimClient) -> str | None:
    async for fleet in client.iter_fleets(page_size=1):
        return fleet.unique_name or fleet.sid
    return None
