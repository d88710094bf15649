"""What OpenLineage's own listener writes about a rollout; and a rollout without OpenLineage."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator
from airflow_provider_supersim.runs.lineage import name_of

DAG = """
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator

with DAG("lineage", schedule=None) as dag:
    options = {{"device_port": 4000, "poll_interval": 0.1, "deferrable": True, "ledger_path": "{folder}/ledger"}}
    for name, more in {{
        "reached": {{"payload": "x"}},
        "halted": {{"payload": "x", "max_failure_ratio": 0, "min_sample": 1}},
        "refused": {{"payload": 2000 * "x"}},
    }}.items():
        SuperSimRolloutOperator(
            task_id=name,
            targets_path="{folder}/{{{{ task.task_id }}}}.csv",
            report_path="file://{folder}/out/{{{{ task.task_id }}}}.jsonl",
            **options,
            **more,
        )
"""


@pytest.fixture(scope="module")
def told(supersim_simulator_process, migrated_db, tmp_path_factory):
    """Run the DAG above as a process, as only at its start Airflow sees that OpenLineage is wanted.

    :return: the folder, and the last event of each task
    """
    pytest.importorskip("airflow.providers.openlineage")
    simulator, folder = supersim_simulator_process, tmp_path_factory.mktemp("lineage")
    simulator.reset(settle=0.1)
    simulator.set_behaviour("device-0002", network="offline")
    for name, sim in (("reached", "device-0001"), ("halted", "device-0002"), ("refused", "device-0003")):
        (folder / f"{name}.csv").write_text(f"sim\n{sim}\n")
    (folder / "dags").mkdir()
    (folder / "dags" / "lineage.py").write_text(DAG.format(folder=folder))
    shutil.copyfile(migrated_db, folder / "airflow.db")
    events = folder / "events.jsonl"
    ran = subprocess.run(
        [sys.executable, "-m", "airflow", "dags", "test", "lineage"],
        env={
            **os.environ,
            "AIRFLOW_CONN_SUPERSIM_DEFAULT": simulator.connection_json(),
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                {"type": "file", "log_file_path": str(events), "append": True}
            ),
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert events.exists(), ran.stdout[-3000:] + ran.stderr[-3000:]
    all_events = [json.loads(line) for line in events.read_text().splitlines()]
    last = {event["job"]["name"]: event for event in all_events if event["eventType"] in ("COMPLETE", "FAIL")}
    return folder, last


@pytest.mark.parametrize(
    ("task", "ended", "written"),
    [("reached", "COMPLETE", True), ("halted", "FAIL", True), ("refused", "FAIL", False)],
)
def test_openlineage_is_told_of_both_files(told, task, ended, written):
    folder, last = told
    event = last[f"lineage.{task}"]
    report = folder / "out" / f"{task}.jsonl"

    assert event["eventType"] == ended
    assert [(one["namespace"], one["name"]) for one in event["inputs"]] == [("file", f"{folder}/{task}.csv")]
    assert [(one["namespace"], one["name"]) for one in event["outputs"]] == [("file", str(report))] * written
    assert report.exists() is written


@pytest.mark.parametrize(
    ("path", "namespace", "name"),
    [
        ("/data/fleet.csv", "file", "/data/fleet.csv"),
        ("fleet.csv", "file", f"{Path.cwd()}/fleet.csv"),
        ("file:///data/fleet.csv", "file", "/data/fleet.csv"),
        ("s3://bucket/a/fleet.csv", "s3://bucket", "a/fleet.csv"),
        ("s3://the_connection@bucket/a/fleet.csv", "s3://bucket", "a/fleet.csv"),
        ("s3a://bucket/fleet.csv", "s3://bucket", "fleet.csv"),
        ("gs://bucket/fleet.csv", "gs://bucket", "fleet.csv"),
        ("gcs://bucket/fleet.csv", "gs://bucket", "fleet.csv"),
    ],
)
def test_a_file_has_the_name_that_openlineage_gives_it(path, namespace, name):
    assert name_of(path) == (namespace, name)


def test_a_rollout_without_files_tells_of_none():
    pytest.importorskip("airflow.providers.openlineage")
    rollout = SuperSimRolloutOperator(task_id="roll_out", fleet="ships", payload="x", device_port=4000)

    for told in (rollout.get_openlineage_facets_on_complete(None), rollout.get_openlineage_facets_on_failure(None)):
        assert (told.inputs, told.outputs) == ([], [])


def test_without_openlineage_a_rollout_runs(world, new_dag, play, monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.split(".")[0] == "openlineage"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("openlineage", "airflow.providers.openlineage"):
        monkeypatch.setitem(sys.modules, name, None)  # an import of it fails, as where it is not installed
    with new_dag() as dag:
        SuperSimRolloutOperator(
            task_id="roll_out",
            targets=["device-0001"],
            payload="x",
            device_port=4000,
            poll_interval=0.1,
            report_path=f"{tmp_path}/report.csv",
        )

    assert play(dag).tasks["roll_out"].state == "success"


def test_a_dag_file_does_not_import_openlineage():
    code = "import sys; import airflow_provider_supersim.operators.rollout; print(*sys.modules)"

    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=600)

    loaded = set(ran.stdout.split())
    assert "airflow_provider_supersim.operators.rollout" in loaded
    # Airflow itself reads what its providers say of themselves, and no more.
    assert not loaded & {
        "airflow_provider_supersim.runs.lineage",
        "airflow.providers.openlineage.extractors",
        "openlineage",
    }
