"""Commands a second, and CPU for each, at a latency of 100 ms, beside what users would otherwise run.

Ours is measured with all its work: check, pace, write ahead, record. A shared machine changes its speed by a quarter
from one minute to the next, so all senders run several times in turn, and the median counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from statistics import median

import psutil

from airflow_provider_supersim.simulator import Simulator, run_simulator
from tests.benchmarks import peers
from tests.benchmarks.load import Cost, cost_of, cpu_of, devices, names, send_all
from tests.benchmarks.table import Line

LATENCY = 0.1
AT_ONCE = (20, 50, 100)
SECONDS = 16  # how long a run takes at least: the first half second, with the first command alone, is not the speed
FEWEST = 3_000  # commands, so that the 25 ms of CPU to open a session add little to each
TURNS = 3
ENOUGH = 0.95
ROOM = 4  # times the asked rate that the simulator must be able to serve
OURS = "ours"  # as the hook runs it

#: Slow senders send fewer: one at a time, 5,000 commands would take nine minutes.
SLOW = (
    ("twilio-python, one by one", peers.twilio_loop, 50),
    ("twilio-python, 100 threads", peers.twilio_threads, 2_000),
    ("bare httpx", peers.bare_httpx, 500),
)


def measure() -> list[Line]:
    most = round(AT_ONCE[-1] * SECONDS / LATENCY)
    with run_simulator(sims=most, latency=LATENCY) as simulator:
        sims = names(simulator)
        return [
            *(line for at_once in AT_ONCE for line in _beside_the_fast(simulator, sims, at_once)),
            *_beside_the_slow(simulator, sims),
        ]


def _beside_the_fast(simulator: Simulator, sims: list[str], at_once: int) -> list[Line]:
    sims = sims[: max(FEWEST, round(at_once * SECONDS / LATENCY))]
    found = _in_turn(
        simulator,
        sims,
        {
            OURS: lambda: send_all(simulator, devices(sims), at_once),
            "ours, without uvloop": lambda: send_all(simulator, devices(sims), at_once),
            "bare aiohttp": lambda: peers.bare_aiohttp(simulator.url, sims, at_once),
            "twilio-python, asynchronous": lambda: peers.twilio_async(simulator.url, sims, at_once),
        },
    )
    ours, plain, bare, twilio = found.values()
    what = f"{len(sims):,} commands at {LATENCY * 1000:.0f} ms, {at_once} at once"
    beside = f"twilio-python, asynchronous {twilio}"
    return [
        Line(what, str(ours), f"bare aiohttp {bare}", f"{ENOUGH:.0%} of its rate", ours.rate >= ENOUGH * bare.rate),
        Line(what, str(ours), beside, "no more CPU", ours.cpu <= twilio.cpu),
        Line(f"{what}, without uvloop", str(plain), beside, "a tenth more CPU at most", plain.cpu <= 1.1 * twilio.cpu),
    ]


def _beside_the_slow(simulator: Simulator, sims: list[str]) -> list[Line]:
    at_once = AT_ONCE[-1]
    ours = _in_turn(simulator, sims, {OURS: lambda: send_all(simulator, devices(sims), at_once)}, turns=1)[OURS]
    what = f"commands at {LATENCY * 1000:.0f} ms, up to {at_once} at once"
    lines = []
    for name, send, number in SLOW:
        some = sims[:number]
        peer = _in_turn(simulator, some, {name: partial(send, simulator.url, some, at_once)}, turns=1)[name]
        lines.append(Line(what, str(ours), f"{name} {peer}", "faster", ours.rate > peer.rate))
    return [*lines, _ceiling(simulator, sims, ours.rate)]


def _ceiling(simulator: Simulator, sims: list[str], asked: float) -> Line:
    """Return what the simulator could serve with a whole core, from its CPU for each request when busy."""
    (server,) = psutil.Process().children()
    simulator.reset(sims=len(sims), latency=0)
    before = cpu_of(server)
    asyncio.run(peers.bare_aiohttp(simulator.url, sims, AT_ONCE[-1]))
    ceiling = len(sims) / (cpu_of(server) - before)
    return Line(
        "commands a second that the simulator could serve, by its CPU for each",
        f"{asked:,.0f}/s asked of it",
        f"{ceiling:,.0f}/s",
        f"{ROOM} times as many",
        ceiling >= ROOM * asked,
    )


def _in_turn(
    simulator: Simulator, sims: list[str], senders: Mapping[str, Callable[[], Awaitable[object]]], turns: int = TURNS
) -> dict[str, Cost]:
    """Run each in turn, so that what else the machine does affects all of them alike."""
    runs: dict[str, list[Cost]] = {name: [] for name in senders}
    for _ in range(turns):
        for name, work in senders.items():
            simulator.reset(sims=len(sims), latency=LATENCY)
            runs[name].append(cost_of(work, len(sims), as_shipped=name == OURS))
            accepted = simulator.summary()["commands"]["to_sim"]
            if accepted != len(sims):
                raise RuntimeError(f"{name}: {accepted} commands were accepted, not {len(sims)}")
    return {name: Cost(median(one.rate for one in ran), median(one.cpu for one in ran)) for name, ran in runs.items()}
