"""The table holds what a rollout knows, also when it outgrows its memory, and lets nothing be seen outside."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from airflow_provider_supersim.api.models import IpCommandRequest
from airflow_provider_supersim.delivery.state import working_set as table
from airflow_provider_supersim.delivery.state.device import Device, Entry
from airflow_provider_supersim.delivery.state.states import ANY, ATTEMPTED_AGAIN, LOST, MISSED, UNSENT, State
from airflow_provider_supersim.delivery.state.working_set import WorkingSet as NewTable

COUNT = 5_000
DESCRIPTORS = Path("/proc/self/fd")


def device(number: int, **fields: str) -> Device:
    sim = f"device-{number:04d}"
    return Device(sim=sim, request=IpCommandRequest.build(sim, f"payload {number} " + 400 * "x", 4000), **fields)


def filled(count: int) -> NewTable:
    new = NewTable()
    for number in range(count):
        one = device(number)
        new.add(one, new.add_payload(one.request.payload))
    return new


def open_files() -> set[Path]:
    return {name.readlink() for name in DESCRIPTORS.iterdir() if name.exists()}


@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="open files cannot be seen here")
def test_what_outgrows_the_memory_is_kept_on_disk_until_nobody_holds_the_table(monkeypatch):
    monkeypatch.setattr(table, "MEMORY", 200_000)
    before = open_files()
    one = filled(COUNT)
    one.put([Entry(device(number).sim, number // 250, "content", "sent") for number in range(COUNT)])

    assert list(one.stream(ANY)) == [device(number) for number in range(COUNT)]
    assert one.statuses(0, COUNT) == {"sent": COUNT}
    on_disk = open_files() - before
    assert on_disk
    assert not [name for name in on_disk if name.exists()], "nothing is left behind, whatever dies"
    del one
    gc.collect()
    assert not open_files() & on_disk


def test_entries_come_back_as_they_were_put():
    one = filled(2)
    full = Entry("device-0000", 3, "content", "sent", 2, 1, "HG1", "HS1", 100, 200, "why", ("HG2", "HG3"))
    bare = Entry("device-0001", 3, "content")
    one.put([full, bare])

    assert (one.entry("device-0000"), one.entry("device-0001")) == (full, bare)
    assert list(one.entries_of(3)) == [full, bare]
    assert one.entry("device-0002") is None
    later = Entry("device-0001", 4, "other", earlier=("HG4",))
    one.put([later])
    assert (list(one.entries_of(3)), list(one.entries_of(4))) == ([full], [later])


@pytest.mark.parametrize(
    ("status", "conditions"),
    [
        (None, {UNSENT}),
        (State.ABOUT_TO_SEND, {LOST, MISSED}),
        ("not_sent", {UNSENT}),
        ("refused", {MISSED}),
        ("refused before the clear", {UNSENT, MISSED}),
        ("queued", {MISSED}),
        ("held_back", {MISSED}),  # which no version of the API says so far
        ("sent", set()),
        ("received", set()),
        (State.UNKNOWN, {MISSED}),
        ("failed", {ATTEMPTED_AGAIN, MISSED}),
        ("failed for the last time", {MISSED}),
        ("failed before the clear", {UNSENT, ATTEMPTED_AGAIN, MISSED}),
    ],
)
def test_which_devices_are_meant(status, conditions):
    one = filled(1)
    if status:
        word = status.split()[0]
        attempt, clears = 2 if "last" in status else 1, 1 - ("clear" in status)
        sid = None if word in {State.ABOUT_TO_SEND, "not_sent", "refused"} else "HG1"
        one.put([Entry("device-0000", 0, "content", word, attempt, clears, sid)])
    values = {"clears": 1, "attempts": 2}

    every = {UNSENT, LOST, ATTEMPTED_AGAIN, MISSED}
    assert {which for which in every if one.devices(which, 0, 1, **values)} == conditions
    assert {which for which in every if one.timezones(which, 0, 1, **values).total()} == conditions
    assert one.open_sids(0, 1) == (["HG1"] if status in {"queued", "held_back"} else [])
    assert (one.open_entry("HG1") is not None) == (status in {"queued", "held_back"})


def test_a_sid_is_known_as_long_as_the_set_lives():
    one = filled(2)
    entry = Entry("device-0000", 0, "content", sid="HG1", earlier=("HG0",))
    one.put([entry])
    entry.sid = "HG2"
    one.update(entry)
    one.put([Entry("device-0000", 1, "content", earlier=("HG0", "HG2"))])

    assert [one.has_sid(sid) for sid in ("HG0", "HG2", "HG3")] == [True, True, False]


def test_positions_are_from_the_first_to_before_the_last():
    one = filled(10)
    assert [each.sim for each in one.devices(ANY, 3, 5)] == ["device-0003", "device-0004"]
    assert list(one.stream(ANY)) == one.devices(ANY, 0, 10)


def test_sims_that_the_api_lists_come_once_and_sorted():
    one = NewTable()
    for sid, name in (("HS2", "b"), ("HS1", "a"), ("HS2", "ü")):
        one.list_sim(sid, {"sim": sid, "unique_name": name, "iccid": None})
    assert list(one.listed_sims()) == [
        {"sim": "HS1", "unique_name": "a", "iccid": None},
        {"sim": "HS2", "unique_name": "ü", "iccid": None},
    ]


def test_causes_are_counted_the_most_frequent_first_and_without_what_had_no_turn():
    one = filled(10)
    one.put([Entry(device(number).sim, 0, "content", "refused", error="no such SIM") for number in range(2)])
    one.put([Entry(device(number).sim, 0, "content", "failed") for number in range(2, 5)])
    one.put([Entry(device(5).sim, 0, "content", "sent")])

    assert one.causes(MISSED, 9) == [("failed", None, 3), ("refused", "no such SIM", 2)]
    assert one.causes(MISSED, 1) == [("failed", None, 3)]
    assert one.labels("refused", "no such SIM", 9) == ["device-0000", "device-0001"]
    assert one.labels(None, None, 3) == ["device-0006", "device-0007", "device-0008"]
