"""Counts, durations and times of day, as people read them."""

from __future__ import annotations

from datetime import datetime

import pytest
import time_machine

from airflow_provider_supersim.words import clock, count, duration


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 commands"), (1, "1 command"), (2, "2 commands"), (20_000, "20,000 commands")],
)
def test_a_count_has_its_plural_and_thousands(number, words):
    assert count(number, "command") == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (0.2, "1 second"),
        (59.5, "1 minute"),
        (90, "1 minute 30 seconds"),
        (3600, "1 hour"),
        (7199, "1 hour 59 minutes 59 seconds"),
        (34_215, "9 hours 31 minutes"),
        (90_000, "1 day 1 hour"),
    ],
)
def test_a_duration_is_rounded_up_and_has_no_seconds_from_two_hours_on(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("moment", "timezone", "words"),
    [
        ("2026-03-01T01:00+00:00", None, "01:00 UTC"),
        ("2026-03-01T01:00+00:00", "Europe/Berlin", "02:00 Europe/Berlin"),
        ("2026-03-02T01:00+00:00", None, "2 Mar 01:00 UTC"),
        ("2026-03-01T20:00+00:00", "Asia/Tokyo", "2 Mar 05:00 Asia/Tokyo"),
    ],
)
def test_a_time_of_day_has_its_timezone_and_another_days_date(moment, timezone, words):
    with time_machine.travel("2026-03-01T00:30+00:00", tick=False):
        assert clock(datetime.fromisoformat(moment).timestamp(), timezone) == words
