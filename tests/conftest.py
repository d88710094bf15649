"""What all tests share: an Airflow home of their own, a migrated database, a connection to the simulator.

Airflow reads its home and its configuration when it is first imported, so both are set here, at the top.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from features import airflow_is

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_supersim.testing import Simulator

pytest_plugins = ["airflow_provider_supersim.testing", "s3_server"]

HOME = Path(tempfile.mkdtemp(prefix="supersim-tests-"))  # one for each process: pytest-xdist's workers share nothing
DATABASE = HOME / "airflow.db"

for name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[name]  # the tests must not use the shell's own Airflow
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(HOME / "dags"),
    "AIRFLOW__CORE__FERNET_KEY": 43 * "0" + "=",  # the same for commands that a test runs as a process
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{DATABASE}",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "HYPOTHESIS_STORAGE_DIRECTORY": str(HOME / "hypothesis"),  # not in the checkout, which may be read-only
}
(HOME / "dags").mkdir()

#: Warnings of Airflow and of its dependencies, which no provider can prevent.
AIRFLOW_WARNINGS = [
    "ignore:Using `httpx` with `starlette.testclient`",  # svcs, which serves its execution API, imports the test client
]
#: The same for Airflow before 3.3. A warning about a call by this provider names a module of it, and fails.
OLDER_AIRFLOW_WARNINGS = [
    rf"ignore::{category}:({modules})\b"
    for modules in ("airflow", "flask.*", "fsspec", "marshmallow.*", "sqlalchemy")
    for category in ("DeprecationWarning", "FutureWarning", "PendingDeprecationWarning")
] + ["ignore:The ``noload`` loader strategy", "ignore:The anyio.abc.BlockingPortal alias"]


def pytest_configure(config: pytest.Config) -> None:
    for warning in AIRFLOW_WARNINGS + ([] if airflow_is("3.3") else OLDER_AIRFLOW_WARNINGS):
        config.addinivalue_line("filterwarnings", warning)


def pytest_unconfigure() -> None:
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def airflow_home() -> Path:
    """Return this process's AIRFLOW_HOME, with an empty ``dags`` folder."""
    return HOME


@pytest.fixture(scope="session")
def migrated_db(airflow_home: Path) -> Path:
    """Return the path of a migrated SQLite database with nothing in it, to be copied.

    Migrating takes a quarter of a minute, so it is done once for each environment: what is installed beside Airflow
    may add tables. The checkout may be read-only, so the database is kept in the system's temporary folder.
    """
    kept = Path(tempfile.gettempdir()) / f"supersim-tests-of-user-{os.getuid()}"
    kept.mkdir(mode=0o700, exist_ok=True)
    made = kept / f"airflow-{version('apache-airflow')}-{zlib.crc32(sys.prefix.encode()):08x}.db"
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            new = made.with_suffix(".new")
            new.unlink(missing_ok=True)
            subprocess.run(
                [sys.executable, "-m", "airflow", "db", "migrate"],
                env={**os.environ, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{new}"},
                check=True,
                capture_output=True,
            )
            new.rename(made)
    return made


@pytest.fixture(scope="session")
def airflow_db(migrated_db: Path) -> Path:
    """Return the path of the database that Airflow in this process uses, and all tests in it."""
    shutil.copyfile(migrated_db, DATABASE)
    return DATABASE


@pytest.fixture
def run_dag(airflow_db: Path) -> Callable[..., DagRun]:
    """Return a function that runs a DAG that a test has made, as ``dag.test()`` does, and returns the run.

    ``dag.test()`` alone wants the DAG to be in a file of the DAGs folder.
    """

    def run(dag: DAG, **options: object) -> DagRun:
        if airflow_is("3.0"):
            _store(dag)
        return dag.test(**options)

    return run


def _store(dag: DAG) -> None:
    """Put a DAG into the database, as the DAG processor does."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    try:
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

        bag = DagBag(os.devnull, bundle_name="dags-folder")
    except ImportError:  # Airflow before 3.2
        from airflow.models.dagbag import DagBag, sync_bag_to_db

        bag = DagBag(os.devnull)
    bag.bag_dag(dag)
    DagBundlesManager().sync_bundles_to_db()
    sync_bag_to_db(bag, "dags-folder", None)


@pytest.fixture(autouse=True)
def _no_pace_of_another_test() -> None:
    """Forget what the process has learned of accounts: the simulator's is the same in each test."""
    from airflow_provider_supersim.api import pace

    pace._PACES.clear()


@pytest.fixture
def supersim_connection(
    request: pytest.FixtureRequest, supersim_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Return the id of a connection to the running simulator.

    For another vendor: ``@pytest.mark.parametrize("supersim_connection", ["kore"], indirect=True)``.
    """
    vendor = getattr(request, "param", "twilio")
    monkeypatch.setenv("AIRFLOW_CONN_SUPERSIM_DEFAULT", supersim_simulator.connection_json(vendor))
    return "supersim_default"
