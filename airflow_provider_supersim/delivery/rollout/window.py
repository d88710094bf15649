"""The hours of the day in which commands may leave: the same window every day.

Local time decides: a window is open while the clock of its timezone shows a time in [start, end). On the days on which
clocks change, three things follow.

- If clocks jump forward over the start or the end, the window opens or closes at the jump.
- If the jump covers the whole window, it stays closed on that day.
- If clocks go back, one hour is shown twice. A start or an end in that hour opens or closes the window both times, so
  the window is open twice, with a break between.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
from pendulum import Timezone

from airflow_provider_supersim.api.errors import BadInputError
from airflow_provider_supersim.delivery.timezones import zone

_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?", re.ASCII)
_DAYS = range(-3, 5)  # around today: a clock change can lengthen a window, or a break, by a whole day


class Opening(NamedTuple):
    """One stretch of time in which commands may leave, in seconds since 1970.

    :ivar opens: the first moment in it
    :ivar closes: the first moment after it
    """

    opens: float
    closes: float


class Window(msgspec.Struct, frozen=True):
    """The same hours of every day. Make it with :meth:`build`.

    :ivar start: the first local time in it
    :ivar end: the first local time after it; earlier than ``start`` if the window runs over midnight
    :ivar timezone: for devices that have no timezone of their own
    """

    start: time
    end: time
    timezone: str | None = None

    @classmethod
    def build(cls, mapping: Mapping[str, Any]) -> Window:
        """Check what the DAG's author wrote.

        :param mapping: ``{"start": "01:00", "end": "05:00", "timezone": "Europe/Berlin"}``; ``timezone`` is optional
        :raises ValueError: with one sentence that names what is wrong
        """
        if not isinstance(mapping, Mapping):
            raise BadInputError(f"window must be a dict with 'start' and 'end', got {mapping!r}")
        if wrong := [key for key in mapping if key not in cls.__struct_fields__]:
            raise BadInputError(f"window takes the keys 'start', 'end' and 'timezone', got {wrong[0]!r}")
        start, end = (_time(name, mapping.get(name)) for name in ("start", "end"))
        if start == end:
            raise BadInputError(
                f"window starts and ends at {start}, so it is never open; leave it out to send at any time"
            )
        timezone = mapping.get("timezone")
        if timezone is not None:
            zone(timezone)
        return cls(start, end, timezone)

    def opening(self, now: float, timezone: str | None = None) -> Opening:
        """Return the opening that is under way, or the next one if the window is closed.

        :param now: in seconds since 1970
        :param timezone: the device's own; default the window's
        :raises ValueError: neither has a timezone
        """
        place = zone(self.timezone_of(timezone))
        moments = self._moments(datetime.fromtimestamp(now, place).date(), place)
        open_from = [self._holds(datetime.fromtimestamp(moment, place).time()) for moment in moments]
        at = bisect_right(moments, now) - 1
        while not open_from[at]:
            at += 1
        first = last = at
        while open_from[first - 1]:
            first -= 1
        while open_from[last]:
            last += 1
        return Opening(moments[first], moments[last])

    def timezone_of(self, timezone: str | None) -> str:
        """Return the device's timezone, or the window's if the device has none.

        :raises ValueError: neither has a timezone
        """
        name = timezone or self.timezone
        if name is None:
            raise BadInputError("the window has no timezone, so each device needs one")
        return name

    def _holds(self, local: time) -> bool:
        if self.start < self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end

    def _moments(self, today: date, place: Timezone) -> list[int]:
        """Return each moment around today at which the window may open or close, in seconds since 1970."""
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
        raise BadInputError(
            f"window's {name!r} must be a time such as '01:00' or '01:00:30', up to '23:59:59', got {value!r}"
        )
    return time.fromisoformat(value)


def _clock_change(before: int, after: int, place: Timezone) -> int | None:
    """Return the first second after ``before`` with another offset from UTC; ``None`` if both offsets are equal."""

    def offset(moment: int) -> timedelta | None:
        return datetime.fromtimestamp(moment, UTC).astimezone(place).utcoffset()

    old = offset(before)
    if offset(after) == old:
        return None
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if offset(middle) == old else (before, middle)
    return after
