"""The same faults for 100 devices, dealt out in 20 ways: no device is lost, and none gets two commands."""

from __future__ import annotations

from contextlib import ExitStack

import anyio
from anyio.to_thread import run_sync
from support import TextStore, commands_by_device, devices, entries, every_fault, once_each, open_client

from airflow_provider_supersim.delivery.once.dispatcher import Dispatcher
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.testing import Simulator, run_simulator

SEEDS = range(20)
DEVICES = 100
SIMULATORS = 4  # side by side, because a run waits much of the time
LIST_LAG = 0.2  # seconds


async def wrong_with(simulator: Simulator, seed: int) -> str:
    """Return what a run has done wrong, or an empty text."""
    targets = devices(DEVICES)
    await run_sync(lambda: simulator.reset(sims=DEVICES, seed=seed, list_lag=LIST_LAG, settle=0))
    await run_sync(lambda: simulator.faults(*every_fault(DEVICES)))
    ledger = await Ledger.open(TextStore(), clears=0, restart=False)
    async with open_client(simulator.url) as client:
        await Dispatcher(client, ledger, concurrency=100, lag=LIST_LAG + 0.1).send(targets)
    got = await run_sync(commands_by_device, simulator)
    unclear = [sim for sim, entry in entries(ledger).items() if entry.sid is None]
    lost, twice = once_each(targets) - got, got - once_each(targets)
    return f"seed {seed}: lost {lost}, twice {twice}, unclear {unclear}" if lost or twice or unclear else ""


def test_each_device_gets_one_command_with_every_seed() -> None:
    wrong: list[str] = []

    async def run_some(simulator: Simulator, seeds: range) -> None:
        wrong.extend([await wrong_with(simulator, seed) for seed in seeds])

    async def run_all(simulators: list[Simulator]) -> None:
        async with anyio.create_task_group() as group:
            for place, simulator in enumerate(simulators):
                group.start_soon(run_some, simulator, SEEDS[place::SIMULATORS])

    with ExitStack() as stack:
        anyio.run(run_all, [stack.enter_context(run_simulator()) for _ in range(SIMULATORS)])

    assert len(wrong) == len(SEEDS)
    assert not any(wrong), "\n".join(filter(None, wrong))
