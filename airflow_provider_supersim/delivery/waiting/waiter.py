"""One who waits for commands: what is still open for it, and whom it tells."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from airflow_provider_supersim.api.errors import AuthenticationError, BadInputError, NotFoundError, SuperSimError
from airflow_provider_supersim.api.models import IpCommand
from airflow_provider_supersim.delivery.waiting.status_reader import HOPELESS
from airflow_provider_supersim.delivery.waiting.waited import Waited

#: What can be a sid. One that is well formed is not needed: what else the API gives out must be readable too.
_SID = re.compile(r"[0-9A-Za-z]+")

T = TypeVar("T")
OnRead = Callable[[IpCommand], None]
OnGone = Callable[[str], None]
OnRefused = Callable[[str, SuperSimError | BadInputError], None]


class Waiter:
    """One who waits: the commands that are still to be read, and what was read of all.

    :param once: a command is done when it was read, whatever its status
    """

    def __init__(
        self,
        sids: Iterable[str],
        interval: float,
        deadline: float,
        on_read: OnRead | None,
        on_gone: OnGone | None,
        *,
        on_refused: OnRefused | None = None,
        once: bool = False,
    ) -> None:
        self.open = set(sids)
        self.read: dict[str, IpCommand] = {}
        self.on_read = on_read
        self.on_gone = on_gone
        self.on_refused = on_refused
        self.interval = interval
        self.deadline = deadline
        self.once = once
        self.heard_at = now()
        self._refused: set[str] = set()  # since a status was last read
        self.done: asyncio.Future[Waited] = asyncio.get_running_loop().create_future()

    def take(self, command: IpCommand) -> None:
        """Keep what was read, or hand it on; end the wait with the last command that is done."""
        sid = str(command.sid)
        self.heard_at = now()
        self._refused.clear()
        if self.on_read:
            self._tell(self.on_read, command)
        else:
            self.read[sid] = command
        if self.is_done(command):
            self._close(sid)

    def lose(self, sid: str, error: SuperSimError | BadInputError) -> bool:
        """Note that the API does not show a command; return whether it need not be read again for this one."""
        self.heard_at = now()
        if isinstance(error, NotFoundError):
            if self.on_gone:
                self._tell(self.on_gone, sid)
                return self._close(sid)
        else:
            self._refused.add(sid)
        if not self.on_read or len(self._refused) >= HOPELESS:  # one of many is given up alone, but not all of them
            self.end(error)
        elif self.once:
            if self.on_refused:
                self._tell(partial(self.on_refused, sid), error)
            return self._close(sid)
        return False

    def _tell(self, listener: Callable[[T], None], news: T) -> None:
        try:
            listener(news)
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not end the waits of others
            self.fail(error)

    def _close(self, sid: str) -> bool:
        """Wait no more for this command; end the wait with the last one."""
        self.open.discard(sid)
        if not self.open:
            self.end()
        return True

    def is_done(self, command: IpCommand) -> bool:
        """Tell whether the command need not be read again for this one."""
        return self.once or command.status.settled

    def result(self, error: SuperSimError | BadInputError | None = None) -> Waited:
        """Return what is known now."""
        return Waited(
            commands=list(self.read.values()),
            unread=[] if self.on_read else sorted(self.open - self.read.keys()),
            error=str(error) if error else None,
            retryable=error is None or (isinstance(error, SuperSimError) and error.retryable),
            credentials_refused=isinstance(error, AuthenticationError),
        )

    def end(self, error: SuperSimError | BadInputError | None = None) -> None:
        """End the wait with what is known."""
        if not self.done.done():
            self.done.set_result(self.result(error))

    def fail(self, error: Exception) -> None:
        """End the wait with an error that is not the API's: of this waiter's listeners, or of the poller."""
        if not self.done.done():
            self.done.set_exception(error)


def check_seconds(name: str, value: object, *, above_zero: bool) -> None:
    """Check an argument that is a number of seconds.

    :raises BadInputError: it is not
    """
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not (number > 0 or (number == 0 and not above_zero)):
        least = "above 0" if above_zero else "0 or more"
        raise BadInputError(f"{name} must be a number of seconds, {least}, got {value!r}")


def check_sid(sid: object) -> None:
    """Check the sid of a command that is waited for.

    :raises BadInputError: it can be none
    """
    if not isinstance(sid, str) or not _SID.fullmatch(sid):
        raise BadInputError(f"the sid of an IP Command must be HG and 32 hexadecimal digits, got {str(sid)[:80]!r}")


def now() -> float:
    """Return the event loop's time, in seconds."""
    return asyncio.get_running_loop().time()
