"""How far a rollout is, and how it ended: counts for XCom, a line for the log."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from airflow_provider_supersim.delivery.state.counts import Counts


def summarise(waves: Sequence[Counts], *, duration: float, commands: int, halted: bool) -> dict[str, Any]:
    """Return what the task leaves in XCom.

    :param waves: each wave's counts, also of those that were not sent
    :param duration: of the whole rollout, in seconds
    :param commands: that left, second attempts included
    :param halted: a gate shut
    """
    total = Counts()
    for counts in waves:
        total.merge(counts)
    return {
        **msgspec.structs.asdict(total),
        "waves": [{"wave": number, **msgspec.structs.asdict(counts)} for number, counts in enumerate(waves, 1)],
        "duration": round(duration, 3),
        "commands": commands,
        "commands_per_second": round(commands / duration, 1) if duration > 0 else 0.0,
        "halted": halted,
    }


class Progress(msgspec.Struct, kw_only=True):
    """How far a rollout is.

    :ivar wave: the number of the wave that is under way, from 1
    :ivar waves: how many there are
    :ivar counts: of all devices; the unsettled ones are waited for, those not sent have still to come
    :ivar in_flight: how many of the unsettled ones are being sent or looked up: no reply says that they were accepted
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
        done = f"{counts.devices - to_come:,} of {counts.devices:,} devices"
        line = f"wave {self.wave} of {self.waves}, {done}: {', '.join(parts)}"
        if rate is None or not math.isfinite(rate) or rate < 0:
            return line
        line += f"; {rate:,.1f} commands/s"
        if rate and to_come:
            line += f"; about {_span(to_come / rate)} left"
        return line


def _span(seconds: float) -> str:
    whole = math.ceil(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = math.ceil(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
