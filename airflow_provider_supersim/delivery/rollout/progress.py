"""How far a rollout is, and how it ended: counts for XCom, a line for the log."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from airflow_provider_supersim.delivery.state.counts import Counts
from airflow_provider_supersim.words import count, duration


def summarise(waves: Sequence[Counts], *, seconds: float, commands: int, halted: bool) -> dict[str, Any]:
    """Return what the task leaves in XCom.

    :param waves: each wave's counts, also of those that were not sent
    :param seconds: since the rollout began
    :param commands: how many the API accepted, second attempts included
    :param halted: whether a gate shut
    """
    total = Counts()
    for counts in waves:
        total.merge(counts)
    return {
        **msgspec.structs.asdict(total),
        "waves": [{"wave": number, **msgspec.structs.asdict(counts)} for number, counts in enumerate(waves, 1)],
        "duration": round(seconds, 3),
        "commands": commands,
        "commands_per_second": round(commands / seconds, 1) if seconds > 0 else 0.0,
        "halted": halted,
    }


class Progress(msgspec.Struct, kw_only=True):
    """How far a rollout is.

    :ivar wave: the number of the wave that is under way, from 1
    :ivar waves: how many there are
    :ivar counts: of all devices; ``unsettled`` ones are waited for, ``not_sent`` ones have still to come
    :ivar in_flight: how many of the ``unsettled`` ones are being sent or looked up, and not known to be accepted
    :ivar rate: commands a second; ``None`` while it is not known
    """

    wave: int
    waves: int
    counts: Counts
    in_flight: int = 0
    rate: float | None = None

    def record(self) -> dict[str, Any]:
        """Return JSON types, for a page to read."""
        return dict(msgspec.to_builtins(self))

    def line(self) -> str:
        """Say it in one line of a log."""
        counts, rate = self.counts, self.rate
        to_come = counts.not_sent + self.in_flight
        parts = [f"{counts.sent:,} sent", f"{counts.failed:,} failed", f"{counts.unsettled - self.in_flight:,} waiting"]
        if self.in_flight:
            parts.append(f"{self.in_flight:,} being sent or looked up")
        done = f"{counts.devices - to_come:,} of {count(counts.devices, 'device')}"
        line = f"wave {self.wave} of {self.waves}, {done}: {', '.join(parts)}"
        if rate is None or not math.isfinite(rate) or rate < 0:
            return line
        line += f"; {rate:,.1f} commands/s"
        if rate and to_come:
            line += f"; about {duration(to_come / rate)} left"
        return line
