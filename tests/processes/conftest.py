"""What the tests against real processes share: when one fails, it shows the ends of all of Airflow's logs."""

import os
import subprocess
import sys

import pytest
from airflow_processes import Airflow
from servers import missing_packages, run_postgres


@pytest.fixture(scope="module")
def postgres():
    """URL of an empty Airflow database in a PostgreSQL of this module's own."""
    if missing := missing_packages():
        pytest.skip(f"it needs Debian's {' and '.join(missing)}")
    with run_postgres() as server:
        database = f"postgresql+psycopg2://{server}"
        environment = {**os.environ, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database}
        subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=environment, check=True, timeout=600)
        yield database


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    airflow = item.funcargs.get("airflow")
    if report.failed and isinstance(airflow, Airflow):
        report.sections.append(("Airflow's logs", airflow.tails()))
    return report
