"""When requests may leave: as many at once as the API serves, after a pause that it asked for, at a limited rate."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from aiolimiter import AsyncLimiter  # a leaky bucket for asyncio: small, typed, maintained; no thread of its own

from airflow_provider_supersim.api.concurrency import Concurrency
from airflow_provider_supersim.api.errors import TooManyRequestsError
from airflow_provider_supersim.words import count, duration

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds: the log explains a pause of at least this length.
LONG = 5.0
#: Seconds between two log lines about refusals.
SAY_EVERY = 10.0


class Pace:
    """Runs requests, each when its turn comes.

    :param max_concurrency: requests at once with which it starts, and which it never exceeds
    :param max_rate: commands a second; default: no ceiling
    """

    def __init__(self, max_concurrency: int, max_rate: float | None = None) -> None:
        self._concurrency = Concurrency(max_concurrency)
        self._places = anyio.CapacityLimiter(max_concurrency)
        # One token at a time: a bucket that holds a second's worth would let all of it leave at once.
        self._rate = AsyncLimiter(1, 1 / max_rate) if max_rate else None
        self._turn = anyio.Lock()
        self._resume_at = 0.0
        self._refusals = 0  # since the last log line
        self._said_at: float | None = None

    @property
    def concurrency(self) -> int:
        """How many requests may be under way now."""
        return self._concurrency.limit

    async def run(self, request: Callable[[], Awaitable[T]], *, rated: bool) -> T:
        """Make a request when its turn comes, learn from how it ends, and return what it returns.

        :param request: makes the request once
        :param rated: the request counts against ``max_rate``; true for commands, false for reads
        """
        place = object()
        if rated and self._rate:
            async with self._turn:  # those that wait for the rate hold one place between them
                await self._wait_for(place, self._rate)
        else:
            await self._wait_for(place, None)
        limit = self._concurrency.limit
        at_limit = self._places.borrowed_tokens >= limit
        try:
            answer = await request()
        except TooManyRequestsError as error:
            self._concurrency.refused(limit)
            self._pause(error)
            self._say_slower()
            raise
        else:
            if at_limit:  # fewer requests at once say nothing about the limit
                self._concurrency.served(limit)
            return answer
        finally:
            if self._places.total_tokens != self._concurrency.limit:
                self._places.total_tokens = self._concurrency.limit
            self._places.release_on_behalf_of(place)

    async def _wait_for(self, place: object, rate: AsyncLimiter | None) -> None:
        try:
            self._places.acquire_on_behalf_of_nowait(place)
        except anyio.WouldBlock:
            await self._places.acquire_on_behalf_of(place)
        try:
            while (pause := self._resume_at - time.monotonic()) > 0:  # noqa: ASYNC110  # others may extend it meanwhile
                await anyio.sleep(pause)
            if rate:  # last: requests that are through it and then held back would leave in a burst
                await rate.acquire()
        except BaseException:
            self._places.release_on_behalf_of(place)
            raise

    def _pause(self, error: TooManyRequestsError) -> None:
        asked = error.retry_after or 0.0
        until = time.monotonic() + asked
        if asked >= LONG and until > self._resume_at + LONG:
            log.warning(
                "Pausing for %s: the API answered 429 with Retry-After. Sending resumes by itself. [pausing]",
                duration(asked),
            )
        self._resume_at = max(self._resume_at, until)

    def _say_slower(self) -> None:
        self._refusals += 1
        now = time.monotonic()
        if self._said_at is None:
            log.info("Slowing to %s at once: the API answered 429", count(self.concurrency, "request"))
        elif now >= self._said_at + SAY_EVERY:
            log.info(
                "Slowing to %s at once: the API answered 429 %s in %s",
                count(self.concurrency, "request"),
                count(self._refusals, "time"),
                duration(round(now - self._said_at)),
            )
        else:
            return
        self._refusals, self._said_at = 0, now
