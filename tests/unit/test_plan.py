"""Targets: each row becomes one checked command, or every problem is named before any command leaves."""

from __future__ import annotations

import copy
import io
import json
import pickle
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_supersim.api.models import IpCommandRequest, PayloadType, Sim, SimStatus
from airflow_provider_supersim.delivery.state.device import Device
from airflow_provider_supersim.delivery.state.states import ANY
from airflow_provider_supersim.delivery.state.working_set import WorkingSet
from airflow_provider_supersim.delivery.targets import plan as targets
from airflow_provider_supersim.delivery.targets.files import ENCODING, rows_from_file
from airflow_provider_supersim.delivery.targets.payload_template import PayloadTemplate
from airflow_provider_supersim.delivery.targets.plan import (
    KEPT,
    SHARED,
    SHOWN,
    Problem,
    TargetsError,
    plan,
)
from airflow_provider_supersim.delivery.targets.rows import row_from_sim, rows_from_list
from airflow_provider_supersim.delivery.targets.shards import Shard

SID = "HS" + "0123456789abcdef" * 2
OTHER_SID = "HS" + "f" * 32


def planned(rows, payload="reboot", *, device_port=4000, **options) -> list[Device]:
    table = WorkingSet()
    plan(rows, table, template=PayloadTemplate(payload), device_port=device_port, **options)
    return table.devices(ANY, 0, len(table))


def problems(rows, payload="reboot", **options) -> list[str]:
    with pytest.raises(TargetsError) as caught:
        planned(rows, payload, **options)
    return [str(problem) for problem in caught.value.problems]


def from_file(text: str, suffix: str) -> list[dict]:
    with io.TextIOWrapper(io.BytesIO(text.encode()), encoding=ENCODING, newline="") as lines:
        return list(rows_from_file(lines, suffix))


# Rows become devices


def test_each_row_becomes_a_device_with_its_command_in_the_rows_order():
    rows = [{"sim": "b", "zone": "north"}, {"sim": "a", "zone": "south", "sim_sid": SID}]
    assert planned(rows, "zone={{ device.zone }} on {{ ds }}", variables={"ds": "2026-03-29"}) == [
        Device(sim="b", request=IpCommandRequest.build("b", "zone=north on 2026-03-29", 4000)),
        Device(sim="a", request=IpCommandRequest.build("a", "zone=south on 2026-03-29", 4000), sim_sid=SID),
    ]


@pytest.mark.parametrize(
    ("own", "request_"),
    [
        ({}, ("reboot", 4000, None)),
        ({"payload": None, "device_port": None, "payload_type": None, "timezone": None}, ("reboot", 4000, None)),
        ({"payload": "{{ not.a.template }}"}, ("{{ not.a.template }}", 4000, None)),
        ({"payload": {"a": [1]}}, ('{"a":[1]}', 4000, None)),
        ({"payload": b"\x00\xff"}, (b"\x00\xff", 4000, None)),
        ({"payload": "AP8=", "payload_type": "binary"}, (b"\x00\xff", 4000, None)),
        ({"device_port": 5000}, ("reboot", 5000, None)),
        ({"device_port": "5000"}, ("reboot", 5000, None)),
    ],
)
def test_what_a_row_says_comes_before_what_the_task_says(own, request_):
    (device,) = planned([{"sim": SID, **own}])
    payload, port, kind = request_
    assert device.request == IpCommandRequest.build(SID, payload, port, payload_type=kind)


def test_the_tasks_payload_type_holds_for_rows_without_one():
    first, second = planned([{"sim": "a"}, {"sim": "b", "payload_type": "text"}], "AP8=", payload_type="binary")
    assert (first.request.payload_type, second.request.payload_type) == (PayloadType.BINARY, PayloadType.TEXT)


def test_a_sim_given_by_its_sid_has_a_known_sid():
    by_sid, by_name, with_both = planned([{"sim": f" {SID} "}, {"sim": "HS-7"}, {"sim": "x", "sim_sid": OTHER_SID}])
    assert by_sid.sim == by_sid.sim_sid == by_sid.request.sim == SID
    assert (by_name.sim_sid, with_both.sim_sid) == (None, OTHER_SID)


def test_a_row_of_a_listed_sim_can_be_planned():
    sim = Sim(sid=SID, unique_name="device-0003", iccid="8900", fleet_sid="HF1", status=SimStatus.READY)
    payload = "{{ device.unique_name }} {{ device.iccid }} {{ device.fleet_sid }} {{ device.status }}"
    (device,) = planned([row_from_sim(sim)], payload)
    assert (device.sim, device.sim_sid, device.request.payload) == (SID, SID, "device-0003 8900 HF1 ready")


def test_no_rows_make_no_devices():
    assert planned([]) == []


def test_rows_are_left_as_they_were():
    rows = [{"sim": " a ", "payload": {"b": 1}, "zone": "north"}]
    before = copy.deepcopy(rows)
    planned(rows)
    assert rows == before


@pytest.mark.parametrize("sharing", [SHARED, 1])
def test_equal_payloads_are_written_once_as_far_as_that_pays(monkeypatch, sharing):
    monkeypatch.setattr(targets, "SHARED", sharing)
    texts = []
    monkeypatch.setattr(WorkingSet, "add_payload", lambda table, text: texts.append(text) or write(table, text))
    rows = [{"sim": f"s{n}", "zone": f"z{n % 2}"} for n in range(6)]
    assert [device.request.payload for device in planned(rows, "{{ device.zone }}")] == ["z0", "z1"] * 3
    assert texts == (["z0", "z1"] if sharing == SHARED else ["z0", "z1", "z1", "z1"])


write = WorkingSet.add_payload


def test_timezones_are_checked_and_can_be_needed():
    devices = planned([{"sim": "a", "timezone": "Europe/Berlin"}], timezone_needed=True)
    assert devices[0].timezone == "Europe/Berlin"
    wrong = [{"sim": "a", "timezone": "Europe/Berln"}, {"sim": "b", "timezone": 7}, {"sim": "c"}]
    assert problems(wrong, timezone_needed=True) == [
        "row 1 (a): timezone must be a name such as 'Europe/Berlin', got 'Europe/Berln'",
        "row 2 (b): timezone must be a name such as 'Europe/Berlin', got 7",
        "row 3 (c): needs a timezone, because the window has none",
    ]
    assert len(problems(wrong)) == 2


# Problems


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("device-0003", "row 1: a target must be a SIM or a dict with at least 'sim', got str"),
        (None, "row 1: a target must be a SIM or a dict with at least 'sim', got NoneType"),
        ({}, "row 1: is empty, but needs 'sim', the sid (HS…) or the unique name of a SIM"),
        (
            {"simm": 1},
            "row 1: has only 'simm', but needs 'sim', the sid (HS…) or the unique name of a SIM",
        ),
        ({"sim": None}, "row 1: sim must be the sid (HS…) or the unique name of a SIM, got None"),
        ({"sim": ""}, "row 1: sim must be the sid (HS…) or the unique name of a SIM, got ''"),
        ({"sim": "  "}, "row 1: sim must be the sid (HS…) or the unique name of a SIM, got '  '"),
        ({"sim": "a\ud800"}, r"row 1 (a\ud800): sim cannot be written as UTF-8; surrogates not allowed"),
        ({"sim": 89}, "row 1: sim must be the sid (HS…) or the unique name of a SIM, got 89"),
        ({"sim": "a", "device_port": 0}, "row 1 (a): device_port …"),
        ({"sim": "a", "payload": ""}, "row 1 (a): payload is empty…"),
        ({"sim": "a", "payload": 5}, "row 1 (a): payload must be …"),
        ({"sim": "a", "payload_type": "hex"}, "row 1 (a): payload_type must be 'text' or 'binary'…"),
        (
            {"sim": "a", "payload": "é" * 651},
            "row 1 (a): payload is 1302 bytes…",
        ),
        (
            {"sim": "n" * 70, "device_port": "x"},
            f"row 1 ({'n' * 60}): device_port …",
        ),
    ],
)
def test_what_is_wrong_with_a_row_is_one_sentence(row, problem):
    (found,) = problems([row])
    assert found.startswith(problem.removesuffix("…"))


def test_all_problems_are_listed_with_their_rows():
    rows = [
        {"sim": "device-0001", "zone": "north"},
        {"sim": "device-0002"},
        {"sim": "device-0003", "zone": "z" * 1300},
        {"sim": "device-0001", "zone": "north"},
        {"zone": "north"},
    ]
    found = problems(rows, "zone={{ device.zone }}")
    found[1] = found[1].partition(" as ")[0]  # the rest is the API's sentence
    assert found == [
        "row 2 (device-0002): no column 'zone' for the payload; the columns are sim",
        "row 3 (device-0003): payload is 1305 bytes",
        "row 4 (device-0001): same SIM as row 1",
        "row 5: has only 'zone', but needs 'sim', the sid (HS…) or the unique name of a SIM",
    ]


@pytest.mark.parametrize("payload", ["", "x" * 1301, None, {"a": object()}])
def test_a_payload_that_is_wrong_for_all_rows_is_said_once_as_the_arguments_fault(payload):
    rows = [{"sim": f"s{number}"} for number in range(200)]
    with pytest.raises(ValueError, match=r"^payload ") as caught:
        planned([{"sim": "own", "payload": "on"}, *rows], payload)
    assert not isinstance(caught.value, TargetsError)
    assert len(planned([{"sim": "own", "payload": "on"}], payload)) == 1


def test_a_row_with_a_payload_of_its_own_needs_no_column_of_the_template():
    assert planned([{"sim": "a", "payload": "on"}], "{{ device.zone }}")[0].request.payload == "on"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"sim": "a"}, {"sim": "a"}),
        ({"sim": "a"}, {"sim": " a\n"}),
        ({"sim": "a", "device_port": 1}, {"sim": "a", "device_port": 2}),
        ({"sim": "a", "sim_sid": SID}, {"sim": "b", "sim_sid": SID}),
        ({"sim": "a", "sim_sid": SID}, {"sim": SID}),
        ({"sim": SID, "unique_name": "a"}, {"sim": "a"}),
        ({"sim": SID, "unique_name": "a"}, {"sim": "a", "sim_sid": OTHER_SID}),
        ({"sim": SID, "sim_sid": SID, "unique_name": "a"}, {"sim": "b", "sim_sid": SID}),
    ],
)
def test_two_rows_for_one_sim_are_found_however_they_name_it(first, second):
    for pair in ([first, second], [second, first]):
        (problem,) = problems([{"sim": "another"}, *pair])
        assert problem.startswith("row 3 (")
        assert problem.endswith(": same SIM as row 2")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"sim": "a"}, {"sim": "A"}),
        ({"sim": SID}, {"sim": OTHER_SID}),
        ({"sim": "a", "unique_name": ""}, {"sim": "b", "unique_name": ""}),
        ({"sim": SID, "unique_name": None}, {"sim": OTHER_SID, "unique_name": None}),
        ({"sim": "a", "sim_sid": ""}, {"sim": "b", "sim_sid": ""}),
        ({"sim": "a", "unique_name": "a", "sim_sid": SID}, {"sim": "b", "unique_name": "b", "sim_sid": OTHER_SID}),
        ({"sim": "a", "zone": "b"}, {"sim": "b", "zone": "a"}),
    ],
)
def test_different_sims_are_not_taken_for_one(first, second):
    assert len(planned([first, second])) == 2


def test_one_sim_in_two_shards_is_found_by_both():
    name = "device-0001"
    rows = [{"sim": SID, "unique_name": name}, {"sim": name}]
    assert Shard(0, 2).takes(SID) is not Shard(0, 2).takes(name), "or the test would show nothing"
    for index in range(2):
        assert problems(rows, shard=Shard(index, 2)) == [f"row 2 ({name}): same SIM as row 1"]


def test_the_text_names_the_first_problems_and_counts_the_rest():
    with pytest.raises(TargetsError) as caught:
        planned({"sim": "a"} for _ in range(KEPT + 235))
    lines = str(caught.value).splitlines()
    assert lines[0] == "Nothing was sent: 1,234 targets are invalid. First: row 2 (a), same SIM as row 1."
    assert "Correct the rows or the payload" in lines[1]
    listed = range(2, SHOWN + 2)
    assert lines[2 : SHOWN + 2] == [f"row {number} (a): same SIM as row 1" for number in listed]
    assert lines[SHOWN + 2 :] == ["… and 1,184 more."]
    assert (len(caught.value.problems), caught.value.more) == (KEPT, 234)


def test_an_error_with_one_problem_reads_well_also_in_another_process():
    error = TargetsError([Problem("row 1 (a: b)", "no column 'nope' for the payload; the columns are sim")])
    assert str(error) == (
        "Nothing was sent: 1 target is invalid. First: row 1 (a: b), no column 'nope' for the payload.\n"
        "Retries do not run. Correct the rows or the payload, then clear this task.\n"
        "row 1 (a: b): no column 'nope' for the payload; the columns are sim"
    )
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.problems, again.more) == (str(error), error.problems, 0)


# Lists


def test_a_list_may_mix_sims_and_mappings():
    row = {"sim": "b", "zone": "north"}
    assert list(rows_from_list(["a", row])) == [{"sim": "a"}, row]
    (problem,) = problems(rows_from_list(["a", 7]))
    assert problem == "row 2: a target must be a SIM or a dict with at least 'sim', got int"


@pytest.mark.parametrize("targets", ["device-0003", b"device-0003", {"sim": "device-0003"}])
def test_one_sim_is_no_list(targets):
    with pytest.raises(ValueError, match="targets must be a list of SIMs or of dicts, got"):
        rows_from_list(targets)


# Files


@pytest.mark.parametrize(
    "text",
    [
        "sim,zone,note\na,north,\nb,south,x\n",
        "\ufeffsim,zone,note\r\na,north,\r\nb,south,x",
        '"sim", zone ,note\n\na,north,""\n\n\nb,"south",x\n\n',
    ],
)
def test_csv_is_read_with_its_header(text):
    rows = from_file(text, ".csv")
    assert rows == [{"sim": "a", "zone": "north", "note": ""}, {"sim": "b", "zone": "south", "note": "x"}]


def test_csv_holds_quotes_commas_and_line_breaks_in_a_cell():
    (row,) = from_file('sim,payload\na,"{""x"": 1,\n""y"": 2}"\n', ".csv")
    assert row == {"sim": "a", "payload": '{"x": 1,\n"y": 2}'}


def test_an_empty_cell_of_our_own_columns_is_no_value():
    text = "sim,sim_sid,payload,payload_type,device_port,timezone,zone\na,,,,,,\n"
    assert from_file(text, ".csv") == [{"sim": "a", "zone": ""}]
    (device,) = planned(from_file(text, ".csv"), "[{{ device.zone }}]")
    assert device.request.payload == "[]"


def test_jsonl_is_read_line_by_line():
    text = '\ufeff{"sim": "a", "payload": {"x": [1]}}\n\n  \r\n{"sim": "b", "device_port": 5, "zone": null}'
    rows = from_file(text, ".jsonl")
    assert rows == [{"sim": "a", "payload": {"x": [1]}}, {"sim": "b", "device_port": 5, "zone": None}]
    assert [device.request.payload for device in planned(rows)] == ['{"x":[1]}', "reboot"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["line 1: the file is empty; its first line must name the columns, 'sim' among them"]),
        ("\n\n", ["line 3: the file is empty; its first line must name the columns, 'sim' among them"]),
        ("Sim,zone\na,b\n", ["line 1: the first line must name the columns, 'sim' among them, got Sim, zone"]),
        (
            "sim;zone\na;b\n",
            [
                (
                    "line 1: the first line must name the columns, 'sim' among them, got sim;zone; "
                    "separate columns by commas, not semicolons"
                )
            ],
        ),
        ("sim,zone,zone\na,b,c\n", ["line 1: the first line names the column 'zone' twice"]),
        (
            'sim,zone\na,north\nb\nc,"two\nlines"\nd,e,f\na,south\n',
            [
                "line 3: 1 cell, but the first line names 2 columns",
                "line 6: 3 cells, but the first line names 2 columns",
                "line 7 (a): same SIM as line 2",
            ],
        ),
        (
            'sim\na\n"b\n',
            ["line 3: from here on the file is not CSV in UTF-8: unexpected end of data"],
        ),
    ],
)
def test_all_that_is_wrong_with_a_csv_file_is_listed_with_its_lines(text, found):
    assert problems(from_file(text, ".csv")) == found


def test_all_that_is_wrong_with_a_jsonl_file_is_listed_with_its_lines():
    found = problems(from_file('{"sim": "a"}\n{"sim"\n\n["b"]\n{"sim": "a"}\n{"sim": 5}\nnull\n', ".jsonl"))
    assert [line.split(":")[0] for line in found] == ["line 2", "line 4", "line 5 (a)", "line 6", "line 7"]
    assert all(": not a JSON object; " in found[index] for index in (0, 1, 4))


@pytest.mark.parametrize(
    ("suffix", "text"), [(".csv", "sim\na\nM\xfcller\n"), (".jsonl", '{"sim": "a"}\n"M\xfcller"\n')]
)
def test_a_file_in_another_encoding_is_a_problem_like_any_other(tmp_path: Path, suffix, text):
    path = tmp_path / f"targets{suffix}"
    path.write_bytes(text.encode("latin-1"))
    with path.open(encoding=ENCODING, newline="") as stream:
        (problem,) = problems(rows_from_file(stream, suffix))
    assert problem.startswith("line ")
    assert "codec can't decode byte 0xfc" in problem


def test_a_line_that_is_nested_too_deeply_is_a_problem_of_its_own():
    deep = '{"sim": ' + 100_000 * "[" + "\n"
    assert [row.problem is None for row in from_file('{"sim": "a"}\n' + deep + '{"sim": "b"}\n', ".jsonl")] == [
        True,
        False,
        True,
    ]


def test_a_file_of_another_kind_is_refused_at_once():
    with pytest.raises(ValueError, match=r"targets_path must end in \.csv or \.jsonl, got '\.xlsx'"):
        rows_from_file([], ".xlsx")


def test_a_file_is_read_as_a_stream():
    def lines():
        yield "sim\n"
        yield "a\n"
        raise AssertionError("read ahead")

    assert next(rows_from_file(lines(), ".csv")) == {"sim": "a"}


@given(
    st.lists(
        st.fixed_dictionaries({"sim": st.uuids().map(str), "zone": st.text(st.characters(codec="utf-8"), min_size=1)}),
        max_size=5,
        unique_by=lambda row: row["sim"],
    )
)
def test_jsonl_brings_any_text_through_unchanged(rows):
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    assert from_file(text, ".jsonl") == rows
    assert [json.loads(device.request.payload) for device in planned(rows, {"z": "x"})] == [{"z": "x"} for _ in rows]


# Shards


def test_a_shard_never_moves():
    # Written down once: a command sent by one version of this provider must not be another shard's in the next.
    sims = ["device-0001", "device-0002", "device-0003", "device-0004", SID]
    assert [[index for index in range(4) if Shard(index, 4).takes(sim)] for sim in sims] == [[0], [1], [0], [1], [1]]


@given(st.text(min_size=1), st.integers(1, 50))
def test_every_sim_is_in_exactly_one_shard(sim, count):
    assert sum(Shard(index, count).takes(sim) for index in range(count)) == 1


def test_shards_are_of_about_the_same_size():
    sizes = Counter(index for n in range(10_000) for index in range(4) if Shard(index, 4).takes(f"device-{n:05}"))
    assert sorted(sizes) == [0, 1, 2, 3]
    assert all(2300 < size < 2700 for size in sizes.values())


def test_the_shards_of_a_plan_make_up_the_whole_plan():
    rows = [{"sim": f"device-{n}", "zone": f"z{n}"} for n in range(50)]
    whole = planned(rows, "{{ device.zone }}")
    parts = [planned(rows, "{{ device.zone }}", shard=Shard(index, 3)) for index in range(3)]
    assert all(parts)
    assert sorted((device for part in parts for device in part), key=whole.index) == whole
    assert all(part == sorted(part, key=whole.index) for part in parts)


def test_a_row_is_checked_by_its_own_shard_alone():
    rows = [{"sim": "device-1", "device_port": 0}]
    own, other = Shard(1, 2), Shard(0, 2)
    assert own.takes("device-1"), "or the test would show nothing"
    assert len(problems(rows, shard=own)) == 1
    assert planned(rows, shard=other) == []


@pytest.mark.parametrize(
    "shard",
    [(1, 1), (2, 1), (-1, 2), (0, 0), (0, -1), (0,), (0, 1, 2), (0.0, 1), (False, 1), ("0", "1"), "01", 5, None],
)
def test_other_shards_are_refused(shard):
    with pytest.raises(ValueError, match="shard must be"):
        Shard.build(shard)


def test_a_shard_is_written_as_a_pair():
    assert Shard.build([0, 1]) == Shard(0, 1)
    assert Shard.build((3, 4)) == Shard(3, 4)
