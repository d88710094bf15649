"""The version matrix: the tests that touch Airflow, on each supported Airflow and each Python that it supports itself.

``make matrix`` runs it. ``ONLY`` chooses sessions by tag: by Airflow, by name, or ``ends`` (the oldest and the newest).
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.envdir = ".venvs"
nox.options.reuse_venv = "yes"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False  # a session whose Python is missing is skipped, in CI too

#: Oldest first, each with its Pythons. ``constraints/`` says what is installed with it.
AIRFLOWS = {
    "2.11.2": ("3.11", "3.12"),
    "3.1.8": ("3.11", "3.12", "3.13"),
    "3.2.2": ("3.11", "3.12", "3.13"),
    "3.3.2": ("3.11", "3.12", "3.13"),
}
PAIRS = [(python, airflow) for airflow, pythons in AIRFLOWS.items() for python in pythons]
TESTS = (
    "tests/airflow",
    "tests/browser/test_the_connection_form.py",
    "tests/delivery/test_ledger_stores.py",
    "tests/simulator/test_hook.py",
    "tests/simulator/test_hook_test_connection.py",
    "tests/unit/test_account.py",
    "tests/unit/test_connection_form.py",
)

# pyenv's shims answer only for activated versions, so the folders of all its versions are searched too.
os.environ["PATH"] = os.pathsep.join(
    [os.environ["PATH"], *map(str, sorted(Path.home().glob(".pyenv/versions/3.*/bin")))]
)


def _pair(python: str, airflow: str) -> nox.param:
    name = f"{airflow}-py{python}"
    is_end = (python, airflow) in (PAIRS[0], PAIRS[-1])
    return nox.param(python, airflow, id=name, tags=[airflow, name, "ends"] if is_end else [airflow, name])


@nox.session
@nox.parametrize("python,airflow", [_pair(*pair) for pair in PAIRS])
def tests(session: nox.Session, airflow: str) -> None:
    """Install this package as ``scripts/install.sh`` does, and run the tests."""
    constraints = f"constraints/airflow-{airflow}.txt"
    session.install(
        "--system-certs", "--constraint", constraints, "--build-constraint", constraints, "--editable", ".[test]"
    )
    workers = ("--numprocesses", "2", "--dist", "loadfile")
    session.run("python", "-m", "pytest", "--quiet", *workers, *(session.posargs or TESTS))
