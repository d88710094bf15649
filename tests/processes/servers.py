"""PostgreSQL and Redis from Debian's packages, each for as long as a test needs it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2

PATIENCE = 600.0  # seconds for what takes some on a quiet machine; it only ends a test that hangs
#: The data is thrown away after the test, so PostgreSQL need not wait for the disk.
POSTGRES_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


def missing_packages() -> list[str]:
    """Return those of Debian's packages that have to be installed first."""
    programs = {"postgresql": _postgres_programs(), "redis-server": shutil.which("redis-server")}
    return [package for package, found in programs.items() if not found]


@contextmanager
def run_postgres() -> Iterator[str]:
    """Run a PostgreSQL, and yield what follows ``postgresql://``: a superuser without a password, and a database."""
    programs = _postgres_programs()
    if programs is None:
        raise RuntimeError("PostgreSQL is not installed")
    # It refuses to run as root. Its user must be able to enter the folder, so it is not one of pytest's folders.
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="supersim-postgres-") as folder:
        if user:
            shutil.chown(folder, user)
        log, port = Path(folder) / "log", free_port()

        def run(program: str, *arguments: str) -> None:
            command = [programs / program, f"--pgdata={folder}/data", *arguments]
            with log.open("ab") as output:
                done = subprocess.run(
                    command, cwd=folder, user=user, extra_groups=user and [], timeout=PATIENCE, check=False,
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                )  # fmt: skip
            if done.returncode:
                raise RuntimeError(f"{program} ended with {done.returncode}:\n{log.read_text()}")

        run("initdb", "--username=airflow", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        settings = " ".join(f"-c {name}={value}" for name, value in POSTGRES_SETTINGS.items())
        run(
            "pg_ctl",
            "start",
            "--wait",
            f"--log={folder}/server.log",
            f"--options=-h 127.0.0.1 -p {port} -k {folder} {settings}",
        )
        try:
            yield f"airflow@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "stop", "--wait", "--mode=immediate")


def end_sessions(database: str, application: str) -> None:
    """End the sessions of one application, by the name that it had in ``PGAPPNAME``.

    :param database: URL, as SQLAlchemy takes it
    """
    connection = psycopg2.connect(database.replace("+psycopg2", ""))
    with closing(connection), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = %s", [application]
        )


@contextmanager
def run_redis() -> Iterator[str]:
    """Run a Redis that keeps nothing, and yield its URL."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


def free_port() -> int:
    """Return a free TCP port of this host."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _postgres_programs() -> Path | None:
    """Return the folder of the newest server's programs, which Debian keeps out of PATH."""
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in found), key=lambda folder: int(folder.parent.name), default=None)
