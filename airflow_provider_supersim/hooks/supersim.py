"""The hook: an Airflow connection in, the Super SIM API out."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_supersim.api.errors import SuperSimError
from airflow_provider_supersim.hooks import connection_form as form
from airflow_provider_supersim.hooks.blocking import Session
from airflow_provider_supersim.hooks.connection import Account

if TYPE_CHECKING:
    from airflow_provider_supersim.api.client import AsyncSuperSimClient
    from airflow_provider_supersim.api.models import Fleet, IpCommand, Sim

R = TypeVar("R")


class SuperSimHook(BaseHook):
    """Speak to the Super SIM API of Twilio or KORE with the credentials of an Airflow connection.

    The methods block; :meth:`client` gives the same ones as coroutines. All of them raise
    :class:`~airflow_provider_supersim.api.errors.SuperSimError` where the API does not do what was asked, and
    :class:`ValueError` for an argument or a connection that cannot be right. The first call opens a session, which
    further calls share; it ends with :meth:`close`, or with the hook.

    :param supersim_conn_id: the connection, of type ``supersim``
    """

    conn_name_attr = "supersim_conn_id"
    default_conn_name = "supersim_default"
    conn_type = "supersim"
    hook_name = "Super SIM"

    def __init__(self, supersim_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.supersim_conn_id = supersim_conn_id
        self._cancelled = False

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's own fields, for Airflow 2.11 to 3.1."""
        return form.widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return labels, placeholders and hidden fields, for Airflow 2.11 to 3.1."""
        return {key.replace("-", "_"): value for key, value in form.ui_field_behaviour().items()}

    @cached_property
    def account(self) -> Account:
        """What the connection says, checked.

        :raises ValueError: the connection lacks something or contradicts itself
        """
        connection = self.get_connection(self.supersim_conn_id)
        return Account.read(connection, connection.extra_dejson)

    async def aget_account(self) -> Account:
        """Return :attr:`account` from within an event loop, where a blocking read of the connection may deadlock."""
        if "account" not in self.__dict__:
            connection = await get_async_connection(self.supersim_conn_id, self)
            self.account = Account.read(connection, await get_async_extra_dejson(connection))
        return self.account

    @asynccontextmanager
    async def client(self) -> AsyncIterator[AsyncSuperSimClient]:
        """Open a client for coroutines, and close it at the end of the block."""
        async with (await self.aget_account()).client() as client:
            yield client

    @cached_property
    def session(self) -> Session:
        """The blocking session that this hook's calls share."""
        if self._cancelled:
            raise CancelledError
        session = Session(self.account.client())
        weakref.finalize(self, session.close)
        return session

    def close(self) -> None:
        """End the session, if there is one. The next call opens a new one."""
        if session := self.__dict__.pop("session", None):
            session.close()

    def cancel(self) -> None:
        """End the call that is under way, and make no other; from a signal handler or another thread."""
        self._cancelled = True
        if session := self.__dict__.get("session"):
            session.cancel()

    def limit(self, *, max_concurrency: int | None, max_rate: float | None, share: int) -> None:
        """Use less of the account than the connection allows. To be called before anything is sent.

        :param max_concurrency: requests at once, instead of the connection's
        :param max_rate: commands a second, instead of the connection's
        :param share: how many tasks divide these among them
        """
        account = self.account
        concurrency, rate = max_concurrency or account.max_concurrency, max_rate or account.max_rate
        self.account = msgspec.structs.replace(
            account, max_concurrency=max(1, concurrency // share), max_rate=rate / share if rate else None
        )

    def send_ip_command(
        self,
        sim: str,
        payload: str | bytes | dict[str, Any] | list[Any],
        device_port: int | str,
        *,
        payload_type: str | None = None,
        callback_url: str | None = None,
        callback_method: str | None = None,
    ) -> IpCommand:
        """Send one IP Command: ``POST /v1/IpCommands``.

        A request that was surely not processed (no connection, 429) is made again for up to two minutes. An error whose
        ``verdict`` is ``UNKNOWN`` leaves open whether the command was accepted.

        :param sim: sid (``HS…``) or unique name of a SIM that is ready or active
        :param payload: ``str`` as UTF-8 text, ``bytes`` as binary, ``dict`` or ``list`` as compact JSON text;
            1 to 1300 bytes as the device gets it
        :param device_port: the device's UDP port, 1 to 65535
        :param payload_type: ``binary`` for a ``str`` that is base64 already
        :param callback_url: http(s) URL that the API calls after it has sent the command
        :param callback_method: ``GET`` or ``POST``, the API's default
        :return: the command as accepted, in practice ``queued``
        """

        async def send() -> IpCommand:
            return await self.session.client.send_ip_command(
                sim,
                payload,
                device_port,
                payload_type=payload_type,
                callback_url=callback_url,
                callback_method=callback_method,
            )

        return self.session.run(send)

    def get_ip_command(self, sid: str) -> IpCommand:
        """Return one IP Command: ``GET /v1/IpCommands/{sid}``."""
        return self.session.run(self.session.client.get_ip_command, sid)

    def iter_ip_commands(
        self,
        *,
        sim: str | None = None,
        sim_iccid: str | None = None,
        status: str | None = None,
        direction: str | None = None,
    ) -> Iterator[IpCommand]:
        """Iterate over the account's IP Commands, page by page: ``GET /v1/IpCommands``.

        :param sim: sid or unique name of a SIM
        :param status: ``queued``, ``sent``, ``received`` or ``failed``
        :param direction: ``to_sim`` or ``from_sim``
        """
        commands = self.session.client.iter_ip_commands(
            sim=sim, sim_iccid=sim_iccid, status=status, direction=direction
        )
        return self._iterate(commands)

    def get_sim(self, sid_or_name: str) -> Sim:
        """Return one SIM: ``GET /v1/Sims/{sid or unique name}``."""
        return self.session.run(self.session.client.get_sim, sid_or_name)

    def iter_sims(self, *, fleet: str | None = None, status: str | None = None) -> Iterator[Sim]:
        """Iterate over the account's SIMs, page by page: ``GET /v1/Sims``.

        :param fleet: sid or unique name of a Fleet
        :param status: ``new``, ``ready``, ``active``, ``inactive`` or ``scheduled``
        """
        return self._iterate(self.session.client.iter_sims(fleet=fleet, status=status))

    def get_fleet(self, sid_or_name: str) -> Fleet:
        """Return one Fleet: ``GET /v1/Fleets/{sid or unique name}``."""
        return self.session.run(self.session.client.get_fleet, sid_or_name)

    def iter_fleets(self) -> Iterator[Fleet]:
        """Iterate over the account's Fleets, page by page: ``GET /v1/Fleets``."""
        return self._iterate(self.session.client.iter_fleets())

    def _iterate(self, items: AsyncIterator[R]) -> Iterator[R]:
        # A generator of the hook's own: it keeps the hook, whose end would be the session's.
        yield from self.session.iterate(items)

    def test_connection(self) -> tuple[bool, str]:
        """Read one Fleet with the connection's credentials, once, and say what was tried and what came back."""
        try:
            session = Session(self.account.client(keep_trying=0))
        except ValueError as error:
            return False, str(error)
        tried = f"GET /v1/Fleets at {self.account.base_url} as {self.account.login} ({self.account.vendor.name})"
        try:
            first = session.run(self._first_fleet, session.client)
        except SuperSimError as error:
            return False, f"{tried} did not succeed. {error}"
        finally:
            session.close()
        found = f"has the Fleet {first!r}" if first else "has no Fleet yet"
        return True, f"{tried} succeeded: the account {found}."

    @staticmethod
    async def _first_fleet(client: AsyncSuperSimClient) -> str | None:
        async for fleet in client.iter_fleets(page_size=1):
            return fleet.unique_name or fleet.sid
        return None
