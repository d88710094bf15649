"""Where a rollout is: the state that the ledger keeps from one process to the next, and what comes after a step."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Self

import msgspec

from airflow_provider_supersim.delivery.rollout.reasons import CONTINUES, Reason
from airflow_provider_supersim.words import count


class Step(StrEnum):
    """What the rollout is doing with the wave that is under way."""

    SENDING = "sending"
    #: Nothing may leave now: see the reason of the :class:`Wait`.
    HELD_BACK = "held_back"
    #: All commands left; their final statuses are waited for.
    SETTLING = "settling"
    #: Some commands failed; ``attempt_delay`` has to pass before the next attempt.
    BETWEEN_ATTEMPTS = "between_attempts"
    ENDED = "ended"


class RolloutState(msgspec.Struct, kw_only=True):
    """What a rollout knows besides its devices. Times are in seconds since 1970.

    :ivar began: when the first try began
    :ivar try_began: when this try began; its window is the one that was open then, or the next one
    :ivar step: what it is doing
    :ivar wave: number of the wave that is under way, from 1
    :ivar waves_passed: how many waves are complete, with an open gate behind them
    :ivar last_left: by number of the wave, when its last command left
    """

    began: float
    try_began: float
    step: Step = Step.SENDING
    wave: int = 1
    waves_passed: int = 0
    last_left: dict[int, float] = {}

    @classmethod
    def read(cls, kept: dict[str, Any], *, now: float, fresh: bool) -> Self:
        """Read what :meth:`to_json` made.

        :param kept: empty for a rollout that begins
        :param now: in seconds since 1970
        :param fresh: a new try begins; otherwise one continues that was waiting
        :raises msgspec.ValidationError: for anything else
        """
        if not kept:
            return cls(began=now, try_began=now)
        state = msgspec.convert(kept, cls, strict=False)  # JSON has made strings of the numbers of the waves
        if fresh:
            state.try_began = now
        return state

    def to_json(self) -> dict[str, Any]:
        """Return JSON types."""
        return dict(msgspec.to_builtins(self, str_keys=True))


class Wait(msgspec.Struct, frozen=True):
    """Continue when these commands have a final status, or at a time, whichever comes first.

    :ivar sids: the newest of the commands without a final status; none if only time has to pass
    :ivar until: in seconds since 1970
    :ivar why: what is waited for
    """

    sids: list[str]
    until: float
    why: Reason


class LeftOut(msgspec.Struct, frozen=True):
    """Devices that had no turn in this try. The next try continues with them.

    :ivar devices: how many, in the wave that was under way
    :ivar reasons: what holds them back
    """

    devices: int
    reasons: list[Reason]

    def sentence(self) -> str:
        """Say why, and how many."""
        why = _each_once(reason.sentence() for reason in self.reasons) or ["sending was held back"]
        return f"{' and '.join(why)} before {count(self.devices, 'device')} of the wave had their turn"

    def outlook(self) -> str:
        """Say what a retry does."""
        return " ".join(_each_once(reason.outlook() for reason in self.reasons) or [CONTINUES])


def _each_once(sentences: Iterable[str]) -> list[str]:
    return sorted(set(sentences))


class End(msgspec.Struct, frozen=True):
    """The end of this try of the rollout.

    :ivar summary: for XCom
    :ivar halted: why a gate shut, in one sentence; a retry would halt at the same place
    :ivar left_out: devices that had no turn, if there are any
    """

    summary: dict[str, Any]
    halted: str | None = None
    left_out: LeftOut | None = None
