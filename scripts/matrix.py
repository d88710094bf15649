"""``make matrix``: the tests that touch Airflow, on several Airflows and on each Python that is there."""
# ruff: noqa: T201  # it is here to print

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

CHECKOUT = Path(__file__).resolve().parents[1]
VENVS = CHECKOUT / ".venvs"

#: Oldest first; each with the Pythons that it supports itself. ``constraints/`` says what is installed with it.
AIRFLOWS = {
    "2.11.2": ("3.11", "3.12"),
    "3.1.8": ("3.11", "3.12", "3.13"),
    "3.2.2": ("3.11", "3.12", "3.13"),
    "3.3.2": ("3.11", "3.12", "3.13"),
}
TESTS = (
    "tests/airflow",
    "tests/delivery/test_ledger_stores.py",
    "tests/simulator/test_hook.py",
    "tests/simulator/test_hook_test_connection.py",
    "tests/unit/test_account.py",
    "tests/unit/test_connection_form.py",
)
PATIENCE = 1200  # seconds for the tests of one cell


class Cell(NamedTuple):
    """One Airflow on one Python."""

    airflow: str
    python: str

    @property
    def name(self) -> str:
        """What ``ONLY`` calls it."""
        return f"{self.airflow}-py{self.python}"


class Result(NamedTuple):
    """How the tests of a cell went."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0


def main() -> int:
    """Run the cells that the command line names: ``ends``, Airflows, or single cells; all without any.

    :return: exit code: 0 if every test passed or was skipped
    """
    cells = [Cell(airflow, python) for airflow, pythons in AIRFLOWS.items() for python in pythons]
    there = {python: path for python in sorted({cell.python for cell in cells}) if (path := find_python(python))}
    for cell in cells:
        if cell.python not in there:
            print(f"Skipped {cell.name}: there is no python{cell.python} on PATH or in ~/.pyenv")
    wanted = choose([cell for cell in cells if cell.python in there], sys.argv[1:])
    if not wanted:
        print(f"Nothing to run: {' '.join(sys.argv[1:])} names none of {', '.join(cell.name for cell in cells)}")
        return 2
    results = {cell: run(cell, there[cell.python]) for cell in wanted}
    print_table(results)
    return 0 if all(result.passed and not result.failed for result in results.values()) else 1


def choose(cells: list[Cell], only: list[str]) -> list[Cell]:
    """Return the cells that are named, by Airflow or in full; ``ends`` are the oldest pair and the newest one."""
    if only == ["ends"]:
        return [cells[0], cells[-1]]
    return [cell for cell in cells if not only or {cell.airflow, cell.name} & set(only)]


def find_python(version: str) -> str | None:
    """Return the path of an interpreter: from PATH, else from pyenv."""
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for path in (shutil.which(f"python{version}"), *map(str, pyenv)):
        # A shim of pyenv may be there without the version behind it.
        if path and subprocess.run([path, "-c", "import venv"], check=False, capture_output=True).returncode == 0:  # noqa: S603
            return path
    return None


def run(cell: Cell, python: str) -> Result:
    """Set the cell's environment up and run its tests there."""
    print(f"\n--- Airflow {cell.airflow} on Python {cell.python}")
    venv = VENVS / cell.name
    if not set_up(venv, CHECKOUT / "constraints" / f"airflow-{cell.airflow}.txt", python):
        return Result(failed=1)
    report = venv / "tests.xml"
    report.unlink(missing_ok=True)
    began = time.monotonic()
    command = [str(venv / "bin" / "python"), "-m", "pytest", "--quiet", "--numprocesses", "2", "--dist", "loadfile"]
    command += ["--override-ini", f"cache_dir={venv / 'pytest_cache'}", f"--junit-xml={report}"]
    with (venv / "tests.log").open("w") as log:
        try:
            subprocess.run(  # noqa: S603  # pytest
                [*command, *TESTS], check=False, cwd=CHECKOUT, stdout=log, stderr=log, timeout=PATIENCE
            )
        except subprocess.TimeoutExpired:
            print(f"The tests did not end within {PATIENCE} s", file=log)
    result = read(report, time.monotonic() - began)
    for line in (venv / "tests.log").read_text().splitlines():
        if result.failed and line.startswith(("FAILED tests", "ERROR tests", "The tests did not")):
            print(line)
    print(f"{result.passed} passed, {result.failed} failed, {result.skipped} skipped; {(venv / 'tests.log')}")
    return result


def set_up(venv: Path, constraints: Path, python: str) -> bool:
    """Make the virtual environment, unless it is there and what it is made from is the same."""
    sources = (constraints, CHECKOUT / "pyproject.toml", CHECKOUT / "scripts" / "install.sh")
    stamp = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    made = venv / "made"
    if made.exists() and made.read_text() == stamp:
        return True
    made.unlink(missing_ok=True)
    command = ["sh", str(CHECKOUT / "scripts" / "install.sh"), str(venv), str(constraints), "test"]
    done = subprocess.run(command, cwd=CHECKOUT, env={**os.environ, "PYTHON": python}, check=False)  # noqa: S603
    if done.returncode:
        print(f"{venv.name} could not be set up (above).")
        return False
    made.write_text(stamp)
    return True


def read(report: Path, seconds: float) -> Result:
    """Read pytest's report; there is none where pytest did not come to its end."""
    if not report.exists():
        return Result(failed=1, seconds=seconds)
    suites = ET.parse(report).getroot().findall("testsuite")  # noqa: S314  # pytest wrote it
    count = {
        name: sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    }
    failed = count["failures"] + count["errors"]
    return Result(count["tests"] - failed - count["skipped"], failed, count["skipped"], seconds)


def print_table(results: dict[Cell, Result]) -> None:
    """Show all cells in one table."""
    print(f"\n{'AIRFLOW':<8} {'PYTHON':<7} {'PASSED':>6} {'FAILED':>6} {'SKIPPED':>7} {'SECONDS':>7}")
    for cell, result in results.items():
        passed, failed, skipped, seconds = result
        print(f"{cell.airflow:<8} {cell.python:<7} {passed:>6} {failed:>6} {skipped:>7} {seconds:>7.0f}")


if __name__ == "__main__":
    sys.exit(main())
