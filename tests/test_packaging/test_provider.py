"""Airflow finds the provider, and shows its connection type."""

from __future__ import annotations

import json
from importlib.metadata import distribution, version
from importlib.resources import files

import jsonschema

from airflow_provider_supersim import __version__, get_provider_info


def test_the_provider_info_is_what_airflow_wants():
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text())

    jsonschema.validate(get_provider_info(), schema)


def test_the_provider_info_names_this_distribution_and_its_version():
    info = get_provider_info()

    assert distribution(info["package-name"]).version == info["versions"][0] == __version__


def test_every_module_that_the_provider_info_names_can_be_imported():
    info = get_provider_info()
    modules = [
        module
        for kind in ("hooks", "operators", "sensors", "triggers")
        for entry in info[kind]
        for module in entry["python-modules"]
    ]
    for module in modules:
        __import__(module)
    assert len(modules) >= 4


def test_airflow_describes_the_provider(airflow):
    shown = airflow("providers", "get", "airflow-provider-supersim", "--full", "--output", "json")

    (info,) = json.loads(shown.stdout)
    assert info["versions"][0] == version("airflow-provider-supersim")
    (connection_type,) = info["connection-types"]
    assert connection_type["connection-type"] == "supersim"
    assert connection_type["conn-fields"].keys() >= {"vendor", "auth_url", "timeout", "max_concurrency", "max_rate"}


def test_airflow_can_import_the_hook(airflow):
    shown = airflow("providers", "hooks", "--output", "json")

    (hook,) = [row for row in json.loads(shown.stdout) if row["connection_type"] == "supersim"]
    assert hook["class"] == "airflow_provider_supersim.hooks.supersim.SuperSimHook"
    assert hook["conn_id_attribute_name"] == "supersim_conn_id"


def test_the_connection_test_succeeds(airflow, supersim_connection, supersim_simulator):
    tested = airflow("connections", "test", supersim_connection)

    assert tested.returncode == 0, tested.stdout
    assert "Connection success!" in tested.stdout
    assert supersim_simulator.commands() == []


def test_the_connection_test_says_what_was_refused(airflow, supersim_simulator, monkeypatch):
    wrong = supersim_simulator.connection("kore") | {"password": "not-the-secret"}
    monkeypatch.setenv("AIRFLOW_CONN_SUPERSIM_DEFAULT", json.dumps(wrong))

    tested = airflow("connections", "test", "supersim_default")

    assert tested.returncode == 1
    assert "Connection failed!" in tested.stdout
    assert supersim_simulator.url in tested.stdout
    assert "answered 401" in tested.stdout
    assert "not-the-secret" not in tested.stdout + tested.stderr
