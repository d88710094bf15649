"""What is said of a command that did not end well: which SIM, which sid, which status, and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from airflow_provider_supersim.api.models import IpCommand
from airflow_provider_supersim.delivery.waiting.watcher import Waited

SHOWN = 10  # commands named in one message


def failed_commands(waited: Waited) -> list[IpCommand]:
    """Return the commands with a final status that is not a success."""
    return [command for command in waited.commands if command.status.settled and not command.status.succeeded]


def failed_sentence(failed: Sequence[IpCommand]) -> str:
    """Say that commands failed, for they were not sent to a device that could take them."""
    one = len(failed) == 1
    return (
        f"{_name(failed)} failed: the API could not send {'it' if one else 'them'}, "
        "mostly because the device was not attached to a network (error 83401), and nothing is kept for later. "
        "Check that the device is on and its SIM active, then send again."
    )


def overdue_sentence(waited: Waited, timeout: float) -> str:
    """Say that commands were not settled when the time was over."""
    open_ones = [command for command in waited.commands if not command.status.settled]
    parts = []
    if open_ones:
        statuses = "', '".join(sorted({command.status.value for command in open_ones}))
        parts.append(f"{_name(open_ones)} still had status '{statuses}'")
    if waited.unread:
        parts.append(f"the status of {_list(waited.unread)} could not be read")
    return (
        f"After {timeout:g} s {' and '.join(parts)}. It may still be sent, and the API cannot take it back: look it up "
        "before you send again, or wait longer with a larger timeout."
    )


def unreadable_sentence(waited: Waited) -> str:
    """Say that waiting ended because the API could not be read."""
    open_ones = [str(c.sid) for c in waited.commands if not c.status.settled] + waited.unread
    named = f" for {_list(open_ones)}" if open_ones else ""
    return (
        f"Waiting{named} ended because the API could not be read: {waited.error} "
        "What was sent stays sent; look it up before you send again."
    )


def summary(waited: Waited) -> str:
    """Count the commands by status: one line for a log."""
    counts = Counter(command.status.value for command in waited.commands)
    counts.update({"not read": len(waited.unread)} if waited.unread else {})
    return "IP Commands: " + ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))


def describe(command: IpCommand) -> str:
    """Name a command in a log line."""
    return f"IP Command {command.sid} to SIM {command.sim_sid} (port {command.device_port}): {command.status.value}"


def _name(commands: Sequence[IpCommand]) -> str:
    named = [f"{command.sid} to SIM {command.sim_sid}" for command in commands]
    return f"IP Command{'s' if len(commands) > 1 else ''} {_list(named)}"


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
