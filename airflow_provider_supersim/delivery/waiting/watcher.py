"""One poller for every command of an account that anyone in this process waits for.

Ten thousand may wait at once: whatever happens for one of them must not cost a look at all of them.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import msgspec

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import SuperSimError
from airflow_provider_supersim.api.models import IpCommand, Status, parse_field
from airflow_provider_supersim.delivery.waiting.status_reader import StatusReader

log = logging.getLogger(__name__)

FAILED_ROUNDS = 10  # in a row: only a full good round starts the count anew
SLOWEST = 4  # times the interval that was asked for, when nothing moves
JITTER = 0.1
KNOWN_STATUSES = frozenset(Status)
GRACE = 30.0  # seconds after a deadline in which a round that hangs may still end


OnRead = Callable[[IpCommand], None]


class Waited(msgspec.Struct, frozen=True, kw_only=True):
    """How a wait ended.

    :ivar commands: each command as it was last read
    :ivar unread: sids that could not be read even once
    :ivar error: why reading ended before the deadline, in one sentence
    :ivar retryable: whether waiting again may go better
    """

    commands: list[IpCommand] = []
    unread: list[str] = []
    error: str | None = None
    retryable: bool = True

    @property
    def settled(self) -> bool:
        """Whether every command reached a final status."""
        return not self.unread and all(command.status.settled for command in self.commands)

    def to_event(self) -> dict[str, Any]:
        """Return JSON types, for a trigger's event."""
        return dict(msgspec.to_builtins(self, enc_hook=lambda date: date.isoformat()))

    @classmethod
    def from_event(cls, event: Any) -> Waited:
        """Read what :meth:`to_event` made.

        :raises ValueError: for anything else
        """
        if not isinstance(event, dict) or set(event) != set(cls.__struct_fields__):
            raise ValueError(f"its fields are not {', '.join(cls.__struct_fields__)}")
        return msgspec.convert(event, cls, dec_hook=parse_field)


class _Ticket:
    """One waiter: the commands that it still waits for, and those that it has."""

    __slots__ = ("alone", "deadline", "done", "interval", "on_read", "read", "waiting")

    def __init__(self, sids: Iterable[str], interval: float, deadline: float, on_read: OnRead | None) -> None:
        self.waiting = set(sids)
        self.alone = (self,)  # one for all its commands, nearly all of which nobody else waits for
        self.on_read = on_read
        self.read: dict[str, IpCommand] = {}
        self.interval = interval
        self.deadline = deadline
        self.done: asyncio.Future[Waited] = asyncio.get_running_loop().create_future()

    def take(self, command: IpCommand) -> None:
        """Keep what was read, or hand it on."""
        if self.on_read:
            self.on_read(command)
        else:
            self.read[str(command.sid)] = command

    def state(self, error: SuperSimError | None = None) -> Waited:
        """Return what is known now."""
        return Waited(
            commands=list(self.read.values()),
            unread=[] if self.on_read else sorted(self.waiting - self.read.keys()),
            error=str(error) if error else None,
            retryable=error is None or error.retryable,
        )

    def end(self, error: SuperSimError | None = None) -> None:
        """Tell the waiter what is known."""
        if not self.done.done():
            self.done.set_result(self.state(error))

    def fail(self, error: Exception) -> None:
        """Tell the waiter of a failure that is nobody's answer."""
        if not self.done.done():
            self.done.set_exception(error)


class Watcher:
    """Polls for all waiters of one account on one event loop. Get it with :func:`watcher_of`."""

    def __init__(self, open_client: Callable[[], AsyncSuperSimClient]) -> None:
        self._open_client = open_client
        self._reader = StatusReader(self._take, self._gone)
        self._tickets: set[_Ticket] = set()
        self._by_sid: dict[str, tuple[_Ticket, ...]] = {}
        self._poller: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._round_began = 0.0
        self._next_round = 0.0
        self._stretch = 1.0  # of the interval that each one asked for
        self._calm_rounds = 0
        self._failed_rounds = 0
        self._logged: set[str] = set()

    async def wait(
        self, sids: Iterable[str], *, interval: float, timeout: float, on_read: OnRead | None = None
    ) -> Waited:
        """Wait until every command is settled, the time is over, or reading has failed for good.

        :param interval: seconds between two looks, less than which nobody waits
        :param timeout: seconds from now; with 0 each status is read once
        :param on_read: called with each command as it is read, which the result then does not name
        """
        ticket = _Ticket(sids, interval, time.monotonic() + timeout, on_read)
        if not ticket.waiting:
            return Waited()
        self._add(ticket)
        try:
            async with asyncio.timeout(timeout + GRACE):
                return await ticket.done
        except TimeoutError:
            return ticket.state()
        finally:
            self._remove(ticket)

    def _add(self, ticket: _Ticket) -> None:
        self._tickets.add(ticket)
        for sid in ticket.waiting:
            self._by_sid[sid] = self._by_sid.get(sid, ()) + ticket.alone
        self._calm_rounds = 0
        self._stretch = min(self._stretch, 1.0)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        elif (when := self._due(ticket)) < self._next_round:  # more impatient than the others
            self._next_round = when
            self._wake.set()

    def _remove(self, ticket: _Ticket) -> None:
        self._tickets.discard(ticket)
        for sid in ticket.waiting:
            self._forget(sid, ticket)
        if not self._tickets:
            self._wake.set()

    def _forget(self, sid: str, ticket: _Ticket) -> None:
        others = tuple(one for one in self._by_sid.get(sid, ()) if one is not ticket)
        if others:
            self._by_sid[sid] = others
        else:
            self._by_sid.pop(sid, None)

    async def _poll(self) -> None:
        try:
            while self._tickets:  # somebody may have come while the client was being closed
                async with self._open_client() as client:
                    while self._tickets:
                        self._round_began = time.monotonic()
                        await self._round(client)
                        await asyncio.sleep(0)  # those who were told leave first, and are not looked after again
                        await self._rest()
        except Exception as error:  # noqa: BLE001  # whatever it is, those who wait must hear of it
            for ticket in self._tickets:
                ticket.fail(error)

    async def _round(self, client: AsyncSuperSimClient) -> None:
        before = len(self._by_sid)
        overdue = [ticket for ticket in self._tickets if ticket.deadline <= self._round_began]
        try:
            await self._reader.read(client, set(self._by_sid), {sid for ticket in overdue for sid in ticket.waiting})
        except SuperSimError as error:
            self._failed_rounds += 1
            if error.retryable and self._failed_rounds < FAILED_ROUNDS:
                log.warning("Failed to read statuses (%s of %s): %s", self._failed_rounds, FAILED_ROUNDS, error)
            else:
                self._failed_rounds = 0  # those who come later have the whole budget
                overdue = []
                for ticket in self._tickets:
                    ticket.end(error)
        else:
            self._failed_rounds = 0
            self._calm_rounds = self._calm_rounds + 1 if len(self._by_sid) >= before else 0
        for ticket in overdue:
            ticket.end()

    def _take(self, command: IpCommand) -> None:
        if command.status not in KNOWN_STATUSES:
            self._log_once(f"Status {command.status.value!r} is new to this provider; it is waited on like 'queued'.")
        sid = str(command.sid)
        for ticket in self._by_sid.get(sid, ()):
            ticket.take(command)
            if command.status.settled:
                ticket.waiting.discard(sid)
                self._forget(sid, ticket)
                if not ticket.waiting:
                    ticket.end()

    def _gone(self, sid: str, error: SuperSimError) -> None:
        for ticket in self._by_sid.get(sid, ()):
            ticket.end(error)

    async def _rest(self) -> None:
        """Sleep until the next round: after the pause, or at the next deadline, for nobody shall end on old news."""
        slower = min(1.5 ** max(0, self._calm_rounds - 1, self._failed_rounds), SLOWEST)
        self._stretch = slower * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # no secret
        self._next_round = min((self._due(one) for one in self._tickets if not one.done.done()), default=0.0)
        while self._tickets and (pause := self._next_round - time.monotonic()) > 0:
            self._wake.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                return

    def _due(self, ticket: _Ticket) -> float:
        """Return when the ticket wants the next round to begin."""
        deadline = max(ticket.deadline, self._round_began + min(ticket.interval, 1.0))
        return min(self._round_began + self._stretch * ticket.interval, deadline)

    def _log_once(self, words: str) -> None:
        if words not in self._logged:
            self._logged.add(words)
            log.warning(words)


#: By event loop and account. Each lives as long as somebody holds it, as all do who wait.
_WATCHERS: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[Hashable, Watcher]] = WeakKeyDictionary()


def watcher_of(account: Hashable, open_client: Callable[[], AsyncSuperSimClient]) -> Watcher:
    """Return the watcher that all who wait for this account on this event loop share.

    :param account: equal for those that may share
    :param open_client: makes the client; one that does not keep trying, for the watcher's own budget counts
    """
    watchers = _WATCHERS.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    watcher = watchers.get(account)
    if watcher is None:
        watcher = watchers[account] = Watcher(open_client)
    return watcher
