"""Tries, faults, deaths, clears and whatever else, in any order: no device is lost, and none gets two commands."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any

import anyio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from support import POST, KillableClient, TextStore, device, open_client, rollout, rules

from airflow_provider_supersim.api.errors import SuperSimError
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.rollout.report import Row
from airflow_provider_supersim.delivery.rollout.steps import End
from airflow_provider_supersim.testing import Simulator

SIMS = [f"device-{number:04d}" for number in range(1, 9)]
ATTEMPTS = 2
LIST_LAG = 0.03  # seconds
LAG = 0.1  # seconds

FAULTS = [
    {"kind": "drop_before"},
    {"kind": "drop_after"},
    {"kind": "error_before", "status": 503},
    {"kind": "error_after", "status": 503},
    {"kind": "garbage"},
    {"kind": "hang", "seconds": 0.2, "accepted": True},
    {"kind": "hang", "seconds": 0.2, "accepted": False},
    {"kind": "too_many_requests"},
    {"kind": "error_before", "status": 401},
]
POINTS = [
    "before a POST",
    "between a POST and its record",
    "before a write",
    "after a write",
    "looking up",
    "reading what was found",
]


class Killed(Exception):  # noqa: N818
    """Ends a process at a point where it may die."""


class Fate:
    """Kills a process when it passes a point for the n-th time; a dead one does nothing more."""

    def __init__(self, point: str, times: int) -> None:
        self._point, self._left, self._dead = point, times, False

    def at_point(self, point: str) -> None:
        self._left -= point == self._point
        self._dead = self._dead or self._left <= 0
        if self._dead:
            raise Killed


NO_FATE = Fate("never", 1)


class Story(RuleBasedStateMachine):
    def __init__(self, simulator: Simulator) -> None:
        super().__init__()
        self.simulator = simulator
        simulator.reset(sims=len(SIMS), settle=0, list_lag=LIST_LAG)
        self.texts: dict[str, str] = {}
        self.clears = 0
        self.restart = False  # what on_clear says
        self.fate = NO_FATE
        self.content = "first"
        self.before_restart: Counter[str] = Counter()  # good commands
        self.before_clear: Counter[str] = Counter()  # all commands

    @initialize(restart=st.booleans())
    def on_clear(self, restart: bool) -> None:
        self.restart = restart

    @rule(faults=st.lists(st.tuples(st.sampled_from(FAULTS), st.integers(0, 4), st.integers(1, 3)), max_size=3))
    def faults_to_come(self, faults: list[tuple[dict[str, Any], int, int]]) -> None:
        self.simulator.faults(*({**kind, **POST, "skip": skip, "count": count} for kind, skip, count in faults))

    @rule(point=st.sampled_from(POINTS), times=st.integers(1, 6))
    def death_to_come(self, point: str, times: int) -> None:
        self.fate = Fate(point, times)

    @rule(sim=st.sampled_from(SIMS), network=st.sampled_from(["online", "offline"]))
    def device_moves(self, sim: str, network: str) -> None:
        self.simulator.set_behaviour(sim, network=network)

    @rule(sim=st.sampled_from(SIMS[-2:]), status=st.sampled_from(["active", "inactive"]))
    def sim_changes(self, sim: str, status: str) -> None:
        self.simulator.update_sim(sim, status=status)

    @rule(content=st.sampled_from(["first", "second"]))
    def payload_changes(self, content: str) -> None:
        self.content = content

    @rule()
    def cleared(self) -> None:
        self.clears += 1
        self.before_clear = Counter(command["sim_name"] for command in self.simulator.commands())
        if self.restart:
            self.before_restart = self._good()
            self.simulator.advance(5)  # a person needs longer than that to clear a task

    @rule(fresh=st.booleans(), share=st.sampled_from([3, len(SIMS)]))
    def tried(self, fresh: bool, share: int) -> None:
        with suppress(Killed, SuperSimError):
            anyio.run(self._process, self.fate, fresh, share)
        self.fate = NO_FATE

    @invariant()
    def no_device_got_two(self) -> None:
        good = self._good() - self.before_restart
        assert not good or max(good.values()) == 1, good
        every = Counter(command["sim_name"] for command in self.simulator.commands()) - self.before_clear
        assert not every or max(every.values()) <= ATTEMPTS, every

    def teardown(self) -> None:
        """In the end all is well: every device is reached, and the report says so."""
        self.simulator.faults()
        self.simulator.set_behaviour("all", network="online")
        for sim in SIMS[-2:]:
            self.simulator.update_sim(sim, status="active")
        self.tried(fresh=True, share=len(SIMS))
        self.cleared()  # those that had failed, or were refused, may get another
        rows = anyio.run(self._process, NO_FATE, True, len(SIMS))
        self.no_device_got_two()
        good = {command["sim_name"]: command["sid"] for command in self._good_commands()}  # the latest of each
        assert {row.sim: (row.sid, row.status) for row in rows} == {sim: (good[sim], "sent") for sim in SIMS}
        assert self._good() - self.before_restart == Counter(SIMS)

    async def _process(self, fate: Fate, fresh: bool, share: int) -> list[Row]:
        ledger = await Ledger.open(TextStore(fate.at_point, self.texts), clears=self.clears, restart=self.restart)
        client = open_client(self.simulator.url, kind=KillableClient, keep_trying=1.0)
        client.at_point = fate.at_point
        how = rules(waves=[3, "100%"], attempts=ATTEMPTS)
        targets = [device(sim, self.content) for sim in SIMS[:share]]
        async with client:
            one = rollout(client, ledger, targets, how, fresh=fresh, lag=LAG, concurrency=4)
            assert isinstance(await one.advance(), End)
        return list(one.overview.rows())

    def _good_commands(self) -> list[dict[str, Any]]:
        return [command for command in self.simulator.commands() if command["status"] != "failed"]

    def _good(self) -> Counter[str]:
        return Counter(command["sim_name"] for command in self._good_commands())


def test_no_device_is_lost_and_none_gets_two(simulator: Simulator) -> None:
    run_state_machine_as_test(
        lambda: Story(simulator), settings=settings(max_examples=25, stateful_step_count=14, deadline=None)
    )
