"""Every DAG file is parsed again and again: importing the operators must load next to nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

IMPORT_OPERATORS = """
import json, sys
import airflow.sdk
before = set(sys.modules)
import airflow_provider_supersim.operators.ip_command
import airflow_provider_supersim.operators.rollout
import airflow_provider_supersim.sensors.ip_command
print(json.dumps(sorted(set(sys.modules) - before)))
"""

OPEN_A_LEDGER = """
import sys
from types import SimpleNamespace
from airflow_provider_supersim.runs.stores import ObjectStorageStore
before = set(sys.modules)
ti = SimpleNamespace(dag_id="dag", run_id="run", task_id="send", map_index=-1)
for place in sys.argv[1:]:
    ObjectStorageStore(place, {"ti": ti}).set("key", 1)
print(*sorted({module.partition(".")[0] for module in set(sys.modules) - before}))
"""


@pytest.fixture(scope="module")
def imported() -> list[str]:
    """Return the modules that the operators load beyond those of ``airflow.sdk``, in a fresh interpreter."""
    ran = subprocess.run([sys.executable, "-c", IMPORT_OPERATORS], capture_output=True, text=True, check=True)
    return json.loads(ran.stdout.splitlines()[-1])


def test_nothing_but_airflows_modules_and_our_own_is_loaded(imported):
    assert {module.partition(".")[0] for module in imported} == {"airflow", "airflow_provider_supersim"}
    assert len(imported) <= 20  # 12 in November 2026


def test_what_runs_a_task_is_not_loaded(imported):
    rooms = {module.split(".")[1] for module in imported if module.startswith("airflow_provider_supersim.")}

    assert not rooms & {"api", "delivery", "hooks", "triggers"}
    assert "airflow.triggers" not in imported


def test_a_ledger_on_a_local_path_loads_no_other_storage(tmp_path):
    """Airflow imports the providers of all storages for any path that it gives the file system of."""
    places = [f"{tmp_path}/one", f"file://{tmp_path}/two"]
    ran = subprocess.run([sys.executable, "-c", OPEN_A_LEDGER, *places], capture_output=True, text=True, check=True)

    assert not {"boto3", "botocore", "s3fs", "aiobotocore"} & set(ran.stdout.split())
    assert len([*tmp_path.rglob("key.json")]) == 2
