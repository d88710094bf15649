"""The operator that sends one command, in real task instances."""

import json
import os
import re
import signal
import threading
import time
from datetime import datetime, timedelta

import pytest
from features import airflow_is

from airflow_provider_supersim.exceptions import EventUnreadableError
from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator

WAITING = pytest.mark.parametrize("deferrable", [False, True], ids=["in_the_worker", "deferred"])


def send(task_id, *, payload="x", device_port=4000, **options):
    defaults = {"sim": task_id, "poll_interval": 0.1}
    return SuperSimIpCommandOperator(task_id=task_id, payload=payload, device_port=device_port, **defaults | options)


@WAITING
def test_every_kind_of_payload_arrives(world, new_dag, play, tmp_path, deferrable):
    (tmp_path / "config.json").write_text('{"dag": "{{ dag.dag_id }}"}')
    (tmp_path / "config.txt").write_text("apn={{ task.task_id }}\n")
    names = ["text", "raw", "tree", "json_file", "text_file", "base64"]
    world.seed(sims=[{"unique_name": name} for name in names])
    with new_dag(template_searchpath=str(tmp_path), default_args={"deferrable": deferrable}) as dag:
        send("text", payload="größe={{ task.task_id }}", device_port="{{ 4000 + 1 }}", sim="{{ task.task_id }}")
        send("raw", payload=b"\x00\xff{{ left alone }}")
        send("tree", payload={"task": "{{ task.task_id }}", "list": [1, "ü"]})
        send("json_file", payload="config.json")
        send("text_file", payload="config.txt")
        send("base64", payload="AP8=", payload_type="{{ 'binary' }}")
    ended = play(dag).tasks
    assert {name: task.state for name, task in ended.items()} == dict.fromkeys(names, "success")

    sid_of = {sim["unique_name"]: sim["sid"] for sim in world.sims()}
    got = {name: world.datagrams(name) for name in names}
    assert {name: len(datagrams) for name, datagrams in got.items()} == dict.fromkeys(names, 1)
    assert got["text"][0]["text"] == "größe=text"
    assert got["text"][0]["port"] == 4001
    assert got["raw"][0]["base64"] == "AP97eyBsZWZ0IGFsb25lIH19"
    assert got["tree"][0]["text"] == '{"task":"tree","list":[1,"ü"]}'
    assert got["json_file"][0]["text"] == f'{{"dag": "{dag.dag_id}"}}'
    assert got["text_file"][0]["text"].rstrip("\n") == "apn=text_file"
    assert got["base64"][0]["base64"] == "AP8="
    for name, task in ended.items():
        command = task.xcom["return_value"]
        assert json.loads(json.dumps(command)) == command
        assert task.xcom["ip_command_sid"] == command["sid"] == world.commands(name)[0]["sid"]
        assert (command["status"], command["sim_sid"]) == ("sent", sid_of[name])
        assert datetime.fromisoformat(command["date_created"]).utcoffset() == timedelta(0)
    assert ended["text"].rendered["device_port"] == "4001"
    assert ended["tree"].rendered["payload"] == {"task": "tree", "list": [1, "ü"]}


def test_one_task_for_each_of_many_sims_and_one_that_does_not_wait(world, new_dag, play):
    world.set_behaviour("device-0009", network="never")
    with new_dag() as dag:
        SuperSimIpCommandOperator.partial(
            task_id="each", payload="for {{ task.sim }}", device_port=4000, deferrable=True, poll_interval=0.1
        ).expand(sim=["device-0001", "device-0002", "device-0003"])
        SuperSimIpCommandOperator.partial(task_id="own", poll_interval=0.1).expand_kwargs(
            [
                {"sim": "device-0004", "payload": {"n": 4}, "device_port": 4},
                {"sim": "lab-01", "payload": b"5", "device_port": 5},
            ]
        )
        send("sent_and_gone", sim="device-0009", wait_for_completion=False)
    ended = play(dag).tasks
    assert {task.state for task in ended.values()} == {"success"}
    assert len(ended) == 6
    assert sorted(datagram["text"] for datagram in world.datagrams()) == [
        "5",
        *(f"for device-000{n}" for n in (1, 2, 3)),
        '{"n":4}',
    ]
    assert ended["sent_and_gone"].xcom["return_value"]["status"] == "queued"


def run_out_of_time(world, sim):
    """Ring the alarm that Airflow sets for ``execution_timeout``, as soon as the command to a SIM is waited for."""
    while not (commands := world.commands(sim)):
        time.sleep(0.05)
    address = f"/v1/IpCommands/{commands[0]['sid']}"
    while address not in {request["path"] for request in world.requests()["recent"]}:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGALRM)


@WAITING
def test_a_failure_says_which_command_and_what_to_do(world, new_dag, play, monkeypatch, memory, deferrable):
    """Only errors that a retry can fix are retried. What was sent is not sent again."""
    wrong = json.loads(world.connection_json()) | {"password": "wr0ng-s3cret"}
    no_send = json.loads(world.connection_json()) | {"login": world.options()["read_only_key"], "password": "simulator"}
    monkeypatch.setenv("AIRFLOW_CONN_WRONG", json.dumps(wrong))
    monkeypatch.setenv("AIRFLOW_CONN_MAY_NOT", json.dumps(no_send))
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", json.dumps(wrong | {"extra": {"vendor": "acme"}}))
    world.seed(
        sims=[
            {"unique_name": "offline", "behaviour": {"network": "offline"}},
            {"unique_name": "overdue", "behaviour": {"network": "never"}},
            {"unique_name": "cut_off", "behaviour": {"network": "never"}},
            {"unique_name": "asleep", "status": "inactive"},
        ]
    )
    with new_dag(default_args={"deferrable": deferrable, "retries": 1} | memory) as dag:
        send("offline")
        send("overdue", timeout=0.3)
        if airflow_is("3.0"):  # the dag.test() of Airflow 2 ends with the task
            send("cut_off", deferrable=False, execution_timeout=timedelta(hours=1), retries=0)
        send("nobody")
        send("asleep")
        send("port", sim="device-0001", device_port="{{ 0 }}")
        send("clear", sim="device-0001", on_clear="go on")
        send("wrong", sim="device-0001", supersim_conn_id="wrong")
        send("may_not", sim="device-0001", supersim_conn_id="{{ 'may_not' }}")
        send("broken", sim="device-0001", supersim_conn_id="broken")
    if "cut_off" in dag.task_dict:
        threading.Thread(target=run_out_of_time, args=(world, "cut_off"), daemon=True).start()
    played = play(dag)
    ended = played.tasks
    assert {task.state for task in ended.values()} == {"failed"}
    assert {name: task.tries for name, task in ended.items()} == {"offline": 2, "overdue": 2} | dict.fromkeys(
        ended.keys() - {"offline", "overdue"}, 1
    )
    assert ended.keys() >= {"nobody", "asleep", "port", "clear", "wrong", "may_not", "broken"}

    sid_of = {sim["unique_name"]: sim["sid"] for sim in world.sims()}
    first, second = world.commands("offline")  # it failed, so the retry has sent it again
    for command, words in zip((first, second), ended["offline"].errors, strict=True):
        assert words.startswith("offline ")  # what the DAG calls it
        assert words.splitlines()[0].endswith("[command-failed]")
        assert {command["sid"], sid_of["offline"]} <= set(re.findall(r"\w+", words))
    (command,) = world.commands("overdue")  # it may still be sent: the retry has waited on, and sent nothing
    for words in ended["overdue"].errors:
        assert words.startswith("overdue: still queued ")
        assert words.splitlines()[0].endswith("[not-settled]")
        assert {command["sid"], sid_of["overdue"]} <= set(re.findall(r"\w+", words))
    assert played.lines("sent by an earlier try, so not again", command["sid"])
    said = {name: task.errors[0] for name, task in ended.items()}
    if "cut_off" in said:
        (command,) = world.commands("cut_off")
        assert command["sid"] in said.pop("cut_off")
    assert "device_port must be a whole number from 1 to 65535, got '0'" in said["port"]
    assert "on_clear must be 'resume' or 'restart', got 'go on'" in said["clear"]
    assert "Connection 'broken': extra.vendor must be one of" in said["broken"]
    for name, words in {"nobody": "404", "asleep": "400", "wrong": "401", "may_not": "403"}.items():
        assert words in said[name]
    assert {name: re.findall(r"\[([a-z-]+)\]$", words.splitlines()[0]) for name, words in said.items()} == {
        "offline": ["command-failed"],
        "overdue": ["not-settled"],
        "nobody": ["request-refused"],
        "asleep": ["request-refused"],
        "port": ["bad-argument"],
        "clear": ["bad-argument"],
        "wrong": ["credentials-refused"],
        "may_not": ["credentials-refused"],
        "broken": ["bad-argument"],
    }
    assert world.commands("device-0001") == []


@WAITING
def test_statuses_that_cannot_be_read(world, new_dag, play, deferrable):
    """The command was sent, so the error names it, and a retry does not send it again."""
    world.faults({"kind": "error_before", "status": 403, "method": "GET", "path": "/v1/IpCommands", "skip": 1})
    with new_dag(default_args={"deferrable": deferrable, "retries": 1}) as dag:
        send("blind", sim="device-0001")
    ended = play(dag).tasks["blind"]
    (command,) = world.commands()
    assert (ended.state, ended.tries) == ("failed", 1)
    assert ended.errors[0].startswith("Stopped waiting for 1 command")
    assert ended.errors[0].splitlines()[0].endswith("[credentials-refused]")
    assert ended.xcom["ip_command_sid"] == command["sid"]


@WAITING
def test_a_token_that_expires_in_mid_run_is_renewed_once(world, new_dag, play, deferrable):
    world.faults(
        {"kind": "expired_token", "count": 1, "method": "GET", "path": "/v1/IpCommands/"},
        {"kind": "expired_token", "count": 1, "method": "POST", "path": "/v1/IpCommands"},
    )
    with new_dag(default_args={"deferrable": deferrable, "retries": 0}) as dag:
        send("one", sim="device-0001", supersim_conn_id="kore")
    played = play(dag)
    assert played.tasks["one"].state == "success"
    assert len(world.commands()) == 1
    # The sender and the poller have a client each: each has fetched a token, and another when that was refused.
    assert world.requests()["token_requests"] == 4
    for secret in ("kore-T0p-s3cret", "Bearer", "access_token"):
        assert not played.lines(secret)


@pytest.mark.parametrize(
    "event",
    [
        {"status": "success"},
        {},
        None,
        "success",
        {"commands": [], "unread": [], "error": None},
        {"commands": [{"sid": 1}]},
    ],
)
def test_an_event_of_another_trigger_is_refused(event):
    with pytest.raises(EventUnreadableError, match="different versions"):
        send("one").execute_complete({}, event)
