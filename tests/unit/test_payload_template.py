"""Payload templates: a column of the row in each device's command, and one clear sentence if that fails."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, FileSystemLoader

from airflow_provider_supersim.delivery.targets.payload_template import PayloadTemplate, read_file

ROW = {"sim": "device-0003", "zone": "north", "limit": 7, "items": "three", "first name": "Ada"}


@pytest.mark.parametrize(
    ("content", "rendered"),
    [
        ("zone={{ device.zone }}", "zone=north"),
        ("{{ device['zone'] }} {{ device['first name'] }}", "north Ada"),
        ("{% if device.limit > 5 %}high{% else %}low{% endif %}", "high"),
        ("{# a note #}on", "on"),
        ("{{ device.items }}", "three"),
        ("{{ device.get('nothing', 'else') }}", "else"),
        ("{{ device.nothing | default('else') }}", "else"),
        ("{{ 'yes' if device.nothing is defined else 'no' }}", "no"),
        ("{{ device.zone }}\n", "north\n"),
        ("{{ ds }} {{ params.speed }}", "2026-03-29 9"),
        ("{{ '<&>' }}", "<&>"),
        ("{% for n in range(3) %}{{ n }}{% endfor %}", "012"),
        ({"zone": "{{ device.zone }}", "on": True}, {"zone": "north", "on": True}),
        ({"{{ device.zone }}": 1, 2: None}, {"north": 1, 2: None}),
        (["{{ device.limit }}", 1, {"deep": ["{{ ds }}"]}], [7, 1, {"deep": ["2026-03-29"]}]),
        (
            {"a": "{{ device.limit }}", "b": "{{ device.limit > 5 }}", "c": "{{ params }}", "d": "{{ [1, 2.5] }}"},
            {"a": 7, "b": True, "c": {"speed": 9}, "d": [1, 2.5]},
        ),
        ({"at": "{{ day }}"}, {"at": "2026-03-29"}),
        ({"a": " {{ device.limit }}", "b": "{{ device.limit }}{{ device.limit }}"}, {"a": " 7", "b": "77"}),
        ({"a": "{% if device.limit %}{{ device.limit }}{% endif %}"}, {"a": "7"}),
        ({"{{ device.limit }}": 1}, {"7": 1}),
        ("{{ device.limit }}", "7"),
        ("{{ {'speed': device.limit} }}", {"speed": 7}),
    ],
)
def test_strings_are_templates_wherever_they_are(content, rendered):
    template = PayloadTemplate(content)
    assert template.render(ROW, {"ds": "2026-03-29", "params": {"speed": 9}, "day": date(2026, 3, 29)}) == rendered


@pytest.mark.parametrize("content", ["reboot", '{"a":{"b":1}}', b"{{ device.zone }}", {"a": ["b", {}]}, [], "", "} }}"])
def test_what_holds_no_template_is_the_same_object_for_all_devices(content):
    template = PayloadTemplate(content)
    assert template.render(ROW, {}) is content
    assert template.render({}, {}) is content


@given(st.text(st.characters(exclude_characters="{\r\n")), st.sampled_from(["\n", "\r\n", "\r"]))
def test_text_around_a_template_is_never_changed(text, end):
    around = f"{text}{end}{text}{end}"
    assert PayloadTemplate(around).render(ROW, {}) == around
    assert PayloadTemplate(f"{around}{{{{ device.zone }}}}{around}").render(ROW, {}) == f"{around}north{around}"
    assert PayloadTemplate("{{ device.zone }}").render({"zone": around}, {}) == around


@given(st.text(st.sampled_from("\r\n\x1c\x1d\x1e\x0b\u2028 a")))
def test_every_line_end_of_a_template_is_kept(text):
    assert PayloadTemplate(text + "{{ device.zone }}" + text).render(ROW, {}) == f"{text}north{text}"
    assert PayloadTemplate(f"{{{{ '{text}' }}}}").render(ROW, {}) == text
    assert PayloadTemplate({"a": text + "{{ device.zone }}" + text}).render(ROW, {}) == {"a": f"{text}north{text}"}
    assert PayloadTemplate(f"{text}{{{{- device.zone -}}}}{text}.").render(ROW, {}) == (
        f"{text.rstrip()}north{text.lstrip()}." if text.lstrip() else f"{text.rstrip()}north."
    )


def test_the_environments_filters_macros_tests_and_files_can_be_used(tmp_path):
    (tmp_path / "part.txt").write_bytes(b"AT+{{ device.zone }}\r\n{{ ds }}\r\n")
    environment = Environment(loader=FileSystemLoader(tmp_path), trim_blocks=True)
    environment.filters["twice"] = lambda text: 2 * text
    environment.globals["made"] = lambda name: f"<{name}>"
    content = "{{ device.zone | twice }}{{ made(device.zone) }}\r\n{% include 'part.txt' %}{{ 'x' }}\r"
    rendered = PayloadTemplate(content, environment).render(ROW, {"ds": "2026-03-29"})
    assert rendered == "northnorth<north>\r\nAT+north\r\n2026-03-29\r\nx\r"
    with pytest.raises(ValueError, match="the sandbox forbids"):
        PayloadTemplate("{{ made.__globals__ }}", environment).render(ROW, {})
    by_name = PayloadTemplate("{% include device.zone ~ '.txt' %}", environment)
    assert by_name.render({"zone": "part"}, {"ds": "x"}) == "AT+part\r\nx\r\n"
    with pytest.raises(ValueError, match="the payload includes a file that is not there: 'none"):
        by_name.render({"zone": "none"}, {})


@pytest.mark.parametrize(
    "content", ["a b.txt", "https://example.com/fw.json", "{{ ds }}.txt", "a\n.txt", "fw.JSON", "x", {}, b".txt"]
)
def test_what_names_no_file_is_the_payload_itself(content):
    assert read_file(content, Environment(loader=FileSystemLoader("nowhere"))) is content


def test_a_file_is_read_with_its_line_ends(tmp_path):
    (tmp_path / "config.txt").write_bytes(b"AT\r\nOK\n\r")
    environment = Environment(loader=FileSystemLoader(tmp_path))
    assert read_file("config.txt", environment) == "AT\r\nOK\n\r"
    for name in ("other.json", "../config.txt"):
        with pytest.raises(ValueError, match="payload names a file that is not in the DAG's folder"):
            read_file(name, environment)
    with pytest.raises(ValueError, match="payload names a file"):
        read_file("config.txt", Environment())


@pytest.mark.parametrize(
    "content", ["{{ device.name }}", "n={{ device['name'] }}", {"a": ["{{ device.name }}"]}, {"{{ device.name }}": 1}]
)
def test_a_none_never_becomes_a_word(content):
    template = PayloadTemplate(content)
    with pytest.raises(ValueError, match=r"^column 'name' is empty \(None\) and the payload needs it"):
        template.render({"name": None, "zone": None}, {})
    assert PayloadTemplate("{{ device.name | default('-', true) }}").render({"name": None}, {}) == "-"
    with pytest.raises(ValueError, match="an expression of the payload gives None"):
        PayloadTemplate("v={{ params.speed }}").render(None, {"params": {"speed": None}})


def test_what_is_rendered_for_one_device_does_not_touch_the_next():
    content = {"list": ["{{ device.zone }}"], "constant": [1]}
    template = PayloadTemplate(content)
    template.render(ROW, {})["list"].append("more")
    assert template.render({"zone": "south"}, {}) == {"list": ["south"], "constant": [1]}
    assert content == {"list": ["{{ device.zone }}"], "constant": [1]}


def test_a_device_is_the_row_whatever_the_variables_say():
    assert PayloadTemplate("{{ device.zone }}").render(ROW, {"device": {"zone": "wrong"}}) == "north"


def test_only_the_variables_that_are_named_are_read():
    class Context(Mapping):
        def __getitem__(self, name):
            assert name == "ds", "Airflow warns when some of its variables are read"
            return "2026-03-29"

        def __contains__(self, name):
            return name in {"ds", "deprecated"}

        def __iter__(self):
            raise AssertionError

        __len__ = __iter__

    assert PayloadTemplate("{{ ds }}").render(ROW, Context()) == "2026-03-29"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{{ device.zon }}", "no column 'zon' for the payload; the columns are sim, zone, limit, items, first name"),
        ("{{ device['zon'] }}", "no column 'zon' for the payload; the columns are"),
        ("{{ device.zon | upper }}", "no column 'zon'"),
        ("{{ zone }}", "no 'zone' for the payload; a column is written device.zone"),
        ("{{ params.speed }}", "no 'speed' for the payload; 'dict object' has no attribute 'speed'"),
        ({"a": [{"{{ device.zon }}": 1}]}, "no column 'zon'"),
        (
            "{{ device.zone.__class__ }}",
            "the sandbox forbids: access to attribute '__class__' of 'str' object is unsafe",
        ),
        ("{{ params.update({'a': 1}) }}", "the sandbox forbids"),
        ("{{ range(10000000) | list }}", "the payload fails with OverflowError"),
        ("{{ 1 / 0 }}", "the payload fails with ZeroDivisionError: division by zero"),
        ("{{ device.limit + device.zone }}", "the payload fails with TypeError"),
        ("{% include 'x' %}", "the payload fails with TypeError: no loader"),
        ({"a": "{{ device.zon }}"}, "no column 'zon'"),
        ({"{{ device.zone }}": 1, "north": 2}, "the payload gets the key 'north' twice"),
    ],
)
def test_an_error_of_a_device_is_one_sentence_that_says_what(content, sentence):
    template = PayloadTemplate(content)
    with pytest.raises(ValueError, match="the payload") as caught:
        template.render(ROW, {"params": {}})
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_that_is_not_the_templates_own_is_passed_on():
    class Variables:
        def __getattr__(self, name):
            raise ConnectionError("Airflow's API is out of reach")

    with pytest.raises(ConnectionError, match="out of reach"):
        PayloadTemplate("{{ var.speed }}").render(ROW, {"var": Variables()})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("first\n{{ device.zone }", "(line 2 of 'first\\n{{ device.zone }')"),
        ("{% if %}", "Expected an expression"),
        (["fine", {"a": "{{ device.zone | nothing }}"}], "No filter named 'nothing'"),
        ("{{ " + "x" * 100, "xxx…'"),
    ],
)
def test_what_jinja_cannot_read_is_said_before_any_device(content, sentence):
    with pytest.raises(ValueError, match="the payload is not a valid Jinja template") as caught:
        PayloadTemplate(content)
    assert sentence in str(caught.value)
