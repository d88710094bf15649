"""A task that is killed: it says how far it was, whichever way its Airflow ends it."""

import os
import signal
import threading

import pytest
from features import airflow_is

from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator
from airflow_provider_supersim.sensors.ip_command import SuperSimIpCommandSensor

DEVICES = 20
SENT = 5


@pytest.fixture
def kill_when():
    """Return a function that sends this process SIGTERM, as a worker is sent it, once a condition holds."""
    over = threading.Event()

    def kill(condition):
        while not condition():
            if over.wait(0.05):
                return
        os.kill(os.getpid(), signal.SIGTERM)

    threads = []

    def start(condition):
        threads.append(threading.Thread(target=kill, args=(condition,)))
        threads[-1].start()

    yield start
    over.set()
    for thread in threads:
        thread.join()


def was_read(world, sid):
    return any(request["path"] == f"/v1/IpCommands/{sid}" for request in world.requests()["recent"])


def test_a_killed_operator_names_the_command(world, new_dag, play, memory, kill_when):
    world.set_behaviour("device-0001", network="never")
    with new_dag() as dag:
        SuperSimIpCommandOperator(task_id="send", sim="device-0001", payload="x", device_port=4000, **memory)
    kill_when(lambda: any(was_read(world, command["sid"]) for command in world.commands("device-0001")))

    played = play(dag)

    (words,) = played.tasks["send"].errors
    (command,) = world.commands("device-0001")
    first = words.splitlines()[0]
    assert first.startswith("device-0001: task killed while waiting; the command is queued")
    assert first.endswith("[task-killed]")
    assert command["sid"] in words
    assert played.lines(first)


def test_a_killed_rollout_counts_what_was_sent(world, new_dag, play, memory, kill_when):
    world.faults({"kind": "too_many_requests", "method": "POST", "skip": SENT, "retry_after": 1})
    targets = [f"device-{number:04d}" for number in range(1, DEVICES + 1)]
    with new_dag() as dag:
        SuperSimRolloutOperator(
            task_id="roll_out", targets=targets, payload="x", device_port=4000, max_concurrency=1, **memory
        )
    kill_when(lambda: len(world.commands()) == SENT)

    played = play(dag)

    (words,) = played.tasks["roll_out"].errors
    first, counts, *_ = words.splitlines()
    assert first.startswith("Rollout: task killed while rolling out")
    assert first.endswith("[task-killed]")
    assert counts.startswith(f"Of {DEVICES} devices: ")
    assert played.tasks["roll_out"].xcom["return_value"].items() >= {"devices": DEVICES, "commands": SENT}.items()
    assert all(played.lines(line) for line in words.splitlines())


@pytest.mark.skipif(airflow_is("3.0"), reason="Airflow 3 does not interrupt a sensor")
def test_a_killed_sensor_says_that_it_sends_nothing(world, new_dag, play, kill_when):
    from airflow_provider_supersim.hooks.supersim import SuperSimHook

    world.set_behaviour("device-0001", network="never")
    hook = SuperSimHook()
    command = hook.send_ip_command("device-0001", "x", 4000)
    hook.close()
    with new_dag() as dag:
        SuperSimIpCommandSensor(task_id="seen", ip_command_sid=command["sid"], poke_interval=60)
    kill_when(lambda: was_read(world, command["sid"]))

    (words,) = play(dag).tasks["seen"].errors

    assert words.startswith("Sensor of 1 command: task killed while reading statuses")
    assert "sends nothing" in words.splitlines()[1]
    assert words.splitlines()[0].endswith("[task-killed]")
