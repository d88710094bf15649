"""Why nothing is sent: the sentence of each reason, and when the window holds commands back."""

from __future__ import annotations

from datetime import datetime

import anyio
import pytest
import time_machine

from airflow_provider_supersim.delivery.rollout.reasons import (
    Holds,
    NextAttempt,
    StatusesOpen,
    WindowClosed,
    WindowHold,
    WindowOpensLater,
)
from airflow_provider_supersim.delivery.rollout.window import Window

# A window from 01:00 to 05:00 everywhere, and a try that begins at 00:30 UTC.
BERLIN, LONDON, TOKYO = "Europe/Berlin", "UTC", "Asia/Tokyo"  # open 00:00-04:00, 01:00-05:00 and 16:00-20:00 UTC
ALL = [BERLIN, LONDON, TOKYO]


def utc(clock_time: str) -> float:
    return datetime.fromisoformat(f"2026-03-01T{clock_time}+00:00").timestamp()


@pytest.fixture
def hold() -> WindowHold:
    return WindowHold(Window.build({"start": "01:00", "end": "05:00"}), utc("00:30"))


@pytest.mark.parametrize(
    ("now", "open_in"),
    [
        ("00:30", [BERLIN]),
        ("01:00", [BERLIN, LONDON]),
        ("03:59:59", [BERLIN, LONDON]),
        ("04:00", [LONDON]),
        ("05:00", []),
        ("16:00", [TOKYO]),
        ("23:30", []),  # in Berlin it opened again at 23:00, but that is for the next try
    ],
)
def test_each_timezone_has_one_opening_in_a_try(hold: WindowHold, now: str, open_in: list[str]):
    with time_machine.travel(utc(now), tick=False):
        assert [timezone for timezone in ALL if hold.reason(timezone) is None] == open_in


@pytest.mark.parametrize(
    ("now", "timezone", "sentence", "passes_at"),
    [
        ("00:30", LONDON, "the window opens 01:00 UTC (in 30 minutes)", "01:00"),
        ("06:30", TOKYO, "the window opens 2 Mar 01:00 Asia/Tokyo (in 9 hours 30 minutes)", "16:00"),
        ("06:00", BERLIN, "the window closed at 05:00 Europe/Berlin", None),
        ("06:00", LONDON, "the window closed at 05:00 UTC", None),
    ],
)
def test_the_window_says_when_it_opens_or_closed(hold: WindowHold, now, timezone, sentence, passes_at):
    with time_machine.travel(utc(now), tick=False):
        reason = hold.reason(timezone)
        assert reason.sentence() == sentence
        assert reason.passes_at == (utc(passes_at) if passes_at else None)


def test_devices_without_a_timezone_follow_the_window():
    hold = WindowHold(Window.build({"start": "01:00", "end": "05:00", "timezone": TOKYO}), utc("00:30"))
    with time_machine.travel(utc("16:00"), tick=False):
        assert hold.reason(None) is None
        assert hold.reason(LONDON) == WindowClosed(closed_at=utc("05:00"), timezone=LONDON)


def test_the_other_reasons_in_words():
    with time_machine.travel(utc("03:00"), tick=False):
        attempt = NextAttempt(passes_at=utc("03:05"), devices=1200)
        statuses = StatusesOpen(passes_at=utc("03:15"), commands=1)
        assert attempt.sentence() == "1,200 devices failed; next attempt in 5 minutes, at 03:05 UTC"
        assert statuses.sentence() == "the final status of 1 command, at most 15 minutes"


class Until:
    """Holds everything back until a time, or, like a person, until somebody says so."""

    def __init__(self, reason) -> None:
        self.why = reason
        self.said = anyio.Event()

    def reason(self, timezone):
        return self.why

    async def changed(self):
        await self.said.wait()


def test_the_first_hold_with_a_reason_counts():
    first, second = Until(None), Until(WindowOpensLater(passes_at=1.0, timezone="UTC"))

    assert Holds([first, second]).reason(None) is second.why
    assert Holds([second, first]).reason(None) is second.why
    assert Holds([first]).reason(None) is None
    assert Holds([]).reason(None) is None


@pytest.mark.anyio
async def test_a_change_of_any_hold_is_a_change():
    first, second = Until(None), Until(None)
    second.said.set()

    with anyio.fail_after(60):
        await Holds([first, second]).changed()
    with anyio.move_on_after(0) as waited:
        await Holds([first]).changed()
    assert waited.cancelled_caught
    with anyio.move_on_after(0) as waited:
        await Holds([]).changed()
    assert waited.cancelled_caught
