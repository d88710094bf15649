"""``make matrix``: ``ONLY`` chooses its sessions, and each of them has something to run."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version

import pytest


@pytest.fixture
def nox(checkout):
    """Return a function that calls nox as ``make matrix`` does."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "nox", *arguments], cwd=checkout, check=False, capture_output=True, text=True
        )

    return call


def names(airflow: str, *pythons: str) -> list[str]:
    return [f"tests({airflow}-py{python})" for python in pythons]


@pytest.mark.parametrize(
    ("only", "sessions"),
    [
        (["ends"], [*names("2.11.2", "3.11"), *names("3.3.2", "3.13")]),
        (["2.11.2"], names("2.11.2", "3.11", "3.12")),
        (["3.3.2-py3.12"], names("3.3.2", "3.12")),
        (["2.11.2", "3.3.2-py3.12"], [*names("2.11.2", "3.11", "3.12"), *names("3.3.2", "3.12")]),
    ],
)
def test_only_chooses_by_airflow_and_by_name(nox, only, sessions):
    listed = json.loads(nox("--list", "--json", "--tags", *only).stdout)

    assert [session["session"] for session in listed] == sessions


def test_without_only_every_airflow_runs_on_each_of_its_pythons(nox):
    sessions = [session["session"] for session in json.loads(nox("--list", "--json").stdout)]

    assert len(sessions) == len(set(sessions)) == 11
    assert set(sessions) >= set(names(version("apache-airflow"), "3.11", "3.12", "3.13"))


def test_a_name_that_chooses_nothing_is_an_error(nox):
    assert nox("--tags", "1.10").returncode != 0


def test_every_file_that_it_runs_is_there(checkout, monkeypatch):
    monkeypatch.syspath_prepend(checkout)
    from noxfile import TESTS

    assert [path for path in TESTS if not (checkout / path).exists()] == []
