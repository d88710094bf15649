"""What is shipped: the package with its types and its licence, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest


@pytest.fixture(scope="module")
def built(checkout, tmp_path_factory) -> Path:
    """Return a folder with the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", folder], cwd=checkout, check=True, timeout=120
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

    assert names >= {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "constraints.txt", "tests/conftest.py"}
    assert "dags_examples/nightly_reconfiguration.py" in names
