"""Commands that the API has accepted and does not find: for some seconds, or for good."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from support import TextStore, devices, open_client, rollout, rules

from airflow_provider_supersim.delivery.once.ledger import GONE, Ledger
from airflow_provider_supersim.delivery.rollout.gates import FailureShare
from airflow_provider_supersim.delivery.rollout.steps import End
from airflow_provider_supersim.delivery.waiting import watcher as watch
from airflow_provider_supersim.testing import Simulator

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("max_failure_ratio", [0.0, 0.5])
async def test_a_command_that_the_api_has_lost_is_unknown_and_the_gate_decides(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, max_failure_ratio: float
) -> None:
    monkeypatch.setattr(watch, "GONE_AFTER", 0.2)
    simulator.settings(settle=3600)
    targets = devices(30)
    gate = (FailureShare(max_failure_ratio, 1),)
    store = TextStore()

    async def advance(step: int) -> Any:
        ledger = await Ledger.open(store, clears=0, restart=False)
        async with open_client(simulator.url) as client:
            how = rules(waves=[10, "100%"], gate=gate, wave_timeout=3600.0)
            one = rollout(client, ledger, targets, how, fresh=not step)
            reached = await one.advance()
        return reached, {row.sim: (row.status, row.error) for row in one.overview.rows()}

    step = 0
    reached, rows = await advance(step)
    while not isinstance(reached, End):
        simulator.set_behaviour("device-0003", forgotten=True)
        simulator.advance(3600)
        step += 1
        reached, rows = await advance(step)

    assert rows["device-0003"] == ("unknown", GONE)
    halted = max_failure_ratio == 0
    assert (reached.halted is not None) == halted
    assert Counter(status for status, _ in rows.values()) == (
        {"sent": 9, "unknown": 1, "not_sent": 20} if halted else {"sent": 29, "unknown": 1}
    )
    assert (reached.summary["failed"], reached.summary["sent"]) == (1, 9 if halted else 29)


async def test_a_404_right_after_the_post_is_waited_out(simulator: Simulator) -> None:
    simulator.settings(get_lag=0.5)
    async with open_client(simulator.url, keep_trying=0) as client:
        command = await client.send_ip_command("device-0001", "x", 4000)
        one = watch.Watcher(lambda: open_client(simulator.url, keep_trying=0))
        waited = await one.wait([str(command.sid)], interval=0.1, timeout=60)

    assert (waited.error, [str(read.status) for read in waited.commands]) == (None, ["sent"])
