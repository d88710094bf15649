"""What a task says of commands that did not end well: which device, which status, what happens next, what to do.

The first 90 characters of each sentence are enough to act on: that much of a line is what Airflow's log view shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from airflow_provider_supersim.api.models import IpCommand
from airflow_provider_supersim.delivery.once.one_command import OutcomeUnknownError
from airflow_provider_supersim.delivery.waiting.waited import EventError, Waited
from airflow_provider_supersim.runs.so_far import SoFar
from airflow_provider_supersim.words import count, duration

SHOWN = 10  # commands named in one message


def failed_commands(waited: Waited) -> list[IpCommand]:
    """Return the commands with a final status that is not a success."""
    return [command for command in waited.commands if command.status.settled and not command.status.succeeded]


def open_commands(waited: Waited) -> list[IpCommand]:
    """Return the commands without a final status, as far as they could be read."""
    return [command for command in waited.commands if not command.status.settled]


def command_failed(command: IpCommand, sim: str, *, ledger: bool) -> str:
    """Say that the device did not get the operator's command.

    :param sim: what the DAG calls the SIM
    :param ledger: the task has one
    """
    retry = "A retry sends again. No retry left: check" if ledger else "Without a ledger, a retry sends nothing. Check"
    return (
        f"{sim} did not get its command: status failed, most often no network (83401).\n"
        f"Super SIM keeps nothing for later. {retry} that the device is on and its SIM is active, then clear this task "
        "to send again.\n"
        f"{name(command)}"
    )


def commands_failed(failed: Sequence[IpCommand], commands: int) -> str:
    """Say that commands failed for which a sensor waits.

    :param commands: for how many it waits
    """
    named = _list([name(one) for one in failed])
    return (
        f"{len(failed):,} of {count(commands, 'command')} failed, most often because the device has no network "
        "(83401).\n"
        "This sensor sends nothing, and is not retried. Check the devices, then clear the task that sent them.\n"
        f"Failed: {named}"
    )


def outcome_unknown(error: OutcomeUnknownError, conn_id: str) -> str:
    """Say that it cannot be told whether the API accepted the operator's command.

    :param conn_id: the connection
    """
    return (
        f"{error.sim}: {error.why}; it is not sent again.\n"
        "Retries do not run. Ask the device. If it did not get its command, send it with a new DAG run, or with a "
        f'clear and on_clear="restart". Connection {conn_id}'
    )


def command_not_settled(waited: Waited, timeout: float, so_far: SoFar) -> str:
    """Say that the operator's command had no final status in time.

    :param timeout: in seconds
    """
    return (
        f"{so_far.whom}: {_still(waited)} after {duration(timeout)} (timeout). It can still go out and cannot be "
        "cancelled.\n"
        f"{so_far.outlook()} If this happens often, raise timeout.\n"
        f"{_evidence(waited)}"
    )


def commands_not_settled(waited: Waited, timeout: float) -> str:
    """Say that commands for which a sensor waits had no final status in time.

    :param timeout: in seconds
    """
    number = len(open_commands(waited)) + len(waited.unread)
    return (
        f"{count(number, 'command')} without a final status after {duration(timeout)} (timeout): {_still(waited)}.\n"
        "They can still go out and cannot be cancelled. Clear this sensor to keep waiting; it sends nothing.\n"
        f"{_evidence(waited)}"
    )


def unreadable(waited: Waited, place: str, so_far: SoFar) -> list[str]:
    """Say that waiting ended because the statuses could not be read: a line for what happened, one for what to do.

    :param place: the connection, with its host
    """
    number = len(open_commands(waited)) + len(waited.unread)
    what = count(number, "command") if number else "the commands"
    why = "the credentials are refused" if waited.credentials_refused else "their statuses cannot be read"
    next_try = (
        so_far.outlook(f"when the API is back, {so_far.clear}")
        if waited.retryable
        else f"Retries do not run. Correct what the API refuses, then {so_far.clear}."
    )
    return [
        f"Stopped waiting for {what}: {why}, connection {place}. The commands are not affected.",
        f"{next_try} Last error: {waited.error}",
    ]


def killed(so_far: SoFar) -> list[str]:
    """Say that somebody ended the task: what happened, how far it was, what a retry does."""
    return [f"{so_far.whom}: task killed {so_far.doing}.", *so_far.lines, so_far.outlook(so_far.clear_if_ended)]


def out_of_time(so_far: SoFar) -> list[str]:
    """Say that ``execution_timeout`` ended the task."""
    outlook = so_far.outlook(so_far.clear_if_ended)
    return [
        f"{so_far.whom}: execution_timeout ended the task {so_far.doing}.",
        *so_far.lines,
        f"Raise execution_timeout above the time that the task needs, or remove it. {outlook}",
    ]


def ledger_taken(so_far: SoFar) -> list[str]:
    """Say that a newer try has taken over."""
    return [
        f"{so_far.whom}: this try stopped, because a newer try of the task has taken over.",
        (
            "The newer try looks up what this one sent, and continues. Nothing to do. If this happens often, workers "
            "miss their heartbeats."
        ),
    ]


def event_unreadable(error: EventError, so_far: SoFar) -> list[str]:
    """Say that triggerer and worker do not understand each other."""
    return [
        "Triggerer and worker seem to run different versions of airflow-provider-supersim.",
        f"{so_far.whom}: the trigger's event cannot be read ({error}). Nothing was sent again.",
        f"Install the same version on both, and restart the triggerer. {so_far.outlook()}",
    ]


def in_counts(waited: Waited) -> str:
    """Count the commands by status: one line for a log."""
    counts = Counter(command.status.value for command in waited.commands)
    counts.update({"not read": len(waited.unread)} if waited.unread else {})
    return "IP Commands: " + ", ".join(f"{number:,} {status}" for status, number in sorted(counts.items()))


def describe(command: IpCommand) -> str:
    """Name a command with its status, in a log line."""
    return f"{command.status.value}. {name(command)}, port {command.device_port}"


def _still(waited: Waited) -> str:
    statuses = sorted({command.status.value for command in open_commands(waited)})
    parts = [f"still {' or '.join(statuses)}"] if statuses else []
    if waited.unread:
        parts.append("status not read once")
    return " and ".join(parts)


def _evidence(waited: Waited) -> str:
    return _list([*map(name, open_commands(waited)), *(f"IP Command {sid}" for sid in waited.unread)])


def name(command: IpCommand) -> str:
    """Name a command by its sid and its SIM's."""
    return f"IP Command {command.sid} to SIM {command.sim_sid}"


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
