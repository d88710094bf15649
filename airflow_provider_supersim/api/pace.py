"""When requests may leave: as many at once as the API serves, after a pause that it asked for, at a limited rate.

One account has one pace in a process, which all its clients share: what one of them has learned, the others know.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from airflow_provider_supersim.api.concurrency import Concurrency
from airflow_provider_supersim.api.errors import ApiError, ServerError, TooManyRequestsError
from airflow_provider_supersim.api.places import Places
from airflow_provider_supersim.words import count, duration

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds: the log explains a pause of at least this length.
LONG = 5.0
#: Seconds between two log lines about refusals.
SAY_EVERY = 10.0
#: Seconds: the first rest if even one request at once is refused, and the longest.
FIRST_REST, LONGEST_REST = 0.25, 3.0


class Pace:
    """Runs requests, each when its turn comes, on any event loop of the process.

    :param max_concurrency: most requests at once; it begins lower and finds out
    :param max_rate: commands a second; default: no ceiling
    :param account: what log lines call it

    :ivar at_work: how many requests the API serves for the account, as its latest reply says; ``None``: it does not say
    """

    def __init__(self, max_concurrency: int, max_rate: float | None = None, account: str = "the API") -> None:
        self._account = account
        self.at_work: int | None = None
        self._concurrency = Concurrency(max_concurrency)
        self._places = Places(self._concurrency.limit)
        self._interval = 1 / max_rate if max_rate else None  # seconds between two commands
        self._next_command_at = 0.0
        self._turn = Places(1)
        self._resume_at = 0.0  # as the API asked
        self._rest_until = 0.0
        self._refusals = 0  # since the last log line
        self._said_at: float | None = None

    @property
    def concurrency(self) -> int:
        """How many requests may be under way now."""
        return self._concurrency.limit

    @property
    def paused_for(self) -> float:
        """Seconds for which the API has asked to wait."""
        return max(0.0, self._resume_at - time.monotonic())

    async def run(self, request: Callable[[], Awaitable[T]], *, rated: bool) -> T:
        """Make a request when its turn comes, learn from how it ends, and return what it returns.

        :param request: makes the request once
        :param rated: the request counts against ``max_rate``; true for commands, false for reads
        """
        if rated and self._interval:
            await self._turn.take()  # those that wait for the rate hold one place between them
            try:
                await self._take_place(self._interval)
            finally:
                self._turn.give_back()
        else:
            await self._take_place(None)
        started = self._concurrency.start(time.monotonic(), self._places.taken)
        try:
            answer = await request()
        except TooManyRequestsError as error:
            self._concurrency.refused(started, time.monotonic(), self._places.taken - 1, self.at_work)
            self._pause(error)
            if self._concurrency.in_vain:
                self._rest_until = time.monotonic() + rest(self._concurrency.in_vain)
            self._say_slower()
            raise
        except ApiError as error:
            if started.full and not isinstance(error, ServerError):  # it was served: the API has looked at it
                self._concurrency.served(started, time.monotonic(), self._places.taken, self.at_work)
            raise
        else:
            if started.full:
                self._concurrency.served(started, time.monotonic(), self._places.taken, self.at_work)
            return answer
        finally:
            self._places.give_back(self._concurrency.limit)

    async def _take_place(self, interval: float | None) -> None:
        await self._places.take()
        try:
            while (pause := self._leaves_at() - time.monotonic()) > 0:  # noqa: ASYNC110  # others may extend it meanwhile
                await anyio.sleep(pause)
            if interval:  # last: requests that are through it and then held back would leave in a burst
                while (pause := self._next_command_at - time.monotonic()) > 0:  # noqa: ASYNC110  # so may others here
                    await anyio.sleep(pause)
                self._next_command_at = time.monotonic() + interval
        except BaseException:
            self._places.give_back(self._concurrency.limit)
            raise

    def _leaves_at(self) -> float:
        return max(self._resume_at, self._rest_until)

    def _pause(self, error: TooManyRequestsError) -> None:
        asked = error.retry_after or 0.0
        until = time.monotonic() + asked
        if asked >= LONG and until > self._resume_at + LONG:
            log.warning(
                "Pausing for %s: 429 with Retry-After from %s. Sending resumes by itself. [pausing]",
                duration(asked),
                self._account,
            )
        self._resume_at = max(self._resume_at, until)

    def _say_slower(self) -> None:
        self._refusals += 1
        now = time.monotonic()
        if self._said_at is None:
            log.info("Slowing to %s at once: 429 from %s", count(self.concurrency, "request"), self._account)
        elif now >= self._said_at + SAY_EVERY:
            log.info(
                "Slowing to %s at once: 429 %s in %s from %s",
                count(self.concurrency, "request"),
                count(self._refusals, "time"),
                duration(round(now - self._said_at)),
                self._account,
            )
        else:
            return
        self._refusals, self._said_at = 0, now


def rest(in_vain: int, source: random.Random | None = None) -> float:
    """Return seconds in which nothing leaves, because many wait and each would try, and be refused.

    :param in_vain: how many requests were refused one after the other although no more than one was under way
    :param source: of random numbers
    """
    longest = min(LONGEST_REST, FIRST_REST * 2 ** min(in_vain, 10))
    return (source or _RANDOM).uniform(longest / 2, longest)


_RANDOM = random.Random()  # noqa: S311  # no secret

#: By account, for as long as the process lives.
_PACES: dict[tuple[str, int, float | None], Pace] = {}
os.register_at_fork(after_in_child=_PACES.clear)  # what is under way in the parent is not the child's


def pace_of(account: str, max_concurrency: int, max_rate: float | None) -> Pace:
    """Return the pace that all clients of the account share in this process.

    :param account: its name in log lines, equal for those that share the account's limit
    :param max_concurrency: see :class:`Pace`
    :param max_rate: see :class:`Pace`
    """
    return _PACES.setdefault((account, max_concurrency, max_rate), Pace(max_concurrency, max_rate, account))
