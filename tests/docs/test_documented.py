"""Every name that users see is documented: parameters, fields, errors, codes, options. A new one must be added."""

from __future__ import annotations

import inspect
import re

import msgspec
import pytest
from documentation import EXAMPLES
from messages import logged, raised, sources

from airflow_provider_supersim.api import errors
from airflow_provider_supersim.exceptions import SuperSimTaskError
from airflow_provider_supersim.hooks import connection_form as form
from airflow_provider_supersim.hooks.supersim import SuperSimHook
from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator
from airflow_provider_supersim.sensors.ip_command import SuperSimIpCommandSensor
from airflow_provider_supersim.simulator.api import faults
from airflow_provider_supersim.simulator.api.vendors import options_with_vendors
from airflow_provider_supersim.simulator.process.command_line import main
from airflow_provider_supersim.simulator.world.behaviour import Behaviour
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
    """All names in backticks, alone or with more around them: ``a``, ``a=1``, ``a/b``."""
    return {name for code in re.findall(r"`([^`\n]+)`", text) for name in re.findall(r"\w+", code)}


def first_cells(text: str) -> set[str]:
    """The names that tables have rows for."""
    return {name for cell in re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE) for name in names_in_code(cell)}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_docstring_has_exactly_the_parameters(kind):
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


def test_every_documented_field_of_extra_exists(pages):
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
    assert {f"--{field.name.replace('_', '-')}" for field in msgspec.structs.fields(options_with_vendors())} <= set(
        shown.split()
    )


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


def task_errors() -> list[type[SuperSimTaskError]]:
    """Every class that a task of this provider can fail with."""

    def below(kind: type) -> set[type]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    return sorted(below(SuperSimTaskError) - {SuperSimTaskError}, key=lambda kind: kind.__name__)


def sections(page: str) -> dict[str, str]:
    """The sections of a page that have a target, such as ``(rollout-halted)=``, by its name."""
    parts = re.split(r"^\(([\w-]+)\)=\n(?=#)", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def code_at_the_end(words: str) -> str | None:
    """The code of a message: ``rollout-halted`` of ``… [rollout-halted]``."""
    found = re.search(r"\[([a-z]+(?:-[a-z]+)*)\]$", words)
    return found[1] if found else None


@pytest.mark.parametrize("kind", task_errors(), ids=lambda kind: kind.__name__)
def test_every_error_of_a_task_has_a_section(pages, kind):
    section = sections(pages["errors.md"])[kind.code]

    assert f"[{kind.code}]" in section.partition("\n")[0]
    assert kind.__name__ in names_in_code(section)
    assert "**You**" in section


def test_every_error_of_a_task_is_in_the_triage_table(pages):
    table = pages["errors.md"].partition("## Find your case")[2].partition("\n## ")[0]

    assert {kind.code for kind in task_errors()} <= set(re.findall(r"\(#([\w-]+)\)", table))


def test_no_code_is_explained_that_does_not_exist(pages):
    said = {kind.code for kind in task_errors()} | {
        code_at_the_end(message.words) for where, source in sources() for message in logged(source, where)
    }
    explained = set(re.findall(r"^### `\[([\w-]+)\]`", pages["errors.md"], re.MULTILINE))

    assert explained - said == set()


def test_every_warning_ends_in_a_code_that_has_a_section(pages):
    explained = sections(pages["errors.md"])
    warnings = [message for where, source in sources() for message in logged(source, where)]

    assert len(warnings) >= 7
    assert [message for message in warnings if code_at_the_end(message.words) not in explained] == []


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        ("log.warning('The API asked for a pause: %s', error)", [None]),
        ("log.warning(f'A pause [pausing] of {time}')", [None]),
        ("log.warning(words)", [None]),
        ("self.log.warning('Pausing for %s. [pausing]', time)", ["pausing"]),
        ("log.error('%s', error)", []),  # an error brings its own code
    ],
)
def test_a_warning_without_a_code_is_seen(source, codes):
    assert [code_at_the_end(message.words) for message in logged(source)] == codes


def test_tasks_fail_with_errors_of_this_provider():
    bare = [
        message
        for where, source in sources()
        for message in raised(
            source,
            "AirflowException",
            "AirflowFailException",
            "AirflowSensorTimeout",
            "AirflowSkipException",
            "AirflowTaskTimeout",
            where=where,
        )
    ]

    assert bare == []


FIELDS = {"login", "password", "host", "port", "schema", *form.EXTRA_FIELDS}
COLUMNS = {"sim", "sim_sid", "unique_name", "timezone"}  # of the targets
#: What a sentence can name for a user to correct. The reference shows the hook's parameters.
ARGUMENTS = {name for kind in GUIDES for name in parameters(kind)}
HOOK_ARGUMENTS = {
    name for method in vars(SuperSimHook).values() for name in re.findall(r":param (\w+):", method.__doc__ or "")
}
KNOWN = {"connection", "extra"} | FIELDS | COLUMNS | ARGUMENTS | HOOK_ARGUMENTS


def names_something(words: str) -> bool:
    """Whether a sentence says which argument, column or field it is about.

    A placeholder ``{name}`` or ``{field}`` holds such a name. A text that is one placeholder is another error's
    sentence, passed on.
    """
    return (
        re.fullmatch(r"…|\{\w+\}", words) is not None
        or re.search(r"\{(name|field)\}", words) is not None
        or not KNOWN.isdisjoint(re.findall(r"\w+", words.lower()))
    )


def test_every_value_error_names_what_to_correct():
    mute = [
        message
        for where, source in sources()
        for message in raised(source, "BadInputError", where=where)
        if not names_something(message.words)
    ]

    assert mute == []


def test_what_a_value_error_can_name_is_on_a_page(pages):
    documented = set().union(*(names_in_code(page) for page in pages.values()))

    assert (FIELDS | COLUMNS | ARGUMENTS) - documented == set()


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("raise BadInputError(f'device_port must be a whole number from 1 to 65535, got {value!r}')", True),
        ("raise BadInputError(f'extra.{field} must be a number above 0')", True),
        ("raise BadInputError(f'{name} must be a number')", True),
        ("raise BadInputError('window starts and ends at the same time')", True),
        ("raise BadInputError('the number is too large')", False),
        ("raise BadInputError(f'got {value!r}')", False),
        ("raise BadInputError('bad ' + 'input')", False),
        ("raise BadInputError", True),  # not a call: it raises what was built elsewhere
    ],
)
def test_a_value_error_that_names_nothing_is_seen(source, names):
    assert all(names_something(message.words) for message in raised(source, "BadInputError")) is names
