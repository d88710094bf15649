"""Every example DAG loads and runs on the installed Airflow, and the simulated devices get what the pages say."""

from __future__ import annotations

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
from features import airflow_is, needs_retry_policy

from airflow_provider_supersim.exceptions import (
    ApiUnreachableError,
    BadArgumentError,
    LedgerUnreadableError,
    RolloutHaltedError,
    ThrottledError,
)
from airflow_provider_supersim.hooks.supersim import SuperSimHook

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLES = CHECKOUT / "docs" / "examples"
NEEDS_RETRY_POLICY = "retry_policy"  # the one example that is for Airflow 3.3 only
AT_NIGHT = "2026-03-01T01:30:00+00:00"  # in Berlin and Lisbon; in Tokyo it is half past ten


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    """Return the files of all examples that the installed Airflow can load, README's among them."""
    snippets = re.findall(r"^```python\n(.*?)^```", (CHECKOUT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    readme = tmp_path_factory.mktemp("readme") / "readme_dags.py"
    readme.write_text("\n".join(snippet for snippet in snippets if "@dag" in snippet))
    files = [*(CHECKOUT / "dags_examples").glob("*.py"), *EXAMPLES.glob("*.py"), readme]
    left_out = set() if airflow_is("3.3") else {NEEDS_RETRY_POLICY}
    return sorted(file for file in files if not file.stem.startswith("test_") and file.stem not in left_out)


@pytest.fixture(scope="module")
def bag(airflow_db, files):
    """Return a ``DagBag`` with the DAGs of all examples."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow before 3.2
        from airflow.models.dagbag import DagBag

    bag = DagBag(os.devnull)
    for file in files:
        bag.process_file(str(file))
    return bag


@pytest.fixture
def world(supersim_simulator, supersim_connection):
    supersim_simulator.reset(sims=24, settle=0.05)
    return supersim_simulator


@pytest.fixture
def run(bag, play):
    """Return a function that runs an example and returns what each task has returned, by task and map index."""

    def run(dag_id: str, **params: object) -> dict[str, object]:
        dag = bag.dags[dag_id]
        dag.errors = {}
        for name, value in params.items():
            dag.params[name] = value
        for task in dag.tasks:
            task.retries = 0  # which dag.test() would wait for, five minutes each
            if hasattr(task, "poll_interval"):
                task.poll_interval = 0.1
        tasks = play(dag).tasks
        assert {name: ended.state for name, ended in tasks.items()} == dict.fromkeys(tasks, "success")
        return {name: ended.xcom.get("return_value") for name, ended in tasks.items()}

    return run


def texts(world) -> dict[str, list[str]]:
    received: dict[str, list[str]] = {}
    for datagram in world.datagrams():
        received.setdefault(datagram["sim_name"], []).append(datagram["text"])
    return received


def test_every_example_loads_without_a_warning(bag, files):
    assert bag.import_errors == {}
    assert bag.captured_warnings == {}
    assert {Path(dag.fileloc) for dag in bag.dags.values()} == set(files)


def test_every_example_is_run_by_a_test_of_this_file(bag):
    run_here = set(re.findall(r"""\brun\("(\w+)\"""", Path(__file__).read_text()))

    assert run_here - {NEEDS_RETRY_POLICY} == set(bag.dags) - {NEEDS_RETRY_POLICY}


def test_one_command_by_hand(world, run):
    run("send_one_command")

    assert texts(world) == {"device-0001": ["report_every=900"]}


def test_the_fleet_at_night(world, run, tmp_path):
    ledgers = "" if airflow_is("3.3") else str(tmp_path)

    returned = run("nightly_reconfiguration", ledger_folder=ledgers)

    assert returned["rollout"]["sent"] == 24
    received = texts(world)
    assert len(received) == 24
    assert {json.loads(text)["report_every"] for (text,) in received.values()} == {900}


def test_what_the_readme_shows(world, run):
    run("report_every_quarter_of_an_hour")
    assert texts(world) == {"device-0001": ['{"report_every":900}']}

    assert run("reconfigure_the_fleet")["rollout"]["sent"] == 24


def test_the_first_command(world, run):
    run("first_command")

    assert texts(world) == {"device-0001": ['{"report_every":900}']}


def test_one_command_in_every_way(world, run):
    returned = run("one_command")

    received = {datagram["sim_name"]: base64.b64decode(datagram["base64"]) for datagram in world.datagrams()}
    assert received["device-0001"].startswith(b"report_every=900; run=manual__")
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


def test_rollouts_in_every_way(world, run):
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


def test_a_failure_calls_the_right_people(bag, caplog):
    callbacks = bag.dags["alerts"].get_task("rollout").on_failure_callback
    (call,) = callbacks if isinstance(callbacks, list | tuple) else [callbacks]

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


@needs_retry_policy
def test_a_retry_policy_tells_failures_apart(bag):
    policy = bag.dags["retry_policy"].get_task("rollout").retry_policy
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


@needs_retry_policy
def test_the_rollout_with_a_retry_policy_runs(world, run):
    assert run("retry_policy")["rollout"]["sent"] == 24


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
