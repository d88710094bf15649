"""What a task says when it cannot go on, as Airflow's log shows it: whom and what in the first 90 characters."""

import asyncio
import json
import os
import signal
import socket
import threading
import time
from datetime import timedelta
from functools import partialmethod

import pytest
from features import airflow_is

from airflow_provider_supersim.delivery.waiting.waited import Waited
from airflow_provider_supersim.hooks.connection import Account
from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator
from airflow_provider_supersim.runs.stores import open_ledger, store_for
from airflow_provider_supersim.sensors.ip_command import SuperSimIpCommandSensor

READ = 90  # characters of a line that Airflow's log view shows
SOON = {"payload": "x", "device_port": 4000, "poll_interval": 0.1}


@pytest.fixture
def said(play):
    """Return a function that plays a DAG and returns the lines of each task's error; all are in the log."""

    def run(dag):
        played = play(dag)
        lines = {name: task.errors[-1].splitlines() for name, task in played.tasks.items() if task.errors}
        assert [line for each in lines.values() for line in each if not played.lines(line)] == []
        assert played.lines("XCom not found") == played.lines("No XCom value found") == []
        return lines

    return run


def assert_said(lines, code, whom_and_what, *then):
    """The first line begins with whom and what, and ends in the code; the last one has the rest."""
    assert lines[0][:READ].startswith(whom_and_what)
    assert lines[0].endswith(f" [{code}]")
    assert [words for words in then if words not in lines[-1]] == []


def ended(world, how, *faults):
    """Return an operator whose task meets these faults. Somebody ends it when the API has its command.

    Without faults, the task waits for the command by then.
    """

    class Ended(SuperSimIpCommandOperator):
        def execute(self, context):
            def end():
                while not (world.commands(self.sim) if faults else self.has_link):
                    time.sleep(0.05)
                how(self, context)

            world.faults(*faults)
            threading.Thread(target=end, daemon=True).start()
            try:
                return super().execute(context)
            finally:
                world.faults()

    return Ended


def kill(task, context):
    task.on_kill()


def ring(task, context):
    """Ring the alarm that Airflow sets for ``execution_timeout``."""
    os.kill(os.getpid(), signal.SIGALRM)


def take_over(task, context):
    """Open the ledger, as a newer try does."""
    store = store_for(context, task.ledger_path, task.log)
    asyncio.run(open_ledger(store, context, task.on_clear))


HANG = {"kind": "hang", "seconds": 1200, "method": "POST", "path": "/v1/IpCommands"}


def test_a_task_that_is_ended(world, new_dag, said, memory, tmp_path, monkeypatch):
    names = ["killed", "killed_sending", "timed_out", "taken_over", "other_version"]
    world.seed(sims=[{"unique_name": name, "behaviour": {"network": "never"}} for name in names])
    monkeypatch.setattr(Waited, "to_event", lambda _: {"status": "success"})  # as another version's trigger
    with new_dag(default_args=SOON | memory) as dag:
        ended(world, kill)(task_id="killed", sim="killed")
        ended(world, kill, HANG)(task_id="killed_sending", sim="killed_sending", on_clear="resume")
        if airflow_is("3.0"):  # the dag.test() of Airflow 2 ends with the task
            ended(world, ring)(task_id="timed_out", sim="timed_out", execution_timeout=timedelta(hours=1))
        SuperSimIpCommandOperator(task_id="other_version", sim="other_version", deferrable=True, timeout=0.3)
        ended(world, take_over, HANG | {"kind": "slow", "seconds": 1})(
            task_id="taken_over", sim="taken_over", ledger_path=str(tmp_path), wait_for_completion=False
        )

    lines = said(dag)

    assert_said(
        lines["killed"],
        "task-killed",
        "killed: task killed while waiting; the command is queued and can still go out.",
        "The next try keeps waiting and sends nothing. No retry left: look the command up before you clear this task",
    )
    (command,) = world.commands("killed")
    assert lines["killed"][1] == f"IP Command {command['sid']} to SIM {command['sim_sid']}"
    assert_said(
        lines["killed_sending"],
        "task-killed",
        "killed_sending: task killed while sending; not known whether the API took the command.",
        "The next try sends, unless the API has the command already.",
        "clear this task: it looks the command up before it sends",
    )
    if "timed_out" in lines:
        assert_said(
            lines["timed_out"],
            "execution-timeout",
            "timed_out: execution_timeout ended the task while waiting; the command is queued",
            "Raise execution_timeout",
            "The next try keeps waiting and sends nothing",
        )
    assert_said(
        lines["taken_over"],
        "ledger-taken",
        "taken_over: this try stopped, because a newer try of the task has taken over.",
        "The newer try looks up what this one sent",
    )
    assert_said(
        lines["other_version"],
        "event-unreadable",
        "Triggerer and worker seem to run different versions of airflow-provider-supersim.",
        "Install the same version on both",
        "The next try keeps waiting and sends nothing",
    )
    assert lines["other_version"][1].startswith("other_version: the trigger's event cannot be read (")
    assert {len(world.commands(name)) for name in lines} == {1}


def test_a_task_that_cannot_begin(world, new_dag, said, memory, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = f"127.0.0.1:{taken.getsockname()[1]}"
    away = json.loads(world.connection_json()) | {"host": f"http://{closed}"}
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", json.dumps(away))
    monkeypatch.setattr(Account, "client", partialmethod(Account.client, keep_trying=3))
    with new_dag(default_args=SOON) as dag:
        SuperSimIpCommandOperator(task_id="away", sim="device-0001", supersim_conn_id="away", **memory)
        SuperSimRolloutOperator(task_id="fleet_away", fleet="field-devices", supersim_conn_id="away")
        SuperSimRolloutOperator(task_id="bad_rows", targets=["device-0001", "device-0001"], payload="{{ device.nope }}")
        SuperSimRolloutOperator(task_id="no_report", targets=["device-0001"], report_path="/sys/report.csv")
        SuperSimRolloutOperator(task_id="nobody", targets=[])
        SuperSimIpCommandOperator(task_id="bad_template", sim="device-0001", payload="{{ nope.x }}")
        SuperSimIpCommandSensor(task_id="no_sid", ip_command_sid="{{ None }}")

    lines = said(dag)

    host = f"Connection away ({closed}): not reached for "
    assert_said(lines["away"], "api-unreachable", host, "Check DNS, proxy and firewall", "The next try sends")
    assert "no command to device-0001 was accepted" in lines["away"][0]
    assert_said(
        lines["fleet_away"], "api-unreachable", host, "GET /v1/Fleets/field-devices: no connection to 127.0.0.1"
    )
    assert "nothing was sent" in lines["fleet_away"][0]
    assert_said(
        lines["bad_rows"],
        "targets-invalid",
        "Nothing was sent: 2 targets are invalid. First: row 1 (device-0001), no column 'nope'",
        "row 2 (device-0001): same SIM as row 1",
    )
    assert "Correct the rows or the payload, then clear this task" in lines["bad_rows"][1]
    assert_said(
        lines["no_report"],
        "storage",
        "report_path /sys/report.csv cannot be written (",
        "the permissions there",
        "clear this task",
    )
    assert_said(lines["nobody"], "no-targets", "Nothing to send: targets is an empty list.", "on_empty")
    assert_said(lines["no_sid"], "bad-argument", "Nothing was sent: ip_command_sid has an expression that gives None")
    assert "nope" in lines["bad_template"][0]  # Airflow's own error, after which it asks for the task's link
    assert world.commands() == []
