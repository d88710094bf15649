"""Places for so many requests at once, counted for the whole process.

A process can have several event loops: each session of a hook has one in a thread of its own. The limiters of asyncio
and anyio belong to one loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from threading import RLock


class Places:
    """A number of places, given out in the order of asking, to coroutines of any event loop.

    :param number: how many there are

    :ivar taken: how many are taken
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._waiting: deque[asyncio.Future[None]] = deque()
        # Reentrant: the garbage collector may end a coroutine that gives its place back right here.
        self._lock = RLock()
        self.taken = 0

    async def take(self) -> None:
        """Take a place, or wait for one."""
        with self._lock:
            if self.taken < self._number and not self._waiting:
                self.taken += 1
                return
            mine = asyncio.get_running_loop().create_future()
            self._waiting.append(mine)
        try:
            await mine
        except BaseException:
            with self._lock:
                if mine in self._waiting:
                    self._waiting.remove(mine)
                else:
                    self.give_back()
            raise

    def give_back(self, number: int | None = None) -> None:
        """Give a place back.

        :param number: how many places there are from now on; default: as many as before. Nobody loses a place
        """
        with self._lock:
            self.taken -= 1
            if number is not None:
                self._number = number
            self._give_out()

    def _give_out(self) -> None:
        while self._waiting and self.taken < self._number:
            if _wake(self._waiting.popleft()):
                self.taken += 1


def _wake(waiting: asyncio.Future[None]) -> bool:
    """Tell a coroutine that a place is its own; return whether it can still hear of it."""
    loop = waiting.get_loop()
    try:
        if loop is asyncio.get_running_loop():
            _finish(waiting)
            return True
    except RuntimeError:
        pass  # no loop runs in this thread
    try:
        loop.call_soon_threadsafe(_finish, waiting)
    except RuntimeError:  # its loop was closed
        return False
    return True


def _finish(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
