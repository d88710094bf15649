"""The triggerer dies, the scheduler dies, and people mark tasks failed, while commands are sent and waited for.

One Airflow serves all tests here, and what it does goes side by side. Where commands are to wait, their simulator's
clock is stopped. On SQLite, where one writes at a time, Airflow's API server can block itself for seconds.
"""

import time
from pathlib import Path

import pytest
from airflow_processes import LOCAL, Airflow, run_airflow

from airflow_provider_supersim.testing import Simulator, run_simulator

WAITING = 198  # of a rollout; two more are sent one by one
POOLED = 5  # devices of each of three rollouts
SENDING = 200  # of the rollout that is marked failed; at its pace that takes 40 s
ORPHANED = 120  # of the rollout whose scheduler dies
SENT_BEFORE = ORPHANED // 3  # by the rollout whose scheduler dies
THEN_TOO_MANY = {"kind": "too_many_requests", "method": "POST", "skip": SENT_BEFORE, "retry_after": 1}


@pytest.fixture(scope="module")
def simulator():
    with run_simulator(sims=ORPHANED, settle=1) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def stopped():
    """A simulator where nothing settles until a test moves the clock on."""
    with run_simulator(sims=0, settle=1) as simulator:
        pooled = [f"pooled-{number}" for number in (1, 2, 3)]
        simulator.seed(
            fleets=[{"unique_name": name} for name in ("waiting", *pooled)],
            sims=[{"prefix": "waiting", "count": WAITING, "fleet": "waiting"}]
            + [{"unique_name": f"single-{number}"} for number in (1, 2)]
            + [{"prefix": name, "count": POOLED, "fleet": name} for name in pooled],
        )
        simulator.stop_clock()
        yield simulator


@pytest.fixture(scope="module")
def marked():
    """The same for the run that is marked failed: whether its trigger still polls must be plain to see."""
    with run_simulator(sims=0, settle=1) as simulator:
        simulator.seed(
            fleets=[{"unique_name": "waiting"}, {"unique_name": "sending"}],
            sims=[
                {"prefix": "waiting", "count": 20, "fleet": "waiting"},
                {"prefix": "sending", "count": SENDING, "fleet": "sending"},
            ],
        )
        simulator.stop_clock()
        yield simulator


@pytest.fixture(scope="module")
def airflow(postgres, simulator, stopped, marked, tmp_path_factory):
    home = tmp_path_factory.mktemp("airflow")
    with run_airflow(
        home,
        postgres,
        Path(__file__).parent / "dags" / "deaths",
        AIRFLOW_CONN_SUPERSIM_DEFAULT=simulator.connection_json(),
        AIRFLOW_CONN_SUPERSIM_STOPPED=stopped.connection_json(),
        AIRFLOW_CONN_SUPERSIM_MARKED=marked.connection_json(),
        # Who takes over from the dead waits until their heartbeat is as old as this.
        AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC="1",
        AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD="6",
        AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL="2",
        AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC="1",
        AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD="6",
    ) as airflow:
        airflow.call("POST", "pools", {"name": "one_slot", "slots": 1})
        yield airflow


@pytest.fixture(scope="module")
def runs(airflow: Airflow, simulator: Simulator) -> dict[str, str]:
    """Start everything. One rollout is held in the middle of sending: from there on the API accepts nothing."""
    simulator.faults(THEN_TOO_MANY)
    runs = {name: airflow.trigger(name) for name in ("orphaned", "marked", "waiting", "pooled")}
    airflow.wait_for("the rollout to send", lambda: sent(simulator) == SENT_BEFORE)
    return runs


@pytest.fixture(scope="module")
def taken_over(airflow: Airflow, simulator: Simulator, runs: dict[str, str]) -> None:
    """Kill the scheduler; its task lives on. Let them all go on when another scheduler has begun the next try."""
    airflow.wait_until_all("deferred", "waiting", runs["waiting"])
    airflow.wait_until_all("deferred", "pooled", runs["pooled"])
    orphan = airflow.running_process("orphaned", runs["orphaned"], "roll_out")
    airflow.kill_alone("scheduler")
    assert orphan.is_running()
    airflow.start("scheduler", *LOCAL["scheduler"])
    airflow.wait_for("the next try", lambda: second_try_looks(airflow, runs["orphaned"]))
    simulator.faults()


def sent(simulator: Simulator) -> int:
    return simulator.summary()["commands"]["to_sim"]


def all_in_triggerer(airflow: Airflow, run: str) -> bool:
    return all(task["triggerer_job"] for task in airflow.tasks("waiting", run).values())


def second_try_looks(airflow: Airflow, run: str) -> bool:
    looking = "of the last try: looking them up"
    return any(looking in line["event"] for line in airflow.log("orphaned", run, "roll_out"))


def test_a_task_that_is_marked_failed_sends_and_reads_no_more(airflow, marked, runs):
    run = runs["marked"]

    def sent_by_worker():
        return {one["sid"] for one in marked.commands() if one["sim_name"].startswith("sending-")}

    airflow.wait_for("the one to send", lambda: len(sent_by_worker()) >= SENDING // 20)
    process = airflow.running_process("marked", run, "send")
    airflow.mark_failed("marked", run, "send")
    process.wait(600)
    before = sent_by_worker()
    assert len(before) < SENDING
    entries = airflow.state_store("marked", run, "send", "supersim_ledger_0_0")["entries"].values()
    in_ledger = {entry["sid"] for entry in entries if "sid" in entry}
    assert len(in_ledger ^ before) <= 1  # the one under way

    airflow.wait_for("the other to wait", lambda: airflow.tasks("marked", run)["wait", -1]["triggerer_job"])
    airflow.mark_failed("marked", run, "wait")
    assert airflow.wait_until_over("marked", run) == "failed"

    def is_quiet():
        marked.forget_requests()
        time.sleep(2)  # ten times its poll_interval
        return marked.requests()["total"] == 0

    airflow.wait_for("the trigger to be cancelled", is_quiet)
    assert sent_by_worker() == before
    marked.run_clock()
    airflow.clear("marked", run)


def test_three_rollouts_wait_at_once_through_a_pool_of_one_slot(airflow, stopped, runs):
    airflow.wait_until_all("deferred", "pooled", runs["pooled"])
    for number in (1, 2, 3):
        sims = stopped.summary(fleet=f"pooled-{number}")["sims"]
        assert sims["with_1_command"] == sims["total"] == POOLED
    assert airflow.call("GET", "pools/one_slot")["deferred_slots"] == 3


def test_a_killed_triggerer_costs_no_wait(airflow, stopped, runs, taken_over):
    run = runs["waiting"]
    airflow.wait_for("its triggers to run", lambda: all_in_triggerer(airflow, run))
    before = sent(stopped)
    assert before == WAITING + 2 + 3 * POOLED
    airflow.kill("triggerer")
    stopped.advance(60)  # while no triggerer runs
    airflow.start("triggerer", *LOCAL["triggerer"])
    for name in ("waiting", "pooled"):
        assert airflow.wait_until_over(name, runs[name]) == "success"
    assert sent(stopped) == before
    summary = airflow.xcom("waiting", run, "roll_out")
    assert (summary["devices"], summary["sent"], summary["commands"]) == (WAITING, WAITING, WAITING)
    assert [airflow.xcom("waiting", run, "send", map_index=index)["status"] for index in (0, 1)] == ["sent", "sent"]


def test_after_a_clear_a_task_that_was_marked_failed_goes_on(airflow, marked, runs):
    assert airflow.wait_until_over("marked", runs["marked"]) == "success"
    for fleet in ("waiting", "sending"):
        sims = marked.summary(fleet=fleet)["sims"]
        assert sims["with_1_command"] == sims["total"]


def test_a_killed_scheduler_costs_no_device_its_command(airflow, simulator, runs, taken_over):
    run = runs["orphaned"]
    assert airflow.wait_until_over("orphaned", run) == "success"
    assert airflow.tasks("orphaned", run)["roll_out", -1]["try_number"] >= 2
    truth = simulator.summary(fleet="field-devices")
    assert (truth["sims"]["with_1_command"], truth["sims"]["with_more_commands"]) == (ORPHANED, 0)
    assert truth["datagrams"] == ORPHANED
    assert airflow.xcom("orphaned", run, "roll_out")["sent"] == ORPHANED
