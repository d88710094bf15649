"""Commands that the API has accepted and does not find: for some seconds, or for good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from support import TextStore, commands_by_device, devices, once_each, open_client, rollout, rules

from airflow_provider_supersim.delivery.once.ledger import GONE, Ledger
from airflow_provider_supersim.delivery.rollout.gates import FailureShare
from airflow_provider_supersim.delivery.rollout.steps import End, Wait
from airflow_provider_supersim.delivery.waiting import watcher as watch
from airflow_provider_supersim.testing import Simulator

pytestmark = pytest.mark.anyio


class Night:
    """A rollout to 30 devices, of which the API loses one command of the first wave. Each step is a new process."""

    def __init__(self, simulator: Simulator, max_failure_ratio: float) -> None:
        self.simulator = simulator
        self.max_failure_ratio = max_failure_ratio
        self.clears = 0
        self.rows: dict[str, tuple[str, str | None]] = {}
        self._store = TextStore()

    async def go(self) -> End:
        """Run until the end of a try. The clock is moved at each wait."""
        reached = await self._advance(fresh=True)
        for _ in range(10):
            if isinstance(reached, End):
                return reached
            self.simulator.set_behaviour("device-0003", forgotten=True)
            self.simulator.advance(3600)
            reached = await self._advance(fresh=False)
        raise AssertionError("the rollout does not end")

    async def _advance(self, *, fresh: bool) -> Wait | End:
        ledger = await Ledger.open(self._store, clears=self.clears, restart=False)
        gate = (FailureShare(self.max_failure_ratio, 1),)
        how = rules(waves=[10, "100%"], gate=gate, wave_timeout=3600.0)
        async with open_client(self.simulator.url) as client:
            one = rollout(client, ledger, devices(30), how, fresh=fresh)
            reached = await one.advance()
        self.rows = {row.sim: (row.status, row.error) for row in one.overview.rows()}
        return reached


@pytest.fixture
def night(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Night]:
    monkeypatch.setattr(watch, "GONE_AFTER", 0.2)
    simulator.settings(settle=3600)
    return lambda max_failure_ratio: Night(simulator, max_failure_ratio)


@pytest.mark.parametrize("max_failure_ratio", [0.0, 0.5])
async def test_a_command_that_the_api_has_lost_is_unknown_and_the_gate_decides(
    night: Callable[[float], Night], max_failure_ratio: float
) -> None:
    one = night(max_failure_ratio)
    reached = await one.go()

    assert one.rows["device-0003"] == ("unknown", GONE)
    halted = max_failure_ratio == 0
    assert (reached.halted is not None) == halted
    assert Counter(status for status, _ in one.rows.values()) == (
        {"sent": 9, "unknown": 1, "not_sent": 20} if halted else {"sent": 29, "unknown": 1}
    )
    assert (reached.summary["failed"], reached.summary["sent"]) == (1, 9 if halted else 29)


async def test_a_clear_goes_on_after_a_command_was_lost(night: Callable[[float], Night]) -> None:
    """Somebody has looked into it, lets the gate bear the one that is lost, and clears the task."""
    one = night(0.0)
    assert (await one.go()).halted
    one.clears, one.max_failure_ratio = 1, 0.5

    reached = await one.go()

    assert (reached.halted, reached.summary["sent"]) == (None, 29)
    assert one.rows["device-0003"] == ("unknown", GONE)
    assert commands_by_device(one.simulator) == once_each(devices(30))


async def test_a_404_right_after_the_post_is_waited_out(simulator: Simulator) -> None:
    simulator.settings(get_lag=0.5)
    async with open_client(simulator.url, keep_trying=0) as client:
        command = await client.send_ip_command("device-0001", "x", 4000)
        one = watch.Watcher(lambda: open_client(simulator.url, keep_trying=0))
        waited = await one.wait([str(command.sid)], interval=0.1, timeout=60)

    assert (waited.error, [str(read.status) for read in waited.commands]) == (None, ["sent"])
