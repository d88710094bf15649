"""The files in ``constraints/`` give every package that is installed an exact version, and name no package index."""

from __future__ import annotations

import re
import subprocess
from importlib.metadata import distributions, version

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@pytest.fixture(params=["2.11.2", "3.1.8", "3.2.2", version("apache-airflow")])
def airflow_version(request) -> str:
    return request.param


@pytest.fixture
def pins(checkout, airflow_version) -> list[Requirement]:
    lines = (checkout / "constraints" / f"airflow-{airflow_version}.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_every_pin_is_exact_and_from_no_address(pins):
    for pin in pins:
        assert pin.url is None
        assert [specifier.operator for specifier in pin.specifier] == ["=="]
        assert not str(pin.specifier).endswith(".*")


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_no_package_is_pinned_twice_for_one_python(pins, python):
    here = {"python_version": python, "python_full_version": f"{python}.2"}
    names = [pin.name for pin in pins if (pin.marker or Marker("python_version > '3'")).evaluate(here)]

    assert len(names) == len(set(names))


def test_everything_that_builds_and_installs_is_pinned(pins):
    names = {pin.name for pin in pins}

    assert names >= {"apache-airflow", "editables", "hatchling", "pytest", "uv"}


@pytest.mark.parametrize("airflow_version", [version("apache-airflow")], indirect=True)
def test_every_requirement_of_the_installed_package_is_pinned(pins):
    wanted, pinned = {"airflow-provider-supersim"}, {canonicalize_name(pin.name) for pin in pins}
    installed = {canonicalize_name(found.name): found for found in distributions()}
    todo = [("airflow-provider-supersim", extra) for extra in ("", "dev", "simulator")]
    while todo:
        name, extra = todo.pop()
        for text in installed[name].requires or []:
            needed = Requirement(text)
            if needed.marker and not needed.marker.evaluate({"extra": extra}):
                continue
            found = canonicalize_name(needed.name)
            todo += [(found, more) for more in ("", *needed.extras) if found not in wanted]
            wanted.add(found)

    assert wanted - pinned == {"airflow-provider-supersim"}


def test_airflow_is_the_one_that_the_file_is_named_after(pins, airflow_version):
    (pin,) = [pin for pin in pins if pin.name == "apache-airflow"]

    assert pin.specifier.contains(airflow_version)


def test_every_airflow_of_the_matrix_has_its_file_and_the_other_way_round(checkout, monkeypatch):
    monkeypatch.syspath_prepend(checkout)
    from noxfile import AIRFLOWS

    files = {path.stem.removeprefix("airflow-") for path in (checkout / "constraints").iterdir()}
    makefile = (checkout / "Makefile").read_text()
    made = set(" ".join(re.findall(r"^(?:AIRFLOW|OLDER) := (.*)$", makefile, re.MULTILINE)).split())

    assert files == set(AIRFLOWS) == made


def test_no_file_names_a_package_index(checkout):
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    files = [checkout / name for name in listed if name]
    # Written so that this file does not find itself.
    address = re.compile(r"(?i)py[p]i\.(org|python)|pythonhoste[d]|index[-_]ur[l]|find[-_]link[s]|/simpl[e]/")

    found = {file.name for file in files if file.is_file() and address.search(file.read_text(errors="replace"))}

    assert len(files) > 50
    assert found == set()
