"""The operator that rolls out to a fleet, in real task instances."""

import csv
import json
from datetime import datetime, timedelta

import pytest
from features import needs_task_state_store

from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator

WAITING = pytest.mark.parametrize("deferrable", [False, True], ids=["in_the_worker", "deferred"])


def roll_out(task_id="roll_out", *, payload="x", **options):
    defaults = {"device_port": 4000, "poll_interval": 0.1}
    return SuperSimRolloutOperator(task_id=task_id, payload=payload, **defaults | options)


def texts(world, *sims):
    """Return the text that each of these devices received, or all datagrams if there is not exactly one."""
    got = {sim: world.datagrams(sim) for sim in sims}
    return {sim: datagrams[0]["text"] if len(datagrams) == 1 else datagrams for sim, datagrams in got.items()}


@WAITING
def test_every_source_of_targets_and_of_payloads(world, new_dag, play, tmp_path, deferrable):
    from airflow.providers.common.compat.sdk import task

    targets = [f"{kind}-{number}" for kind in ("named", "csv", "jsonl", "xcom", "file") for number in (1, 2)]
    world.seed(
        fleets=[{"unique_name": "ships"}],
        sims=[{"unique_name": "ship-1", "fleet": "ships"}] + [{"unique_name": name} for name in targets],
    )
    (tmp_path / "config.json").write_text('{"to": "{{ device.sim }}", "dag": "{{ dag.dag_id }}"}')
    (tmp_path / "targets.csv").write_text("sim,zone\ncsv-1,north\ncsv-2,south\n")
    (tmp_path / "targets.jsonl").write_text(
        '{"sim": "jsonl-1", "payload": {"own": true}}\n{"sim": "jsonl-2", "device_port": 5}\n'
    )
    with new_dag(template_searchpath=str(tmp_path), default_args={"deferrable": deferrable}) as dag:

        @task(multiple_outputs=True)
        def made_by_a_task():
            return {"targets": ["xcom-1", {"sim": "xcom-2"}], "payload": {"to": "{{ device.sim }}"}}

        made = made_by_a_task()
        roll_out("fleet", fleet="{{ 'ships' }}", payload={"name": "{{ device.unique_name }}"})
        roll_out(
            "named",
            targets=["named-1", {"sim": "named-2", "zone": "x"}],
            payload="at {{ task.task_id }}",
            device_port="{{ 41 }}",
        )
        roll_out(
            "csv",
            targets_path=f"{tmp_path}/targets.csv",
            payload="{{ device.zone }}",
            report_path=f"{tmp_path}/{{{{ dag.dag_id }}}}.csv",
        )
        roll_out(
            "jsonl", targets_path=f"{tmp_path}/targets.jsonl", payload=b"raw", report_path=f"{tmp_path}/report.jsonl"
        )
        roll_out("xcom", targets=made["targets"], payload=made["payload"], report_path=f"{tmp_path}/report.parquet")
        roll_out("file", targets=["file-1", "file-2"], payload="config.json")
    ended = play(dag).tasks
    assert {name: one.errors for name, one in ended.items() if one.state != "success"} == {}
    assert texts(world, "ship-1", "named-1", "named-2", "csv-1", "csv-2", "jsonl-1", "jsonl-2", "xcom-1", "file-1") == {
        "ship-1": '{"name":"ship-1"}',
        "named-1": "at named",
        "named-2": "at named",
        "csv-1": "north",
        "csv-2": "south",
        "jsonl-1": '{"own":true}',
        "jsonl-2": "raw",
        "xcom-1": '{"to":"xcom-1"}',
        "file-1": f'{{"to": "file-1", "dag": "{dag.dag_id}"}}',
    }
    assert world.datagrams("named-1")[0]["port"] == 41
    assert world.datagrams("jsonl-2")[0]["port"] == 5
    summary = ended["csv"].xcom["return_value"]
    assert json.loads(json.dumps(summary)) == summary
    counts = {"devices": 2, "sent": 2, "failed": 0, "unsettled": 0, "not_sent": 0, "commands": 2, "halted": False}
    assert summary.items() >= counts.items()
    with (tmp_path / f"{dag.dag_id}.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["sim"], row["status"], row["attempt"]) for row in rows] == [
        ("csv-1", "sent", "1"),
        ("csv-2", "sent", "1"),
    ]
    assert rows[0]["sid"] == world.commands("csv-1")[0]["sid"]
    assert datetime.fromisoformat(rows[0]["settled_at"]).utcoffset() == timedelta(0)
    lines = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert [line["status"] for line in lines] == ["sent", "sent"]
    from pyarrow import parquet

    assert parquet.read_table(tmp_path / "report.parquet").column("sim").to_pylist() == ["xcom-1", "xcom-2"]


def test_a_rollout_to_a_fleet_counts_and_sends_to_active_and_ready_sims_only(world, new_dag, play):
    statuses = ["new", "ready", "active", "inactive", "scheduled"]
    world.seed(
        fleets=[{"unique_name": "ships"}],
        sims=[{"unique_name": f"ship-{status}", "fleet": "ships", "status": status} for status in statuses],
    )
    world.forget_requests()
    with new_dag() as dag:
        roll_out("roll_out", fleet="ships")
    summary = play(dag).tasks["roll_out"].xcom["return_value"]
    assert (summary["devices"], summary["sent"]) == (2, 2)
    assert {command["sim_name"] for command in world.commands()} == {"ship-ready", "ship-active"}
    # The API would refuse a command to each of the others: so none was even tried.
    assert [one["method"] for one in world.requests()["recent"]].count("POST") == 2


def test_sims_whose_status_is_not_stated_are_sent_to_and_named(world, new_dag, play):
    world.seed(
        fleets=[{"unique_name": "ships"}],
        sims=[
            {"unique_name": "ship-active", "fleet": "ships"},
            {"unique_name": "ship-inactive", "fleet": "ships", "status": "inactive"},
        ],
    )
    world.settings(unstated_ratio=1)
    with new_dag() as dag:
        roll_out("roll_out", fleet="ships", max_failure_ratio=1)
    played = play(dag)

    summary = played.tasks["roll_out"].xcom["return_value"]
    assert (summary["devices"], summary["sent"], summary["failed"]) == (2, 1, 1)
    assert played.lines("2 SIMs of fleet ships", "ship-active, ship-inactive", "unstated", "[sim-status-unknown]")


@WAITING
def test_waves_gates_and_attempts(world, new_dag, play, tmp_path, deferrable):
    world.seed(
        sims=[
            {"prefix": "bad", "count": 30, "behaviour": {"network": "offline"}},
            {"prefix": "good", "count": 30},
            {"unique_name": "lost", "behaviour": {"network": "offline"}},
        ]
    )
    names = [sim["unique_name"] for sim in world.sims() if sim["unique_name"]]
    bad, good = ([name for name in names if name.startswith(kind)] for kind in ("bad-", "good-"))
    with new_dag(default_args={"deferrable": deferrable, "retries": 2}) as dag:
        roll_out("halted", targets=bad + good[:5], waves=["50%", "100%"], report_path=f"{tmp_path}/halted.csv")
        roll_out("small", targets=good[5:], waves=[5, "100%"])
        roll_out("again", targets=["lost"], attempts=2, attempt_delay=0.5, max_failure_ratio=1)
    played = play(dag)
    ended = played.tasks
    assert {name: (one.state, one.tries) for name, one in ended.items()} == {
        "halted": ("failed", 1),  # no retry burns on a shut gate
        "small": ("success", 1),
        "again": ("success", 1),
    }
    (words,) = ended["halted"].errors
    assert words.startswith("Rollout halted: 18 of 18 devices in wave 1 failed")
    assert "Of 35 devices: 0 sent, 18 failed, 0 without a final status, 17 not sent" in words
    assert "then clear this task" in words
    assert words.splitlines()[0].endswith("[rollout-halted]")
    assert len(world.commands("bad-18")) == 1
    assert [name for name in (*bad[18:], *good[:5]) if world.commands(name)] == []
    with (tmp_path / "halted.csv").open(newline="") as stream:
        assert [row["status"] for row in csv.DictReader(stream)] == ["failed"] * 18 + ["not_sent"] * 17
    waves = ended["small"].xcom["return_value"]["waves"]
    assert [(wave["wave"], wave["devices"], wave["sent"]) for wave in waves] == [(1, 5, 5), (2, 20, 20)]
    first, second = world.commands("lost")
    assert second["created"] - first["updated"] >= 0.4
    assert ended["again"].xcom["return_value"]["commands"] == 2
    assert played.lines("Wave 2 of 2: sending to 20 devices")


def test_wrong_arguments_and_targets_are_all_listed_and_nothing_is_sent(world, new_dag, play, tmp_path):
    (tmp_path / "targets.csv").write_text(
        "sim,device_port\ndevice-0001,4000\n,4000\ndevice-0001,4000\ndevice-0002,70000\n"
    )
    with new_dag(default_args={"retries": 1, "targets": None}) as dag:
        roll_out("rows", targets_path=f"{tmp_path}/targets.csv")
        roll_out("sims", targets=["device-0001", 7, {"sim": "device-0002", "payload": ""}])
        roll_out("column", targets=[{"sim": "device-0001", "zone": 1}], payload="{{ device.zine }}")
        roll_out("fleet", fleet="nowhere")
        roll_out("none")
        roll_out("both", fleet="lab", targets=["device-0001"])
        roll_out("waves", fleet="lab", waves=["10%"])
        roll_out("shard", fleet="lab", shard=(2, 2))
        roll_out("report", fleet="lab", report_path="report.xls")
        roll_out("window", fleet="lab", window={"start": "25:00", "end": "05:00"})
        roll_out("clear", fleet="lab", on_clear="go on")
        roll_out("file", targets_path=f"{tmp_path}/none.csv")
    ended = play(dag).tasks
    assert {(one.state, one.tries) for one in ended.values()} == {("failed", 1)}
    said = {name: one.errors[0] for name, one in ended.items()}
    for where in (
        "line 3: sim must be",
        "line 4 (device-0001): same SIM as line 2",
        "line 5 (device-0002): device_port must be",
    ):
        assert where in said["rows"]
    for where in ("row 2: a target must be", "row 3 (device-0002): payload is empty"):
        assert where in said["sims"]
    assert "no column 'zine' for the payload; the columns are sim, zone" in said["column"]
    assert "404" in said["fleet"]
    expected = {
        "none": "one of fleet, targets and targets_path",
        "both": "['fleet', 'targets']",
        "waves": "the last of waves must be '100%'",
        "shard": "shard must be (i, n)",
        "report": "report_path must end in",
        "window": "window's 'start'",
        "clear": "on_clear must be 'resume' or 'restart', got 'go on'",
        "file": "does not exist",
    }
    assert {name: words for name, words in expected.items() if words not in said[name]} == {}
    assert world.commands() == []


def test_shards_share_a_fleet_among_mapped_tasks(world, new_dag, play):
    world.seed(fleets=[{"unique_name": "many"}], sims=[{"prefix": "one", "count": 60, "fleet": "many"}])
    with new_dag() as dag:
        SuperSimRolloutOperator.partial(
            task_id="roll_out",
            fleet="many",
            payload="{{ ti.map_index }}",
            device_port=4000,
            poll_interval=0.1,
            deferrable=True,
        ).expand(shard=[(index, 3) for index in range(3)])
    ended = play(dag).tasks
    assert [one.errors for one in ended.values()] == [[], [], []]
    summaries = [ended[f"roll_out[{index}]"].xcom["return_value"] for index in range(3)]
    assert sum(summary["devices"] for summary in summaries) == 60
    assert all(summary["devices"] for summary in summaries)
    assert world.summary(fleet="many")["sims"]["with_1_command"] == 60


@pytest.mark.parametrize("place", [pytest.param("store", marks=needs_task_state_store), "folder"])
def test_a_retry_goes_on_where_the_last_try_ended(world, new_dag, play, tmp_path, place):
    """The step after sending fails once: a folder has the report's name."""
    world.seed(sims=[{"prefix": "half", "count": 20}])
    world.set_behaviour([f"half-{n:02d}" for n in range(1, 21)], settle=0)
    targets = [f"half-{n:02d}" for n in range(1, 21)]
    ledger = {"ledger_path": f"{tmp_path}/{{{{ dag.dag_id }}}}"} if place == "folder" else {}
    with new_dag(default_args={"retries": 1}) as dag:
        roll_out("roll_out", targets=targets, report_path=f"{tmp_path}/out/report.csv", **ledger)
    (tmp_path / "out" / "report.csv").mkdir(parents=True)

    def make_way(context):
        (tmp_path / "out" / "report.csv").rmdir()

    dag.get_task("roll_out").on_retry_callback = [make_way]
    ended = play(dag).tasks["roll_out"]
    assert (ended.state, ended.tries) == ("success", 2)
    assert ended.xcom["return_value"]["commands"] == 20
    assert {len(world.commands(sim)) for sim in targets} == {1}
    assert len((tmp_path / "out" / "report.csv").read_text().splitlines()) == 21


def test_several_chunks_are_recorded_while_others_are_sent(world, new_dag, play):
    """Several threads must not use the task state store at once: the one of ``dag.test()`` breaks then."""
    world.seed(fleets=[{"unique_name": "large"}], sims=[{"prefix": "large", "count": 900, "fleet": "large"}])
    world.set_behaviour([sim["unique_name"] for sim in world.sims(fleet="large")], settle=0)
    with new_dag() as dag:
        roll_out("roll_out", fleet="large")
    assert play(dag).tasks["roll_out"].state == "success"
    assert world.summary(fleet="large")["sims"]["with_1_command"] == 900
