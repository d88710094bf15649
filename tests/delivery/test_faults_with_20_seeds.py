"""The same faults for 200 devices, dealt out in 20 ways: none is lost, none gets two."""

from __future__ import annotations

from contextlib import ExitStack

import anyio
from anyio.to_thread import run_sync
from support import EVERY_FAULT, TextStore, commands_by_device, devices, entries, once_each, open_client

from airflow_provider_supersim.delivery.once.dispatcher import Dispatcher
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.testing import Simulator, run_simulator

SEEDS = range(20)
SIMULATORS = 7  # beside each other, for a run is mostly waiting
LIST_LAG = 2.0


async def wrong_with(simulator: Simulator, seed: int) -> str:
    """What a run has done wrong; nothing, as a rule."""
    targets = devices(200)
    await run_sync(lambda: simulator.reset(sims=200, seed=seed, list_lag=LIST_LAG, settle=0))
    await run_sync(lambda: simulator.faults(*EVERY_FAULT))
    ledger = await Ledger.open(TextStore(), clears=0, restart=False)
    async with open_client(simulator.url, timeout=0.4) as client:
        await Dispatcher(client, ledger, concurrency=100, lag=LIST_LAG + 0.5).send(targets)
    got = await run_sync(commands_by_device, simulator)
    unclear = [sim for sim, entry in entries(ledger).items() if entry.sid is None]
    lost, twice = once_each(targets) - got, got - once_each(targets)
    return f"seed {seed}: lost {lost}, twice {twice}, unclear {unclear}" if lost or twice or unclear else ""


def test_each_of_200_devices_gets_one_command_with_every_seed() -> None:
    wrong: list[str] = []

    async def some(simulator: Simulator, seeds: range) -> None:
        wrong.extend([await wrong_with(simulator, seed) for seed in seeds])

    async def all_of_them(simulators: list[Simulator]) -> None:
        async with anyio.create_task_group() as group:
            for place, simulator in enumerate(simulators):
                group.start_soon(some, simulator, SEEDS[place::SIMULATORS])

    with ExitStack() as stack:
        anyio.run(all_of_them, [stack.enter_context(run_simulator()) for _ in range(SIMULATORS)])

    assert len(wrong) == len(SEEDS)
    assert not any(wrong), "\n".join(filter(None, wrong))
