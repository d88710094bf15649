"""How fast requests may leave: a concurrency that adapts to the vendor's limit, and a ceiling on the rate.

Additive increase, multiplicative decrease, as TCP does it: a 429 halves the number of requests under way, a calm round
adds one. A 429 also makes everybody wait for as long as the vendor asked.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext

import anyio
from aiolimiter import AsyncLimiter  # a leaky bucket for asyncio: small, typed, maintained; no thread of its own

from airflow_provider_supersim.api.errors import TooManyRequestsError


class Pace:
    """Admits requests one by one.

    :param max_concurrency: most requests under way at once; where the pace starts
    :param max_rate: most commands a second, ``None`` for no ceiling of one's own
    """

    def __init__(self, max_concurrency: int, max_rate: float | None = None) -> None:
        self._ceiling = max_concurrency
        self._slots = anyio.CapacityLimiter(max_concurrency)
        # One token at a time: a bucket as large as the rate would let a second's worth go at once.
        self._rate = AsyncLimiter(1, 1 / max_rate) if max_rate else None
        self._turn = anyio.Lock()
        self._calm = 0
        self._halved_at = 0.0
        self._resume_at = 0.0

    @property
    def concurrency(self) -> int:
        """How many requests may be under way now."""
        return int(self._slots.total_tokens)

    @asynccontextmanager
    async def admit(self, *, rated: bool) -> AsyncIterator[None]:
        """Wait for a place, hold it for one request, and learn from how it ended.

        :param rated: whether the request counts against ``max_rate``, as commands do and reads do not
        """
        rate = self._rate if rated else None
        async with AsyncExitStack() as place:
            # The rate comes last, for what has passed it must not be held back and then let go in a burst; and one at a
            # time, so that those who wait for it hold one place, not all.
            async with self._turn if rate else nullcontext():
                await place.enter_async_context(self._slots)
                await anyio.sleep(max(0.0, self._resume_at - time.monotonic()))
                if rate:
                    await rate.acquire()
            began = time.monotonic()
            try:
                yield
            except TooManyRequestsError as error:
                self._slow_down(began, error.retry_after)
                raise
            self._speed_up()

    def _slow_down(self, began: float, retry_after: float | None) -> None:
        now = time.monotonic()
        self._resume_at = max(self._resume_at, now + (retry_after or 0.0))
        self._calm = 0
        if began >= self._halved_at:  # those that were under way at the last halving say nothing new
            self._halved_at = now
            self._slots.total_tokens = max(1, self.concurrency // 2)

    def _speed_up(self) -> None:
        self._calm += 1
        if self._calm >= self.concurrency and self.concurrency < self._ceiling:
            self._calm = 0
            self._slots.total_tokens = self.concurrency + 1
