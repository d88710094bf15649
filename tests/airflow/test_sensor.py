"""The sensor, in each of the ways in which a sensor can wait."""

import pytest
from features import airflow_is

from airflow_provider_supersim.hooks.supersim import SuperSimHook
from airflow_provider_supersim.sensors.ip_command import SuperSimIpCommandSensor

MODES = {
    "poke": {"mode": "poke"},
    "reschedule": {"mode": "reschedule"},
    "deferred": {"deferrable": True},
}


@pytest.mark.parametrize("mode", MODES)
def test_how_waiting_ends(world, new_dag, play, mode):
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
    failure = f"IP Command {failed.sid} to SIM {failed.sim_sid} failed: "
    delay = f"After 0.3 s IP Command {queued.sid} to SIM {queued.sim_sid} still had status 'queued'. "
    assert ended["failed"].errors[0].startswith(failure)
    assert ended["overdue"].errors[0].startswith(delay)
    skipping = "Skipping task." if airflow_is("3.0") else "INFO - "
    assert len(played.lines(skipping, failure)) == 1  # Airflow's own reason would name no command
    assert len(played.lines(skipping, delay)) == 1
    assert "404" in ended["unknown"].errors[0]
    assert "HG" + 32 * "0" in ended["unknown"].errors[0]
    assert ended["no_sid"].errors[0] == "ip_command_sid must be a sid (HG…) or a list of them, got ''"
    assert len(world.commands()) == 3


@pytest.mark.parametrize("event", [{"status": "success"}, {}, None, {"commands": []}])
def test_an_event_of_another_trigger_is_refused(event):
    from airflow.providers.common.compat.sdk import AirflowException

    sensor = SuperSimIpCommandSensor(task_id="seen", ip_command_sid="HG" + 32 * "0")
    with pytest.raises(AirflowException, match="an event that cannot be read"):
        sensor.execute_complete({}, event)
