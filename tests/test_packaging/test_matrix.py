"""``make matrix``: which cells it runs, how it reads what pytest reports, and that it fails where a test did."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.fixture
def matrix(checkout, monkeypatch):
    monkeypatch.syspath_prepend(checkout)
    from scripts import matrix

    return matrix


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ([], ["2.11.2-py3.11", "2.11.2-py3.12", "3.3.2-py3.11", "3.3.2-py3.13"]),
        (["ends"], ["2.11.2-py3.11", "3.3.2-py3.13"]),
        (["2.11.2"], ["2.11.2-py3.11", "2.11.2-py3.12"]),
        (["3.3.2-py3.11", "2.11.2-py3.12"], ["2.11.2-py3.12", "3.3.2-py3.11"]),
        (["2.10"], []),
    ],
)
def test_the_cells_that_are_named_are_chosen(matrix, only, names):
    pairs = [("2.11.2", "3.11"), ("2.11.2", "3.12"), ("3.3.2", "3.11"), ("3.3.2", "3.13")]

    assert [cell.name for cell in matrix.choose([matrix.Cell(*pair) for pair in pairs], only)] == names


def test_a_name_of_nothing_is_an_error(checkout):
    shown = subprocess.run(
        [sys.executable, "-m", "scripts.matrix", "1.10"], cwd=checkout, check=False, capture_output=True, text=True
    )

    assert shown.returncode == 2
    assert "1.10 names none of 2.11.2-py3.11, " in shown.stdout


def test_tests_that_failed_and_tests_that_did_not_run_are_counted(matrix, tmp_path):
    report = tmp_path / "tests.xml"
    assert matrix.read(report, 7) == matrix.Result(failed=1, seconds=7)

    report.write_text('<testsuites><testsuite tests="9" failures="2" errors="1" skipped="3"/></testsuites>')
    assert matrix.read(report, 7) == matrix.Result(passed=3, failed=3, skipped=3, seconds=7)


def test_every_file_that_it_runs_is_there(checkout, matrix):
    assert [path for path in matrix.TESTS if not (checkout / path).exists()] == []
