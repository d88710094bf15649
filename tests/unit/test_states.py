"""The table of states, and that all that is derived from it agrees: SQL conditions, counts, what is waited for."""

from __future__ import annotations

from itertools import product

import msgspec
import pytest

from airflow_provider_supersim.api.models import IpCommandRequest, Status
from airflow_provider_supersim.delivery.state.counts import Counts
from airflow_provider_supersim.delivery.state.device import Device, Entry
from airflow_provider_supersim.delivery.state.states import (
    ANY,
    ATTEMPTED_AGAIN,
    LOST,
    MISSED,
    TABLE,
    UNSENT,
    CountedAs,
    SentAgain,
    State,
    facts,
    word,
)
from airflow_provider_supersim.delivery.state.working_set import WorkingSet

UNFAMILIAR = "held_back"  # a status that the vendor may add
STATES = [None, *State, UNFAMILIAR]
ACCEPTED = [*Status, UNFAMILIAR]  # the API has the command, so the entry has its sid
CLEARS, ATTEMPTS = 1, 2  # the task has been cleared once, and allows two attempts


def test_every_state_has_its_row_and_no_row_is_without_a_state():
    assert list(TABLE) == list(State)


def test_every_state_has_a_word_of_its_own():
    words = [known.word for known in TABLE.values()]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("status", [*Status, Status(UNFAMILIAR)])
def test_the_apis_statuses_are_final_and_good_as_the_api_itself_says(status):
    known = facts(status.value)
    assert (known.final, known.final and known.good) == (status.settled, status.succeeded)
    assert known.word == status.value


@pytest.mark.parametrize("state", State)
def test_what_is_counted_as_sent_or_failed_is_final_and_nothing_else(state):
    known = facts(state)
    assert known.final is (known.counted in (CountedAs.SENT, CountedAs.FAILED))


@pytest.mark.parametrize("state", State)
def test_no_device_that_has_its_command_or_may_get_it_is_sent_another_without_a_look(state):
    known = facts(state)
    if known.good or known.counted is CountedAs.UNSETTLED:
        assert known.again in (SentAgain.NEVER, SentAgain.AFTER_LOOK_UP)


def test_a_device_without_an_entry_is_not_sent():
    assert facts(None) == facts(State.NOT_SENT)
    assert word(None) == "not_sent"


def test_an_unfamiliar_status_is_waited_for_like_queued_and_keeps_its_word():
    assert facts(UNFAMILIAR) == facts(State.QUEUED)._replace(word=UNFAMILIAR)
    assert word(UNFAMILIAR) == UNFAMILIAR


# What is derived from the table


def entries():
    """Return an entry for each state, number of clears and attempt; and ``None`` for a device without one."""
    return [
        state
        and Entry(
            f"device-{number}", 0, "content", str(state), attempt, clears, f"HG{number}" if state in ACCEPTED else None
        )
        for number, (state, clears, attempt) in enumerate(product(STATES, (0, 1), (1, 2, 3)))
    ]


@pytest.fixture
def table():
    """A table with a device for each of :func:`entries`."""
    table = WorkingSet()
    payload = table.add_payload("x")
    for number in range(len(entries())):
        sim = f"device-{number}"
        table.add(Device(sim=sim, request=IpCommandRequest.build(sim, "x", 4000)), payload)
    table.put(filter(None, entries()))
    return table


def is_unsent(entry):
    if entry is None:
        return True
    again = facts(entry.status).again
    after_clear = again in (SentAgain.AFTER_CLEAR, SentAgain.WHILE_ATTEMPTS_ARE_LEFT)
    return again is SentAgain.ALWAYS or (after_clear and entry.clears < CLEARS)


def is_attempted_again(entry):
    return (
        entry is not None
        and facts(entry.status).again is SentAgain.WHILE_ATTEMPTS_ARE_LEFT
        and entry.attempt < ATTEMPTS
    )


def is_missed(entry):
    return entry is not None and facts(entry.status).counted not in (CountedAs.SENT, CountedAs.NOT_SENT)


CONDITIONS = {
    "ANY": (ANY, lambda entry: True),
    "UNSENT": (UNSENT, is_unsent),
    "LOST": (LOST, lambda entry: entry is not None and facts(entry.status).again is SentAgain.AFTER_LOOK_UP),
    "ATTEMPTED_AGAIN": (ATTEMPTED_AGAIN, is_attempted_again),
    "MISSED": (MISSED, is_missed),
}


@pytest.mark.parametrize(("condition", "holds"), CONDITIONS.values(), ids=CONDITIONS)
def test_a_condition_selects_exactly_what_the_table_of_states_says(table, condition, holds):
    expected = [f"device-{number}" for number, entry in enumerate(entries()) if holds(entry)]
    values = {"clears": CLEARS, "attempts": ATTEMPTS}

    assert [device.sim for device in table.devices(condition, 0, len(table), **values)] == expected
    assert table.timezones(condition, 0, len(table), **values).total() == len(expected)
    assert 0 < len(expected) < len(table) or condition == ANY


def test_a_command_is_open_from_when_the_api_has_it_until_its_state_is_final(table):
    open_ones = [entry.sid for entry in entries() if entry and entry.sid and not facts(entry.status).final]

    assert sorted(table.open_sids(0, len(table))) == sorted(open_ones)
    assert {entry.status for entry in entries() if entry and entry.open} == {"queued", UNFAMILIAR}


def test_counts_have_a_field_for_each_way_to_count():
    assert ["devices", *CountedAs] == list(Counts.__struct_fields__)


@pytest.mark.parametrize("state", STATES)
def test_a_device_is_counted_once_as_the_table_says(state):
    counts = msgspec.structs.asdict(Counts.build({state: 3}))

    assert {name for name, number in counts.items() if number} == {"devices", facts(state).counted}
    assert set(counts.values()) == {0, 3}


def test_the_counts_of_a_table_are_those_of_its_entries(table):
    counts = Counts()
    for entry in entries():
        counts.add(entry and entry.status)

    assert Counts.build(table.statuses(0, len(table))) == counts
    assert counts.devices == len(table)
