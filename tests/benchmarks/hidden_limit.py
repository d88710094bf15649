"""An API that answers 429 above an unknown limit: how close we get to the limit, and how often we are refused.

The peer is the best fixed number of requests at once. Somebody who knew the limit would set it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from airflow_provider_supersim.api.concurrency import Concurrency, Started
from airflow_provider_supersim.api.pace import Pace
from airflow_provider_supersim.api.places import Places
from airflow_provider_supersim.delivery.targets.plan import Device
from airflow_provider_supersim.simulator import Simulator, run_simulator
from tests.benchmarks.load import client_of, devices, names, send_through
from tests.benchmarks.table import Line

LATENCY = 0.1
WORKERS = 100
LIMITS = (20, 60)
UNSETTLED = 1_500  # commands during which the pace may still search
ENOUGH, MOST_REFUSED = 0.9, 0.02
TRIED = (0.5, 0.9, 1.0, 1.1, 1.5)  # times the limit


class Unmoved(Concurrency):
    """A fixed limit: answers do not change it."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.limit = most

    def served(self, request: Started, now: float, under_way: int, at_work: int | None) -> None:
        pass

    def refused(self, request: Started, now: float, under_way: int, at_work: int | None) -> None:
        pass


class FixedPace(Pace):
    """Do nothing."""

    def __init__(self, max_concurrency: int) -> None:
        super().__init__(max_concurrency)
        self._concurrency = Unmoved(max_concurrency)
        self._places = Places(max_concurrency)


def measure() -> list[Line]:
    return [line for limit in LIMITS for line in _beside_the_best(limit)]


def _beside_the_best(limit: int) -> list[Line]:
    commands = UNSETTLED + limit * 100  # ten seconds at the limit, once settled
    with run_simulator(sims=commands, latency=LATENCY, max_concurrency=limit) as simulator:
        targets = devices(names(simulator))
        fixed = {}
        for share in TRIED:
            simulator.reset(sims=commands, latency=LATENCY, max_concurrency=limit)
            fixed[round(share * limit)] = asyncio.run(_rate(simulator, targets, FixedPace(round(share * limit))))
        best = max(fixed, key=fixed.__getitem__)
        simulator.reset(sims=commands, latency=LATENCY, max_concurrency=limit)
        pace = Pace(WORKERS)
        rate = asyncio.run(_rate(simulator, targets, pace))
        refused = simulator.requests()["too_many_requests"] / simulator.requests()["total"]
    what = f"100 at once allowed, the API serves {limit}"
    return [
        Line(
            f"{what}: commands a second once settled",
            f"{rate:.0f}/s at {pace.concurrency} at once",
            f"{fixed[best]:.0f}/s at {best} at once, the best of {', '.join(map(str, fixed))}",
            f"{ENOUGH:.0%} of it",
            rate >= ENOUGH * fixed[best],
        ),
        Line(f"{what}: answered 429", f"{refused:.2%}", "", f"at most {MOST_REFUSED:.0%}", refused <= MOST_REFUSED),
    ]


async def _rate(simulator: Simulator, targets: Sequence[Device], pace: Pace) -> float:
    """Send all, and return the rate of those that were accepted after the first ones, in commands a second."""
    accepted_at: list[float] = []
    async with client_of(simulator, pace) as client:
        await send_through(client, targets, WORKERS, lambda _: accepted_at.append(time.monotonic()))
    settled = accepted_at[UNSETTLED:]
    return len(settled) / (settled[-1] - settled[0])
