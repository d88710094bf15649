"""A separate Airflow for the benchmarks, in a temporary folder, with a connection to the simulator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from airflow_provider_supersim.simulator import Simulator

CHECKOUT = Path(__file__).parents[2]


def make_home(home: Path, simulator: Simulator, vendor: str, dag: str, **settings: str) -> dict[str, str]:
    """Migrate a database, and return the environment for Airflow's processes.

    :param dag: source of the DAG file
    """
    (home / "dags").mkdir()
    (home / "dags" / "bench.py").write_text(dag)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
        "PYTHONDONTWRITEBYTECODE": "",  # an installed package has byte code; a checkout may lack it
        "PYTHONPATH": str(CHECKOUT),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW_CONN_SUPERSIM_DEFAULT": simulator.connection_json(vendor),
        "AIRFLOW_CONN_API": json.dumps({**simulator.connection(vendor), "conn_type": "http", "extra": {}}),
        **settings,
    }
    run_python(["-m", "airflow", "db", "migrate"], environment)
    return environment


def run_python(arguments: list[str], environment: dict[str, str], stdin: str = "") -> str:
    """Run a Python program, and return what it printed.

    :raises RuntimeError: it failed
    """
    finished = subprocess.run(
        [sys.executable, *arguments], env=environment, input=stdin, capture_output=True, text=True, check=False
    )
    if finished.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {finished.returncode}:\n{finished.stderr[-3000:]}")
    return finished.stdout
