"""``lint-imports`` finds imports against the design's arrows: each test breaks one in a copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = "airflow_provider_supersim"


@pytest.fixture
def copy(checkout, tmp_path) -> Path:
    """Return a folder with a copy of the package and of the contracts."""
    shutil.copytree(checkout / PACKAGE, tmp_path / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(checkout / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_the_arrows_are_kept(copy):
    shown = lint_imports(copy)

    assert shown.returncode == 0, shown.stdout


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("api/models.py", "import airflow", "api and delivery know nothing of Airflow"),
        ("delivery/waiting/watcher.py", "from airflow.sdk import BaseHook", "api and delivery know nothing of Airflow"),
        ("delivery/waiting/watcher.py", "import httpx", "HTTP is spoken in api alone"),
        ("hooks/supersim.py", "import aiohttp", "HTTP is spoken in api alone"),
        ("api/models.py", f"from {PACKAGE} import delivery", "arrows run one way"),
        ("hooks/supersim.py", f"from {PACKAGE}.operators import ip_command", "arrows run one way"),
        ("delivery/state/states.py", f"from {PACKAGE}.delivery.state import counts", "no import circle anywhere"),
        ("delivery/state/states.py", f"from {PACKAGE}.delivery.once import ledger", "inside delivery too"),
        ("simulator/world/world.py", f"from {PACKAGE}.api import models", "the simulator shares no code with the rest"),
        (
            "simulator/world/world.py",
            f"from {PACKAGE}.simulator.api import paging",
            "inside the simulator too, arrows run one way",
        ),
        ("simulator/world/world.py", "import httpx", "the simulator shares no code with the rest"),
        ("hooks/supersim.py", f"from {PACKAGE} import testing", "nor the rest with the simulator"),
    ],
)
def test_an_arrow_that_runs_the_wrong_way_fails(copy, module, line, broken):
    with (copy / PACKAGE / module).open("a") as source:
        source.write(f"\n{line}\n")

    shown = lint_imports(copy)

    assert shown.returncode == 1
    assert [words for words in shown.stdout.splitlines() if words.startswith(broken) and words.endswith("BROKEN")]


def test_a_new_room_needs_a_place(copy):
    (copy / PACKAGE / "attic.py").touch()

    shown = lint_imports(copy)

    assert shown.returncode == 1
    assert f"{PACKAGE}.attic" in shown.stdout
