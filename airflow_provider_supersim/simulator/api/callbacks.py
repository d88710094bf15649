"""Callbacks: real requests, made when a command was sent or a device sent one, with the vendor's signature."""

from __future__ import annotations

import asyncio
import base64
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urldefrag, urlencode, urlsplit

from airflow_provider_supersim.simulator.api.errors import CALLBACK_FAILED
from airflow_provider_supersim.simulator.api.vendors import Vendors
from airflow_provider_supersim.simulator.world.clock import Clock, iso
from airflow_provider_supersim.simulator.world.models import IpCommand

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger("supersim-simulator")

CONNECT_TIMEOUT, TOTAL_TIMEOUT = 5.0, 15.0
"""Seconds of wall time that the vendors give a callback."""

_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Alert:
    """An entry of the account's debugger: a callback failed (83402)."""

    at: float
    code: int
    message: str
    command: IpCommand


class Callbacks:
    """Calls back, one task for each callback."""

    def __init__(self, clock: Clock, vendors: Vendors, account_sid: str) -> None:
        self._clock = clock
        self._vendors = vendors
        self._account_sid = account_sid
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self.alerts: list[Alert] = []

    def sent(self, command: IpCommand) -> None:
        """A command was sent: call the URL that came with it."""
        if command.callback_url is not None:
            self._start(command, command.callback_url, command.callback_method)

    def received(self, command: IpCommand) -> None:
        """A device sent a command: call its Fleet's URL."""
        fleet = command.sim.fleet
        if fleet is not None and fleet.ip_commands_url is not None:
            self._start(command, fleet.ip_commands_url, fleet.ip_commands_method)

    async def close(self) -> None:
        """Cancel the callbacks in progress."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def _start(self, command: IpCommand, url: str, method: str) -> None:
        task = asyncio.get_running_loop().create_task(self._call(command, url, method, self._fields(command)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call(self, command: IpCommand, url: str, method: str, fields: dict[str, str]) -> None:
        vendor = self._vendors[command.vendor]
        url, body = urldefrag(url).url, b""  # a fragment is never sent, so it is not signed either
        if method == "GET":
            url = f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(fields)}"
            signed = vendor.callback_headers(method, url, {}, command.sid)
        else:
            body = urlencode(fields).encode()
            signed = vendor.callback_headers(method, url, fields, command.sid)
        record: dict[str, Any] = {"url": url, "method": method, "status": None, "error": None}
        record |= {"attempts": 0, "at": iso(self._clock.now())}
        command.callbacks = [*(command.callbacks or []), record]
        status = error = None
        while record["attempts"] < vendor.callback_attempts:
            record["attempts"] += 1
            status, error = await self._request(method, url, body, signed)
            if not _worth_another(status):
                break
        record |= {"status": status, "error": error}
        if status is None or not 200 <= status < 300:
            outcome = error or f"HTTP {status}"
            message = f"Callback URL answered with an error: {method} {url}: {outcome}"
            self.alerts.append(Alert(self._clock.now(), CALLBACK_FAILED, message, command))
            log.warning("%s (command %s of %s)", message, command.sid, command.sim.label)

    async def _request(
        self, method: str, url: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int | None, str | None]:
        import aiohttp  # late: most runs never call back, and the import is a third of the start-up time
        from yarl import URL

        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=TOTAL_TIMEOUT, connect=CONNECT_TIMEOUT)
            self._session = aiohttp.ClientSession(timeout=timeout)
        if method == "POST":
            headers = {**headers, "Content-Type": _FORM}
        try:
            # encoded=True: call the URL exactly as it was signed
            target = URL(url, encoded=True)
            async with self._session.request(
                method, target, data=body or None, headers=headers, allow_redirects=False
            ) as response:
                await response.read()
                return response.status, None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return None, f"{type(error).__name__}: {error}"

    def _fields(self, command: IpCommand) -> dict[str, str]:
        """Return the fields of a callback: those of the resource, because the vendors document only some."""
        return {
            "AccountSid": self._account_sid,
            "Sid": command.sid,
            "SimSid": command.sim.sid,
            "SimUniqueName": command.sim.unique_name or "",
            "SimIccid": command.sim.iccid,
            "Status": command.status,
            "Direction": command.direction,
            "DeviceIp": command.device_ip or "",
            "DevicePort": str(command.device_port),
            "PayloadType": command.payload_type,
            "Payload": base64.b64encode(command.data).decode(),
            "DateCreated": iso(command.created),
            "DateUpdated": iso(command.updated),
        }


def _worth_another(status: int | None) -> bool:
    return status in (408, 423) or (status is not None and status >= 500)
