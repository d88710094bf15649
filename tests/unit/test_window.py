"""Windows: the clock on the wall decides, also on the days on which it is changed.

What is expected is written as people write it down: local times with their offset from UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_supersim.delivery.rollout.window import Window
from airflow_provider_supersim.delivery.timezones import zone

ZONES = [
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",  # whose winter time is the "saving" one
    "America/New_York",
    "America/Sao_Paulo",  # changed clocks at midnight
    "Africa/Cairo",
    "Africa/Casablanca",  # goes back for Ramadan
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Apia",  # left out 2011-12-30
    "Pacific/Kwajalein",  # left out 1993-08-21
    "America/Caracas",  # half an hour, for good, in 2007 and 2016
    "Antarctica/Troll",  # by two hours
    "Pacific/Chatham",
]


def window(start: str, end: str, timezone: str | None = None) -> Window:
    return Window.build({"start": start, "end": end, "timezone": timezone})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def opening(of: Window, now: datetime, timezone: str | None = None) -> tuple[datetime, datetime]:
    opens, closes = of.opening(now.timestamp(), timezone)
    return datetime.fromtimestamp(opens, UTC), datetime.fromtimestamp(closes, UTC)


#: Where: the window, the time that it is, when it opens and when it closes.
CASES = {
    "Europe/Berlin": [
        # An ordinary night in Berlin: before, at the start, within, at the end, after.
        ("01:00-05:00", "2026-01-10T00:59:59+01:00", "2026-01-10T01:00+01:00", "2026-01-10T05:00+01:00"),
        ("01:00-05:00", "2026-01-10T01:00:00+01:00", "2026-01-10T01:00+01:00", "2026-01-10T05:00+01:00"),
        ("01:00-05:00", "2026-01-10T03:00:00+01:00", "2026-01-10T01:00+01:00", "2026-01-10T05:00+01:00"),
        ("01:00-05:00", "2026-01-10T04:59:59.9+01:00", "2026-01-10T01:00+01:00", "2026-01-10T05:00+01:00"),
        ("01:00-05:00", "2026-01-10T05:00:00+01:00", "2026-01-11T01:00+01:00", "2026-01-11T05:00+01:00"),
        ("01:00-05:00", "2026-01-10T12:00:00+09:00", "2026-01-10T01:00+01:00", "2026-01-10T05:00+01:00"),
        # Over midnight.
        ("22:00-02:00", "2026-01-10T21:00+01:00", "2026-01-10T22:00+01:00", "2026-01-11T02:00+01:00"),
        ("22:00-02:00", "2026-01-11T01:00+01:00", "2026-01-10T22:00+01:00", "2026-01-11T02:00+01:00"),
        ("22:00-02:00", "2026-01-11T02:00+01:00", "2026-01-11T22:00+01:00", "2026-01-12T02:00+01:00"),
        ("22:00-00:00", "2026-01-10T23:59+01:00", "2026-01-10T22:00+01:00", "2026-01-11T00:00+01:00"),
        ("00:00-06:00", "2026-01-10T23:59+01:00", "2026-01-11T00:00+01:00", "2026-01-11T06:00+01:00"),
        # Berlin 2026-03-29: 02:00 becomes 03:00. Around it, with the start in it, with the end in it, all in it.
        ("01:00-05:00", "2026-03-28T12:00+01:00", "2026-03-29T01:00+01:00", "2026-03-29T05:00+02:00"),
        ("02:30-05:00", "2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00", "2026-03-29T05:00+02:00"),
        ("01:00-02:30", "2026-03-29T01:00+01:00", "2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00"),
        ("02:15-02:45", "2026-03-29T01:00+01:00", "2026-03-30T02:15+02:00", "2026-03-30T02:45+02:00"),
        ("02:00-03:00", "2026-03-28T02:30+01:00", "2026-03-28T02:00+01:00", "2026-03-28T03:00+01:00"),
        ("02:00-03:00", "2026-03-28T03:00+01:00", "2026-03-30T02:00+02:00", "2026-03-30T03:00+02:00"),
        ("22:00-02:30", "2026-03-29T00:00+01:00", "2026-03-28T22:00+01:00", "2026-03-29T03:00+02:00"),
        ("02:45-02:15", "2026-03-29T01:00+01:00", "2026-03-28T02:45+01:00", "2026-03-30T02:15+02:00"),
        # Berlin 2026-10-25: 03:00 becomes 02:00. Around it: an hour longer. With the start in it: open, shut, open.
        ("01:00-05:00", "2026-10-24T12:00+02:00", "2026-10-25T01:00+02:00", "2026-10-25T05:00+01:00"),
        ("02:30-05:00", "2026-10-25T01:00+02:00", "2026-10-25T02:30+02:00", "2026-10-25T02:00+01:00"),
        ("02:30-05:00", "2026-10-25T02:00+01:00", "2026-10-25T02:30+01:00", "2026-10-25T05:00+01:00"),
        ("01:00-02:30", "2026-10-25T01:00+02:00", "2026-10-25T01:00+02:00", "2026-10-25T02:30+02:00"),
        ("01:00-02:30", "2026-10-25T02:30+02:00", "2026-10-25T02:00+01:00", "2026-10-25T02:30+01:00"),
        ("02:15-02:45", "2026-10-25T02:20+02:00", "2026-10-25T02:15+02:00", "2026-10-25T02:45+02:00"),
        ("02:15-02:45", "2026-10-25T02:50+02:00", "2026-10-25T02:15+01:00", "2026-10-25T02:45+01:00"),
        ("02:00-03:00", "2026-10-25T02:59+02:00", "2026-10-25T02:00+02:00", "2026-10-25T03:00+01:00"),
    ],
    "America/New_York": [
        # New York 2026-03-08: 02:00 becomes 03:00; 2026-11-01: 02:00 becomes 01:00.
        ("01:00-05:00", "2026-03-08T00:00-05:00", "2026-03-08T01:00-05:00", "2026-03-08T05:00-04:00"),
        ("02:30-05:00", "2026-03-08T00:00-05:00", "2026-03-08T03:00-04:00", "2026-03-08T05:00-04:00"),
        ("01:00-05:00", "2026-11-01T00:00-04:00", "2026-11-01T01:00-04:00", "2026-11-01T05:00-05:00"),
        ("23:00-01:30", "2026-11-01T00:00-04:00", "2026-10-31T23:00-04:00", "2026-11-01T01:30-04:00"),
        ("23:00-01:30", "2026-11-01T01:45-04:00", "2026-11-01T01:00-05:00", "2026-11-01T01:30-05:00"),
    ],
    "Australia/Lord_Howe": [
        # Lord Howe 2026-10-04: 02:00 becomes 02:30; 2026-04-05: 02:00 becomes 01:30.
        ("02:15-04:00", "2026-10-04T01:00+10:30", "2026-10-04T02:30+11:00", "2026-10-04T04:00+11:00"),
        ("01:00-02:15", "2026-10-04T01:00+10:30", "2026-10-04T01:00+10:30", "2026-10-04T02:30+11:00"),
        ("01:00-04:00", "2026-04-05T00:00+11:00", "2026-04-05T01:00+11:00", "2026-04-05T04:00+10:30"),
        ("01:45-04:00", "2026-04-05T00:00+11:00", "2026-04-05T01:45+11:00", "2026-04-05T01:30+10:30"),
        ("01:45-04:00", "2026-04-05T01:30+10:30", "2026-04-05T01:45+10:30", "2026-04-05T04:00+10:30"),
    ],
    "Pacific/Apia": [
        # Apia went from the end of 2011-12-29 to the start of 2011-12-31.
        ("01:00-05:00", "2011-12-29T12:00-10:00", "2011-12-31T01:00+14:00", "2011-12-31T05:00+14:00"),
        ("22:00-02:00", "2011-12-29T23:00-10:00", "2011-12-29T22:00-10:00", "2011-12-31T02:00+14:00"),
    ],
    "UTC": [
        ("01:00:30-01:00:31", "2026-01-10T00:00+00:00", "2026-01-10T01:00:30+00:00", "2026-01-10T01:00:31+00:00"),
    ],
}


@pytest.mark.parametrize(
    ("timezone", "hours", "now", "opens", "closes"),
    [(timezone, *case) for timezone, cases in CASES.items() for case in cases],
)
def test_the_window_that_is_open_or_else_the_next(timezone, hours, now, opens, closes):
    assert opening(window(*hours.split("-"), timezone), at(now)) == (at(opens), at(closes))


clock_times = st.times().map(lambda moment: moment.replace(microsecond=0)) | st.builds(
    time, st.integers(0, 4), st.sampled_from([0, 15, 30, 45])
)
instants = st.datetimes(datetime(1975, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(clock_times, clock_times, st.sampled_from(ZONES), instants)
def test_it_is_open_while_the_clock_on_the_wall_is_in_it(start, end, name, now):
    if start == end:
        return
    assert (opening(Window(start, end, name), now)[0] <= now) is is_open(start, end, now, name)


def is_open(start: time, end: time, now: datetime, timezone: str) -> bool:
    """Return what the clock on the wall says."""
    wall = now.astimezone(ZoneInfo(timezone)).time()
    return start <= wall < end if start < end else (wall >= start or wall < end)


def _clock_changes(name: str) -> list[datetime]:
    place, hours = ZoneInfo(name), timedelta(hours=1)
    found = []
    for year in (1993, 2011, 2016, 2026):
        moment = datetime(year, 1, 1, tzinfo=UTC)
        while moment.year == year:
            if (moment + hours).astimezone(place).utcoffset() != moment.astimezone(place).utcoffset():
                found.append(moment)
            moment += hours
    return found


CHANGES = [(name, moment) for name in ZONES for moment in _clock_changes(name)]
near_a_change = st.builds(
    lambda change, hours: (change[0], change[1] + timedelta(hours=hours)),
    st.sampled_from(CHANGES),
    st.floats(-50, 50),
)


def test_the_changes_of_clocks_that_tests_look_at_are_there():
    assert {name for name, _ in CHANGES} >= {
        "Europe/Berlin",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Pacific/Kwajalein",
    }


@given(clock_times, clock_times, near_a_change | st.tuples(st.sampled_from(ZONES), instants), st.floats(0, 0.999999))
@example(time(0, 30), time(0, 15), ("America/Sao_Paulo", datetime(2016, 10, 16, 3, tzinfo=UTC)), 0.5)
def test_an_opening_is_what_is_open_and_nothing_before_it_is(start, end, place_and_time, share):
    if start == end:
        return
    (name, now), hours = place_and_time, Window(start, end)
    opens, closes = opening(hours, now, name)
    second = timedelta(seconds=1)
    assert opens < closes
    assert now < closes
    assert is_open(start, end, now, name) is (opens <= now)
    assert is_open(start, end, opens, name)
    assert is_open(start, end, closes - second / 1000, name)
    assert is_open(start, end, opens + (closes - opens) * share, name)
    assert not is_open(start, end, opens - second / 1000, name)
    assert not is_open(start, end, closes, name)
    if now < opens:
        between = min(now + (opens - now) * share, opens - second / 1000)  # timedeltas are rounded
        assert not is_open(start, end, max(now, between), name)
    assert opening(hours, opens, name) == (opens, closes)
    assert opening(hours, closes, name)[0] > closes


def test_a_devices_own_timezone_comes_before_that_of_the_window():
    hours, now = window("01:00", "05:00", "Europe/Berlin"), at("2026-01-10T02:00+01:00")
    assert opening(hours, now)[0] < now
    assert opening(hours, now, "America/New_York")[0] == at("2026-01-10T01:00-05:00")


def test_without_any_timezone_there_is_no_opening():
    with pytest.raises(ValueError, match="the window has no timezone, so each device needs one"):
        window("01:00", "05:00").opening(0.0)


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        (None, "window must be a dict"),
        (["01:00", "05:00"], "window must be a dict"),
        ({"start": "01:00", "stop": "05:00"}, "got 'stop'"),
        ({"start": "01:00"}, "'end' must be a time"),
        ({"end": "01:00"}, "'start' must be a time"),
        *[
            ({"start": wrong, "end": "05:00"}, "'start' must be a time such as '01:00'")
            for wrong in (
                "1:00",
                "24:00",
                "01:60",
                "0100",
                "01",
                "01:00Z",
                "01:00+02:00",
                "٠١:٠٠",
                " 01:00",
                60,
                time(1),
            )
        ],
        ({"start": "01:00", "end": "01:00"}, "never open"),
        ({"start": "01:00", "end": "01:00:00"}, "never open"),
        *[
            ({"start": "01:00", "end": "05:00", "timezone": wrong}, "timezone must be a name such as 'Europe/Berlin'")
            for wrong in (
                "Europe/Berln",
                "",
                "Europe",
                "local",
                "../Berlin",
                "/etc/localtime",
                "x\0",
                "+02:00",
                7200,
                [],
            )
        ],
    ],
)
def test_other_windows_are_refused_in_one_sentence(mapping, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        Window.build(mapping)
    assert "\n" not in str(caught.value)


def test_a_whole_window_is_read():
    whole = {"start": "01:00", "end": "05:00:30", "timezone": "Europe/Berlin"}
    assert Window.build(whole) == Window(time(1), time(5, 0, 30), "Europe/Berlin")


def test_a_timezone_is_looked_up_once_whether_it_is_there_or_not():
    assert zone("Europe/Berlin") is zone("Europe/Berlin")
    for _ in range(2):
        with pytest.raises(ValueError, match="Europe/Berln"):
            zone("Europe/Berln")
