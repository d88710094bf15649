"""What the API's list held before commands left: it tells new commands from old ones by the API's own dates.

A command's ``date_created`` is compared with that of other commands, never with the ``Date`` header: these two need not
come from one clock.
"""

from __future__ import annotations

import base64
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from hashlib import blake2b

import msgspec

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.models import Direction, IpCommand

#: Seconds by which the clocks of the API's own servers may differ.
CLOCK_SKEW = 2
#: After this many older commands in a row, a list that is newest first holds nothing of ours.
OLD_ENOUGH = 200
#: Seconds for which a bound is good enough for the next chunk.
FRESH = 10.0
#: Commands in one page, and the number of dates that make a bound: one date that is wrong changes nothing.
ROWS = 100
#: Maximum number of marks in a chunk: the commands of the last seconds of an account at full speed.
MOST_MARKS = 400
MARK = 8  # characters


class Before(msgspec.Struct, frozen=True):
    """What was in the list before some commands left.

    :ivar since: a time by the API's ``date_created``, in seconds since 1970, before which they were not created
    :ivar marks: one mark after the other, for each command about that new that the list showed already
    """

    since: int
    marks: str = ""

    def is_older(self, command: IpCommand) -> bool | None:
        """Return whether a command was there before; ``None`` if its dates are null."""
        if command.sid and self.marks and _mark(command.sid) in self._marks():
            return True
        created = command.date_created
        if created is not None:
            return created.timestamp() < self.since - CLOCK_SKEW
        updated = command.date_updated  # it was created no later than that
        if updated is not None and updated.timestamp() < self.since - CLOCK_SKEW:
            return True
        return None

    def _marks(self) -> list[str]:
        return [self.marks[start : start + MARK] for start in range(0, len(self.marks), MARK)]


class Order:
    """Whether a list is newest first, as the API does not promise. It is believed only while it is seen to hold."""

    def __init__(self) -> None:
        self._oldest: datetime | None = None
        self._ascended = False
        self._descended = False

    def note(self, date: datetime | None) -> None:
        """Look at the next row's date. A null tells nothing."""
        if date is None:
            return
        if self._oldest is None:
            self._oldest = date
        elif date < self._oldest:
            self._oldest, self._descended = date, True
        elif (date - self._oldest).total_seconds() > CLOCK_SKEW:
            self._ascended = True

    @property
    def newest_first(self) -> bool:
        """Whether it looks so: older rows came later, and no row came that is newer than those before."""
        return self._descended and not self._ascended


async def until_older(commands: AsyncIterator[IpCommand], since: int) -> AsyncIterator[IpCommand]:
    """Yield the list until only older commands follow: to its end, if it is not newest first.

    :param since: in seconds since 1970
    """
    order, older = Order(), 0
    async for command in commands:
        order.note(command.date_created)
        if command.date_created is not None:  # a null tells nothing: the count goes on with the next row
            older = older + 1 if command.date_created.timestamp() < since - CLOCK_SKEW else 0
        if older >= OLD_ENOUGH and order.newest_first:
            return
        yield command


class Bound:
    """Says for each chunk what was there before, with a page of the list now and then.

    :param has: says whether the ledger has a sid
    """

    def __init__(self, client: AsyncSuperSimClient, has: Callable[[str], bool]) -> None:
        self._client = client
        self._has = has
        self._latest = Before(0)
        self._newest_marked = 0
        self._read_at: float | None = None
        self._accepted: deque[int] = deque(maxlen=ROWS)

    def accepted(self, created: int | None) -> None:
        """Note when a command was created that the API has just accepted.

        :param created: in seconds since 1970; ``None`` if the API does not say
        """
        if created is not None:
            self._accepted.append(created)

    async def now(self) -> Before:
        """Return what is there before the next commands leave.

        :raises SuperSimError: the list cannot be read
        """
        if len(self._accepted) == ROWS:
            # All of a hundred, so that a few wrong dates do not make ours look old.
            since, self._read_at = min(self._accepted), time.monotonic()
            self._accepted.clear()
            if since > self._latest.since:
                marks = self._latest.marks if self._newest_marked >= since - CLOCK_SKEW else ""
                self._latest = Before(since, marks)
        elif self._read_at is None or time.monotonic() - self._read_at > FRESH:
            await self._read()
        return self._latest

    async def _read(self) -> None:
        self._accepted.clear()
        self._read_at = time.monotonic()
        order, rows, since = Order(), list[IpCommand](), None
        async for command in self._client.iter_ip_commands(direction=Direction.TO_SIM, page_size=ROWS):
            order.note(command.date_created)
            rows.append(command)
            if order.newest_first and len(rows) >= ROWS // 2:
                since = _middle(rows[: ROWS // 2]) if since is None else since
                if since is not None and Before(since).is_older(command):
                    break
        if since is None:
            # A short list, or one that is not newest first. If its rows are too many to mark, its newest date counts.
            since = max(_dates(rows), default=0) if len(rows) > MOST_MARKS else (_middle(rows) or 0)
        recent = [row for row in rows if row.sid and not Before(since).is_older(row) and not self._has(row.sid)]
        self._newest_marked = max(_dates(recent), default=0)
        self._latest = Before(since, "".join(_mark(str(row.sid)) for row in recent[:MOST_MARKS]))


def _dates(rows: list[IpCommand]) -> list[int]:
    return [int(row.date_created.timestamp()) for row in rows if row.date_created is not None]


def _middle(rows: list[IpCommand]) -> int | None:
    """Return the date in the middle, which one wrong date does not move far; ``None`` if all are null."""
    dates = sorted(_dates(rows))
    return dates[len(dates) // 2] if dates else None


def _mark(sid: str) -> str:
    return base64.urlsafe_b64encode(blake2b(sid.encode(), digest_size=6).digest()).decode()
