"""One poller for all commands of an account that anything in this process waits for.

Ten thousand may wait at once, so nothing that happens to one of them may cost a look at all of them.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import (
    BadInputError,
    NoReplyError,
    NotFoundError,
    SuperSimError,
    TooManyRequestsError,
    Verdict,
)
from airflow_provider_supersim.api.models import IpCommand, Status
from airflow_provider_supersim.api.requests import IP_COMMANDS
from airflow_provider_supersim.delivery.waiting.status_reader import StatusReader
from airflow_provider_supersim.delivery.waiting.waited import Waited
from airflow_provider_supersim.delivery.waiting.waiter import (
    OnGone,
    OnRead,
    OnRefused,
    Waiter,
    check_seconds,
    check_sid,
    now,
)
from airflow_provider_supersim.words import duration

log = logging.getLogger(__name__)

#: Failed rounds in a row after which everyone is told. One round without a failure resets the count.
FAILED_ROUNDS = 10
#: The pause between two rounds, in intervals: the first while statuses change, the last after some rounds without.
PAUSES = (1.0, 1.5, 2.25, 3.375, 4.0)
#: Random part of a pause, so that pollers of several processes do not stay in step.
JITTER = 0.1
#: Most seconds after a deadline that a round under way gets to end, and fewest after a short wait.
GRACE, LEAST_GRACE = 30.0, 5.0
#: Seconds for which a read by sid may answer 404 although the command exists: as long as the list may lag.
GONE_AFTER = 30.0
#: Most seconds by which pauses that the API asks for make a look longer.
BUSY = 600.0
KNOWN_STATUSES = frozenset(Status)


class Watcher:
    """Polls for all waiters of one account on one event loop. Get it from :mod:`.shared`.

    :param open_client: makes the client; called when the first waiter comes, again after the last has left
    """

    def __init__(self, open_client: Callable[[], AsyncSuperSimClient]) -> None:
        self._open_client = open_client
        self._reader = StatusReader(self._take, self._gone)
        self._waiters: set[Waiter] = set()
        self._by_sid: defaultdict[str, set[Waiter]] = defaultdict(set)  # no sid without a waiter
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
        check_seconds("poll_interval", interval, above_zero=True)
        check_seconds("timeout", timeout, above_zero=False)
        waiter = Waiter(sids, interval, now() + timeout, on_read, on_gone)
        for sid in waiter.open:
            check_sid(sid)
        if not waiter.open:
            return Waited()
        self._add(waiter)
        try:
            async with asyncio.timeout(timeout + grace(timeout)):
                return await waiter.done
        except TimeoutError:
            return waiter.result()
        finally:
            self._remove(waiter)

    async def look(
        self,
        sids: Iterable[str],
        *,
        pause: float,
        timeout: float,
        on_read: OnRead,
        on_gone: OnGone | None = None,
        on_refused: OnRefused | None = None,
    ) -> None:
        """Read the status of each command once, and come back when all were read, or are gone.

        :param pause: seconds between two rounds, while some could not be read
        :param timeout: seconds in which all must be read. It goes on after that for as long as it reads some, and at
            most :data:`BUSY` seconds while the API asks for pauses
        :param on_read: called with each command as it is read
        :param on_gone: called with the sid of each command that the API has no more
        :param on_refused: called with the sid of each command that the API refuses to show, and with the refusal
        :raises StatusesUnreadableError: a command could not be read in this time, or the budget for failed rounds is
            spent
        """
        waiter = Waiter(sids, pause, math.inf, on_read, on_gone, on_refused=on_refused, once=True)
        if not waiter.open:
            return
        deadline = now() + timeout
        self._add(waiter)
        try:
            while (
                left := max(deadline, waiter.heard_at, min(self._resumes_at(), deadline + BUSY)) + GRACE - now()
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
        return now() + pause if pause else 0.0

    def _add(self, waiter: Waiter) -> None:
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

    def _remove(self, waiter: Waiter) -> None:
        self._waiters.discard(waiter)
        for sid in waiter.open:
            self._forget(sid, waiter)
        if not self._waiters:
            self._wake.set()

    def _forget(self, sid: str, waiter: Waiter) -> None:
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
                        self._round_began = now()
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
        asked_at, waiters = now(), tuple(self._by_sid.get(sid, ()))
        since = self._gone_since.setdefault(sid, asked_at) if isinstance(error, NotFoundError) else -math.inf
        if asked_at - since < GONE_AFTER:
            for waiter in waiters:
                waiter.heard_at = asked_at
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
        while self._waiters and (left := self._next_round - now()) > 0:
            self._wake.clear()
            try:
                async with asyncio.timeout(left):
                    await self._wake.wait()
            except TimeoutError:
                return

    def _due(self, waiter: Waiter) -> float:
        """Return when the waiter wants the next round to begin."""
        deadline = max(waiter.deadline, self._round_began + min(waiter.interval, 1.0))
        return min(self._round_began + self._pause * waiter.interval, deadline)


def grace(timeout: float) -> float:
    """Return the seconds after a deadline in which a wait ends even if the API hangs: as long again, within bounds.

    :param timeout: seconds of the wait; with 0 there is nothing but the round under way
    """
    return min(GRACE, max(timeout, LEAST_GRACE)) if timeout else GRACE


def _no_reply() -> SuperSimError:
    words = f"no status could be read for {duration(GRACE)}"
    return NoReplyError(words, request=f"GET {IP_COMMANDS}", verdict=Verdict.TRY_AGAIN)
