"""Whatever a user can name is in the documentation: a new parameter, field, error, option or message must be added."""

from __future__ import annotations

import inspect
import re

import msgspec
import pytest
from documentation import EXAMPLES
from messages import raised, returned, warned

from airflow_provider_supersim.api import errors
from airflow_provider_supersim.hooks import connection_form as form
from airflow_provider_supersim.hooks.supersim import SuperSimHook
from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator
from airflow_provider_supersim.sensors.ip_command import SuperSimIpCommandSensor
from airflow_provider_supersim.simulator.api import faults
from airflow_provider_supersim.simulator.process.command_line import main
from airflow_provider_supersim.simulator.world.behaviour import Behaviour
from airflow_provider_supersim.simulator.world.options import Options
from airflow_provider_supersim.triggers.ip_command import SuperSimIpCommandTrigger

CLASSES = [
    SuperSimIpCommandOperator,
    SuperSimRolloutOperator,
    SuperSimIpCommandSensor,
    SuperSimIpCommandTrigger,
    SuperSimHook,
]
GUIDES = {
    SuperSimIpCommandOperator: "one_command.md",
    SuperSimRolloutOperator: "rollouts.md",
    SuperSimIpCommandSensor: "sensor.md",
}


def parameters(kind: type) -> list[str]:
    """The names of what this class takes itself, without what it hands on."""
    own = inspect.signature(kind.__init__).parameters.values()
    return [one.name for one in own if one.name != "self" and one.kind is not one.VAR_KEYWORD]


def names_in_code(text: str) -> set[str]:
    """All names that stand in backticks, alone or with more around them: ``a``, ``a=1``, ``a/b``."""
    return {name for code in re.findall(r"`([^`\n]+)`", text) for name in re.findall(r"\w+", code)}


def first_cells(text: str) -> set[str]:
    """The names that tables have rows for."""
    return {name for cell in re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE) for name in names_in_code(cell)}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_parameter_is_in_the_docstring_and_none_is_that_does_not_exist(kind):
    documented = re.findall(r":param (\w+):", kind.__doc__)

    assert sorted(documented) == sorted(parameters(kind))


@pytest.mark.parametrize("kind", GUIDES, ids=lambda kind: kind.__name__)
def test_every_parameter_is_in_the_guide(kind, pages):
    assert [name for name in parameters(kind) if name not in names_in_code(pages[GUIDES[kind]])] == []


def test_every_field_of_the_connection_has_a_row(pages):
    rows = {
        name
        for row in re.findall(r"^\| (`[^|]+) \|", pages["connection.md"], re.MULTILINE)
        for name in names_in_code(row)
    }
    fields = {"login", "password", "host", "port", "schema", *form.EXTRA_FIELDS}

    assert fields - rows == set()


def test_no_field_of_the_connection_is_made_up(pages):
    extra = pages["connection.md"].partition("In *extra*")[2].partition("Plain `http://`")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", extra, re.MULTILINE)) == set(form.EXTRA_FIELDS)


def test_every_error_of_the_tree_is_explained(pages):
    tree = {
        kind.__name__
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.SuperSimError)
    }
    rows = set(re.findall(r"^\| `(\w+Error)` \|", pages["errors.md"], re.MULTILINE))

    assert tree - rows == {"SuperSimError", "ApiError"}  # the bases, which are never raised themselves
    assert rows <= tree
    assert tree <= names_in_code(pages["errors.md"])


def test_every_option_of_the_simulator_is_shown(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        main(["--help"])
    now = capsys.readouterr().out
    shown = (EXAMPLES / "simulator_help.txt").read_text()

    # Versions of Python break lines differently.
    assert now.partition("A Super SIM")[2].split() == shown.partition("A Super SIM")[2].split()
    assert {f"--{field.name.replace('_', '-')}" for field in msgspec.structs.fields(Options)} <= set(shown.split())


def test_every_fault_has_a_row_with_its_options(pages):
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)$", pages["simulator.md"].partition("## Faults")[2], re.MULTILINE))
    kinds = {kind.__struct_config__.tag: kind for kind in faults.Fault.__args__}
    shared = {field.name for field in msgspec.structs.fields(faults._Fault)}

    assert set(rows) == set(kinds)
    for name, kind in kinds.items():
        own = {field.name for field in msgspec.structs.fields(kind)} - shared
        assert own <= names_in_code(rows[name]), name
    assert shared <= names_in_code(pages["simulator.md"].partition("## Faults")[2])


def test_every_behaviour_of_a_device_has_a_row(pages):
    devices = pages["simulator.md"].partition("## Devices")[2].partition("## Faults")[0]

    assert first_cells(devices) == {field.name for field in msgspec.structs.fields(Behaviour)}


RAISED = (
    "AirflowException",
    "AirflowFailException",
    "AirflowTaskTimeout",
    "AirflowSensorTimeout",
    "LedgerTakenError",
)
ROOMS = ("operators", "sensors", "triggers", "tasks.py", "fleet.py", "ledgers.py", "delivery")
SAID = [
    *raised(*ROOMS, kinds=RAISED),
    *returned("delivery/outcome.py", "_sentence"),
    *warned(*ROOMS, "hooks", "api"),
]


def fragments(words: str) -> list[str]:
    """The parts between what differs, long enough to be found by."""
    return [part.strip() for part in re.split("…|[`'\"]", words) if len(part.strip()) > 5]


def test_messages_are_found_in_the_source():
    assert len([message for message in SAID if fragments(message.words)]) >= 12


@pytest.mark.parametrize("words", sorted({message.words for message in SAID if fragments(message.words)}))
def test_every_message_is_explained(pages, words):
    page = " ".join(re.sub("[`'\"]", " ", pages["errors.md"]).split())

    assert [part for part in fragments(words) if " ".join(part.split()) not in page] == []
