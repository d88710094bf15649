"""POST /v1/IpCommands, GET /v1/IpCommands/{Sid}, and what is wrong with everything else."""

import base64
import re

import pytest
from vendor_api import ACCOUNT, COMMANDS

GOOD = {"Sim": "device-0001", "Payload": "hello", "DevicePort": "50000"}


def test_a_command_as_the_reference_shows_it(simulator, twilio):
    answer = twilio.send(payload="checkin: firmware übdate", port=100)
    device = simulator.sims()[0]
    sid = answer.json["sid"]
    assert re.fullmatch("HG[0-9a-f]{32}", sid)
    assert answer.status == 201
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Date"] == "Thu, 01 Jan 2026 00:00:00 GMT"
    assert answer.json == {
        "sid": sid,
        "account_sid": ACCOUNT,
        "sim_sid": device["sid"],
        "sim_iccid": device["iccid"],
        "status": "queued",
        "direction": "to_sim",
        "device_ip": None,
        "device_port": 100,
        "payload_type": "text",
        "payload": "checkin: firmware übdate",
        "date_created": "2026-01-01T00:00:00Z",
        "date_updated": "2026-01-01T00:00:00Z",
        "url": f"{simulator.url}/v1/IpCommands/{sid}",
    }
    assert twilio.get(f"{COMMANDS}/{sid}").json == answer.json


def test_a_sim_may_be_named_by_its_sid(simulator, twilio):
    sim = simulator.sims()[3]["sid"]
    assert twilio.send(sim).json["sim_sid"] == sim


def test_binary_travels_as_base64(simulator, twilio, port):
    payload = base64.b64encode(bytes(range(256))).decode()
    answer = twilio.send(payload=payload, port=port, PayloadType="binary")
    assert (answer.json["payload"], answer.json["payload_type"]) == (payload, "binary")
    simulator.advance(1)
    (datagram,) = simulator.datagrams()
    assert (datagram["base64"], datagram["text"]) == (payload, None)


def test_both_vendors_write_into_one_world(twilio, kore):
    sid = kore.sent()
    assert twilio.get(f"{COMMANDS}/{sid}").json == kore.get(f"{COMMANDS}/{sid}").json


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Sim": None}, 20002),
        ({"Sim": ""}, 20002),
        ({"Payload": None}, 20002),
        ({"DevicePort": None}, 20002),
        ({"Priority": "high"}, 20001),
        ({"sim": "device-0001"}, 20001),
        ({"Payload": ""}, 83600),
        ({"DevicePort": ""}, 83600),
        ({"DevicePort": "0"}, 83600),
        ({"DevicePort": "65536"}, 83600),
        ({"DevicePort": "-1"}, 83600),
        ({"DevicePort": "80.0"}, 83600),
        ({"DevicePort": "²"}, 83600),
        ({"DevicePort": "http"}, 83600),
        ({"PayloadType": "json"}, 83600),
        ({"PayloadType": "binary", "Payload": "not base64!"}, 83600),
        ({"PayloadType": "binary", "Payload": "aGk"}, 83600),
        ({"PayloadType": "binary", "Payload": "ä"}, 83600),
        ({"CallbackMethod": "HEAD"}, 83600),
        ({"CallbackMethod": "PUT"}, 83600),
        ({"CallbackUrl": ""}, 83600),
        ({"CallbackUrl": "ftp://example.com"}, 83600),
        ({"CallbackUrl": "http://[bad"}, 83600),
        ({"CallbackUrl": "https://"}, 83600),
        ({"CallbackUrl": "http://127.0.0.1/a b"}, 83600),
        ({"CallbackUrl": "http://127.0.0.1/a\nb"}, 83600),
        ({"CallbackUrl": " http://127.0.0.1/"}, 83600),
        ({"CallbackUrl": "http://127.0.0.1/ä"}, 83600),
        ({"CallbackUrl": "http://bücher.example/"}, 83600),
        ({"CallbackUrl": "http://127.0.0.1:65536/"}, 83600),
    ],
)
def test_a_form_that_is_refused(simulator, twilio, changes, code):
    form = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    answer = twilio.call("POST", COMMANDS, form)
    assert (answer.status, answer.json["code"], answer.json["status"]) == (400, code, 400)
    assert answer.json["more_info"].endswith(f"/errors/{code}")
    assert simulator.commands() == []


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        ("Sim=device-0001&Payload=%FF&DevicePort=1", "application/x-www-form-urlencoded", 83600),
        ("Sim=device-0001&Sim=device-0002&Payload=a&DevicePort=1", "application/x-www-form-urlencoded", 83600),
        ('{"Sim": "device-0001", "Payload": "a", "DevicePort": 1}', "application/json", 20002),
        ("Sim=device-0001&Payload=a&DevicePort=1", "application/x-www-form-urlencoded-not", 20002),
        ("", "application/x-www-form-urlencoded", 20002),
    ],
)
def test_a_body_that_is_refused(twilio, body, content_type, code):
    answer = twilio.call("POST", COMMANDS, body=body, **{"Content-Type": content_type})
    assert (answer.status, answer.json["code"]) == (400, code)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-Urlencoded",
        "application/x-www-form-urlencoded ; charset=UTF-8",
    ],
)
def test_a_media_type_has_no_case(twilio, content_type):
    body = "Sim=device-0001&Payload=a&DevicePort=1"
    assert twilio.call("POST", COMMANDS, body=body, **{"Content-Type": content_type}).status == 201


def test_parameters_of_a_post_belong_into_the_body(twilio):
    assert twilio.call("POST", f"{COMMANDS}?Sim=device-0001", GOOD).json["code"] == 20001


@pytest.mark.parametrize(
    ("payload", "payload_type", "accepted"),
    [
        ("a" * 1300, "text", True),
        ("a" * 1301, "text", False),
        ("ü" * 650, "text", True),
        ("ü" * 651, "text", False),
        (base64.b64encode(bytes(1300)).decode(), "binary", True),
        (base64.b64encode(bytes(1301)).decode(), "binary", False),
    ],
)
def test_1300_bytes_on_the_wire(twilio, payload, payload_type, accepted):
    answer = twilio.send(payload=payload, PayloadType=payload_type)
    assert answer.status == (201 if accepted else 400)
    assert accepted or "at most 1300" in answer.json["message"]


@pytest.mark.parametrize(
    "sim", ["nobody", "device-0201", "device-1", "HS" + 32 * "0", "HS" + 32 * "x", "HSé", "device-" + "9" * 5000]
)
def test_an_unknown_sim(twilio, sim):
    answer = twilio.send(sim)
    assert (answer.status, answer.json["code"]) == (404, 83005)


@pytest.mark.parametrize("sim", ["new-01", "inactive-01", "scheduled-02", "no-data-01"])
def test_a_sim_that_takes_no_commands(twilio, sim):
    answer = twilio.send(sim)
    assert (answer.status, answer.json["code"]) == (400, 83400)


def test_a_sim_without_a_fleet_takes_no_commands(simulator, twilio):
    simulator.update_sim("lab-01", fleet=None)
    answer = twilio.send("lab-01")
    assert (answer.status, answer.json["code"]) == (400, 83400)
    assert "no Fleet" in answer.json["message"]


@pytest.mark.parametrize("sim", ["device-0001", "device-0200", "lab-05"])
def test_active_and_ready_sims_take_commands(twilio, sim):
    assert twilio.send(sim).status == 201


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", f"{COMMANDS}/HG{32 * '0'}", 404, 20404),
        ("GET", f"{COMMANDS}/nonsense", 404, 20404),
        ("GET", f"{COMMANDS}/", 404, 20404),
        ("GET", "/v1/Sims/nobody", 404, 20404),
        ("GET", "/v1/Fleets/nobody", 404, 20404),
        ("GET", "/v1/Networks", 404, 20404),
        ("GET", "/", 404, 20404),
        ("GET", "/v2/IpCommands", 404, 20404),
        ("DELETE", COMMANDS, 405, 20004),
        ("PUT", COMMANDS, 405, 20004),
        ("POST", f"{COMMANDS}/HG{32 * '0'}", 405, 20004),
        ("DELETE", "/v1/Sims/device-0001", 405, 20004),
        ("PUT", "/v1/Fleets", 405, 20004),
        ("POST", "/v1/Sims/device-0001/IpAddresses", 405, 20004),
        ("GET", "/v1/Sims/device-0001?Fields=all", 400, 20001),
    ],
)
def test_paths_and_methods(twilio, method, path, status, code):
    answer = twilio.call(method, path)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert (answer.headers["Allow"] is not None) == (status == 405)


@pytest.mark.parametrize("path", ["/v1/Sims", "/v1/Sims/device-0001", "/v1/Fleets", "/v1/Fleets/lab"])
def test_what_the_api_can_and_the_simulator_cannot_is_said_so(twilio, path):
    answer = twilio.call("POST", path, {"UniqueName": "x"})
    assert (answer.status, answer.headers["Allow"]) == (501, None)
    assert "/_simulator/" in answer.json["message"]
    assert "POST" in twilio.call("PUT", path).headers["Allow"].split(", ")


def test_kore_names_its_own_documentation(kore):
    assert "korewireless" in kore.get("/v1/Networks").json["more_info"]


def test_the_form_is_kept_as_it_was_received(simulator, twilio):
    twilio.send("device-0002", "a b+c&d", 7, PayloadType="text")
    form = {"Sim": "device-0002", "Payload": "a b+c&d", "DevicePort": "7", "PayloadType": "text"}
    (command,) = simulator.commands()
    assert (command["parameters"], command["sim_name"]) == (form, "device-0002")
    assert simulator.requests()["recent"][-1]["form"] == form
