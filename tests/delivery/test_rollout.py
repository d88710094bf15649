"""Waves, gates and second attempts: what leaves when, and what the summary says."""

from __future__ import annotations

import time

import pytest
import time_machine
from support import commands_by_device, device, devices, once_each, rules
from task_runs import MIDNIGHT, TaskRun

from airflow_provider_supersim.delivery.rollout.gates import FailureShare
from airflow_provider_supersim.delivery.rollout.steps import End
from airflow_provider_supersim.testing import Simulator

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock():
    with time_machine.travel(MIDNIGHT, tick=False) as traveller:
        yield traveller


@pytest.fixture
def night(simulator: Simulator, clock: time_machine.Coordinates):
    simulator.reset(sims=100, settle=1)
    simulator.stop_clock(MIDNIGHT.isoformat())

    def begin(**how: object) -> TaskRun:
        return TaskRun(simulator, clock, rules(**{"wave_timeout": 900.0, **how}))

    return begin


async def test_each_wave_leaves_when_the_one_before_is_settled(night) -> None:
    one = night(waves=[5, "10%", "100%"])

    end = await one.try_it(devices(100))

    assert [(accepted, len(wait.sids)) for accepted, wait in one.waits] == [(5, 5), (10, 5), (100, 90)]
    assert (end.halted, end.left_out) == (None, None)
    counts = {"failed": 0, "unsettled": 0, "not_sent": 0}
    assert [wave | counts for wave in end.summary["waves"]] == end.summary["waves"]
    assert [wave["sent"] for wave in end.summary["waves"]] == [5, 5, 90]
    assert (end.summary["sent"], end.summary["commands"]) == (100, 100)
    assert commands_by_device(one.simulator) == once_each(devices(100))


@pytest.mark.parametrize("count", [0, 1])
async def test_few_targets_are_a_rollout_too(night, count: int) -> None:
    end = await night(waves=[5, "10%", "100%"], gate=[FailureShare(0, 1)]).try_it(devices(count))

    assert end.summary["sent"] == end.summary["devices"] == count
    assert not end.halted


async def test_a_gate_that_shuts_leaves_later_waves_unsent_and_a_clear_goes_on(night) -> None:
    one = night(waves=[5, 20, "100%"], gate=[FailureShare(0.2, 5)])
    one.simulator.set_behaviour(["device-0006", "device-0007", "device-0008", "device-0009"], network="offline")

    end = await one.try_it(devices(100))

    assert "wave 2" in str(end.halted)
    assert len(one.simulator.commands()) == 20
    assert (end.summary["sent"], end.summary["failed"], end.summary["not_sent"]) == (16, 4, 80)
    assert end.summary["halted"]
    assert list(one.statuses().values()) == ["sent"] * 5 + ["failed"] * 4 + ["sent"] * 11 + ["not_sent"] * 80
    assert [row.attempt for row in one.rows] == [1] * 20 + [0] * 80

    one.simulator.set_behaviour("all", network="online")
    one.clears = 1
    end = await one.try_it(devices(100))

    assert end.summary["sent"] == 100
    assert not end.halted
    got = commands_by_device(one.simulator)
    assert got - once_each(devices(100)) == {f"device-000{number}": 1 for number in (6, 7, 8, 9)}
    assert len(got) == 100


@pytest.mark.parametrize("first", [1, 5])
async def test_a_first_wave_far_below_the_default_sample_protects_the_others(night, first: int) -> None:
    one = night(waves=[first, "10%", "100%"], gate=[FailureShare(0.1, 20)])
    one.simulator.set_behaviour("all", network="offline")

    end = await one.try_it(devices(100))

    assert "wave 1" in str(end.halted)
    assert len(one.simulator.commands()) == end.summary["failed"] == first


async def test_a_halted_rollout_stays_halted_in_a_retry(night) -> None:
    one = night(waves=[5, "100%"], gate=[FailureShare(0.2, 5)])
    one.simulator.set_behaviour(["device-0001", "device-0002"], network="offline")

    assert (await one.try_it(devices(100))).halted
    assert (await one.try_it(devices(100))).halted

    assert len(one.simulator.commands()) == 5


async def test_restart_after_a_clear_sends_to_all_again(night) -> None:
    one = night()
    await one.try_it(devices(100))
    one.clears, one.restart = 1, True

    end = await one.try_it(devices(100))

    assert end.summary["sent"] == end.summary["commands"] == 100
    assert set(commands_by_device(one.simulator).values()) == {2}


async def test_a_second_attempt_waits_for_its_delay_and_goes_only_to_devices_that_failed(night) -> None:
    one = night(attempts=3, attempt_delay=300.0)
    one.simulator.set_behaviour(["device-0001", "device-0002"], network="offline")
    before = one.wait

    def wait(wait):
        if not wait.sids:
            assert wait.until == time.time() + 300  # the clock stands
            one.simulator.set_behaviour("device-0001", network="online")
        before(wait)

    one.wait = wait
    end = await one.try_it(devices(10))

    assert [(accepted, bool(wait.sids)) for accepted, wait in one.waits] == [
        (10, True),
        (10, False),
        (12, True),
        (12, False),
        (13, True),
    ]
    assert (end.summary["sent"], end.summary["failed"], end.summary["commands"]) == (9, 1, 13)
    assert [(row.attempt, row.status) for row in one.rows[:3]] == [(2, "sent"), (3, "failed"), (1, "sent")]
    assert "83401" in str(one.rows[1].error)
    assert (await one.try_it(devices(10))).summary["commands"] == 13  # a retry makes no fourth attempt


async def test_devices_that_never_settle_are_waited_for_until_the_timeout(night) -> None:
    one = night(waves=[10, "100%"], wave_timeout=900.0, gate=[FailureShare(0.1, 5)])
    one.simulator.set_behaviour("device-0003", network="never")

    end = await one.try_it(devices(20))

    assert [(accepted, wait.until - MIDNIGHT.timestamp()) for accepted, wait in one.waits] == [(10, 900), (20, 1800)]
    assert (end.summary["sent"], end.summary["unsettled"]) == (19, 1)
    assert one.statuses()["device-0003"] == "queued"
    assert commands_by_device(one.simulator) == once_each(devices(20))

    one.simulator.set_behaviour("device-0004", network="never")
    halted = await TaskRun(one.simulator, one.clock, one.how).try_it(devices(20))
    assert "2 without a final status" in str(halted.halted)


async def test_a_command_that_is_settled_after_the_timeout_counts_in_the_end(night) -> None:
    one = night(waves=[10, "100%"], wave_timeout=30.0)
    one.simulator.set_behaviour("device-0003", settle=150)

    end = await one.try_it(devices(30))

    assert [len(wait.sids) for _, wait in one.waits] == [10, 20]
    assert end.summary["unsettled"] == 1
    one.simulator.advance(100)
    assert (await one.try_it(devices(30))).summary["sent"] == 30


async def test_refused_devices_are_reported_and_not_sent_again(night) -> None:
    one = night(waves=[3, "100%"])
    one.simulator.update_sim("device-0002", status="inactive")
    targets = [*devices(9), device("nobody")]

    end = await one.try_it(targets)

    assert (end.summary["sent"], end.summary["failed"], end.summary["commands"]) == (8, 2, 8)
    refused = [row for row in one.rows if row.status == "refused"]
    assert [row.sim for row in refused] == ["device-0002", "nobody"]
    assert all(row.sid is None and row.error for row in refused)
    one.simulator.forget_requests()
    await one.try_it(targets)
    assert not [request for request in one.simulator.requests()["recent"] if request["method"] == "POST"]

    one.simulator.update_sim("device-0002", status="active")
    one.clears = 1
    assert (await one.try_it(targets)).summary["sent"] == 9


async def test_sims_that_join_the_fleet_meanwhile_get_a_command_wherever_they_are_listed(night) -> None:
    one = night(waves=[5, 10, "100%"])
    targets = devices(20)
    fewer = [target for target in targets if target.sim not in ("device-0001", "device-0007")]
    await one.step(fewer, fresh=True)
    one.simulator.advance(60)
    await one.step(fewer, fresh=False)  # the first wave has passed
    one.simulator.advance(60)

    end = await one.try_it(targets)

    assert isinstance(end, End)
    assert end.summary["sent"] == 20
    assert commands_by_device(one.simulator) == once_each(targets)


async def test_sims_that_leave_the_fleet_meanwhile_do_not_stop_the_others(night) -> None:
    one = night(waves=[5, 10, "100%"])
    await one.step(devices(20), fresh=True)
    one.simulator.advance(60)
    await one.step(devices(20), fresh=False)
    one.simulator.advance(60)

    end = await one.try_it(devices(20)[3:])

    assert end.summary["sent"] == end.summary["devices"] == 17
    assert commands_by_device(one.simulator) == once_each(devices(20))
