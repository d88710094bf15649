"""The API's resources: each field is read, and nothing that the vendor may add later breaks reading."""

from __future__ import annotations

import json
import pickle

import httpx
import pendulum
import pytest

from airflow_provider_supersim.api.errors import UnreadableReplyError, Verdict
from airflow_provider_supersim.api.models import Direction, Fleet, IpCommand, PayloadType, Sim, SimStatus, Status
from airflow_provider_supersim.api.reading import read_one, read_page
from airflow_provider_supersim.api.reply import Reply

#: The reference's own example of a reply (its page on POST /v1/IpCommands).
EXAMPLE = """{
  "account_sid": "string",
  "date_created": "2023-05-04T09:42:00+00:00",
  "date_updated": "2023-05-04T09:42:00+00:00",
  "device_ip": "string",
  "device_port": 42,
  "direction": "to_sim",
  "payload": "string",
  "payload_type": "text",
  "sid": "string",
  "sim_iccid": "string",
  "sim_sid": "string",
  "status": "queued",
  "url": "https://example.com"
}"""

COMMAND = {
    "sid": "HG" + 32 * "1",
    "account_sid": "AC" + 32 * "2",
    "sim_sid": "HS" + 32 * "3",
    "sim_iccid": "89883070000000000001",
    "status": "sent",
    "direction": "to_sim",
    "device_ip": "100.64.0.1",
    "device_port": 2048,
    "payload_type": "binary",
    "payload": "AAEC",
    "date_created": "2015-07-30T20:00:00Z",
    "date_updated": "2015-07-30T20:00:01+00:00",
    "url": "https://supersim.twilio.com/v1/IpCommands/HG1",
}
SIM = {
    "sid": "HS" + 32 * "1",
    "unique_name": "pump-7",
    "account_sid": "AC" + 32 * "2",
    "iccid": "89883070000000000001",
    "status": "active",
    "fleet_sid": "HF" + 32 * "4",
    "date_created": "2015-07-30T20:00:00Z",
    "date_updated": "2015-07-30T20:00:00Z",
    "url": "https://supersim.twilio.com/v1/Sims/HS1",
    "links": {"billing_periods": "https://supersim.twilio.com/v1/Sims/HS1/BillingPeriods"},
}
FLEET = {
    "sid": "HF" + 32 * "4",
    "unique_name": "pumps",
    "account_sid": "AC" + 32 * "2",
    "data_enabled": True,
    "data_limit": 1000,
    "data_metering": "payg",
    "sms_commands_enabled": True,
    "sms_commands_url": "https://example.com/sms",
    "sms_commands_method": "GET",
    "ip_commands_url": "https://example.com/up",
    "ip_commands_method": "POST",
    "network_access_profile_sid": "HA" + 32 * "5",
    "date_created": "2015-07-30T20:00:00Z",
    "date_updated": "2015-07-30T20:00:00Z",
    "url": "https://supersim.twilio.com/v1/Fleets/HF4",
}
RESOURCES = [(IpCommand, COMMAND), (Sim, SIM), (Fleet, FLEET)]
FIELDS = [(kind, resource, field) for kind, resource in RESOURCES for field in resource]
NULLABLE = [(kind, resource, field) for kind, resource, field in FIELDS if field not in ("sid", "status")]


def names(value):
    return value.__name__ if isinstance(value, type) else value if isinstance(value, str) else ""


def reply(body, *, method="GET", repeatable=True, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = httpx.Request(method, "https://supersim.twilio.com/v1/IpCommands", extensions={"repeatable": repeatable})
    return Reply(request, 200, httpx.Headers(headers), content)


def read(kind, body):
    return read_one(reply(body), kind, str)


def test_the_references_own_example_is_read():
    command = read(IpCommand, EXAMPLE.encode())
    assert (command.sid, command.sim_sid, command.sim_iccid, command.account_sid) == 4 * ("string",)
    assert command.status is Status.QUEUED
    assert command.direction is Direction.TO_SIM
    assert command.payload_type is PayloadType.TEXT
    assert (command.payload, command.device_ip, command.device_port) == ("string", "string", 42)
    assert command.date_created == command.date_updated == pendulum.datetime(2023, 5, 4, 9, 42)
    assert command.url == "https://example.com"


@pytest.mark.parametrize(("kind", "resource", "field"), FIELDS, ids=names)
def test_each_field_is_read(kind, resource, field):
    value = getattr(read(kind, resource), field)
    if field.startswith("date_"):
        assert value == pendulum.parse(resource[field])
    else:
        assert value == resource[field]


@pytest.mark.parametrize(("kind", "resource", "field"), NULLABLE, ids=names)
def test_each_field_may_be_null_or_missing(kind, resource, field):
    without = {key: value for key, value in resource.items() if key != field}
    assert getattr(read(kind, {**resource, field: None}), field) is None
    assert getattr(read(kind, without), field) is None


@pytest.mark.parametrize(("kind", "resource"), [(IpCommand, COMMAND), (Sim, SIM)], ids=names)
@pytest.mark.parametrize("status", [{}, {"status": None}, {"status": 7}, {"status": ["sent"]}])
def test_a_status_that_is_not_there_is_unstated_and_not_final(kind, resource, status):
    without = {key: value for key, value in resource.items() if key != "status"}
    found = read(kind, {**without, **status}).status
    assert found == "unstated"
    assert found not in ("sent", "active")
    assert not Status(found).settled


@pytest.mark.parametrize(("kind", "resource", "field"), [one for one in FIELDS if one[2] != "sid"], ids=names)
@pytest.mark.parametrize("value", [b"[]", b'{"a":[7]}', b"1.5", b"1e999", b'"\xff"', 30 * b"9"])
def test_a_field_that_cannot_be_read_costs_no_other_field(kind, resource, field, value):
    body = json.dumps({**resource, field: "HERE"}).encode().replace(b'"HERE"', value)
    found, expected = read(kind, body), read(kind, resource)
    others = [name for name in resource if name != field]
    assert [getattr(found, name) for name in others] == [getattr(expected, name) for name in others]


def test_a_number_that_is_written_as_text_is_read():
    assert read(IpCommand, {**COMMAND, "device_port": "2048"}).device_port == 2048


@pytest.mark.parametrize("date", ["yesterday", 1438286400, "2015-02-30T20:00:00Z", "", "9" * 5000])
def test_a_date_that_cannot_be_read_is_none(date):
    assert read(IpCommand, {**COMMAND, "date_created": date}).date_created is None


def test_a_value_that_no_enumeration_knows_is_kept_as_one_short_line():
    status = read(IpCommand, {**COMMAND, "status": "a\nb\x1b" + "x" * 1000}).status
    assert status.startswith("a b\ufffdx")
    assert len(status) == 40


@pytest.mark.parametrize(("kind", "resource"), RESOURCES, ids=names)
def test_unknown_fields_do_not_break_reading(kind, resource):
    assert read(kind, {**resource, "error_code": 83401, "new": {"deep": [1]}}) == read(kind, resource)


@pytest.mark.parametrize(
    ("kind", "resource", "field", "enumeration"),
    [
        (IpCommand, COMMAND, "status", Status),
        (IpCommand, COMMAND, "direction", Direction),
        (IpCommand, COMMAND, "payload_type", PayloadType),
        (Sim, SIM, "status", SimStatus),
    ],
    ids=names,
)
def test_an_unknown_enum_value_is_kept_as_it_came(kind, resource, field, enumeration):
    value = getattr(read(kind, {**resource, field: "held_back"}), field)
    assert isinstance(value, enumeration)
    assert value == "held_back"
    assert value.value == f"{value}" == "held_back"
    assert pickle.loads(pickle.dumps(value)) == value
    assert value not in list(enumeration)


def test_every_status_of_the_reference_is_known():
    assert set(Status) - {Status.UNSTATED} == {"queued", "sent", "received", "failed"}


@pytest.mark.parametrize(
    ("status", "settled", "succeeded"),
    [
        ("queued", False, False),
        ("sent", True, True),
        ("received", True, True),
        ("failed", True, False),
        ("unstated", False, False),
        ("held_back", False, False),
    ],
)
def test_one_table_says_which_status_is_final_and_good(status, settled, succeeded):
    assert (Status(status).settled, Status(status).succeeded) == (settled, succeeded)


@pytest.mark.parametrize("written", ["2015-07-30T20:00:00Z", "2015-07-30T20:00:00+00:00", "2015-07-30T22:00:00+02:00"])
def test_dates_are_pendulum_times_with_a_time_zone(written):
    date = read(IpCommand, {**COMMAND, "date_created": written}).date_created
    assert isinstance(date, pendulum.DateTime)
    assert date.tzinfo is not None
    assert date == pendulum.datetime(2015, 7, 30, 20, tz="UTC")


def test_a_date_without_zone_is_in_gmt_as_the_reference_says():
    date = read(IpCommand, {**COMMAND, "date_created": "2015-07-30T20:00:00"}).date_created
    assert date == pendulum.datetime(2015, 7, 30, 20, tz="UTC")


@pytest.mark.parametrize(("kind", "resource"), RESOURCES, ids=names)
def test_a_resource_as_a_dict_is_json_with_iso_dates(kind, resource):
    as_dict = read(kind, resource).to_dict()
    assert read(kind, json.loads(json.dumps(as_dict))) == read(kind, resource)
    assert as_dict["date_created"] == "2015-07-30T20:00:00+00:00"
    assert {type(value) for value in as_dict.values()} <= {str, int, bool, dict, type(None)}


@pytest.mark.parametrize(("kind", "resource"), RESOURCES, ids=names)
@pytest.mark.parametrize("sid", [None, ""])
def test_a_resource_without_sid_is_an_unreadable_reply(kind, resource, sid):
    with pytest.raises(UnreadableReplyError, match="no sid"):
        read(kind, {**resource, "sid": sid})


BROKEN = {
    "html": b"<html><body>502 Bad Gateway</body></html>",
    "empty": b"",
    "cut off": json.dumps(COMMAND).encode()[:80],
    "a list": b"[]",
    "a string": b'"ok"',
    "null": b"null",
    "another shape": b'{"result": ["ok"]}',
    "a sid that is a number": json.dumps({**COMMAND, "sid": 7}).encode(),
    "a sid of two lines": json.dumps({**COMMAND, "sid": "HG1\nERROR"}).encode(),
    "a sid without end": json.dumps({**COMMAND, "sid": "HG" * 1000}).encode(),
    "bytes that are no text": b"\xff\xfe\x00",
    "very deep": 100_000 * b"[",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize(
    ("method", "repeatable", "verdict"), [("GET", True, Verdict.TRY_AGAIN), ("POST", False, Verdict.UNKNOWN)]
)
def test_what_is_not_the_resource_is_one_clear_error(body, method, repeatable, verdict):
    with pytest.raises(UnreadableReplyError) as caught:
        read_one(reply(body, method=method, repeatable=repeatable), IpCommand, str)
    assert caught.value.verdict is verdict
    assert caught.value.status == 200
    assert str(caught.value).startswith(f"{method} /v1/IpCommands answered 200: the reply cannot be read: ")
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("body", [*BROKEN.values(), json.dumps({"ip_commands": [COMMAND]}).encode()])
def test_what_is_not_a_page_is_one_clear_error(body):
    with pytest.raises(UnreadableReplyError, match="cannot be read"):
        read_page(reply(body), IpCommand, str)


@pytest.mark.parametrize(
    ("kind", "key", "resource"), [(IpCommand, "ip_commands", COMMAND), (Sim, "sims", SIM), (Fleet, "fleets", FLEET)]
)
@pytest.mark.parametrize("link", [None, "https://supersim.twilio.com/v1/IpCommands?Page=1"])
def test_a_page_has_items_and_the_link_to_the_next(kind, key, resource, link):
    meta = {
        "key": key,
        "page": 0,
        "page_size": 50,
        "url": "…",
        "first_page_url": "…",
        "previous_page_url": None,
        "next_page_url": link,
    }
    page = read_page(reply({key: [resource, resource], "meta": meta}), kind, str)
    assert page.items == 2 * [read(kind, resource)]
    assert page.next_page_url == link


BAD_ROWS = [b"null", b"7", b'"HG1"', b"[]", b"[{}]"]


@pytest.mark.parametrize(
    ("kind", "key", "resource"), [(IpCommand, "ip_commands", COMMAND), (Sim, "sims", SIM), (Fleet, "fleets", FLEET)]
)
@pytest.mark.parametrize("bad", BAD_ROWS)
def test_a_row_that_cannot_be_read_is_skipped_and_counted(kind, key, resource, bad):
    body = json.dumps({key: [resource, "HERE", resource, "HERE"], "meta": {"next_page_url": "/next"}}).encode()
    page = read_page(reply(body.replace(b'"HERE"', bad)), kind, str)
    assert (page.items, page.skipped, page.next_page_url) == (2 * [read(kind, resource)], 2, "/next")


@pytest.mark.parametrize(("kind", "key", "resource"), [(Sim, "sims", SIM), (Fleet, "fleets", FLEET)])
@pytest.mark.parametrize("sid", [None, "", 7])
def test_a_sim_or_a_fleet_without_a_sid_is_skipped(kind, key, resource, sid):
    page = read_page(reply({key: [{**resource, "sid": sid}, resource], "meta": {}}), kind, str)
    assert (page.items, page.skipped) == ([read(kind, resource)], 1)


def test_a_command_without_a_sid_stays_in_the_list_because_it_may_be_one_that_is_looked_for():
    page = read_page(reply({"ip_commands": [{**COMMAND, "sid": None}], "meta": {}}), IpCommand, str)
    assert [command.sid for command in page.items] == [None]


@pytest.mark.parametrize("meta", [None, [], {"next_page_url": 7}, "x"])
def test_a_page_that_does_not_say_whether_it_is_the_last_cannot_be_read(meta):
    with pytest.raises(UnreadableReplyError):
        read_page(reply({"sims": [SIM], "meta": meta}), Sim, str)


def test_a_last_page_may_lack_the_link():
    assert read_page(reply({"sims": [], "meta": {}}), Sim, str).next_page_url is None
