"""What is said of a command that did not end well: whom, what, what happens next, what to do, in this order."""

from __future__ import annotations

import json

import pytest

from airflow_provider_supersim.api.models import Direction, IpCommand, PayloadType, Status
from airflow_provider_supersim.delivery.waiting.waited import EventError, StatusesUnreadableError, Waited
from airflow_provider_supersim.runs import sentences
from airflow_provider_supersim.runs.so_far import SoFar, Stage, of_command

READ = 90  # characters of a line that Airflow's log view shows


def command(number, status, **changes):
    return IpCommand(
        sid=f"HG{number:032x}",
        sim_sid=f"HS{number:032x}",
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
    assert sentences.failed_commands(waited) == [FAILED]
    assert sentences.open_commands(waited) == [QUEUED, NEW]


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


@pytest.mark.parametrize(
    ("ledger", "retry"), [(True, "A retry sends again."), (False, "Without a ledger, a retry sends nothing.")]
)
def test_an_operators_failure_names_the_device_first_and_the_sids_last(ledger, retry):
    said = sentences.command_failed(FAILED, "device-0007", ledger=ledger)

    assert "device-0007 did not get its command: status failed, most often no network (83401)" in said[:READ]
    assert retry in said
    assert "clear this task to send again" in said
    assert said.endswith(f"IP Command {FAILED.sid} to SIM {FAILED.sim_sid}")


def test_a_sensors_failure_counts_first_and_names_up_to_ten():
    said = sentences.commands_failed([command(number, "failed") for number in range(13)], 20)

    assert said[:READ].startswith("13 of 20 commands failed, most often because the device has no network")
    assert "clear the task that sent them" in said  # to clear the sensor sends nothing
    assert said.count("IP Command HG") == 10
    assert said.endswith(" and 3 more")


@pytest.mark.parametrize(
    ("on_clear", "what_to_do"),
    [("restart", "because a clear sends again"), ("resume", "clear this task: it keeps waiting and sends nothing")],
)
def test_what_a_clear_does_depends_on_the_operator(on_clear, what_to_do):
    how_far = of_command("device-0008", Stage.ACCEPTED, on_clear=on_clear, ledger=True)
    said = sentences.command_not_settled(Waited(commands=[QUEUED]), 300.0, how_far)

    assert said[:READ].startswith("device-0008: still queued after 5 minutes (timeout). It can still go out")
    assert "The next try keeps waiting and sends nothing" in said
    assert what_to_do in said
    assert said.endswith(f"IP Command {QUEUED.sid} to SIM {QUEUED.sim_sid}")


@pytest.mark.parametrize(
    ("waited", "words"),
    [
        (Waited(commands=[QUEUED, SENT]), "1 command without a final status after 5 minutes (timeout): still queued"),
        (
            Waited(commands=[QUEUED, NEW]),
            "2 commands without a final status after 5 minutes (timeout): still held",
        ),
        (
            Waited(commands=[SENT], unread=["HG9"]),
            "1 command without a final status after 5 minutes (timeout): status",
        ),
    ],
)
def test_a_sensor_counts_what_had_no_final_status_in_time(waited, words):
    said = sentences.commands_not_settled(waited, 300.0)

    assert said.startswith(words)
    assert "Clear this sensor to keep waiting; it sends nothing" in said


@pytest.mark.parametrize(
    ("retryable", "next_try"),
    [(True, "The next try keeps waiting and sends nothing"), (False, "Retries do not run")],
)
def test_a_wait_that_ended_early_says_for_what_and_what_the_next_try_does(retryable, next_try):
    waited = Waited(commands=[QUEUED, SENT], unread=["HG9"], error="GET … answered 401", retryable=retryable)

    how_far = SoFar(retry="The next try keeps waiting and sends nothing.", clear="clear this task: it sends nothing")
    what, to_do = sentences.unreadable(waited, "supersim_lab (api.example)", how_far)

    assert what.startswith("Stopped waiting for 2 commands: their statuses cannot be read")
    assert "connection supersim_lab (api.example)" in what
    assert to_do.startswith(next_try)
    assert "clear this task: it sends nothing. " in to_do
    assert to_do.endswith("Last error: GET … answered 401")
    with pytest.raises(StatusesUnreadableError):
        waited.check_readable()


def test_counts_are_by_status():
    waited = Waited(commands=[QUEUED, SENT, SENT, FAILED], unread=["HG9"])
    assert sentences.in_counts(waited) == "IP Commands: 1 failed, 1 not read, 1 queued, 2 sent"


def test_no_sentence_quotes_a_payload():
    every = [
        sentences.describe(FAILED),
        sentences.command_failed(FAILED, "device-0001", ledger=True),
        sentences.commands_failed([FAILED], 1),
        sentences.command_not_settled(Waited(commands=[QUEUED]), 1, SoFar("device-0001")),
        sentences.commands_not_settled(Waited(commands=[QUEUED]), 1),
        *sentences.unreadable(Waited(commands=[QUEUED], error="x"), "supersim_default", SoFar()),
        sentences.in_counts(Waited(commands=[QUEUED])),
    ]
    assert not any("hunter2" in sentence for sentence in every)


@pytest.mark.parametrize(
    "waited",
    [
        Waited(commands=[SENT, NEW], unread=["HG9"], error="why", retryable=False, credentials_refused=True),
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
