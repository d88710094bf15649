"""A blocking face for the asynchronous client: a thread with an event loop, and the client open in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any, TypeVar

from anyio.from_thread import start_blocking_portal

from airflow_provider_supersim.api.client import AsyncSuperSimClient

T = TypeVar("T")

#: Where it happens to be installed, as beside Airflow's own API server: a tenth more commands a second.
UVLOOP = find_spec("uvloop") is not None


class Session:
    """Runs coroutines of one client from ordinary code, until it is closed."""

    def __init__(self, client: AsyncSuperSimClient) -> None:
        self._running: set[Future[Any]] = set()  # several, where threads share a hook
        self._cancelled = False
        with ExitStack() as stack:
            self._portal = stack.enter_context(
                start_blocking_portal(name="supersim", backend_options={"use_uvloop": UVLOOP})
            )
            self.client = stack.enter_context(self._portal.wrap_async_context_manager(client))
            self.close = stack.pop_all().close

    def run(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Run a coroutine function and return what it returns. Threads may do so at the same time.

        :raises concurrent.futures.CancelledError: when :meth:`cancel` was called
        """
        if self._cancelled:
            raise CancelledError
        running = self._portal.start_task_soon(function, *args)
        self._running.add(running)
        try:
            if self._cancelled:
                running.cancel()  # type: ignore[unreachable]  # cancel() may have come since the look above
            return running.result()
        except BaseException:
            # An exception of this thread's own (a time-out's, Ctrl-C) must not leave the coroutine behind.
            running.cancel()
            raise
        finally:
            self._running.discard(running)

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Iterate over an asynchronous iterator."""

        async def following() -> tuple[bool, T | None]:
            try:
                return True, await anext(items)
            except StopAsyncIteration:
                return False, None

        while True:
            more, item = self.run(following)
            if not more:
                return
            yield item  # type: ignore[misc]  # None only where there is no more

    def cancel(self) -> None:
        """End what :meth:`run` is running, and run nothing more; from a signal handler or another thread."""
        self._cancelled = True
        for running in list(self._running):
            running.cancel()
