"""As in production: PostgreSQL, Celery on Redis, and two workers, one of which dies in the middle of a rollout."""

import csv
from pathlib import Path

import pytest
from airflow_processes import LOCAL, Airflow, run_airflow
from servers import run_redis

from airflow_provider_supersim.testing import run_simulator

DEVICES = 5_000
SHARDS = 8
DIED_AFTER = 2_000  # commands
WORKERS = ("worker-1", "worker-2")


@pytest.fixture(scope="module")
def simulator():
    with run_simulator(sims=DEVICES, settle=1) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def airflow(postgres, simulator, tmp_path_factory):
    home = tmp_path_factory.mktemp("airflow")
    options = ["--concurrency", "6", "--skip-serve-logs"]  # for eight tasks: no worker can take them all
    workers = {
        name: ["celery", "worker", "--celery-hostname", name, "--pid", f"{home}/{name}.pid", *options]
        for name in WORKERS
    }
    with (
        run_redis() as redis,
        run_airflow(
            home,
            postgres,
            Path(__file__).parent / "dags" / "production",
            LOCAL | workers,
            AIRFLOW_CONN_SUPERSIM_DEFAULT=simulator.connection_json(),
            AIRFLOW__CORE__EXECUTOR="CeleryExecutor",
            # Celery itself gives a dead worker's messages to another one only after the visibility time-out, a day.
            # The scheduler is earlier: it misses the tasks' heartbeats.
            AIRFLOW__CELERY__BROKER_URL=redis,
            AIRFLOW__CELERY__RESULT_BACKEND=f"db+{postgres}",
        ) as airflow,
    ):
        yield airflow


def test_a_killed_celery_worker_costs_no_device_its_command(airflow: Airflow, simulator):
    def sent():
        return simulator.summary()["commands"]["to_sim"]

    run = airflow.trigger("sharded")
    airflow.wait_for("the rollout to send", lambda: sent() >= DIED_AFTER)
    airflow.kill("worker-2")
    assert sent() < DEVICES
    assert airflow.wait_until_over("sharded", run) == "success"

    truth = simulator.summary(fleet="field-devices")
    assert (truth["sims"]["with_1_command"], truth["sims"]["with_more_commands"]) == (DEVICES, 0)
    assert truth["datagrams"] == DEVICES
    tasks = airflow.tasks("sharded", run)
    assert {index for _, index in tasks} == set(range(SHARDS))
    assert any(task["try_number"] > 1 for task in tasks.values())  # the worker that died had something to do
    rows = []
    for index in range(SHARDS):
        with (airflow.home / "out" / f"{index}.csv").open(newline="") as report:
            rows += csv.DictReader(report)
    sids = {one["sim_sid"]: one["sid"] for one in simulator.commands()}
    assert len(rows) == DEVICES
    assert {row["sim_sid"]: row["sid"] for row in rows} == sids
    assert {row["status"] for row in rows} == {"sent"}
    summaries = [airflow.xcom("sharded", run, "roll_out", map_index=index) for index in range(SHARDS)]
    assert sum(summary["commands"] for summary in summaries) == DEVICES
