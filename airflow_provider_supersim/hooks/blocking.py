"""A blocking face for the asynchronous client: a thread with an event loop, and the client open in it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import CancelledError, Future
from functools import partial
from importlib.util import find_spec
from threading import Thread
from typing import Any, Concatenate, ParamSpec, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from airflow_provider_supersim.api.client import AsyncSuperSimClient

P = ParamSpec("P")
T = TypeVar("T")

#: Sessions of the process that this one was forked from. Freeing them would close what the parent still uses.
_INHERITED: list[Session] = []

#: Used if it is installed; it comes with Airflow's own API server.
UVLOOP = find_spec("uvloop") is not None


class Session:
    """Runs coroutines with one open client from ordinary code, until it is closed.

    :param client: not yet open; the session opens and closes it
    """

    def __init__(self, client: AsyncSuperSimClient) -> None:
        self._running: set[Future[Any]] = set()  # several if threads share the session
        self._cancelled = False
        self._process = os.getpid()
        opened: Future[BlockingPortal] = Future()
        # Not anyio's start_blocking_portal: in a fork, the end of its generator waits for a thread that is not there.
        self._thread = Thread(target=self._serve, args=(client, opened), name="supersim", daemon=True)
        self._thread.start()
        self._client = client
        self._portal = opened.result()

    def _serve(self, client: AsyncSuperSimClient, opened: Future[BlockingPortal]) -> None:
        async def serve() -> None:
            async with BlockingPortal() as portal, client:
                opened.set_result(portal)
                await portal.sleep_until_stopped()

        try:
            anyio.run(serve, backend_options={"use_uvloop": UVLOOP})
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)

    @property
    def is_ours(self) -> bool:
        """Tell whether this process opened the session. A fork has no thread that could run anything in it."""
        return self._process == os.getpid()

    def close(self) -> None:
        """Close the client, and end the thread. In a fork of the process that opened the session: do nothing."""
        if self.is_ours:
            if self._thread.is_alive():
                self._portal.call(self._portal.stop)
                self._thread.join()
        else:
            _INHERITED.append(self)

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
