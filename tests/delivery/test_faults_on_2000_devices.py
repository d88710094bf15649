"""Lost connections, wrong replies and a list that lags: each of 2,000 devices gets one command."""

from __future__ import annotations

import anyio
from support import TextStore, commands_by_device, devices, entries, every_fault, once_each, open_client

from airflow_provider_supersim.delivery.once.dispatcher import Dispatcher
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.testing import Simulator

LIST_LAG = 0.5  # seconds


def test_each_of_2000_devices_gets_one_command(simulator: Simulator) -> None:
    simulator.reset(sims=2000)
    simulator.settings(list_lag=LIST_LAG)
    simulator.faults(*every_fault(2000))
    targets = devices(2000)
    store = TextStore()

    async def send() -> Ledger:
        ledger = await Ledger.open(store, clears=0, restart=False)
        async with open_client(simulator.url) as client:
            await Dispatcher(client, ledger, concurrency=100, lag=LIST_LAG + 0.3).send(targets)
        return await Ledger.open(store, clears=0, restart=False)

    ledger = anyio.run(send)

    assert all(fault["fired"] > 20 for fault in simulator.fired())
    assert commands_by_device(simulator) == once_each(targets)
    accepted = {command["sim_name"]: command["sid"] for command in simulator.commands()}
    assert {sim: entry.sid for sim, entry in entries(ledger).items()} == accepted
