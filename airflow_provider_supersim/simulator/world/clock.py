"""The simulator's clock: wall time until a test stops it, sets it or moves it."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from itertools import count
from typing import Any

FIRST, LAST = 0.0, datetime(9000, 1, 1, tzinfo=UTC).timestamp()
"""The clock can be set to these times and all between. Later ones could pass the year 9999, which dates cannot."""

_SLICE = 500
"""Most timers that run in one turn of the event loop, so that a burst does not hold up requests."""


class Clock:
    """Tells the time and runs timers. Everything that happens by itself in the world is a timer of this clock."""

    def __init__(self) -> None:
        # From the monotonic clock, so that a correction of the host's clock does not move the world.
        self._offset = time.time() - time.monotonic()
        self._stopped_at: float | None = None
        self._timers: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()
        self._wake: asyncio.TimerHandle | None = None
        self._wake_at = 0.0

    @property
    def running(self) -> bool:
        """Whether time passes by itself."""
        return self._stopped_at is None

    @property
    def pending(self) -> int:
        """Number of timers that are not due yet."""
        return len(self._timers)

    def now(self) -> float:
        """The time in seconds since 1970 (UTC)."""
        return time.monotonic() + self._offset if self._stopped_at is None else self._stopped_at

    def at(self, due: float, action: Callable[..., None], *arguments: Any) -> None:
        """Run ``action(*arguments)`` when the clock reaches ``due``; equal times run in the order of these calls."""
        heapq.heappush(self._timers, (due, next(self._order), action, arguments))
        self._arm()

    def stop(self) -> None:
        """Freeze the time."""
        self._stopped_at = self.now()
        self._disarm()

    def run(self) -> None:
        """Let the time pass again from the present moment of this clock."""
        if self._stopped_at is not None:
            self._offset = self._stopped_at - time.monotonic()
            self._stopped_at = None
        self._arm()

    def advance(self, seconds: float) -> None:
        """Move forward by ``seconds``; every timer that falls due on the way has run, in order, when this returns."""
        self.set(self.now() + seconds)

    def set(self, moment: float) -> None:
        """Move to ``moment``. On the way forward every timer that falls due runs; on the way back none does."""
        was_running = self.running
        self._stopped_at = self.now()
        self._disarm()
        while self._timers and self._timers[0][0] <= moment:
            due, _, action, arguments = heapq.heappop(self._timers)
            self._stopped_at = max(self._stopped_at, due)  # each timer sees the time at which it was due
            action(*arguments)
        self._stopped_at = moment
        if was_running:
            self.run()

    def close(self) -> None:
        """Forget every timer, because this clock's world has ended."""
        self._timers.clear()
        self._disarm()

    def _arm(self) -> None:
        if self._stopped_at is not None or not self._timers:
            return
        due = self._timers[0][0]
        if self._wake is None or due < self._wake_at:
            self._disarm()
            delay = max(0.0, due - self.now())
            self._wake = asyncio.get_running_loop().call_later(delay, self._run_due)
            self._wake_at = due

    def _disarm(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None

    def _run_due(self) -> None:
        self._wake = None
        now = self.now()
        for _ in range(_SLICE):
            if not self._timers or self._timers[0][0] > now:
                break
            _, _, action, arguments = heapq.heappop(self._timers)
            action(*arguments)
        self._arm()


def iso(moment: float) -> str:
    """Write a time as the API does: ISO 8601 in GMT, whole seconds, ``2015-07-30T20:00:00Z``."""
    return _iso(int(moment))


def http_date(moment: float) -> bytes:
    """Write a time as the ``Date`` header does."""
    return _http_date(int(moment))


def parse_iso(text: str) -> float:
    """Read an ISO 8601 time; without an offset it is taken as UTC.

    :raises ValueError: ``text`` is not such a time.
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@lru_cache(maxsize=4096)
def _iso(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=64)
def _http_date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()
