"""The hours of the day in which commands may leave.

The clock on the wall decides, and nothing else: a window is open while local time is in [start, end). From this follows
what happens when clocks change. Where they jump forward over the start or the end, the window opens or closes at the
jump (and stays shut on a day on which the jump swallows it whole). Where they are set back, an hour is shown twice: if
the start or the end is in it, the window is open in both passes, with a pause between them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pendulum
from pendulum import DateTime, Timezone

from airflow_provider_supersim.delivery.timezones import zone

_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?", re.ASCII)
_DAYS = range(-3, 5)  # around today: a clock change can lengthen a window, or a pause, by a whole day


class Window(msgspec.Struct, frozen=True):
    """A stretch of the day, of every day. Make it with :meth:`build`.

    :ivar start: the first local time that is in it
    :ivar end: the first that no longer is; before ``start`` for a window over midnight
    :ivar timezone: where, for devices that do not say so themselves
    """

    start: time
    end: time
    timezone: str | None = None

    @classmethod
    def build(cls, mapping: Mapping[str, Any], *, timezone_needed: bool) -> Window:
        """Check what the DAG's author wrote.

        :param mapping: ``{"start": "01:00", "end": "05:00", "timezone": "Europe/Berlin"}``
        :param timezone_needed: the devices have none of their own
        :raises ValueError: with one sentence that names what is wrong
        """
        if not isinstance(mapping, Mapping):
            raise ValueError(f"window must be a dict with 'start' and 'end', got {mapping!r}")
        if wrong := [key for key in mapping if key not in cls.__struct_fields__]:
            raise ValueError(f"window has the keys 'start', 'end' and 'timezone', but no {wrong[0]!r}")
        start, end = (_time(name, mapping.get(name)) for name in ("start", "end"))
        if start == end:
            raise ValueError(
                f"window starts and ends at {start}, so it is never open; leave it out to send at any time"
            )
        timezone = mapping.get("timezone")
        if timezone is not None:
            zone(timezone)
        elif timezone_needed:
            raise ValueError(
                "window needs a 'timezone' such as 'Europe/Berlin', for the targets have none of their own"
            )
        return cls(start, end, timezone)

    def opening(self, now: datetime, timezone: str | None = None) -> tuple[DateTime, DateTime]:
        """Return when the window that is open, or else the next one, opens and closes: in UTC, the close exclusive.

        :param now: an aware time
        :param timezone: where the device is, if it says so; else the window's own counts
        :raises ValueError: where neither is known
        """
        place = self._zone(timezone)
        moments = self._moments(_aware(now).astimezone(place).date(), place)
        states = [self._holds(datetime.fromtimestamp(moment, place).time()) for moment in moments]
        at = bisect_right(moments, now.timestamp()) - 1
        while not states[at]:
            at += 1
        first = last = at
        while states[first - 1]:
            first -= 1
        while states[last]:
            last += 1
        return pendulum.from_timestamp(moments[first]), pendulum.from_timestamp(moments[last])

    def _holds(self, local: time) -> bool:
        if self.start < self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end

    def _zone(self, timezone: str | None) -> Timezone:
        name = timezone or self.timezone
        if name is None:
            raise ValueError("a window without a timezone needs that of the device")
        return zone(name)

    def _moments(self, today: date, place: Timezone) -> list[int]:
        """Return, in epoch seconds, each moment around today at which the window may open or close."""
        times = {
            int(datetime.combine(today + timedelta(days), edge, place).replace(fold=fold).timestamp())
            for days in _DAYS
            for edge in (self.start, self.end)
            for fold in (0, 1)
        }
        changes = (_clock_change(*pair, place) for pair in pairwise(sorted(times)))
        return sorted(times.union(change for change in changes if change is not None))


def _time(name: str, value: object) -> time:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError(
            f"window's {name!r} must be a time such as '01:00' or '01:00:30', up to '23:59:59', got {value!r}"
        )
    return time.fromisoformat(value)


def _aware(now: datetime) -> datetime:
    if now.tzinfo is None:
        raise ValueError(f"a time without a timezone says nothing about a window: {now!r}")
    return now


def _clock_change(before: int, after: int, place: Timezone) -> int | None:
    """Return the first second after ``before`` with another offset from UTC, ``None`` where both have the same."""

    def offset(moment: int) -> timedelta | None:
        return datetime.fromtimestamp(moment, UTC).astimezone(place).utcoffset()

    old = offset(before)
    if offset(after) == old:
        return None
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if offset(middle) == old else (before, middle)
    return after
