"""A blocking face for the asynchronous client: a thread with an event loop, and the client open in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from typing import Any, Concatenate, ParamSpec, TypeVar

from anyio.from_thread import start_blocking_portal

from airflow_provider_supersim.api.client import AsyncSuperSimClient

P = ParamSpec("P")
T = TypeVar("T")

#: Used if it is installed; it comes with Airflow's own API server.
UVLOOP = find_spec("uvloop") is not None


class Session:
    """Runs coroutines with one open client from ordinary code, until it is closed.

    :param client: not yet open; the session opens and closes it
    """

    def __init__(self, client: AsyncSuperSimClient) -> None:
        self._running: set[Future[Any]] = set()  # several if threads share the session
        self._cancelled = False
        with ExitStack() as stack:
            self._portal = stack.enter_context(
                start_blocking_portal(name="supersim", backend_options={"use_uvloop": UVLOOP})
            )
            self._client = stack.enter_context(self._portal.wrap_async_context_manager(client))
            self.close = stack.pop_all().close

    def run(
        self, function: Callable[Concatenate[AsyncSuperSimClient, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a coroutine function with the open client, and return what it returns.

        Several threads may call this at the same time.

        :param function: takes the client, then the other arguments
        :raises concurrent.futures.CancelledError: :meth:`cancel` was called
        """
        return self._run(partial(function, self._client, *args, **kwargs))

    def iterate(
        self,
        function: Callable[Concatenate[AsyncSuperSimClient, P], AsyncIterator[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Iterator[T]:
        """Iterate over what an asynchronous iterator of the open client yields.

        :param function: takes the client, then the other arguments
        :raises concurrent.futures.CancelledError: :meth:`cancel` was called
        """
        items = function(self._client, *args, **kwargs)

        async def following() -> tuple[bool, T | None]:
            try:
                return True, await anext(items)
            except StopAsyncIteration:
                return False, None

        while True:
            more, item = self._run(following)
            if not more:
                return
            yield item  # type: ignore[misc]  # None only at the end

    def cancel(self) -> None:
        """End what is running, and run nothing more. A signal handler or another thread may call this."""
        self._cancelled = True
        for running in list(self._running):
            running.cancel()

    def _run(self, function: Callable[[], Awaitable[T]]) -> T:
        if self._cancelled:
            raise CancelledError
        running = self._portal.start_task_soon(function)
        self._running.add(running)
        try:
            if self._cancelled:  # cancel() may have come since the check above
                running.cancel()  # type: ignore[unreachable]
            return running.result()
        except BaseException:
            # An exception of this thread's own (a time-out's, Ctrl-C) must not leave the coroutine behind.
            running.cancel()
            raise
        finally:
            self._running.discard(running)
