"""Waiting in a crowded account: newer than ours are the commands of an hour by others, and none of those settles."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing

from airflow_provider_supersim.delivery.waiting.waited import Waited
from airflow_provider_supersim.hooks.supersim import SuperSimHook
from airflow_provider_supersim.runs.waiting import wait_in_worker
from airflow_provider_supersim.simulator import Simulator, run_simulator
from tests.benchmarks import peers
from tests.benchmarks.load import devices, names, send_all
from tests.benchmarks.table import Line

OTHERS = 100_000
OURS = (20, 500)
PAGES = (("twilio", 1000), ("kore", 100))  # vendor, its largest page
INTERVAL = 5.0  # seconds between two looks
WAITED = 60.0  # seconds


def measure() -> list[Line]:
    with run_simulator(sims=max(OURS), settle=86_400.0) as simulator:
        sims = names(simulator)
        asyncio.run(send_all(simulator, devices(sims), 100))
        ours = [command["sid"] for command in simulator.commands()]
        asyncio.run(peers.bare_aiohttp(simulator.url, OTHERS // len(sims) * sims, 100))
        accepted = simulator.summary()["commands"]["to_sim"]
        if accepted != len(ours) + OTHERS:
            raise RuntimeError(f"{accepted} commands were accepted, not {len(ours) + OTHERS}")
        lines = [_line(simulator, vendor, pages, ours[:count]) for vendor, pages in PAGES for count in OURS]
        simulator.advance(90_000.0)
        if not _wait(simulator, "twilio", ours).settled:
            raise RuntimeError("a command that is settled was not found to be")
    return lines


def _line(simulator: Simulator, vendor: str, pages: int, sids: list[str]) -> Line:
    simulator.forget_requests()
    waited = _wait(simulator, vendor, sids)
    if waited.error or waited.unread:
        raise RuntimeError(f"not all statuses were read: {waited.error or waited.unread}")
    requests = simulator.requests()["total"]
    looks = 1 + round(WAITED / INTERVAL)
    singly = len(sids) * looks
    return Line(
        f"{len(sids)} commands behind {OTHERS:,} of others, pages of {pages:,}: requests in {WAITED:.0f} s",
        f"{requests:,}",
        f"one for each at each look {singly:,}, the whole list {OTHERS // pages * looks:,}",
        "no more than one for each",
        requests <= singly,
    )


def _wait(simulator: Simulator, vendor: str, sids: list[str]) -> Waited:
    """Wait as a task does in its worker."""
    os.environ["AIRFLOW_CONN_SUPERSIM_CROWDED"] = simulator.connection_json(vendor)
    with closing(SuperSimHook("supersim_crowded")) as hook:
        return wait_in_worker(hook, sids, poll_interval=INTERVAL, timeout=WAITED)
