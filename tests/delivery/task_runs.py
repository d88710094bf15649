"""A rollout with stopped clocks, which move only when the task waits. Each step is a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import time_machine
from support import TextStore, open_client, rollout

from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.rollout.engine import Rules
from airflow_provider_supersim.delivery.rollout.report import Row
from airflow_provider_supersim.delivery.rollout.steps import End, Wait
from airflow_provider_supersim.delivery.state.device import Device
from airflow_provider_supersim.testing import Simulator

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)


class TaskRun:
    """One run of a task: its ledger, its tries and its clears.

    :param clock: this process's; the simulator's runs beside it
    """

    def __init__(self, simulator: Simulator, clock: time_machine.Coordinates, how: Rules) -> None:
        self.simulator = simulator
        self.clock = clock
        self.how = how
        self.store = TextStore()
        self.clears = 0
        self.restart = False
        self.waits: list[tuple[int, Wait]] = []  # each with the number of commands that were accepted before it
        self.rows: list[Row] = []

    async def step(self, targets: Sequence[Device], *, fresh: bool, **options: Any) -> Wait | End:
        ledger = await Ledger.open(self.store, clears=self.clears, restart=self.restart)
        async with open_client(self.simulator.url, **options) as client:
            one = rollout(client, ledger, targets, self.how, fresh=fresh)
            step = await one.advance()
        self.rows = list(one.overview.rows())
        return step

    async def try_it(self, targets: Sequence[Device], **options: Any) -> End:
        """One try, to its end."""
        fresh = True
        while isinstance(step := await self.step(targets, fresh=fresh, **options), Wait):
            self.waits.append((len(self.simulator.commands()), step))
            self.wait(step)
            fresh = False
        return step

    def wait(self, wait: Wait) -> None:
        """What the triggerer does: until all is settled, or the time has come."""
        self.simulator.advance(60)
        queued = {command["sid"] for command in self.simulator.commands(status="queued")}
        if not wait.sids or queued & set(wait.sids):
            self.clock.move_to(wait.until)

    def statuses(self) -> dict[str, str]:
        return {row.sim: row.status for row in self.rows}
