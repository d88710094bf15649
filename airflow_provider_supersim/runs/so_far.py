"""How far a task is, for the error that ends it: what was sent, and what a retry and a clear do then."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from airflow_provider_supersim.words import count


class SoFar(NamedTuple):
    """How far a task was when it failed.

    :ivar whom: ``device-0001`` or ``Rollout``
    :ivar doing: what it was doing, as the end of "task killed …"
    :ivar short: in a few words what was sent: ``60 of 200 sent``
    :ivar lines: more about it, such as counts, causes, and where the report is
    :ivar retry: what the next try does, in one sentence; ``None`` without a ledger, because then it sends nothing
    :ivar clear: what to do last, and what that does: a clear continues a rollout, and may send a single command again
    :ivar clear_if_ended: the same if somebody ended the task; default: no difference
    """

    whom: str = "This task"
    doing: str = "before anything was sent"
    short: str = "nothing was sent"
    lines: Sequence[str] = ()
    retry: str | None = "The next try begins again."
    clear: str = "clear this task"
    clear_if_ended: str | None = None

    def outlook(self, clear: str | None = None) -> str:
        """Say what a retry does, and what to do if there is none.

        :param clear: replaces :attr:`clear`
        """
        clear = clear or self.clear
        if self.retry is None:
            return f"Without a ledger, a retry sends nothing. {clear[0].upper()}{clear[1:]}."
        return f"{self.retry} No retry left: {clear}."


class Stage(Enum):
    """How far the task of one command is."""

    NOTHING = "nothing was sent"
    SENDING = "the command may have left"
    ACCEPTED = "the API accepted the command"


def of_command(
    sim: str, stage: Stage, *, on_clear: str, ledger: bool, status: str = "accepted", lines: Sequence[str] = ()
) -> SoFar:
    """Return how far the task of one command is.

    :param sim: what the DAG calls the SIM
    :param on_clear: of the operator
    :param ledger: the task has one
    :param status: of the command, once it is accepted
    :param lines: that name the command, once it is accepted
    """
    restart = on_clear == "restart" or not ledger
    if stage is Stage.NOTHING:
        return SoFar(sim, retry="The next try sends." if ledger else None, clear="clear this task to send")
    if stage is Stage.SENDING:
        return SoFar(
            sim,
            "while sending; not known whether the API took the command",
            f"no command to {sim} was accepted, as far as is known",
            retry="The next try sends, unless the API has the command already." if ledger else None,
            clear="clear this task to send",
            clear_if_ended="look in the API's list before you clear this task, because a clear sends again"
            if restart
            else "clear this task: it looks the command up before it sends",
        )
    return SoFar(
        sim,
        f"while waiting; the command is {status} and can still go out",
        f"the command to {sim} was accepted",
        lines,
        retry="The next try keeps waiting and sends nothing." if ledger else None,
        clear="look the command up before you clear this task, because a clear sends again"
        if restart
        else "clear this task: it keeps waiting and sends nothing",
    )


def of_sensor(commands: int) -> SoFar:
    """Return how far a sensor is.

    :param commands: for how many it waits
    """
    return SoFar(
        f"Sensor of {count(commands, 'command')}",
        "while reading statuses",
        "a sensor sends nothing",
        retry="The next try keeps waiting and sends nothing.",
        clear="clear this sensor: it keeps waiting and sends nothing",
    )
