"""A deferrable task waits in its worker first, and a trigger does not fire in its first seconds.

The scheduler of Airflow 3.2 and 3.3 fails a task that resumes before it has read the end of the process that deferred.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_supersim.hooks.supersim import SuperSimHook
from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator
from airflow_provider_supersim.runs import waiting
from airflow_provider_supersim.sensors.ip_command import SuperSimIpCommandSensor
from airflow_provider_supersim.triggers import ip_command as trigger

LONG = 3600.0  # seconds that no test waits
DEFERRED = "Deferred, without a worker slot"


@pytest.fixture
def sid(world):
    world.set_behaviour("device-0003", network="never")
    hook = SuperSimHook()
    try:
        return {name: hook.send_ip_command(name, "x", 4000).sid for name in ("device-0001", "device-0003")}
    finally:
        hook.close()


def three_tasks(new_dag, memory, sid, sim, timeout):
    common = {"deferrable": True, "device_port": 4000, "payload": "x", "poll_interval": 0.1, **memory}
    with new_dag() as dag:
        SuperSimIpCommandOperator(task_id="send", sim=sim, timeout=timeout, **common)
        SuperSimRolloutOperator(task_id="roll_out", targets=[sim], waves=[1, "100%"], wave_timeout=timeout, **common)
        SuperSimIpCommandSensor(
            task_id="seen", ip_command_sid=sid[sim], deferrable=True, poke_interval=0.1, timeout=timeout
        )
    return dag


def test_commands_that_settle_within_seconds_never_defer(world, new_dag, play, memory, sid, no_first_seconds):
    no_first_seconds(in_worker=LONG, in_triggerer=LONG)
    played = play(three_tasks(new_dag, memory, sid, "device-0001", timeout=3 * LONG))

    assert {name: one.state for name, one in played.tasks.items()} == dict.fromkeys(
        ("send", "roll_out", "seen"), "success"
    )
    assert not played.lines(DEFERRED)


def test_what_takes_longer_defers(world, new_dag, play, memory, sid, no_first_seconds):
    no_first_seconds(in_worker=0.2)
    played = play(three_tasks(new_dag, memory, sid, "device-0003", timeout=0.5))

    assert {len(played.lines(DEFERRED, words)) > 0 for words in ("to device-0003", "status of 1 command, at")} == {True}
    assert played.tasks["seen"].errors[0].splitlines()[0].endswith("[not-settled]")
    assert played.tasks["send"].errors[0].splitlines()[0].endswith("[not-settled]")
    assert played.tasks["roll_out"].xcom.get("return_value", {}).get("unsettled", 1) == 1


def test_a_rest_that_ends_before_a_trigger_may_fire_is_waited_for_in_the_worker(
    world, new_dag, play, memory, sid, no_first_seconds
):
    no_first_seconds(in_worker=0.1, in_triggerer=LONG)
    played = play(three_tasks(new_dag, memory, sid, "device-0003", timeout=0.5))

    assert not played.lines(DEFERRED)
    assert played.tasks["send"].errors[0].splitlines()[0].endswith("[not-settled]")
    assert played.tasks["seen"].errors[0].splitlines()[0].endswith("[not-settled]")


def test_a_failure_in_the_first_seconds_is_skipped_by_soft_fail(world, new_dag, play, no_first_seconds):
    no_first_seconds(in_worker=LONG, in_triggerer=LONG)
    world.set_behaviour("device-0002", network="offline")
    hook = SuperSimHook()
    failed = hook.send_ip_command("device-0002", "x", 4000).sid
    hook.close()
    with new_dag(default_args={"deferrable": True, "poke_interval": 0.1, "timeout": 3 * LONG}) as dag:
        SuperSimIpCommandSensor(task_id="failed", ip_command_sid=failed)
        SuperSimIpCommandSensor(task_id="failed_softly", ip_command_sid=failed, soft_fail=True)
    played = play(dag)

    assert {name: one.state for name, one in played.tasks.items()} == {"failed": "failed", "failed_softly": "skipped"}
    assert played.tasks["failed"].errors[0].splitlines()[0].endswith("[command-failed]")


@pytest.mark.parametrize(
    ("timeout", "commands", "here"), [(300, True, 10), (20, True, 20), (10, True, 10), (300, False, 0), (9, False, 9)]
)
def test_how_long_a_worker_waits(monkeypatch, timeout, commands, here):
    monkeypatch.undo()  # the real settings
    assert waiting.seconds_in_worker(timeout, commands=commands) == here


@pytest.mark.parametrize("sims", [["device-0001"], []], ids=["with_commands", "without"])
def test_a_trigger_does_not_fire_in_its_first_seconds(world, sid, monkeypatch, sims):
    slept, sleep = [], asyncio.sleep

    async def note(seconds, result=None):
        slept.append(seconds)
        return await sleep(0, result)

    monkeypatch.undo()
    monkeypatch.setenv("AIRFLOW_CONN_SUPERSIM_DEFAULT", world.connection_json())
    world.advance(1)

    async def first():
        one = trigger.SuperSimIpCommandTrigger(
            ip_command_sids=[sid[sim] for sim in sims],
            supersim_conn_id="supersim_default",
            poll_interval=0.1,
            deadline=datetime.now(UTC) + timedelta(seconds=0),
        )
        with monkeypatch.context() as patch:
            patch.setattr(trigger.asyncio, "sleep", note)
            return (await anext(one.run())).payload

    assert len(asyncio.run(first())["commands"]) == len(sims)
    assert slept[0] == trigger.NOT_BEFORE == 10
