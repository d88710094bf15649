"""Why a rollout does not send right now. Each reason has its sentence, and says how it is waited for.

A new reason is a subclass of :class:`Reason`. If it can hold commands back while others leave, a :class:`Hold` gives
it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

import anyio
import msgspec

from airflow_provider_supersim.delivery.rollout.window import Opening, Window
from airflow_provider_supersim.words import clock, count, duration

#: What a retry does about devices that had no turn, if there is no more to say.
CONTINUES = "A retry continues with them."
#: Seconds after which a clock is read again: it may have been set meanwhile.
LONGEST_SLEEP = 60.0


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing is sent.

    :ivar passes_at: when it passes by itself, in seconds since 1970; ``None`` if that is not in this try, which then
        ends, and the next one continues
    """

    passes_at: float | None

    def sentence(self) -> str:
        """Say it, as the end of "Waiting: …" or "Not sent: …"."""
        raise NotImplementedError

    def outlook(self) -> str:
        """Say what a retry does about it, once this try has ended with devices that had no turn."""
        return CONTINUES


class WindowOpensLater(Reason, frozen=True, kw_only=True):
    """The window is not open yet.

    :ivar passes_at: when it opens
    :ivar timezone: of the device, or of the window
    """

    timezone: str | None

    def sentence(self) -> str:
        """Say when it opens."""
        opens = self.passes_at or 0.0
        return f"the window opens {clock(opens, self.timezone)} (in {duration(max(0.0, opens - time.time()))})"


class WindowClosed(Reason, frozen=True, kw_only=True):
    """The window of this try has closed.

    :ivar closed_at: in seconds since 1970
    :ivar timezone: of the device, or of the window
    """

    closed_at: float
    timezone: str | None
    passes_at: None = None

    def sentence(self) -> str:
        """Say when it closed."""
        return f"the window closed at {clock(self.closed_at, self.timezone)}"

    def outlook(self) -> str:
        """Say when a retry continues."""
        return "A retry continues when the window opens again."


class NextAttempt(Reason, frozen=True, kw_only=True):
    """Failed commands get another attempt when ``attempt_delay`` has passed.

    :ivar devices: how many
    """

    devices: int

    def sentence(self) -> str:
        """Say when, and for how many devices."""
        due = self.passes_at or 0.0
        left = duration(max(0.0, due - time.time()))
        return f"{count(self.devices, 'device')} failed; next attempt in {left}, at {clock(due)}"


class StatusesOpen(Reason, frozen=True, kw_only=True):
    """Commands have no final status yet.

    :ivar commands: how many are waited for by name
    """

    commands: int

    def sentence(self) -> str:
        """Say for how many, and for how long at most."""
        left = duration(max(0.0, (self.passes_at or 0.0) - time.time()))
        return f"the final status of {count(self.commands, 'command')}, at most {left}"


class Hold(Protocol):
    """Something that can hold commands back: the window; later a pause, or a gate that shuts in mid-wave."""

    def reason(self, timezone: str | None) -> Reason | None:
        """Return why a command to a device in this timezone may not leave now; ``None`` if it may."""

    async def changed(self) -> None:
        """Return when the answers of :meth:`reason` may have changed."""


class WindowHold:
    """Holds back what is outside the window. In each timezone, a try has one opening of the window.

    That is the opening under way when the try began, or the next one. What it leaves unsent is for the next try.

    :param began: when the try began, in seconds since 1970
    """

    def __init__(self, window: Window, began: float) -> None:
        self._window = window
        self._began = began
        self._openings: dict[str | None, Opening] = {}

    def reason(self, timezone: str | None) -> Reason | None:
        """Return why a command to a device in this timezone may not leave now.

        :param timezone: ``None`` for a device without one, which follows the window's
        :raises ValueError: the window has no timezone either
        """
        if timezone not in self._openings:
            self._openings[timezone] = self._window.opening(self._began, timezone)
        opens, closes = self._openings[timezone]
        now = time.time()
        if now < opens:
            return WindowOpensLater(passes_at=opens, timezone=self._window.timezone_of(timezone))
        if now >= closes:
            return WindowClosed(closed_at=closes, timezone=self._window.timezone_of(timezone))
        return None

    async def changed(self) -> None:
        """Return when the window opens or closes for a device that was asked for, or a minute has passed."""
        now = time.time()
        edges = [edge for opening in self._openings.values() for edge in opening if edge > now]
        await anyio.sleep(min([LONGEST_SLEEP, *(edge - now for edge in edges)]))


class Holds:
    """All holds of a rollout, asked as one. The first that gives a reason counts.

    :param holds: most important first
    """

    def __init__(self, holds: Sequence[Hold]) -> None:
        self._holds = holds

    def reason(self, timezone: str | None) -> Reason | None:
        """Return why a command to a device in this timezone may not leave now; ``None`` if it may."""
        return next(filter(None, (hold.reason(timezone) for hold in self._holds)), None)

    async def changed(self) -> None:
        """Return when an answer may have changed; never, if there is nothing that holds back."""
        async with anyio.create_task_group() as group:

            async def wait(hold: Hold) -> None:
                await hold.changed()
                group.cancel_scope.cancel()

            for hold in self._holds:
                group.start_soon(wait, hold)
            if not self._holds:
                await anyio.sleep_forever()
