"""Counts, durations and words from outside, for log lines and errors."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pendulum


def count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 command``, ``20,000 commands``.

    :param noun: in the singular; its plural is made with an s
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """Return a length of time, rounded up: ``42 seconds``, ``5 minutes 30 seconds``, ``9 hours 30 minutes``.

    From two hours on without the seconds.

    :param seconds: 0 or more
    """
    whole = math.ceil(seconds)
    if whole >= 7200:
        whole = 60 * math.ceil(seconds / 60)
    return pendulum.duration(seconds=whole).in_words(locale="en") if whole else "0 seconds"


def clock(moment: float, timezone: str | None = None) -> str:
    """Return a time of day with its timezone: ``01:00 Europe/Berlin``; with the date if that is not today's.

    :param moment: in seconds since 1970
    :param timezone: UTC if it is not given
    """
    local = pendulum.from_timestamp(moment, tz=timezone or "UTC")
    today = pendulum.instance(datetime.now(UTC)).in_timezone(timezone or "UTC").date()
    date = "" if local.date() == today else f"{local.format('D MMM', locale='en')} "
    return f"{date}{local.format('HH:mm')} {timezone or 'UTC'}"


def quoted(text: str, longest: int = 300) -> str:
    """Return words from outside as a part of one line: without line breaks and control characters, and cut.

    Otherwise such words could forge log lines, steer a terminal, or fill the log.

    :param longest: characters of the result, at most
    """
    line = " ".join(text.split(maxsplit=longest))  # the rest after so many words is cut anyway
    line = line if len(line) <= longest else f"{line[: longest - 1]}…"
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)
