"""The sensor, in each of the ways in which a sensor can wait."""

import json
import re

import pytest
from features import airflow_is

from airflow_provider_supersim.delivery.waiting import watcher
from airflow_provider_supersim.exceptions import EventUnreadableError
from airflow_provider_supersim.hooks.supersim import SuperSimHook
from airflow_provider_supersim.sensors.ip_command import SuperSimIpCommandSensor

MODES = {
    "poke": {"mode": "poke"},
    "reschedule": {"mode": "reschedule"},
    "deferred": {"deferrable": True},
}


@pytest.mark.parametrize("mode", MODES)
def test_how_waiting_ends(world, new_dag, play, mode, monkeypatch):
    monkeypatch.setattr(watcher, "GONE_AFTER", 0)  # longer than these sensors wait
    world.set_behaviour("device-0002", network="offline")
    world.set_behaviour("device-0003", network="never")
    hook = SuperSimHook()
    sent, failed, queued = (hook.send_ip_command(f"device-000{n}", "x", 4000) for n in (1, 2, 3))
    hook.close()
    world.advance(1)
    settings = {"poke_interval": 0.2, "timeout": 0.3, "retries": 1, **MODES[mode]}
    with new_dag(default_args=settings) as dag:
        SuperSimIpCommandSensor(task_id="sent", ip_command_sid=f" {sent.sid} ")
        SuperSimIpCommandSensor(
            task_id="several", ip_command_sid=[sent.sid, "{{ dag_run.conf.get('x', '" + sent.sid + "') }}"]
        )
        SuperSimIpCommandSensor(task_id="failed", ip_command_sid=[sent.sid, failed.sid])
        SuperSimIpCommandSensor(task_id="failed_softly", ip_command_sid=failed.sid, soft_fail=True)
        SuperSimIpCommandSensor(task_id="overdue", ip_command_sid=[sent.sid, queued.sid])
        SuperSimIpCommandSensor(task_id="overdue_softly", ip_command_sid=queued.sid, soft_fail=True)
        SuperSimIpCommandSensor(task_id="unknown", ip_command_sid="HG" + 32 * "0")
        SuperSimIpCommandSensor(task_id="no_sid", ip_command_sid="{{ '' }}")
    played = play(dag)
    ended = played.tasks
    assert {name: task.state for name, task in ended.items()} == {
        "sent": "success",
        "several": "success",
        "failed": "failed",
        "failed_softly": "skipped",
        "overdue": "failed",
        "overdue_softly": "skipped",
        "unknown": "failed",
        "no_sid": "failed",
    }
    assert {task.tries for task in ended.values()} == {1}  # nothing of this would end otherwise in a second try
    said = {name: task.errors[0] for name, task in ended.items() if task.errors}
    assert {name: re.findall(r"\[([a-z-]+)\]$", words.splitlines()[0]) for name, words in said.items()} == {
        "failed": ["command-failed"],
        "overdue": ["not-settled"],
        "unknown": ["request-refused"],
        "no_sid": ["bad-argument"],
    }
    assert said["failed"].startswith("1 of 2 commands failed")
    assert failed.sid in said["failed"]
    assert said["overdue"].startswith("1 command without a final status after 1 second (timeout): still queued")
    assert queued.sid in said["overdue"]
    # Airflow 3 quotes the whole error in one line, 2.11 logs each of its lines.
    in_one = airflow_is("3.0")
    skipping = "Skipping task." if in_one else "INFO - "
    assert len(played.lines(skipping, "1 of 1 command failed", *[failed.sid] * in_one)) == 1
    assert len(played.lines(skipping, "1 command without a final status", *[queued.sid] * in_one)) == 1
    assert "404" in said["unknown"]
    assert "HG" + 32 * "0" in said["unknown"]
    assert "ip_command_sid must be a sid (HG…) or a list of them, got ''" in said["no_sid"]
    assert len(world.commands()) == 3


@pytest.mark.parametrize("mode", MODES)
def test_a_sensor_is_no_call_from_outside_of_a_task(world, new_dag, play, mode):
    """Airflow takes the ``execute`` that a sensor calls of its base class for one, and warns or fails."""
    hook = SuperSimHook()
    sent = hook.send_ip_command("device-0001", "x", 4000)
    hook.close()
    world.advance(1)
    with new_dag(default_args={"poke_interval": 0.2, "timeout": 60, **MODES[mode]}) as dag:
        SuperSimIpCommandSensor(task_id="seen", ip_command_sid=sent.sid)
        SuperSimIpCommandSensor(task_id="strict", ip_command_sid=sent.sid, allow_nested_operators=False)
    played = play(dag)

    assert {name: (one.state, one.errors) for name, one in played.tasks.items()} == {
        name: ("success", []) for name in ("seen", "strict")
    }
    assert played.lines("called outside") == []


@pytest.mark.parametrize("event", [{"status": "success"}, {}, None, {"commands": []}])
def test_an_event_of_another_trigger_is_refused(event):
    sensor = SuperSimIpCommandSensor(task_id="seen", ip_command_sid="HG" + 32 * "0")
    with pytest.raises(EventUnreadableError, match="different versions"):
        sensor.execute_complete({}, event)


@pytest.mark.parametrize("mode", MODES)
def test_a_soft_failure_hides_nothing_that_a_person_must_correct(world, new_dag, play, monkeypatch, mode):
    wrong = json.loads(world.connection_json()) | {"password": "wrong"}
    monkeypatch.setenv("AIRFLOW_CONN_WRONG", json.dumps(wrong))
    settings = {"poke_interval": 0.2, "timeout": 1, "retries": 1, "soft_fail": True, **MODES[mode]}
    sid = "HG" + 32 * "0"
    with new_dag(default_args=settings) as dag:
        SuperSimIpCommandSensor(task_id="refused", ip_command_sid=sid, supersim_conn_id="wrong")
        SuperSimIpCommandSensor(task_id="unknown", ip_command_sid=sid)
        SuperSimIpCommandSensor(task_id="no_sid", ip_command_sid="{{ '' }}")
    ended = play(dag).tasks
    # Right after the POST a command may not be there yet, so no mode believes in a 404 before GONE_AFTER.
    assert ended["unknown"].state == "skipped"
    wrong_ones = ["refused", "no_sid"]
    assert {name: ended[name].state for name in wrong_ones} == dict.fromkeys(wrong_ones, "failed")
    codes = {name: re.findall(r"\[([a-z-]+)\]$", ended[name].errors[0].splitlines()[0]) for name in wrong_ones}
    assert codes == {"refused": ["credentials-refused"], "no_sid": ["bad-argument"]}


@pytest.mark.parametrize("mode", MODES)
def test_a_command_that_is_not_there_yet_is_waited_for(world, new_dag, play, mode):
    hook = SuperSimHook()
    command = hook.send_ip_command("device-0001", "x", 4000)
    hook.close()
    world.advance(1)
    world.faults(
        {"kind": "error_before", "status": 404, "count": 2, "method": "GET", "path": f"/v1/IpCommands/{command.sid}"}
    )
    with new_dag() as dag:
        SuperSimIpCommandSensor(
            task_id="seen", ip_command_sid=command["sid"], poke_interval=0.2, timeout=60, **MODES[mode]
        )

    ended = play(dag).tasks["seen"]

    assert (ended.state, ended.tries) == ("success", 1)


@pytest.mark.parametrize("mode", MODES)
def test_an_api_that_hangs_does_not_keep_a_sensor_beyond_its_timeout(world, new_dag, play, monkeypatch, mode):
    monkeypatch.setattr(watcher, "LEAST_GRACE", 0.2)
    world.faults({"kind": "hang", "method": "GET", "path": "/v1/IpCommands"})
    with new_dag() as dag:
        SuperSimIpCommandSensor(
            task_id="seen", ip_command_sid="HG" + 32 * "0", poke_interval=0.1, timeout=0.5, **MODES[mode]
        )

    ended = play(dag).tasks["seen"]

    assert ended.state == "failed"
    assert ended.errors[0].splitlines()[0].endswith("[not-settled]")  # and not that the API cannot be reached
