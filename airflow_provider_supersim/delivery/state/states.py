"""The states that a device's command can be in, and what follows from each. This table is the only place that knows.

Counts, gates, SQL conditions, the words of the report and the page are all derived from :data:`TABLE`. A new state is a
member of :class:`State` and a row here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, StrEnum
from typing import NamedTuple

from airflow_provider_supersim.api.models import Status


class State(StrEnum):
    """A state of a device's latest command. The API's own statuses keep their names."""

    #: Nothing was accepted for this device: it had no turn, or its command was withdrawn before it left.
    NOT_SENT = "not_sent"
    #: Written down to be sent, without an outcome so far. The outcome is unknown: look it up in the API.
    ABOUT_TO_SEND = "about_to_send"
    #: Whether it was accepted, or what became of it, cannot be told: the API's list is not clear, or it has no record.
    UNKNOWN = "outcome_unknown"
    #: The API refused the command and did not act on it.
    REFUSED = "refused"
    QUEUED = Status.QUEUED.value
    SENT = Status.SENT.value
    RECEIVED = Status.RECEIVED.value
    FAILED = Status.FAILED.value


class CountedAs(StrEnum):
    """What counts, summaries and gates take a device for. The values name the fields of ``Counts``."""

    SENT = "sent"
    FAILED = "failed"
    UNSETTLED = "unsettled"
    NOT_SENT = "not_sent"


class SentAgain(Enum):
    """When a device in this state gets another command."""

    NEVER = "never"
    #: In the next pass: it has not had its command yet.
    ALWAYS = "always"
    #: When the look-up has shown that the API did not accept the command.
    AFTER_LOOK_UP = "after a look-up"
    #: When somebody clears the task.
    AFTER_CLEAR = "after a clear"
    #: While ``attempts`` are left, or when somebody clears the task.
    WHILE_ATTEMPTS_ARE_LEFT = "while attempts are left"


class Facts(NamedTuple):
    """What is true of every device in one state.

    :ivar counted: what counts and gates take it for
    :ivar again: when it gets another command
    :ivar final: no later reading of the API changes it
    :ivar word: its word in the report and on the page
    """

    counted: CountedAs
    again: SentAgain
    final: bool
    word: str

    @property
    def good(self) -> bool:
        """Whether the device got its command, as far as the API knows."""
        return self.counted is CountedAs.SENT


TABLE: Mapping[str, Facts] = {
    State.NOT_SENT: Facts(CountedAs.NOT_SENT, SentAgain.ALWAYS, final=False, word="not_sent"),
    State.ABOUT_TO_SEND: Facts(CountedAs.UNSETTLED, SentAgain.AFTER_LOOK_UP, final=False, word="unconfirmed"),
    State.UNKNOWN: Facts(CountedAs.FAILED, SentAgain.NEVER, final=True, word="unknown"),
    State.REFUSED: Facts(CountedAs.FAILED, SentAgain.AFTER_CLEAR, final=True, word="refused"),
    State.QUEUED: Facts(CountedAs.UNSETTLED, SentAgain.NEVER, final=False, word="queued"),
    State.SENT: Facts(CountedAs.SENT, SentAgain.NEVER, final=True, word="sent"),
    State.RECEIVED: Facts(CountedAs.SENT, SentAgain.NEVER, final=True, word="received"),
    State.FAILED: Facts(CountedAs.FAILED, SentAgain.WHILE_ATTEMPTS_ARE_LEFT, final=True, word="failed"),
}


def facts(state: str | None) -> Facts:
    """Return what follows from a state.

    :param state: of the entry; ``None`` for a device without one. A status that the vendor added later is waited for
        like ``queued``, and keeps its own word.
    """
    if state is None:
        return TABLE[State.NOT_SENT]
    return TABLE.get(state) or TABLE[State.QUEUED]._replace(word=state)


def word(state: str | None) -> str:
    """Return the word for a state in the report."""
    return facts(state).word


def _in(which: Callable[[Facts], bool]) -> str:
    """Return the states for which this is true, as a list of SQL literals."""
    return ", ".join(f"'{state}'" for state, known in TABLE.items() if which(known))


# Which devices: conditions in SQL for WorkingSet.devices() and WorkingSet.timezones(). A device without an entry has
# status NULL.

ANY = "TRUE"
#: An earlier try died over their command: it is looked up first.
LOST = f"status IN ({_in(lambda one: one.again is SentAgain.AFTER_LOOK_UP)})"
#: They have not had a command since the task was last cleared. A command that was sent before the clear stays sent.
UNSENT = (
    f"(status IS NULL OR status IN ({_in(lambda one: one.again is SentAgain.ALWAYS)})"
    f" OR status IN ({_in(lambda one: one.again in (SentAgain.AFTER_CLEAR, SentAgain.WHILE_ATTEMPTS_ARE_LEFT))})"
    " AND clears < :clears)"
)
#: Their command failed, and they get another attempt.
ATTEMPTED_AGAIN = (
    f"(status IN ({_in(lambda one: one.again is SentAgain.WHILE_ATTEMPTS_ARE_LEFT)}) AND attempt < :attempts)"
)
#: They had their turn, and no command to them has succeeded.
MISSED = f"status NOT IN ({_in(lambda one: one.good or one.counted is CountedAs.NOT_SENT)})"
