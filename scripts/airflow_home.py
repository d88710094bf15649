"""A separate Airflow in a folder of the checkout: SQLite, the example DAGs, nothing of the user's own Airflow."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


class AirflowHome:
    """One AIRFLOW_HOME.

    :param name: of the make target, and of the folder in ``.airflow/``, which git ignores
    :raises SystemExit: the same target is running already
    """

    def __init__(self, name: str) -> None:
        self.path = CHECKOUT / ".airflow" / name
        self.log = self.path / "airflow.log"
        self.database = self.path / "airflow.db"
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = (self.path / "lock").open("w")  # held while this process lives
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"Another 'make {name}' is running in this checkout.") from None
        self.log.write_bytes(b"")

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment for Airflow's processes. The shell's own AIRFLOW_… variables are left out.

        :param more: further variables
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        return inherited | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "AIRFLOW_HOME": str(self.path),
            "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags_examples"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.database}",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **more,
        }

    def start(self, *command: str, environment: dict[str, str], own_session: bool = False) -> subprocess.Popen[bytes]:
        """Start an ``airflow`` command whose output goes to the log.

        :param own_session: keep the terminal's Ctrl-C from it, for whoever ends it in an orderly way
        """
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603  # Airflow's own command line
                [sys.executable, "-m", "airflow", *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=own_session,
            )

    def show(self, path: Path) -> str:
        """Return a path as seen from the checkout."""
        return str(path.relative_to(CHECKOUT))

    def new_database(self) -> None:
        """Create an empty, migrated database. It is migrated once for each version of Airflow, then copied."""
        migrated = self.path / f"migrated-{version('apache-airflow')}.db"
        if not migrated.exists():
            self.database.unlink(missing_ok=True)
            if self.start("db", "migrate", environment=self.environment()).wait():
                raise self.complain("The database could not be made")
            self.database.rename(migrated)
        shutil.copyfile(migrated, self.database)

    def complain(self, what: str) -> SystemExit:
        """Return an error that points to Airflow's log, where the reason is."""
        return SystemExit(f"{what}. Airflow's log says why: {self.show(self.log)}")


def end_in_order() -> None:
    """Turn every signal that ends this process into an exception, so that ``finally`` blocks stop its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it for background jobs
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda number, _: sys.exit(128 + number))


def free_port(preferred: int = 0) -> int:
    """Return a free TCP port of this host, the preferred one if it is free."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no TCP port is free")
