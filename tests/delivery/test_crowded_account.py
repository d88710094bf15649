"""Several rollouts at once on one account, each with a pace of its own, as in processes of their own."""

from __future__ import annotations

import asyncio

import pytest
from support import TextStore, commands_by_device, devices, once_each, open_client, rollout, rules

from airflow_provider_supersim.api.pace import Pace
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.rollout.steps import End
from airflow_provider_supersim.testing import Simulator

pytestmark = pytest.mark.anyio

ROLLOUTS, EACH = 4, 250


async def test_all_succeed_at_the_first_try_with_few_requests(supersim_simulator: Simulator) -> None:
    supersim_simulator.reset(sims=ROLLOUTS * EACH, settle=0, latency=0.05, max_concurrency=20)
    targets = devices(ROLLOUTS * EACH)

    async def roll_out(number: int) -> End:
        ledger = await Ledger.open(TextStore(), clears=0, restart=False)
        async with open_client(supersim_simulator.url, pace=Pace(100)) as client:
            part = targets[number * EACH : (number + 1) * EACH]
            end = await rollout(client, ledger, part, rules(), lag=30).advance()
        assert isinstance(end, End)
        return end

    ends = await asyncio.gather(*[roll_out(number) for number in range(ROLLOUTS)])

    assert [end.summary["sent"] for end in ends] == ROLLOUTS * [EACH]
    assert commands_by_device(supersim_simulator) == once_each(targets)
    requests = supersim_simulator.requests()
    assert requests["total"] - requests["too_many_requests"] <= 1.05 * len(targets)
