"""``make docs``: no warning, no network, every parameter in the reference, every code an address."""

from __future__ import annotations

import inspect
import re

import pytest
from bs4 import BeautifulSoup

from airflow_provider_supersim import exceptions
from airflow_provider_supersim.hooks.supersim import SuperSimHook
from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator
from airflow_provider_supersim.sensors.ip_command import SuperSimIpCommandSensor
from airflow_provider_supersim.triggers.ip_command import SuperSimIpCommandTrigger

CLASSES = [
    SuperSimIpCommandOperator,
    SuperSimRolloutOperator,
    SuperSimIpCommandSensor,
    SuperSimIpCommandTrigger,
    SuperSimHook,
]


def test_pages_and_pictures_are_there(built):
    assert (built / "index.html").exists()
    assert (built / "_images" / "command.svg").exists()


def test_what_is_shown_comes_from_nowhere_else(built):
    loaded = {
        address
        for page in built.rglob("*.html")
        for address in re.findall(r"<(?:script|link|img)\b[^>]*\b(?:src|href)=\"(https?://[^\"]+)\"", page.read_text())
    }

    assert loaded == set()


def test_a_code_is_the_address_of_its_section(built):
    page = BeautifulSoup((built / "errors.html").read_text(), "html.parser")
    codes = {kind.code for kind in vars(exceptions).values() if inspect.isclass(kind) and hasattr(kind, "code")}

    assert "rollout-halted" in codes
    assert [code for code in codes if page.find(id=code) is None] == []


def test_every_error_of_a_task_is_there(built):
    page = BeautifulSoup((built / "api.html").read_text(), "html.parser")
    kinds = [name for name, kind in vars(exceptions).items() if getattr(kind, "__module__", "") == exceptions.__name__]

    assert "RolloutHaltedError" in kinds
    assert [name for name in kinds if page.find(id=f"{exceptions.__name__}.{name}") is None] == []


def test_every_method_of_the_hook_is_there(built):
    page = BeautifulSoup((built / "api.html").read_text(), "html.parser")
    methods = {name for name, value in vars(SuperSimHook).items() if inspect.isfunction(value) and name[0] != "_"}

    missing = [name for name in methods if page.find(id=f"{SuperSimHook.__module__}.SuperSimHook.{name}") is None]

    assert missing == []


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_parameter_is_there(kind, built):
    page = BeautifulSoup((built / "api.html").read_text(), "html.parser")
    entry = page.find(id=f"{kind.__module__}.{kind.__qualname__}").find_parent("dl")
    shown = {strong.get_text() for strong in entry.select("dl.field-list strong")}
    taken = [
        one.name for one in inspect.signature(kind.__init__).parameters.values() if one.kind is not one.VAR_KEYWORD
    ]

    assert set(taken) - {"self"} <= shown
