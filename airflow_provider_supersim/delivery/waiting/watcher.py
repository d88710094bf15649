"""One poller for all commands of an account that anything in this process waits for.

Ten thousand may wait at once, so nothing that happens to one of them may cost a look at all of them.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

import msgspec

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import (
    AuthenticationError,
    BadInputError,
    NoReplyError,
    NotFoundError,
    SuperSimError,
    TooManyRequestsError,
    Verdict,
)
from airflow_provider_supersim.api.models import IpCommand, Status, parse_field
from airflow_provider_supersim.api.requests import IP_COMMANDS
from airflow_provider_supersim.delivery.waiting.status_reader import HOPELESS, StatusReader
from airflow_provider_supersim.words import duration, quoted

log = logging.getLogger(__name__)

#: Failed rounds in a row after which everyone is told. One round without a failure resets the count.
FAILED_ROUNDS = 10
#: The pause between two rounds, in intervals: the first while statuses change, the last after some rounds without.
PAUSES = (1.0, 1.5, 2.25, 3.375, 4.0)
#: Random part of a pause, so that pollers of several processes do not stay in step.
JITTER = 0.1
#: Seconds after a deadline that a round under way gets to end.
GRACE = 30.0
#: Seconds for which a read by sid may answer 404 although the command exists: as long as the list may lag.
GONE_AFTER = 30.0
#: Most seconds by which pauses that the API asks for make a look longer.
BUSY = 600.0
KNOWN_STATUSES = frozenset(Status)
#: What can be a sid. One that is well formed is not needed: what else the API gives out must be readable too.
_SID = re.compile(r"[0-9A-Za-z]+")

T = TypeVar("T")
OnRead = Callable[[IpCommand], None]
OnGone = Callable[[str], None]


class EventError(ValueError):
    """A dict that is not the event of a wait: the trigger's version of this provider is another one."""


class StatusesUnreadableError(Exception):
    """The statuses could not be read.

    :ivar waited: what is known, with the error
    """

    def __init__(self, waited: Waited) -> None:
        super().__init__(waited.error)
        self.waited = waited


class Waited(msgspec.Struct, frozen=True, kw_only=True):
    """How a wait ended.

    :ivar commands: each command as it was last read
    :ivar unread: sids that could not be read even once
    :ivar error: why reading ended before the deadline, in one sentence
    :ivar retryable: waiting again may go better
    :ivar credentials_refused: the API refused the credentials
    """

    commands: list[IpCommand] = []
    unread: list[str] = []
    error: str | None = None
    retryable: bool = True
    credentials_refused: bool = False

    @property
    def settled(self) -> bool:
        """Whether every command reached a final status."""
        return not self.unread and all(command.status.settled for command in self.commands)

    def check_readable(self) -> None:
        """Do nothing if the statuses could be read.

        :raises StatusesUnreadableError: they could not
        """
        if self.error:
            raise StatusesUnreadableError(self)

    def to_event(self) -> dict[str, Any]:
        """Return JSON types, for a trigger's event."""
        return dict(msgspec.to_builtins(self, enc_hook=lambda date: date.isoformat()))

    @classmethod
    def from_event(cls, event: Any) -> Waited:
        """Read what :meth:`to_event` made.

        :raises EventError: it is something else
        """
        if not isinstance(event, dict) or set(event) != set(cls.__struct_fields__):
            fields = ", ".join(cls.__struct_fields__)
            raise EventError(f"its fields are not {fields}: {quoted(repr(event))}")
        try:
            return msgspec.convert(event, cls, dec_hook=parse_field)
        except msgspec.ValidationError as error:
            raise EventError(f"{error}: {quoted(repr(event))}") from None


class _Waiter:
    """One who waits: the commands that are still to be read, and what was read of all.

    :param once: a command is done when it was read, whatever its status
    """

    def __init__(
        self,
        sids: Iterable[str],
        interval: float,
        deadline: float,
        on_read: OnRead | None,
        on_gone: OnGone | None,
        *,
        once: bool = False,
    ) -> None:
        self.open = set(sids)
        self.read: dict[str, IpCommand] = {}
        self.on_read = on_read
        self.on_gone = on_gone
        self.interval = interval
        self.deadline = deadline
        self.once = once
        self.heard_at = _now()
        self._refused: set[str] = set()  # since a status was last read
        self.done: asyncio.Future[Waited] = asyncio.get_running_loop().create_future()

    def take(self, command: IpCommand) -> None:
        """Keep what was read, or hand it on; end the wait with the last command that is done."""
        sid = str(command.sid)
        self.heard_at = _now()
        self._refused.clear()
        if self.on_read:
            self._tell(self.on_read, command)
        else:
            self.read[sid] = command
        if self.is_done(command):
            self._close(sid)

    def lose(self, sid: str, error: SuperSimError | BadInputError) -> bool:
        """Note that the API does not show a command; return whether it need not be read again for this one."""
        self.heard_at = _now()
        if isinstance(error, NotFoundError):
            if self.on_gone:
                self._tell(self.on_gone, sid)
                return self._close(sid)
        else:
            self._refused.add(sid)
        if not self.on_read or len(self._refused) >= HOPELESS:  # one of many is given up alone, but not all of them
            self.end(error)
        elif self.once:
            log.warning("%s has no status: the API refuses to show it. %s [status-refused]", sid, error)
            return self._close(sid)
        return False

    def _tell(self, listener: Callable[[T], None], news: T) -> None:
        try:
            listener(news)
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not end the waits of others
            self.fail(error)

    def _close(self, sid: str) -> bool:
        """Wait no more for this command; end the wait with the last one."""
        self.open.discard(sid)
        if not self.open:
            self.end()
        return True

    def is_done(self, command: IpCommand) -> bool:
        """Tell whether the command need not be read again for this one."""
        return self.once or command.status.settled

    def result(self, error: SuperSimError | BadInputError | None = None) -> Waited:
        """Return what is known now."""
        return Waited(
            commands=list(self.read.values()),
            unread=[] if self.on_read else sorted(self.open - self.read.keys()),
            error=str(error) if error else None,
            retryable=error is None or (isinstance(error, SuperSimError) and error.retryable),
            credentials_refused=isinstance(error, AuthenticationError),
        )

    def end(self, error: SuperSimError | BadInputError | None = None) -> None:
        """End the wait with what is known."""
        if not self.done.done():
            self.done.set_result(self.result(error))

    def fail(self, error: Exception) -> None:
        """End the wait with an error that is not the API's: of this waiter's listeners, or of the poller."""
        if not self.done.done():
            self.done.set_exception(error)


class Watcher:
    """Polls for all waiters of one account on one event loop. Get it with :func:`watcher_of`.

    :param open_client: makes the client; called when the first waiter comes, again after the last has left
    """

    def __init__(self, open_client: Callable[[], AsyncSuperSimClient]) -> None:
        self._open_client = open_client
        self._reader = StatusReader(self._take, self._gone)
        self._waiters: set[_Waiter] = set()
        self._by_sid: defaultdict[str, set[_Waiter]] = defaultdict(set)  # no sid without a waiter
        self._poller: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._round_began = 0.0
        self._next_round = 0.0
        self._pause = PAUSES[0]  # in intervals
        self._quiet_rounds = 0
        self._failed_rounds = 0
        self._read_in_round = 0
        self._last_error: SuperSimError | None = None
        self._client: AsyncSuperSimClient | None = None
        self._new_statuses: set[str] = set()
        self._gone_since: dict[str, float] = {}  # by sid: when a read was first answered 404

    async def wait(
        self,
        sids: Iterable[str],
        *,
        interval: float,
        timeout: float,
        on_read: OnRead | None = None,
        on_gone: OnGone | None = None,
    ) -> Waited:
        """Wait until every command is settled, the time is over, or reading has failed for good.

        :param sids: of the commands (``HG…``)
        :param interval: seconds between two rounds for these commands, at the least
        :param timeout: seconds from now; with 0 each status is read once
        :param on_read: called with each command as it is read; the result then names no commands. What it raises ends
            this wait
        :param on_gone: called with the sid of a command that the API has no more; the others are waited for. What it
            raises ends this wait
        :raises ValueError: a sid can be none, the interval is not more than 0, or the timeout less than 0
        """
        _check_seconds("poll_interval", interval, above_zero=True)
        _check_seconds("timeout", timeout, above_zero=False)
        waiter = _Waiter(sids, interval, _now() + timeout, on_read, on_gone)
        for sid in waiter.open:
            _check_sid(sid)
        if not waiter.open:
            return Waited()
        self._add(waiter)
        try:
            async with asyncio.timeout(timeout + GRACE):
                return await waiter.done
        except TimeoutError:
            return waiter.result()
        finally:
            self._remove(waiter)

    async def look(
        self, sids: Iterable[str], *, pause: float, timeout: float, on_read: OnRead, on_gone: OnGone | None = None
    ) -> None:
        """Read the status of each command once, and come back when all were read, or are gone.

        :param pause: seconds between two rounds, while some could not be read
        :param timeout: seconds in which all must be read. It goes on after that for as long as it reads some, and at
            most :data:`BUSY` seconds while the API asks for pauses
        :param on_read: called with each command as it is read
        :param on_gone: called with the sid of each command that the API has no more
        :raises StatusesUnreadableError: a command could not be read in this time, or the budget for failed rounds is
            spent
        """
        waiter = _Waiter(sids, pause, math.inf, on_read, on_gone, once=True)
        if not waiter.open:
            return
        deadline = _now() + timeout
        self._add(waiter)
        try:
            while (
                left := max(deadline, waiter.heard_at, min(self._resumes_at(), deadline + BUSY)) + GRACE - _now()
            ) > 0:
                await asyncio.wait([waiter.done], timeout=left)
                if waiter.done.done():
                    waiter.done.result().check_readable()
                    return
        finally:
            self._remove(waiter)
        waiter.result(self._last_error or _no_reply()).check_readable()

    def _resumes_at(self) -> float:
        """Return when requests may leave again if the API has asked for a pause; 0 if it has not."""
        pause = self._client.paused_for if self._client else 0.0
        return _now() + pause if pause else 0.0

    def _add(self, waiter: _Waiter) -> None:
        self._waiters.add(waiter)
        for sid in waiter.open:
            self._by_sid[sid].add(waiter)
        self._quiet_rounds = 0
        self._pause = min(self._pause, PAUSES[0])
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        elif (due := self._due(waiter)) < self._next_round:
            self._next_round = due
            self._wake.set()

    def _remove(self, waiter: _Waiter) -> None:
        self._waiters.discard(waiter)
        for sid in waiter.open:
            self._forget(sid, waiter)
        if not self._waiters:
            self._wake.set()

    def _forget(self, sid: str, waiter: _Waiter) -> None:
        """Note that the waiter does not wait for this command any more."""
        waiters = self._by_sid[sid]
        waiters.discard(waiter)
        if not waiters:
            del self._by_sid[sid]
            self._gone_since.pop(sid, None)

    async def _poll(self) -> None:
        try:
            while self._waiters:  # again if a waiter came while the client was closing
                async with self._open_client() as client:
                    self._client = client
                    while self._waiters:
                        self._round_began = _now()
                        await self._round(client)
                        await asyncio.sleep(0)  # waiters that were told leave before the next round is planned
                        await self._rest()
        except Exception as error:  # noqa: BLE001  # whatever it is, those who wait must hear of it
            for waiter in self._waiters:
                waiter.fail(error)

    async def _round(self, client: AsyncSuperSimClient) -> None:
        before, self._read_in_round = len(self._by_sid), 0
        overdue = [waiter for waiter in self._waiters if waiter.deadline <= self._round_began]
        try:
            await self._reader.read(client, set(self._by_sid), {sid for waiter in overdue for sid in waiter.open})
        except SuperSimError as error:
            self._last_error = error
            if not error.retryable or not self._may_go_on(error):
                self._failed_rounds = 0  # waiters that come later have the whole budget
                overdue = []
                for waiter in self._waiters:
                    waiter.end(error)
        else:
            self._failed_rounds, self._last_error = 0, None
            self._quiet_rounds = self._quiet_rounds + 1 if len(self._by_sid) >= before else 0
        for waiter in overdue:
            waiter.end()

    def _may_go_on(self, error: SuperSimError) -> bool:
        """Count a failed round; return whether the budget allows another one."""
        if self._read_in_round:
            self._failed_rounds = 0
        elif not isinstance(error, TooManyRequestsError):  # busy is not broken
            self._failed_rounds += 1
            if self._failed_rounds >= FAILED_ROUNDS:
                return False
            log.warning(
                "Statuses cannot be read (%s of %s times in a row), trying again: %s [statuses-failing]",
                self._failed_rounds,
                FAILED_ROUNDS,
                error,
            )
        return True

    def _take(self, command: IpCommand) -> None:
        self._read_in_round += 1
        if command.status not in KNOWN_STATUSES:
            self._warn_of(command.status)
        sid = str(command.sid)
        self._gone_since.pop(sid, None)
        for waiter in tuple(self._by_sid.get(sid, ())):
            waiter.take(command)
            if waiter.is_done(command):
                self._forget(sid, waiter)

    def _warn_of(self, status: Status) -> None:
        """Warn of a status that this version does not know, once for each."""
        if status.value not in self._new_statuses:
            self._new_statuses.add(status.value)
            log.warning(
                "The API has a new status, %r: waiting on, as for 'queued'. Look for an update of "
                "airflow-provider-supersim [status-new]",
                status.value,
            )

    def _gone(self, sid: str, error: SuperSimError | BadInputError) -> None:
        """Take note of a command that the API does not show.

        A 404 is believed only if the command stays away: a read right after the POST may come too early.
        """
        self._read_in_round += 1  # an answer, although not a status
        now, waiters = _now(), tuple(self._by_sid.get(sid, ()))
        if isinstance(error, NotFoundError) and now - self._gone_since.setdefault(sid, now) < GONE_AFTER:
            for waiter in waiters:
                waiter.heard_at = now
            return
        for waiter in waiters:
            if waiter.lose(sid, error):
                self._forget(sid, waiter)

    async def _rest(self) -> None:
        """Sleep for a pause, or until the next deadline, so that each wait ends right after a look."""
        rounds = max(self._quiet_rounds - 1, self._failed_rounds, 0)
        pause = PAUSES[min(rounds, len(PAUSES) - 1)]
        self._pause = pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # no secret
        self._next_round = min((self._due(one) for one in self._waiters if not one.done.done()), default=0.0)
        while self._waiters and (left := self._next_round - _now()) > 0:
            self._wake.clear()
            try:
                async with asyncio.timeout(left):
                    await self._wake.wait()
            except TimeoutError:
                return

    def _due(self, waiter: _Waiter) -> float:
        """Return when the waiter wants the next round to begin."""
        deadline = max(waiter.deadline, self._round_began + min(waiter.interval, 1.0))
        return min(self._round_began + self._pause * waiter.interval, deadline)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _no_reply() -> SuperSimError:
    words = f"no status could be read for {duration(GRACE)}"
    return NoReplyError(words, request=f"GET {IP_COMMANDS}", verdict=Verdict.TRY_AGAIN)


def _check_seconds(name: str, value: object, *, above_zero: bool) -> None:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not (number > 0 or (number == 0 and not above_zero)):
        least = "above 0" if above_zero else "0 or more"
        raise BadInputError(f"{name} must be a number of seconds, {least}, got {value!r}")


def _check_sid(sid: object) -> None:
    if not isinstance(sid, str) or not _SID.fullmatch(sid):
        raise BadInputError(f"the sid of an IP Command must be HG and 32 hexadecimal digits, got {str(sid)[:80]!r}")


#: By event loop and account. A watcher lives as long as something holds it, as all who wait do.
_WATCHERS: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[Hashable, Watcher]] = WeakKeyDictionary()


def watcher_of(account: Hashable, open_client: Callable[[], AsyncSuperSimClient]) -> Watcher:
    """Return the watcher that all who wait for this account on this event loop share.

    :param account: equal for those that may share
    :param open_client: makes the client, which must not retry: the watcher itself counts failures and tries again
    """
    watchers = _WATCHERS.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    watcher = watchers.get(account)
    if watcher is None:
        watcher = watchers[account] = Watcher(open_client)
    return watcher
