"""Every example DAG of the documentation runs in Airflow, and the simulated devices get what the page says."""

from __future__ import annotations

import ast
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from documentation import CHECKOUT, EXAMPLES

from airflow_provider_supersim.exceptions import (
    ApiUnreachableError,
    BadArgumentError,
    LedgerUnreadableError,
    RolloutHaltedError,
    ThrottledError,
)
from airflow_provider_supersim.hooks.supersim import SuperSimHook

AT_NIGHT = "2026-03-01T01:30:00+00:00"  # in Berlin and Lisbon; in Tokyo it is half past ten


@pytest.fixture
def world(supersim_simulator, supersim_connection):
    supersim_simulator.reset(sims=24, settle=0.05)
    return supersim_simulator


@pytest.fixture
def run(example_dags, run_dag):
    """Return a function that runs an example and returns what each task has returned, by task and map index."""

    def run(dag_id: str) -> dict[str, object]:
        dag = example_dags[dag_id]
        for task in dag.tasks:
            task.retries = 0  # which dag.test() would wait for, five minutes each
            if hasattr(task, "poll_interval"):
                task.poll_interval = 0.1
        run = run_dag(dag)
        states = {f"{ti.task_id}[{ti.map_index}]": str(ti.state) for ti in run.get_task_instances()}
        assert set(states.values()) == {"success"}, states
        return {name.removesuffix("[-1]"): _returned(run, name) for name in states}

    return run


def _returned(run, name: str):
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    task_id, _, map_index = name[:-1].partition("[")
    query = XComModel.get_many(run_id=run.run_id, dag_ids=run.dag_id, task_ids=task_id, key="return_value")
    with create_session() as session:
        found = [XComModel.deserialize_value(row) for row in session.scalars(query) if row.map_index == int(map_index)]
    return found[0] if found else None


def texts(world) -> dict[str, list[str]]:
    received: dict[str, list[str]] = {}
    for datagram in world.datagrams():
        received.setdefault(datagram["sim_name"], []).append(datagram["text"])
    return received


def test_the_first_command(world, run):
    run("first_command")

    assert texts(world) == {"device-0001": ['{"report_every":900}']}


def test_one_command_in_every_way(world, run):
    returned = run("one_command")

    received = {datagram["sim_name"]: base64.b64decode(datagram["base64"]) for datagram in world.datagrams()}
    assert received["device-0001"].startswith(b"report_every=900; at=20")
    assert received["device-0002"] == b'{"report_every":900,"apn":"iot.example"}'
    assert json.loads(received["device-0003"])["run"].startswith("manual__")
    assert received["device-0004"] == received["device-0005"] == b"\x01\x03\x84"
    assert returned["accepted"]["status"] == "queued"
    assert returned["patient"]["status"] == "sent"


def test_the_sensor(world, run):
    run("sensor")

    assert set(texts(world)) == {"device-0001", "device-0002", "device-0003"}


def test_the_hook(world, run):
    world.set_behaviour("device-0001", answer="payload", answer_text="ok")
    run("first_command")

    returned = run("hook")

    assert returned["who_has_answered"] == {"device-0001": base64.b64encode(b"ok").decode()}
    assert returned["sims_by_status"]["inactive"] >= 1


def test_the_hook_meets_answers_of_sims_that_it_did_not_ask_for(world, run):
    world.seed(fleets=[{"unique_name": "others"}], sims=[{"unique_name": "stranger", "fleet": "others"}])
    world.set_behaviour(["device-0001", "stranger"], answer="payload", answer_text="ok")
    SuperSimHook().send_ip_command("stranger", "x", 4000)
    run("first_command")
    while {one["sim_name"] for one in world.commands(direction="from_sim")} != {"device-0001", "stranger"}:
        time.sleep(0.01)

    assert run("hook")["who_has_answered"] == {"device-0001": base64.b64encode(b"ok").decode()}


@pytest.mark.parametrize(
    "path",
    [*EXAMPLES.glob("*.py"), *(CHECKOUT / "dags_examples").glob("*.py"), CHECKOUT / "README.md"],
    ids=lambda path: path.name,
)
def test_every_deferrable_task_that_is_shown_has_retries(path):
    """Airflow fails a deferred task that resumes too soon, and the next try continues it."""
    text = path.read_text()
    sources = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if path.suffix == ".md" else [text]
    calls = [
        {keyword.arg for keyword in node.keywords}
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
    ]
    assert [names for names in calls if "deferrable" in names and "retries" not in names] == []


def test_rollouts_in_every_way(world, run, example_dags, pages):
    returned = run("rollouts")

    received = texts(world)
    assert returned["in_waves"].items() >= {"devices": 24, "sent": 24, "halted": False}.items()
    assert [wave["devices"] for wave in returned["in_waves"]["waves"]] == [5, 19]  # a tenth of 24 reaches no further
    assert '{"report_every":900,"name":"device-0009"}' in received["device-0009"]
    assert "report_every=60" in received["device-0002"]
    assert "report_every=900; zone=south" in received["device-0001"]
    assert "report_every=900; zone=north" in received["device-0003"]
    assert 4001 in {datagram["port"] for datagram in world.datagrams("device-0003")}
    assert "report_every=60" in received["device-0007"]  # targets.csv
    report = max(Path(os.environ["AIRFLOW_HOME"], "reports").glob("*.csv"))
    columns = report.read_text().splitlines()[0]
    assert columns == (EXAMPLES / "report.csv").read_text().splitlines()[0]
    assert [name for name in columns.split(",") if f"`{name}`" not in pages["rollouts.md"]] == []


def test_windows(world, run):
    with time_machine.travel(AT_NIGHT):
        returned = run("night_window")

    assert returned["where_the_dag_lives"]["sent"] == 24
    assert returned["where_each_device_is"]["sent"] == 2


def test_shards_divide_the_fleet(world, run):
    returned = run("shards")

    counts = [returned[f"rollout[{number}]"]["devices"] for number in range(4)]
    assert sum(counts) == 24
    assert min(counts) > 0
    assert {len(received) for received in texts(world).values()} == {1}


def test_targets_from_another_task(world, run):
    run("made_by_a_task")

    assert texts(world) == {"device-0004": ['{"report_every":3600}'], "device-0005": ['{"report_every":7200}']}


def test_a_failure_calls_the_right_people(example_dags, caplog):
    task = example_dags["alerts"].get_task("rollout")
    (call,) = task.on_failure_callback

    called = {}
    for kind in (RolloutHaltedError, BadArgumentError, ApiUnreachableError, RuntimeError):
        caplog.clear()
        call({"exception": kind("What happened.")})
        called[kind] = re.match(r"For the ([\w -]+): ([\w-]+), What happened\.", caplog.messages[-1]).groups()

    assert called == {
        RolloutHaltedError: ("fleet owners", "rollout-halted"),
        BadArgumentError: ("DAG authors", "bad-argument"),
        ApiUnreachableError: ("on-call engineers", "api-unreachable"),
        RuntimeError: ("on-call engineers", "other"),
    }


def test_a_retry_policy_tells_failures_apart(example_dags):
    policy = example_dags["alerts"].get_task("rollout").retry_policy
    kinds = (ThrottledError, LedgerUnreadableError, ApiUnreachableError)
    decisions = {kind: policy.evaluate(kind("What happened."), 1, 2) for kind in kinds}

    assert {kind: decision.action.value for kind, decision in decisions.items()} == {
        ThrottledError: "retry",
        LedgerUnreadableError: "fail",
        ApiUnreachableError: "default",
    }
    assert decisions[ThrottledError].retry_delay == timedelta(minutes=15)


def test_the_rollout_with_alerts_runs(world, run):
    assert run("alerts")["rollout"]["sent"] == 24


def test_the_test_of_a_dag_passes(migrated_db, tmp_path):
    dags, home = tmp_path / "dags", tmp_path / "home"
    home.mkdir()
    dags.mkdir()
    for name in ("first_command.py", "test_my_dag.py"):
        shutil.copy(EXAMPLES / name, dags)
    shutil.copy(migrated_db, home / "airflow.db")
    environment = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", dags, dags],
        cwd=dags,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=900,
    )

    assert "3 passed" in done.stdout, done.stdout + done.stderr
