"""What a task says of commands that did not end well: which device, which status, what happens next, what to do.

The first 90 characters of each sentence are enough to act on: that much of a line is what Airflow's log view shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from airflow_provider_supersim.api.models import IpCommand
from airflow_provider_supersim.delivery.once.one_command import OutcomeUnknownError
from airflow_provider_supersim.delivery.waiting.watcher import Waited
from airflow_provider_supersim.words import count, duration

SHOWN = 10  # commands named in one message


def failed_commands(waited: Waited) -> list[IpCommand]:
    """Return the commands with a final status that is not a success."""
    return [command for command in waited.commands if command.status.settled and not command.status.succeeded]


def open_commands(waited: Waited) -> list[IpCommand]:
    """Return the commands without a final status, as far as they could be read."""
    return [command for command in waited.commands if not command.status.settled]


def command_failed(command: IpCommand, sim: str) -> str:
    """Say that the device did not get the operator's command.

    :param sim: what the DAG calls the SIM
    """
    return (
        f"{sim} did not get its command: status failed, most often no network (83401).\n"
        "Super SIM keeps nothing for later. A retry sends again. No retry left: check that the device is on and its "
        "SIM is active, then clear this task to send again.\n"
        f"{_name(command)}"
    )


def commands_failed(failed: Sequence[IpCommand], commands: int) -> str:
    """Say that commands failed for which a sensor waits.

    :param commands: for how many it waits
    """
    named = _list([_name(one) for one in failed])
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
        f"{error.sim}: {error.why}. It is not sent again. Retries do not run. Ask the device. If it did not get its "
        f'command, send it with a new DAG run, or with a clear and on_clear="restart". Connection {conn_id}'
    )


def command_not_settled(waited: Waited, sim: str, timeout: float, on_clear: str) -> str:
    """Say that the operator's command had no final status in time.

    :param sim: what the DAG calls the SIM
    :param timeout: in seconds
    :param on_clear: of the operator
    """
    clear = (
        "look it up before you clear, because a clear sends again"
        if on_clear == "restart"
        else "clear this task: it keeps waiting and sends nothing"
    )
    return (
        f"{sim}: {_still(waited)} after {duration(timeout)} (timeout). It can still go out and cannot be cancelled.\n"
        f"A retry keeps waiting and sends nothing. No retry left: {clear}. If this happens often, raise timeout.\n"
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


def unreadable(waited: Waited, place: str, clear: str) -> list[str]:
    """Say that waiting ended because the statuses could not be read: a line for what happened, one for what to do.

    :param place: the connection, with its host
    :param clear: the last thing to do
    """
    number = len(open_commands(waited)) + len(waited.unread)
    what = count(number, "command") if number else "the commands"
    why = "the credentials are refused" if waited.credentials_refused else "their statuses cannot be read"
    next_try = (
        f"The next try keeps waiting and sends nothing. No retry left: when the API is back, {clear}"
        if waited.retryable
        else f"Retries do not run. Correct what the API refuses, then {clear}"
    )
    return [
        f"Stopped waiting for {what}: {why}, connection {place}. The commands are not affected.",
        f"{next_try}. Last error: {waited.error}",
    ]


def in_counts(waited: Waited) -> str:
    """Count the commands by status: one line for a log."""
    counts = Counter(command.status.value for command in waited.commands)
    counts.update({"not read": len(waited.unread)} if waited.unread else {})
    return "IP Commands: " + ", ".join(f"{number:,} {status}" for status, number in sorted(counts.items()))


def describe(command: IpCommand) -> str:
    """Name a command with its status, in a log line."""
    return f"{command.status.value}. {_name(command)}, port {command.device_port}"


def _still(waited: Waited) -> str:
    statuses = sorted({command.status.value for command in open_commands(waited)})
    parts = [f"still {' or '.join(statuses)}"] if statuses else []
    if waited.unread:
        parts.append("status not read once")
    return " and ".join(parts)


def _evidence(waited: Waited) -> str:
    return _list([*map(_name, open_commands(waited)), *(f"IP Command {sid}" for sid in waited.unread)])


def _name(command: IpCommand) -> str:
    return f"IP Command {command.sid} to SIM {command.sim_sid}"


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
