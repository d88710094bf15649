"""A million devices are handled in parts. Here the parts are small, so that some hundred devices need many."""

from __future__ import annotations

import math
from collections import Counter
from concurrent.futures import CancelledError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from airflow.providers.common.compat.sdk import AirflowException
from support import TextStore, commands_by_device, device, devices, once_each, open_client, rules
from support import rollout as prepare
from task_runs import MIDNIGHT, TaskRun

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.delivery.once.ledger import CHUNK, Ledger
from airflow_provider_supersim.delivery.rollout import statuses
from airflow_provider_supersim.delivery.rollout.steps import Wait
from airflow_provider_supersim.delivery.state import working_set as table
from airflow_provider_supersim.delivery.state.positions import Positions
from airflow_provider_supersim.hooks.blocking import Session
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator
from airflow_provider_supersim.testing import Simulator

COUNT = 300


@pytest.fixture
def clock():
    with time_machine.travel(MIDNIGHT, tick=False) as traveller:
        yield traveller


@pytest.fixture
def night(simulator: Simulator, clock: time_machine.Coordinates, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(table, "BITE", 7)
    monkeypatch.setattr(statuses, "WAITED_FOR", 20)
    monkeypatch.setattr(statuses, "LOOKED_AT", 32)
    simulator.reset(sims=COUNT, settle=1)
    simulator.stop_clock(MIDNIGHT.isoformat())
    return TaskRun(simulator, clock, rules(waves=[100, "100%"], wave_timeout=900.0))


@pytest.mark.anyio
async def test_the_newest_commands_are_waited_for_and_then_all_are_looked_at(night: TaskRun) -> None:
    end = await night.try_it(devices(COUNT))

    newest = {command["sid"]: command["sim_name"] for command in night.simulator.commands()}
    assert [[newest[sid] for sid in wait.sids] for _, wait in night.waits] == [
        [one.sim for one in reversed(devices(last)[-20:])] for last in (100, COUNT)
    ]
    assert (end.summary["sent"], end.summary["commands"]) == (COUNT, COUNT)
    assert [row.sim for row in night.rows] == [one.sim for one in devices(COUNT)]


@pytest.mark.anyio
async def test_others_that_settle_later_are_waited_for_next(night: TaskRun) -> None:
    slow = [one.sim for one in devices(COUNT)[150:180]]
    night.simulator.set_behaviour(slow, settle=100)

    end = await night.try_it(devices(COUNT))

    assert [(accepted, len(wait.sids)) for accepted, wait in night.waits] == [(100, 20), (COUNT, 20), (COUNT, 20)]
    assert end.summary["sent"] == COUNT
    assert commands_by_device(night.simulator) == once_each(devices(COUNT))


@pytest.mark.anyio
async def test_when_many_are_open_the_list_is_read_and_the_newest_are_fetched_by_sid(
    night: TaskRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list shows nothing of the last five minutes, so the newest have to be asked for."""
    asked: list[int] = []
    read = Positions.open_sids

    async def counted(span: Positions, most: int) -> list[str]:
        sids = await read(span, most)
        asked.append(len(sids))
        return sids

    monkeypatch.setattr(Positions, "open_sids", counted)
    night.how = rules(wave_timeout=900.0)
    await night.step(devices(COUNT), fresh=True)
    night.simulator.advance(60)
    night.simulator.settings(list_lag=300)
    asked.clear()

    step = await night.step(devices(COUNT), fresh=False)

    assert isinstance(step, Wait)  # for the 268 older ones, which nothing has shown to be settled
    assert asked == [33, 32, 20]
    assert Counter(night.statuses().values()) == {"sent": 32, "queued": COUNT - 32}
    night.simulator.settings(list_lag=0)
    assert (await night.try_it(devices(COUNT))).summary["sent"] == COUNT


@pytest.mark.anyio
async def test_few_that_get_a_second_attempt_are_found_among_many_and_written_together(night: TaskRun) -> None:
    night.how = rules(attempts=2, wave_timeout=900.0)
    bad = [one.sim for one in devices(COUNT)[::50]]
    night.simulator.set_behaviour(bad, network="offline")
    before = night.wait

    def wait(step: Wait) -> None:
        night.simulator.advance(60)
        night.simulator.set_behaviour("all", network="online")
        before(step)

    night.wait = wait
    end = await night.try_it(devices(COUNT))

    assert (end.summary["sent"], end.summary["commands"]) == (COUNT, COUNT + len(bad))
    chunks = [key for key in night.store.texts if key.startswith("supersim_ledger_0_")]
    assert len(chunks) == math.ceil(COUNT / CHUNK) + 1  # the last one for all second attempts


@pytest.mark.anyio
async def test_progress_counts_the_targets_and_no_others(simulator: Simulator) -> None:
    """SIMs that have left the fleet stay in the ledger; those that were never sent to are in none."""
    store = TextStore()
    for targets in (devices(20), [*devices(30)[10:], device("nobody")]):
        ledger = await Ledger.open(store, clears=0, restart=False)
        async with open_client(simulator.url) as client:
            one = prepare(client, ledger, targets, rules())
            await one.advance()
    counts = one.overview.progress(rate=None).counts
    causes = one.overview.causes(9, 9)
    assert (counts.devices, counts.sent, counts.failed, counts.not_sent) == (21, 20, 1, 0)
    assert [(cause.word, cause.devices, cause.labels) for cause in causes] == [("refused", 1, ["nobody"])]


def operator(targets: Path, **options: Any) -> SuperSimRolloutOperator:
    return SuperSimRolloutOperator(task_id="roll_out", targets_path=str(targets), device_port=4000, **options)


def test_a_task_that_is_killed_while_it_plans_stops_planning(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SUPERSIM_DEFAULT", simulator.connection_json())
    targets = tmp_path / "targets.jsonl"
    targets.write_text("".join(f'{{"sim": "device-{number:04d}"}}\n' for number in range(1, 200_001)))
    task = operator(targets, payload="{{ kill() }}", ledger_path=str(tmp_path))
    planned = 0

    def kill() -> str:
        nonlocal planned
        planned += 1
        if planned == 100:  # as a signal handler does, in the middle of something
            task.on_kill()
        return "x"

    ti = SimpleNamespace(
        dag_id="dag", run_id="run", task_id="roll_out", map_index=-1, max_tries=0, xcom_push=lambda **_: None
    )
    with pytest.raises(AirflowException, match=r"^Rollout: task killed .* \[task-killed\]\n"):
        task.execute({"ti": ti, "kill": kill})

    assert planned < 10_000
    assert not simulator.commands()


def test_a_session_that_was_cancelled_runs_nothing_more(simulator: Simulator) -> None:
    """Code that checks from time to time whether it may go on relies on this."""
    session = Session(open_client(simulator.url))
    session.cancel()
    with pytest.raises(CancelledError):
        session.run(AsyncSuperSimClient.get_sim, "device-0001")
    session.close()
