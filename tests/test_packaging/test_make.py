"""What ``make`` calls: the errors of the set-up, the demo, and ``make up`` with a real Airflow."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

open_url = build_opener(ProxyHandler({})).open


def run(*command: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        check=False,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


def interpreter(folder: Path, script: str) -> str:
    """Put a ``python3`` into a folder, and return the folder as a PATH."""
    (folder / "python3").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "python3").chmod(0o755)
    return str(folder)


def test_make_alone_lists_its_targets(checkout):
    shown = run("make", cwd=checkout)

    assert shown.returncode == 0
    assert re.findall(r"^make ([a-z]+) ", shown.stdout, re.MULTILINE)[:4] == ["help", "demo", "up", "test"]


def test_a_machine_without_a_python_is_told_what_to_install(checkout, tmp_path):
    shown = run(
        "/bin/sh",
        "scripts/install.sh",
        tmp_path / ".venv",
        "none.txt",
        "dev",
        cwd=checkout,
        PATH=str(tmp_path),
        PYTHON="",
    )

    assert shown.returncode == 1
    assert "No Python 3.11 or newer was found. Install one" in shown.stderr
    assert not (tmp_path / ".venv").exists()


def test_a_python_that_is_too_old_is_not_used(checkout, tmp_path):
    too_old = interpreter(tmp_path, "exit 1")  # as it answers the question for its version

    shown = run(
        "/bin/sh", "scripts/install.sh", tmp_path / ".venv", "none.txt", "dev", cwd=checkout, PATH=too_old, PYTHON=""
    )
    chosen = run(
        "/bin/sh",
        "scripts/install.sh",
        tmp_path / ".venv",
        "none.txt",
        "dev",
        cwd=checkout,
        PYTHON=f"{too_old}/python3",
    )

    assert "No Python 3.11 or newer was found" in shown.stderr
    assert f"PYTHON={too_old}/python3 is no Python 3.11 or newer." in chosen.stderr


def test_a_python_without_venv_is_told_what_to_install(checkout, tmp_path):
    without = interpreter(tmp_path, 'case "$2" in *ensurepip*) exit 1;; esac')

    shown = run(
        "/bin/sh", "scripts/install.sh", tmp_path / ".venv", "none.txt", "dev", cwd=checkout, PATH=without, PYTHON=""
    )

    assert shown.returncode == 1
    assert "cannot make virtual environments" in shown.stderr
    assert "apt-get install python3-venv" in shown.stderr


@pytest.fixture(scope="module")
def demo(checkout) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "scripts.demo", "--devices", "20", cwd=checkout)


def test_the_demo_shows_what_every_device_received(demo):
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert demo.stderr == ""
    rows = [line for line in demo.stdout.splitlines() if re.match(r"device-\d{4} ", line)]
    assert len(rows) == 20
    (failed,) = [row for row in rows if " failed " in row]
    assert failed.startswith("device-0007")
    assert failed.endswith("nothing")
    assert "19 sent, 1 failed (device-0007). Every device that was reached received its own" in demo.stdout


def test_the_readme_shows_what_the_demo_prints(demo, checkout):
    readme = (checkout / "README.md").read_text()
    (shown,) = re.findall(r"\$ make demo\n(.*?)```", readme, re.DOTALL)
    # What differs from run to run, and between 200 devices and the 20 of this one.
    changing = r"127\.0\.0\.1:\d+|after \d+ s|\d+ devices|\d+ sent|device-0200.*\n|Wave.*\n|⋮\n"

    printed = set(re.sub(changing, "", demo.stdout).splitlines())

    assert set(re.sub(changing, "", shown).splitlines()) <= printed


def test_the_demo_fails_when_a_device_did_not_get_its_own(checkout, monkeypatch, capsys):
    monkeypatch.syspath_prepend(checkout)
    from scripts.demo import Row, conclude

    good = Row("device-0001", "a", 1, "sent", ["a"])
    offline = Row("device-0007", "g", 2, "failed", [])

    assert conclude([good, offline], 2) == 0
    for bad in (
        good._replace(received=[]),
        good._replace(received=["a", "a"]),
        good._replace(received=["b"]),
        good._replace(status="failed", received=[]),
        good._replace(attempts=2),
    ):
        assert conclude([bad, offline], 2) == 1
        assert "That is not what should have happened: device-0001." in capsys.readouterr().out
    assert conclude([good, offline._replace(received=["g"])], 2) == 1
    assert conclude([good, offline], 3) == 1


@contextmanager
def up(checkout: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run ``make up``'s script, and give what it printed until it said that all is ready."""
    process = subprocess.Popen(
        [sys.executable, "-um", "scripts.up"], cwd=checkout, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    printed = ""
    try:
        for line in process.stdout:
            printed += line
            if line.startswith("Ctrl-C"):
                break
        yield process, printed
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.stdout.close()
        process.wait(600)


def test_up_brings_airflow_with_everything_in_place_and_takes_all_of_it_down(checkout, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(checkout)
    from scripts.airflow_api import AirflowApi

    # In a copy, because an Airflow that was up yesterday would run the night that has fallen due since.
    for folder in ("scripts", "dags_examples"):
        shutil.copytree(checkout / folder, tmp_path / folder)
    with up(tmp_path) as (process, printed):
        url, password = re.search(r"^Airflow +(\S+) +user admin, password (\S+)$", printed, re.MULTILINE).groups()
        (simulator,) = re.findall(r"^Simulator +(\S+)", printed, re.MULTILINE)
        api = AirflowApi(url)
        api.sign_in("admin", password)

        tested = api.call("POST", "/api/v2/connections/test", api.call("GET", "/api/v2/connections/supersim_default"))
        for dag_id in ("send_one_command", "nightly_reconfiguration"):
            api.call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
        state = run_to_the_end(api, "send_one_command")
        nights = api.call("GET", "/api/v2/dags/nightly_reconfiguration/dagRuns")["total_entries"]
        with open_url(f"{simulator}datagrams") as reply:
            datagrams = json.load(reply)["datagrams"]
        session = processes_below(process.pid)

        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the script and to the simulator
        process.wait(600)

    assert tested["status"] is True
    assert state == "success"
    assert [(datagram["sim_name"], datagram["text"]) for datagram in datagrams] == [("device-0001", "report_every=900")]
    assert nights == 0, "to unpause the nightly example must send nothing"
    assert process.returncode == 0
    assert len(session) >= 5  # the simulator, and Airflow's four parts at least
    assert [pid for pid in session if alive(pid)] == []


def run_to_the_end(api: object, dag_id: str) -> str:
    run_id = api.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None})["dag_run_id"]
    deadline = time.monotonic() + 600
    while (state := api.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"]) not in ("success", "failed"):
        assert time.monotonic() < deadline, f"still {state}"
        time.sleep(0.5)
    return state


def processes_below(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that they have."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
    children: dict[int, list[int]] = {}
    for child, parent in (map(int, line.split()) for line in listed.splitlines()):
        children.setdefault(parent, []).append(child)
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def alive(pid: int) -> bool:
    """Return whether a process still runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
