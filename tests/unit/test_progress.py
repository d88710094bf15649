"""Progress: counts that add up, and a line for the log."""

from __future__ import annotations

import json
import math

import pytest

from airflow_provider_supersim.delivery.rollout.progress import Progress, summarise
from airflow_provider_supersim.delivery.state.counts import Counts


def test_each_status_counts_once():
    counts = Counts()
    for status in ["sent", "sent", "failed", "refused", "queued", "about_to_send", "a new one", "not_sent"]:
        counts.add(status)
    assert counts == Counts(devices=8, sent=2, failed=2, unsettled=3, not_sent=1)
    counts.merge(Counts(devices=1, sent=1))
    counts.merge(counts)
    assert counts == Counts(devices=18, sent=6, failed=4, unsettled=6, not_sent=2)


def test_the_summary_adds_up_and_goes_through_json():
    waves = [
        Counts(devices=5, sent=4, failed=1),
        Counts(devices=95, sent=1, unsettled=2),
        Counts(devices=900, not_sent=900),
    ]
    before = [Counts(**{name: getattr(wave, name) for name in wave.__struct_fields__}) for wave in waves]
    summary = summarise(waves, seconds=12.34567, commands=9, halted=True)
    assert json.loads(json.dumps(summary)) == {
        "devices": 1000,
        "sent": 5,
        "failed": 1,
        "unsettled": 2,
        "not_sent": 900,
        "waves": [
            {"wave": 1, "devices": 5, "sent": 4, "failed": 1, "unsettled": 0, "not_sent": 0},
            {"wave": 2, "devices": 95, "sent": 1, "failed": 0, "unsettled": 2, "not_sent": 0},
            {"wave": 3, "devices": 900, "sent": 0, "failed": 0, "unsettled": 0, "not_sent": 900},
        ],
        "duration": 12.346,
        "commands": 9,
        "commands_per_second": 0.7,
        "halted": True,
    }
    assert waves == before


def test_a_rollout_without_devices_has_a_summary_too():
    summary = summarise([], seconds=0, commands=0, halted=False)
    assert (summary["devices"], summary["waves"], summary["commands_per_second"]) == (0, [], 0.0)


@pytest.mark.parametrize(
    ("counts", "rate", "line"),
    [
        (
            Counts(2000, sent=480, failed=12, unsettled=20, not_sent=1488),
            310.5,
            (
                "wave 2 of 3, 512 of 2,000 devices: 480 sent, 12 failed, 20 waiting; 310.5 commands/s; about 5 seconds "
                "left"
            ),
        ),
        (Counts(9, not_sent=9), None, "wave 2 of 3, 0 of 9 devices: 0 sent, 0 failed, 0 waiting"),
        (Counts(9, not_sent=9), math.nan, "wave 2 of 3, 0 of 9 devices: 0 sent, 0 failed, 0 waiting"),
        (Counts(9, not_sent=9), math.inf, "wave 2 of 3, 0 of 9 devices: 0 sent, 0 failed, 0 waiting"),
        (Counts(9, not_sent=9), 0.0, "wave 2 of 3, 0 of 9 devices: 0 sent, 0 failed, 0 waiting; 0.0 commands/s"),
        (Counts(9, sent=9), 3, "wave 2 of 3, 9 of 9 devices: 9 sent, 0 failed, 0 waiting; 3.0 commands/s"),
        (
            Counts(370, sent=10, not_sent=360),
            2,
            "wave 2 of 3, 10 of 370 devices: 10 sent, 0 failed, 0 waiting; 2.0 commands/s; about 3 minutes left",
        ),
        (
            Counts(1_000_000, not_sent=1_000_000),
            100,
            (
                "wave 2 of 3, 0 of 1,000,000 devices: 0 sent, 0 failed, 0 waiting; 100.0 commands/s; about 2 hours 47 "
                "minutes left"
            ),
        ),
    ],
)
def test_the_progress_is_one_line(counts, rate, line):
    assert Progress(wave=2, waves=3, counts=counts, rate=rate).line() == line


def test_what_is_on_its_way_is_told_from_what_is_waited_for():
    counts = Counts(120, sent=10, unsettled=90, not_sent=20)
    line = Progress(wave=1, waves=1, counts=counts, in_flight=79, rate=10).line()
    assert line == (
        "wave 1 of 1, 21 of 120 devices: 10 sent, 0 failed, 11 waiting, 79 being sent or looked up; 10.0 commands/s; "
        "about 10 seconds left"
    )


def test_the_progress_is_a_record_for_a_page():
    record = Progress(wave=1, waves=2, counts=Counts(9, sent=9), rate=3.0).record()
    assert json.loads(json.dumps(record)) == record
    assert (record["wave"], record["waves"], record["counts"]["sent"]) == (1, 2, 9)
