"""What is said of a command that did not end well: which SIM, which sid, which status, what to do."""

from __future__ import annotations

import json

import pytest

from airflow_provider_supersim.api.models import Direction, IpCommand, PayloadType, Status
from airflow_provider_supersim.delivery.waiting import sentences as outcome
from airflow_provider_supersim.delivery.waiting.watcher import EventError, Waited


def command(number, status, **changes):
    return IpCommand(
        sid=f"HG{number}",
        sim_sid=f"HS{number}",
        status=Status(status),
        direction=Direction.TO_SIM,
        device_port=2048,
        payload_type=PayloadType.TEXT,
        payload="wifi-password=hunter2",
        **changes,
    )


QUEUED, SENT, FAILED, NEW = (command(i, s) for i, s in enumerate(["queued", "sent", "failed", "held_back"], start=1))


def test_only_a_final_and_bad_status_is_a_failure():
    waited = Waited(commands=[QUEUED, SENT, FAILED, NEW, command(5, "received")])
    assert outcome.failed_commands(waited) == [FAILED]


@pytest.mark.parametrize(
    ("commands", "unread", "settled"),
    [
        ([SENT], [], True),
        ([SENT, FAILED], [], True),
        ([SENT, QUEUED], [], False),
        ([NEW], [], False),
        ([SENT], ["HG9"], False),
        ([], ["HG9"], False),
    ],
)
def test_settled_is_when_every_command_has_been_read_with_a_final_status(commands, unread, settled):
    assert Waited(commands=commands, unread=unread).settled is settled


def test_a_failure_names_sid_and_sim_and_says_what_to_do():
    assert outcome.failed_sentence([FAILED]) == (
        "IP Command HG3 to SIM HS3 failed: the API could not send it, mostly because the device was not attached to a "
        "network (error 83401), and nothing is kept for later. Check that the device is on and its SIM active, then "
        "send again."
    )


def test_failures_are_named_up_to_ten_and_then_counted():
    words = outcome.failed_sentence([command(number, "failed") for number in range(13)])
    assert words.startswith("IP Commands HG0 to SIM HS0, HG1 to SIM HS1, ")
    assert "HG9 to SIM HS9 and 3 more failed: the API could not send them" in words
    assert "HG10" not in words


@pytest.mark.parametrize(
    ("waited", "words"),
    [
        (
            Waited(commands=[QUEUED, SENT]),
            "After 300 s IP Command HG1 to SIM HS1 still had status 'queued'. It may still",
        ),
        (
            Waited(commands=[QUEUED, NEW]),
            "After 300 s IP Commands HG1 to SIM HS1, HG4 to SIM HS4 still had status 'held_back', 'queued'. ",
        ),
        (Waited(commands=[SENT], unread=["HG9"]), "After 300 s the status of HG9 could not be read. "),
        (
            Waited(commands=[QUEUED], unread=["HG9"]),
            "After 300 s IP Command HG1 to SIM HS1 still had status 'queued' and the status of HG9 could not be read. ",
        ),
    ],
)
def test_what_was_not_settled_in_time_is_named_with_its_status(waited, words):
    sentence = outcome.overdue_sentence(waited, 300.0)
    assert sentence.startswith(words)
    assert "look it up before you send again" in sentence


def test_a_wait_that_ended_early_says_for_what_and_why():
    waited = Waited(commands=[QUEUED, SENT], unread=["HG9"], error="GET /v1/IpCommands answered 401: Authenticate")
    assert outcome.unreadable_sentence(waited) == (
        "Waiting for HG1, HG9 ended because the API could not be read: GET /v1/IpCommands answered 401: Authenticate "
        "What was sent stays sent; look it up before you send again."
    )


def test_a_summary_counts_by_status():
    waited = Waited(commands=[QUEUED, SENT, SENT, FAILED], unread=["HG9"])
    assert outcome.summary(waited) == "IP Commands: 1 failed, 1 not read, 1 queued, 2 sent"


def test_a_command_is_named_by_sid_sim_port_and_status_never_by_its_payload():
    assert outcome.describe(SENT) == "IP Command HG2 to SIM HS2 (port 2048): sent"
    every = [
        outcome.describe(FAILED),
        outcome.failed_sentence([FAILED]),
        outcome.overdue_sentence(Waited(commands=[QUEUED]), 1),
        outcome.unreadable_sentence(Waited(commands=[QUEUED], error="x")),
        outcome.summary(Waited(commands=[QUEUED])),
    ]
    assert not any("hunter2" in sentence for sentence in every)


@pytest.mark.parametrize(
    "waited",
    [
        Waited(commands=[SENT, NEW], unread=["HG9"], error="why", retryable=False),
        Waited(commands=[]),
    ],
)
def test_an_event_reads_back_as_what_it_was(waited):
    event = waited.to_event()
    assert Waited.from_event(json.loads(json.dumps(event))) == waited


@pytest.mark.parametrize("event", [None, "done", [], {}, {"status": "success"}, {"commands": [{"sid": "HG1"}]}, 7])
def test_an_event_of_another_kind_is_refused(event):
    with pytest.raises(EventError, match=r"\w"):
        Waited.from_event(event)
