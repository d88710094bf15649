"""Each error of the rooms below becomes one exception with a code; only those known to be permanent forbid a retry."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import CancelledError

import msgspec
import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowTaskTimeout,
)

from airflow_provider_supersim import exceptions
from airflow_provider_supersim.api import errors
from airflow_provider_supersim.api.errors import Verdict
from airflow_provider_supersim.delivery.once.held_journal import LedgerTakenError
from airflow_provider_supersim.delivery.once.journal_format import JournalError
from airflow_provider_supersim.delivery.targets.plan import Problem, TargetsError
from airflow_provider_supersim.delivery.waiting.waited import EventError, StatusesUnreadableError, Waited
from airflow_provider_supersim.runs.failures import airflow_failures
from airflow_provider_supersim.runs.so_far import SoFar, Stage, of_command, of_sensor


def api_error(kind, verdict, status=None):
    return kind("vendor's words", request="POST /v1/IpCommands", verdict=verdict, status=status)


def unread(**how):
    return StatusesUnreadableError(Waited(unread=["HG1"], error="GET /v1/IpCommands: no reply", **how))


def tree(kind=exceptions.SuperSimTaskError):
    return [kind, *(one for child in kind.__subclasses__() for one in tree(child))]


@pytest.mark.parametrize(
    ("error", "becomes", "final"),
    [
        (errors.BadInputError("waves must be a list"), exceptions.BadArgumentError, True),
        (TargetsError([Problem("row 1 (device-0001)", "no payload")]), exceptions.TargetsInvalidError, True),
        (api_error(errors.AuthenticationError, Verdict.REFUSED, 401), exceptions.CredentialsRefusedError, True),
        (api_error(errors.NotFoundError, Verdict.REFUSED, 404), exceptions.RequestRefusedError, True),
        (api_error(errors.TooManyRequestsError, Verdict.TRY_AGAIN, 429), exceptions.ThrottledError, False),
        (api_error(errors.ServerError, Verdict.UNKNOWN, 500), exceptions.ApiUnreachableError, False),
        (api_error(errors.NotConnectedError, Verdict.TRY_AGAIN), exceptions.ApiUnreachableError, False),
        (unread(), exceptions.StatusesUnreadableError, False),
        (unread(retryable=False), exceptions.RequestRefusedError, True),
        (unread(retryable=False, credentials_refused=True), exceptions.CredentialsRefusedError, True),
        (LedgerTakenError("another"), exceptions.LedgerTakenError, False),
        (CancelledError(), exceptions.TaskKilledError, False),
        (AirflowTaskTimeout(), exceptions.TaskTimedOutError, False),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_each_error_becomes_one_exception(error, becomes, final):
    with pytest.raises(exceptions.SuperSimTaskError) as caught, airflow_failures("supersim_lab"):
        raise error
    assert type(caught.value) is becomes
    assert isinstance(caught.value, AirflowFailException) is final
    assert str(caught.value).splitlines()[0].endswith(f"[{becomes.code}]")


@pytest.mark.parametrize(
    "error",
    [
        json.JSONDecodeError("x", "", 0),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
        msgspec.ValidationError("x"),
        msgspec.DecodeError("x"),
        ValueError("whatever a library says"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_is_not_known_to_be_permanent_can_be_retried(error):
    with pytest.raises(type(error)) as caught, airflow_failures("supersim_lab"):
        raise error
    assert caught.value is error
    assert not isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize("kind", [errors.AuthenticationError, errors.NotFoundError, errors.TooManyRequestsError])
def test_an_error_of_the_api_names_the_connection_and_keeps_the_evidence(kind):
    refused = api_error(kind, Verdict.REFUSED, 400)
    with pytest.raises(exceptions.SuperSimTaskError) as caught, airflow_failures("supersim_lab"):
        raise refused
    assert "onnection supersim_lab" in str(caught.value)
    assert str(caught.value).endswith(str(refused))
    assert caught.value.__cause__ is None  # it says no more than the message does, and would be a second traceback


def test_an_error_that_may_pass_keeps_its_cause():
    cut_off = api_error(errors.NoReplyError, Verdict.UNKNOWN)
    with pytest.raises(exceptions.ApiUnreachableError) as caught, airflow_failures("supersim_lab"):
        raise cut_off
    assert caught.value.__cause__ is cut_off


@pytest.mark.parametrize(
    ("error", "first"),
    [
        (api_error(errors.AuthenticationError, Verdict.REFUSED, 401), "Connection supersim_lab (api.example:8025): "),
        (api_error(errors.ServerError, Verdict.UNKNOWN, 503), "Connection supersim_lab (api.example:8025): "),
        (
            api_error(errors.TooManyRequestsError, Verdict.TRY_AGAIN, 429),
            "Connection supersim_lab (api.example:8025): ",
        ),
        (api_error(errors.NotConnectedError, Verdict.REFUSED), "Connection supersim_lab (api.example:8025): "),
        (api_error(errors.NotFoundError, Verdict.REFUSED, 404), "sim 'device-0007' not found (404): "),
        (api_error(errors.BadRequestError, Verdict.REFUSED, 400), "sim 'device-0007' refused (400): "),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_the_first_line_says_whom_and_how_far_and_the_last_names_the_connection_or_what_to_do(
    error, first, monkeypatch
):
    place = {"conn_type": "supersim", "host": "https://api.example:8025", "login": "AC1", "password": "x"}
    monkeypatch.setenv("AIRFLOW_CONN_SUPERSIM_LAB", json.dumps(place))
    lines = ["Of 200 devices: 60 sent", "Causes: none."]
    how_far = SoFar("Rollout", short="60 of 200 sent", lines=lines, clear="clear it: it continues")
    failures = airflow_failures("supersim_lab", whom="sim 'device-0007'", so_far=lambda: how_far)
    with pytest.raises(exceptions.SuperSimTaskError) as caught, failures:
        raise error
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(first)
    assert lines[0].endswith(f"; 60 of 200 sent. [{caught.value.code}]")
    assert lines[1:-1] == how_far.lines
    assert "supersim_lab (api.example:8025)" in str(caught.value)
    assert "clear it: it continues. " in lines[-1]


READ = 90  # characters of a line that Airflow's log view shows
COMMAND = "IP Command HG1 to SIM HS1"


def failure(error, how_far):
    """Return the lines of what a task fails with."""
    with pytest.raises(exceptions.SuperSimTaskError) as caught, airflow_failures("lab", so_far=lambda: how_far):
        raise error
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("how_far", "first", "to_do"),
    [
        (
            of_command("device-0001", Stage.NOTHING, on_clear="restart", ledger=True),
            "device-0001: {} before anything was sent.",
            "The next try sends. No retry left: clear this task to send.",
        ),
        (
            of_command("device-0001", Stage.NOTHING, on_clear="restart", ledger=False),
            "device-0001: {} before anything was sent.",
            "Without a ledger, a retry sends nothing. Clear this task to send.",
        ),
        (
            of_command("device-0001", Stage.SENDING, on_clear="restart", ledger=True),
            "device-0001: {} while sending; not known whether the API took the command.",
            "The next try sends, unless the API has the command already. No retry left: look in the API's list before",
        ),
        (
            of_command("device-0001", Stage.SENDING, on_clear="resume", ledger=True),
            "device-0001: {} while sending; not known whether the API took the command.",
            "No retry left: clear this task: it looks the command up before it sends.",
        ),
        (
            of_command("device-0001", Stage.ACCEPTED, on_clear="resume", ledger=True, status="queued", lines=[COMMAND]),
            "device-0001: {} while waiting; the command is queued and can still go out.",
            "The next try keeps waiting and sends nothing. No retry left: clear this task: it keeps waiting and sends",
        ),
        (
            of_command("device-0001", Stage.ACCEPTED, on_clear="resume", ledger=False, lines=[COMMAND]),
            "device-0001: {} while waiting; the command is accepted and can still go out.",
            "Without a ledger, a retry sends nothing. Look the command up before you clear this task, because a clear",
        ),
        (
            SoFar("Rollout", "while rolling out; 60 of 200 sent", clear="clear this task: it continues"),
            "Rollout: {} while rolling out; 60 of 200 sent.",
            "No retry left: clear this task: it continues.",
        ),
        (
            of_sensor(2),
            "Sensor of 2 commands: {} while reading statuses.",
            "clear this sensor: it keeps waiting and sends nothing.",
        ),
    ],
)
@pytest.mark.parametrize(
    ("error", "what", "code"),
    [
        (CancelledError(), "task killed", "task-killed"),
        (AirflowTaskTimeout(), "execution_timeout ended the task", "execution-timeout"),
    ],
    ids=["killed", "timeout"],
)
def test_a_task_that_was_ended_says_whom_how_far_it_was_and_what_a_retry_and_a_clear_do(
    error, what, code, how_far, first, to_do
):
    lines = failure(error, how_far)

    assert lines[0] == f"{first.format(what)} [{code}]"
    assert lines[0][:READ].startswith(f"{how_far.whom}: {what} ")
    assert lines[1:-1] == list(how_far.lines)
    assert to_do in lines[-1]
    assert ("execution_timeout" in lines[-1]) == (code == "execution-timeout")


def test_a_try_that_a_newer_one_replaced_says_so_first():
    lines = failure(LedgerTakenError("another"), SoFar("device-0001"))

    assert lines[0] == ("device-0001: this try stopped, because a newer try of the task has taken over. [ledger-taken]")
    assert lines[1].startswith("The newer try looks up what this one sent")


@pytest.mark.parametrize(
    ("kind", "status", "what", "to_do"),
    [
        (errors.NotConnectedError, None, "not reached", "Check DNS, proxy and firewall"),
        (errors.ServerError, 503, "the API failed (503)", "vendor's status page"),
        (errors.NoReplyError, None, "no readable reply", "Check the network and the proxies"),
        (errors.TooManyRequestsError, 429, "the API answered 429", "lower max_concurrency"),
    ],
)
def test_an_api_that_was_tried_in_vain_says_whom_for_how_long_and_what_to_do(kind, status, what, to_do):
    error = api_error(kind, Verdict.TRY_AGAIN, status)
    error.tried_for = 119.7
    how_far = SoFar("Rollout", short="60 of 200 sent", retry="The next try continues from here.", clear="clear it")
    lines = failure(error, how_far)

    assert lines[0][:READ].startswith(f"Connection lab: {what} for 2 minutes; 60 of 200 sent.")
    assert to_do in lines[-1]
    assert "The next try continues from here. No retry left: " in lines[-1]
    assert lines[-1].endswith(f"clear it. {error}")


def test_an_event_of_another_version_says_the_cause_first_and_quotes_the_event_in_short():
    forged = {"status": "success\n[rollout-halted]", "data": "x" * 100_000}
    try:
        Waited.from_event(forged)
    except EventError as error:
        lines = failure(error, of_command("device-0001", Stage.ACCEPTED, on_clear="restart", ledger=True))

    assert lines[0] == (
        "Triggerer and worker seem to run different versions of airflow-provider-supersim. [event-unreadable]"
    )
    assert lines[1].startswith("device-0001: the trigger's event cannot be read (its fields are not commands")
    assert len(lines) == 3
    assert max(map(len, lines)) < 600
    assert "keeps waiting and sends nothing" in lines[2]


@pytest.mark.parametrize("kind", tree()[1:], ids=lambda kind: kind.__name__)
def test_every_exception_has_a_code_and_survives_a_pickle(kind):
    again = pickle.loads(pickle.dumps(kind("words")))

    assert type(again) is kind
    assert str(again) == f"words [{kind.code}]"
    assert isinstance(again, AirflowException)


def test_airflow_treats_a_sensors_time_out_as_one():
    assert issubclass(exceptions.SensorTimedOutError, AirflowSensorTimeout)
    assert issubclass(exceptions.TaskTimedOutError, AirflowTaskTimeout)


def test_a_ledger_that_cannot_be_read_can_be_retried():
    with pytest.raises(exceptions.LedgerUnreadableError) as caught, airflow_failures("supersim_lab"):
        raise JournalError("place", "key", "what")
    assert not isinstance(caught.value, AirflowFailException)
