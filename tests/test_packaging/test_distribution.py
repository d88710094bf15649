"""What is shipped: the package with its types and its licence, nothing else. It works in an empty environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest


@pytest.fixture(scope="module")
def built(checkout, tmp_path_factory) -> Path:
    """Return a folder with the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", folder], cwd=checkout, check=True, timeout=600
    )
    return folder


@pytest.fixture
def wheel(built) -> ZipFile:
    (path,) = built.glob("*.whl")
    with ZipFile(path) as wheel:
        yield wheel


def test_the_wheel_holds_the_package_alone(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}

    assert {top.partition("-")[0] for top in tops} == {"airflow_provider_supersim"}
    assert len(tops) == 2  # the package and its .dist-info


def test_the_wheel_has_types_licence_and_entry_points(wheel):
    names = wheel.namelist()
    (entry_points,) = [name for name in names if name.endswith(".dist-info/entry_points.txt")]

    assert "airflow_provider_supersim/py.typed" in names
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
    assert "[apache_airflow_provider]" in wheel.read(entry_points).decode()
    assert "supersim-simulator = " in wheel.read(entry_points).decode()


def test_every_module_is_in_the_wheel(checkout, wheel):
    modules = {str(path.relative_to(checkout)) for path in (checkout / "airflow_provider_supersim").rglob("*.py")}

    assert modules <= set(wheel.namelist())


def test_the_description_is_the_readme(checkout, wheel):
    (metadata,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]

    assert (checkout / "README.md").read_text() in wheel.read(metadata).decode()


def test_the_source_distribution_can_be_tested(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert names >= {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "CONTRIBUTING.md", "tests/conftest.py"}
    assert "dags_examples/nightly_reconfiguration.py" in names


@pytest.fixture(scope="module")
def unpacked(built, tmp_path_factory) -> Path:
    """Return the folder with what is in the source distribution."""
    (path,) = built.glob("*.tar.gz")
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(path) as archive:
        # Python 3.11 before 3.11.4 knows no filters; newer ones want to be told.
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (top,) = folder.iterdir()
    return top


def test_the_source_distribution_builds_the_same_wheel(built, unpacked):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel"], cwd=unpacked, check=True, timeout=600
    )
    (first,), (second,) = built.glob("*.whl"), unpacked.glob("dist/*.whl")

    with ZipFile(first) as one, ZipFile(second) as other:
        assert [(info.filename, info.CRC) for info in one.infolist()] == [
            (info.filename, info.CRC) for info in other.infolist()
        ]


def test_the_tests_of_the_source_distribution_can_be_collected(unpacked):
    collected = run(sys.executable, "-m", "pytest", "--collect-only", "--quiet", "tests/unit", cwd=unpacked)

    assert collected.returncode == 0, collected.stdout + collected.stderr
    assert "tests/unit/test_connection_form.py::test_the_connection_type_is_the_hooks" in collected.stdout


def test_twine_finds_nothing_wrong(built):
    shown = run(sys.executable, "-m", "twine", "check", "--strict", *built.iterdir(), cwd=built)

    assert shown.returncode == 0, shown.stdout
    assert shown.stdout.count("PASSED") == 2


@pytest.fixture(scope="module")
def installed(checkout, built, tmp_path_factory) -> Path:
    """Return the folder with the programs of an environment where the wheel and what it needs are installed."""
    folder = tmp_path_factory.mktemp("empty")
    (wheel,) = built.glob("*.whl")
    uv = Path(sys.executable).parent / "uv"
    constraints = checkout / "constraints" / f"airflow-{version('apache-airflow')}.txt"
    run(uv, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    install = (uv, "pip", "install", "--quiet", "--system-certs", "--python", folder / "venv" / "bin" / "python")
    done = run(*install, "--constraint", constraints, f"{wheel}[simulator]", cwd=folder)
    if done.returncode and "error sending request" in done.stderr.lower():
        pytest.skip("there is neither a package index that answers nor a cache with all packages")
    assert done.returncode == 0, done.stderr
    return folder / "venv" / "bin"


SMOKE = """
import importlib, json, sys
import airflow_provider_supersim
from airflow.models.connection import Connection
from airflow.providers_manager import ProvidersManager
from airflow_provider_supersim.hooks.supersim import SuperSimHook
from airflow_provider_supersim.simulator import run_simulator

info = airflow_provider_supersim.get_provider_info()
for kind in ("hooks", "operators", "sensors", "triggers"):
    for entry in info[kind]:
        for module in entry["python-modules"]:
            importlib.import_module(module)
provider = ProvidersManager().providers["airflow-provider-supersim"]
with run_simulator(sims=1) as simulator:
    import os
    os.environ["AIRFLOW_CONN_SUPERSIM_DEFAULT"] = simulator.connection_json()
    hook = SuperSimHook()
    hook.send_ip_command("device-0001", {"report_every": 900}, 4000)
    simulator.advance(60)
    received = [datagram["text"] for datagram in simulator.datagrams("device-0001")]
    hook.close()
print(json.dumps({"from": airflow_provider_supersim.__file__, "version": provider.version, "received": received}))
"""


def test_the_wheel_works_in_an_empty_environment(installed, tmp_path):
    shown = run(installed / "python", "-W", "ignore", "-c", SMOKE, cwd=tmp_path, AIRFLOW_HOME=str(tmp_path))
    assert shown.returncode == 0, shown.stderr
    seen = json.loads(shown.stdout.splitlines()[-1])

    assert Path(seen["from"]).is_relative_to(installed.parent)
    assert seen["version"] == version("airflow-provider-supersim")
    assert seen["received"] == ['{"report_every":900}']


def test_the_simulators_program_is_installed(installed, tmp_path):
    shown = run(installed / "supersim-simulator", "--help", cwd=tmp_path)

    assert shown.returncode == 0, shown.stderr
    assert "--sims" in shown.stdout


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
