"""When requests may leave: as many at once as the API serves, after a pause that it asked for, under a ceiling."""

from __future__ import annotations

import logging
import time
from types import TracebackType

import anyio
from aiolimiter import AsyncLimiter  # a leaky bucket for asyncio: small, typed, maintained; no thread of its own

from airflow_provider_supersim.api.concurrency import Concurrency
from airflow_provider_supersim.api.errors import TooManyRequestsError

log = logging.getLogger(__name__)

LONG = 5.0  # seconds of a pause from which on the log says why nothing is being sent
SAY_EVERY = 10.0  # seconds between two log lines on refusals


class Pace:
    """Admits requests one by one.

    :param max_concurrency: most requests under way at once; where the pace starts
    :param max_rate: most commands a second, ``None`` for no ceiling of one's own
    """

    def __init__(self, max_concurrency: int, max_rate: float | None = None) -> None:
        self._allowed = Concurrency(max_concurrency)
        self._places = anyio.CapacityLimiter(max_concurrency)
        # One token at a time: a bucket as large as the rate would let a second's worth go at once.
        self._rate = AsyncLimiter(1, 1 / max_rate) if max_rate else None
        self._turn = anyio.Lock()
        self._resume_at = 0.0
        self._refused = 0  # since the log last said so
        self._say_at = 0.0

    @property
    def concurrency(self) -> int:
        """How many requests may be under way now."""
        return self._allowed.limit

    def admit(self, *, rated: bool) -> _Place:
        """Return an asynchronous context manager that waits for a place and holds it, for one request.

        :param rated: whether the request counts against ``max_rate``, as commands do and reads do not
        """
        return _Place(self, rated=rated)

    async def enter(self, place: _Place, *, rated: bool) -> None:
        """Wait for a place."""
        if rated and self._rate:
            # One at a time, so that those who wait for the rate hold one place, not all.
            async with self._turn:
                await self._enter(place, self._rate)
        else:
            await self._enter(place, None)

    async def _enter(self, place: _Place, rate: AsyncLimiter | None) -> None:
        try:
            # A tenth of the CPU of acquire(), which lets others go first and asks which task it is in.
            self._places.acquire_on_behalf_of_nowait(place)
        except anyio.WouldBlock:
            await self._places.acquire_on_behalf_of(place)
        try:
            while (pause := self._resume_at - time.monotonic()) > 0:  # noqa: ASYNC110  # a time that others put off
                await anyio.sleep(pause)
            if rate:  # last, for what has passed it must not be held back and then let go in a burst
                await rate.acquire()
        except BaseException:
            self._places.release_on_behalf_of(place)
            raise

    def begin(self) -> tuple[int, bool]:
        """Return the era in which a request begins, and whether as many as allowed are now under way."""
        return self._allowed.era, self._places.borrowed_tokens >= self._allowed.limit

    def end(self, place: _Place, era: int, full: bool, error: BaseException | None) -> None:
        """Give the place back, and learn from how the request ended."""
        if isinstance(error, TooManyRequestsError):
            self._pause(error)
            self._allowed.refused(era)
            self._say()
        elif error is None and full:
            self._allowed.answered(era)
        if self._places.total_tokens != self._allowed.limit:
            self._places.total_tokens = self._allowed.limit
        self._places.release_on_behalf_of(place)

    def _pause(self, error: TooManyRequestsError) -> None:
        until = time.monotonic() + (error.retry_after or 0.0)
        if (error.retry_after or 0.0) >= LONG and until > self._resume_at + LONG:
            log.warning("The API asked for a pause: nothing leaves for %.0f s. %s", error.retry_after, error)
        self._resume_at = max(self._resume_at, until)

    def _say(self) -> None:
        self._refused += 1
        if time.monotonic() >= self._say_at:
            log.info(
                "The API is asked for too much (429), %s time(s) lately: from now on %s request(s) at once",
                self._refused,
                self.concurrency,
            )
            self._refused, self._say_at = 0, time.monotonic() + SAY_EVERY


class _Place:
    """One request's place. A class, for a generator's context manager costs five times as much."""

    __slots__ = ("_era", "_full", "_pace", "_rated")

    def __init__(self, pace: Pace, *, rated: bool) -> None:
        self._pace = pace
        self._rated = rated

    async def __aenter__(self) -> None:
        await self._pace.enter(self, rated=self._rated)
        self._era, self._full = self._pace.begin()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pace.end(self, self._era, self._full, error)
