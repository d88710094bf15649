"""A whole Airflow runs the tasks: processes die, people clear tasks.

One Airflow serves all tests here. Their runs go side by side, because most of the time is waiting.
"""

import base64
import csv
import json
import re
import shutil
import signal
from pathlib import Path

import pytest
from airflow_processes import Airflow, run_airflow

from airflow_provider_supersim.testing import Simulator, run_simulator

SECRET, KORE_SECRET, WRONG_SECRET = "twilio-T0p-s3cret", "kore-T0p-s3cret", "wr0ng-T0p-s3cret"
CLEARED = [(on_clear, place) for place in ("store", "folder") for on_clear in ("resume", "restart")]
DEVICES = 120  # of the rollout whose worker is killed
DIED_AFTER = 40  # commands
READ = 90  # characters of a line that Airflow's log view shows


@pytest.fixture(scope="module")
def simulator():
    with run_simulator(sims=DEVICES, settle=3, auth_token=SECRET, client_secret=KORE_SECRET) as simulator:
        simulator.seed(
            fleets=[{"unique_name": "others"}],
            sims=[{"prefix": f"{on_clear}-{place}", "count": 5, "fleet": "others"} for on_clear, place in CLEARED]
            + [
                {"prefix": "slow", "count": 200, "fleet": "others"},
                {"unique_name": "deferred-1", "fleet": "others", "behaviour": {"settle": 15}},
                {"unique_name": "busy-1", "fleet": "others"},
            ]
            + [{"unique_name": "never-1", "fleet": "others", "behaviour": {"network": "never"}}],
        )
        simulator.set_behaviour([f"{on_clear}-{place}-02" for on_clear, place in CLEARED], network="offline")
        yield simulator


@pytest.fixture(scope="module")
def airflow(migrated_db, simulator, tmp_path_factory):
    home = tmp_path_factory.mktemp("airflow")
    shutil.copyfile(migrated_db, home / "airflow.db")
    with run_airflow(
        home,
        f"sqlite:///{home}/airflow.db",
        Path(__file__).parent / "dags" / "tasks",
        AIRFLOW_CONN_SUPERSIM_DEFAULT=simulator.connection_json(),
        AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE="True",
    ) as airflow:
        airflow.add_connection("supersim_kore", simulator.connection("kore"))
        airflow.add_connection("supersim_wrong", simulator.connection() | {"password": WRONG_SECRET})
        yield airflow


@pytest.fixture(scope="module")
def runs(airflow: Airflow, simulator: Simulator) -> dict[str, str]:
    """Start everything. The API accepts a third of the one rollout, and no more until its worker is killed."""
    simulator.faults({"kind": "too_many_requests", "method": "POST", "skip": DIED_AFTER, "retry_after": 1})
    killed = airflow.trigger("killed_worker")
    sent = lambda: simulator.summary(fleet="field-devices")["commands"]["to_sim"]  # noqa: E731
    airflow.wait_for("the rollout to send", lambda: sent() == DIED_AFTER)
    process = airflow.running_process("killed_worker", killed, "roll_out")
    for dying in (process.parent(), process):
        dying.send_signal(signal.SIGKILL)
    simulator.faults()
    others = {name: airflow.trigger(name) for name in ("cleared_by_hand", "sharded", "deferred", "blabbing")}
    return {"killed_worker": killed, **others}


def test_deferred_by_default_the_triggerer_waits(airflow, simulator, runs):
    run = runs["deferred"]
    assert airflow.wait_until_over("deferred", run) == "failed"  # because of the one that is refused
    tasks = airflow.tasks("deferred", run)
    assert {name: task["state"] for (name, _), task in tasks.items()} == {
        "send": "success",
        "send_here": "success",
        "seen": "success",
        "refused": "failed",
    }
    command = airflow.xcom("deferred", run, "send")
    assert command["sid"] == airflow.xcom("deferred", run, "send", "ip_command_sid")
    assert (command["status"], command["payload"], command["device_port"]) == ("sent", "AP8=", 4001)
    assert airflow.xcom("deferred", run, "send_here")["status"] == "sent"
    assert [one["payload"] for one in simulator.commands("deferred-1")].count("AP8=") == 1
    assert len(simulator.commands("deferred-1")) == 2
    events = [line["event"] for line in airflow.log("deferred", run, "send")]
    deferred = (
        "Deferred, without a worker slot. Waiting: the final status of the command to deferred-1, at most 5 minutes"
    )
    assert deferred in events
    assert any(event.startswith("Trigger fired") for event in events)
    named = f"IP Command {command['sid']} to SIM {command['sim_sid']}, port 4001"
    assert f"deferred-1: sent. {named}" in events
    assert "IP Commands: 1 sent" in [line["event"] for line in airflow.log("deferred", run, "seen")]


def test_shards_of_a_mapped_rollout(airflow, simulator, runs):
    run = runs["sharded"]
    assert airflow.wait_until_over("sharded", run) == "success"
    summaries = [airflow.xcom("sharded", run, "roll_out", map_index=index) for index in (0, 1)]
    assert sum(summary["sent"] for summary in summaries) == 5
    assert [
        datagram["text"] for sim in simulator.sims(fleet="lab") for datagram in simulator.datagrams(sim["sid"])
    ] == [sim["sid"] for sim in simulator.sims(fleet="lab")]


def test_a_clear_by_hand_resumes_or_restarts(airflow, simulator, runs):
    run = runs["cleared_by_hand"]
    assert airflow.wait_until_over("cleared_by_hand", run) == "success"
    names = {(on_clear, place): [f"{on_clear}-{place}-{n:02d}" for n in range(1, 6)] for on_clear, place in CLEARED}

    def counts():
        return {case: [len(simulator.commands(name)) for name in names[case]] for case in CLEARED}

    assert set(map(tuple, counts().values())) == {(1, 1, 1, 1, 1)}
    simulator.set_behaviour([f"{on_clear}-{place}-02" for on_clear, place in CLEARED], network="online")
    airflow.clear("cleared_by_hand", run)
    assert airflow.wait_until_over("cleared_by_hand", run) == "success"
    resumed, restarted = [1, 2, 1, 1, 1], [2, 2, 2, 2, 2]
    assert counts() == {case: resumed if case[0] == "resume" else restarted for case in CLEARED}
    for on_clear, place in CLEARED:
        summary = airflow.xcom("cleared_by_hand", run, f"{on_clear}_{place}")
        assert (summary["devices"], summary["sent"], summary["failed"]) == (5, 5, 0)


def test_a_terminated_task_stops_and_says_how_far_it_was(airflow, simulator, runs):
    def slow_ones():
        return [one for one in simulator.commands() if one["sim_name"].startswith("slow-")]

    run = airflow.trigger("terminated")
    airflow.wait_for("both to send", lambda: simulator.commands("never-1") and simulator.commands("slow-005"))
    for task in ("wait", "roll_out"):
        airflow.running_process("terminated", run, task).send_signal(signal.SIGTERM)
    assert airflow.wait_until_over("terminated", run) == "failed"
    assert len(slow_ones()) < 200  # at its pace it would have sent for a minute more

    def said(task):
        (error,) = [
            line for line in airflow.log("terminated", run, task) if line["event"] == "Task failed with exception"
        ]
        return error["error_detail"][0]["exc_value"]

    (command,) = simulator.commands("never-1")
    assert said("wait").startswith("never-1: task killed while waiting; the command is queued")
    assert command["sid"] in said("wait")
    assert said("roll_out").startswith("Rollout: task killed while rolling out; ")
    assert {said(task).splitlines()[0][-13:] for task in ("wait", "roll_out")} == {"[task-killed]"}
    # A next try would find in the ledger what was sent; at most the one command under way would have to be looked up.
    entries = airflow.state_store("terminated", run, "roll_out", "supersim_ledger_0_0")["entries"].values()
    in_ledger = {entry["sid"] for entry in entries if "sid" in entry}
    assert len(in_ledger ^ {one["sid"] for one in slow_ones()}) <= 1


def test_a_killed_worker_costs_no_device_its_command(airflow, simulator, runs):
    run = runs["killed_worker"]
    assert airflow.wait_until_over("killed_worker", run) == "success"
    assert airflow.tasks("killed_worker", run)["roll_out", -1]["try_number"] >= 2
    truth = simulator.summary(fleet="field-devices")["sims"]
    assert (truth["with_1_command"], truth["with_more_commands"]) == (DEVICES, 0)
    summary = airflow.xcom("killed_worker", run, "roll_out")
    assert (summary["devices"], summary["sent"], summary["commands"]) == (DEVICES, DEVICES, DEVICES)
    with (airflow.home / "out" / "killed.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    reached = simulator.commands()
    assert {row["sim_sid"]: row["sid"] for row in rows}.items() <= {
        one["sim_sid"]: one["sid"] for one in reached
    }.items()
    assert len(rows) == DEVICES
    assert {(row["status"], row["attempt"]) for row in rows} == {("sent", "1")}


def test_a_task_says_that_it_pauses_and_slows_down_and_for_which_account(airflow, simulator, runs):
    for name, run in runs.items():
        airflow.wait_until_over(name, run)  # the fault is for one task
    simulator.faults({"kind": "too_many_requests", "method": "POST", "count": 1, "retry_after": 6})
    run = airflow.trigger("busy")
    assert airflow.wait_until_over("busy", run) == "success"
    lines = {line["event"]: line["level"] for line in airflow.log("busy", run, "send")}
    account = f"{simulator.url.partition('://')[2]}, account {simulator.options()['account_sid']}"
    told = {event: level for event, level in lines.items() if account in event}
    (pausing,) = [event for event in told if event.endswith(" [pausing]")]
    assert (told.pop(pausing), "6 seconds" in pausing[:READ], "429" in pausing[:READ]) == ("warning", True, True)
    ((slowing, level),) = told.items()
    assert (level, "Slowing" in slowing[:READ], "429" in slowing[:READ]) == ("info", True, True)


def test_a_task_that_says_a_secret_has_stars_in_its_log(airflow, runs):
    run = runs["blabbing"]
    assert airflow.wait_until_over("blabbing", run) == "failed"
    for name, scheme in {"twilio": "Basic", "kore": "Bearer"}.items():
        lines = [json.dumps(line) for line in airflow.log("blabbing", run, name)]
        said = [line for line in lines if " :blabbed" in line]
        assert len(said) >= 3  # logged, printed, raised
        assert [line for line in said if f"blabbed: {scheme} *** *** :blabbed" not in line] == []


def test_no_secret_is_in_any_file(airflow, simulator, runs):
    for name, run in runs.items():
        airflow.wait_until_over(name, run)
    options = simulator.options()
    secrets = {SECRET, KORE_SECRET, WRONG_SECRET}
    secrets |= {
        base64.b64encode(f"{login}:{secret}".encode()).decode()
        for login, secret in ((options["account_sid"], SECRET), (options["account_sid"], WRONG_SECRET))
    }
    tokens = ["Bearer [0-9a-f]{64}", "Basic QU"]
    pattern = re.compile("|".join([*map(re.escape, secrets), *tokens]).encode())
    files = [path for path in airflow.home.rglob("*") if path.is_file()]
    assert {"airflow.db", "killed.csv", "scheduler.out", "triggerer.out", "attempt=1.log"} <= {
        path.name for path in files
    }
    assert [str(path) for path in files if any(map(pattern.search, lines_of(path)))] == []


def lines_of(path):
    """Return the lines of a file that a person may read.

    Airflow's local executor copies what a task says to the scheduler's output, and masks nothing there, not even the
    password that it masks in the task's log. What the task of the test above said on purpose is left out.
    """
    lines = path.read_bytes().splitlines()
    return [line for line in lines if path.name != "scheduler.out" or b"blabbed: " not in line]
