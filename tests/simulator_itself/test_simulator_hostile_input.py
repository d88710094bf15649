"""What no client of good will sends: bodies without end, deep JSON, times out of reach, requests of a web page."""

import socket
from contextlib import closing
from http.client import HTTPResponse
from urllib.parse import urlsplit

import pytest
from vendor_api import COMMANDS, NEW_YEAR, TOKEN, basic

HUNDRED_MB = 100 * 2**20
FORM = "application/x-www-form-urlencoded"


def raw(url, head, *body):
    """Send a request byte for byte, and read the reply as soon as it comes."""
    host, port = urlsplit(url).netloc.split(":")
    with closing(socket.create_connection((host, int(port)))) as connection:
        lines = "\r\n".join([head[0], f"Host: {host}:{port}", *head[1:]])
        connection.sendall(lines.encode("latin-1") + b"\r\n\r\n")
        for piece in body:
            connection.sendall(piece)
        reply = HTTPResponse(connection)
        reply.begin()
        return reply.status, reply.read()


@pytest.mark.parametrize(
    ("method", "path", "media_type"),
    [("POST", COMMANDS, FORM), ("POST", TOKEN, FORM), ("POST", "/_simulator/reset", "application/json")],
)
def test_a_body_that_says_it_is_too_long_is_refused_before_it_comes(simulator, method, path, media_type):
    head = [f"{method} {path} HTTP/1.1", f"Content-Length: {HUNDRED_MB}", f"Content-Type: {media_type}"]
    if path != TOKEN:
        head.append(f"Authorization: {basic()}")
    status, _ = raw(simulator.url, head, b"Sim=")
    assert status == 413
    assert simulator.commands() == []


@pytest.mark.parametrize(("path", "media_type"), [(COMMANDS, FORM), ("/_simulator/reset", "application/json")])
def test_a_body_of_unknown_length_is_read_only_so_far(simulator, path, media_type):
    head = [f"POST {path} HTTP/1.1", "Transfer-Encoding: chunked", f"Content-Type: {media_type}"]
    head.append(f"Authorization: {basic()}")
    chunk = b"%x\r\n%s\r\n" % (2**20, b"a" * 2**20)
    status, _ = raw(simulator.url, head, *[chunk] * 100)  # and no last chunk: nothing waits for it
    assert status == 413


def test_a_long_body_costs_no_more_than_its_length(simulator, twilio):
    """What a client insists on sending is read and forgotten, and the connection goes on."""
    answer = twilio.call("POST", COMMANDS, body="Sim=" + "a" * HUNDRED_MB)
    assert answer.status == 413
    assert simulator.requests()["recent"][-1]["form"] == {}
    assert twilio.send().status == 201


def test_a_payload_that_is_only_too_long_for_a_device_is_the_vendors_own_refusal(twilio):
    assert twilio.send(payload="a" * 10_000).json["code"] == 83600


@pytest.mark.parametrize("path", ["/v1/Sims/ä", "/v1/Sims/%FF", "/v1/Sims/%00", "/v1/ä", "/_simulator/sims/%FF"])
def test_a_path_that_is_no_text_is_the_clients_fault(simulator, path):
    status, _ = raw(simulator.url, [f"GET {path} HTTP/1.1", f"Authorization: {basic()}"])
    assert 400 <= status < 500


@pytest.mark.parametrize(
    ("method", "path", "around"),
    [
        ("POST", "reset", "%s"),
        ("PATCH", "settings", "%s"),
        ("PATCH", "devices/device-0001", "%s"),
        ("PATCH", "devices", '{"sims": "all", "behaviour": %s}'),
        ("POST", "seed", '{"sims": [{"behaviour": %s}]}'),
    ],
)
def test_deep_json_is_the_clients_fault(anyone, method, path, around):
    body = around % ('{"a":' * 100_000 + "1" + "}" * 100_000)
    answer = anyone.call(method, f"/_simulator/{path}", body=body, **{"Content-Type": "application/json"})
    assert answer.status == 400
    assert "nested" in answer.json["error"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"advance": 1e300}, "advance"),
        ({"set": "9999-12-31T23:59:59Z"}, "set"),
        ({"set": "0001-01-01T00:00:00Z"}, "set"),
        ({"stop": True, "set": "2999-01-01T00:00:00Z", "advance": 1e12}, "advance"),
    ],
)
def test_a_clock_stays_within_dates_that_can_be_written(simulator, twilio, change, named):
    simulator.run_clock()
    with pytest.raises(ValueError, match=f"{named}: .*from 1970 to 9000"):
        simulator.control("POST", "clock", change)
    assert simulator.clock()["running"]
    assert simulator.clock()["iso"].startswith(NEW_YEAR[:10])
    assert twilio.get(COMMANDS).status == 200


def test_times_that_never_come_do_no_harm(simulator, twilio):
    simulator.settings(settle=1e300, list_lag=1e300, token_lifetime=10**9)
    simulator.set_behaviour("all", answer="echo", answer_delay=1e300, phase=1e300)
    twilio.sent()
    simulator.run_clock()
    assert twilio.get(COMMANDS).json["ip_commands"] == []
    assert twilio.token().get(COMMANDS).status == 200


@pytest.mark.parametrize(
    ("origin", "host", "welcome"),
    [
        (None, None, True),
        ("{url}", None, True),
        ("http://evil.example", None, False),
        ("null", None, False),
        ("http://127.0.0.1:1", None, False),
        # A name that a page's owner has pointed at this host.
        ("http://evil.example:8025", "evil.example:8025", False),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("DELETE", "requests"), ("POST", "reset"), ("GET", "connections")])
def test_a_web_page_may_not_use_the_control_plane(simulator, anyone, method, path, origin, host, welcome):
    headers = {"Origin": origin and origin.format(url=simulator.url), "Host": host}
    answer = anyone.call(
        method, f"/_simulator/{path}", **{name: value for name, value in headers.items() if value is not None}
    )
    assert answer.status == (200 if welcome else 403)
    assert welcome or "Origin" in answer.json["error"]


@pytest.mark.parametrize("media_type", ["text/plain", FORM, "multipart/form-data; boundary=x", ""])
def test_the_control_plane_takes_json_alone(simulator, anyone, media_type):
    """The other media types are what a form of any web page can send."""
    answer = anyone.call("POST", "/_simulator/reset", body='{"sims": 3}', **{"Content-Type": media_type})
    assert answer.status == 415
    assert "application/json" in answer.json["error"]
    assert simulator.options()["sims"] == 200


def test_a_media_type_of_the_control_plane_has_no_case(simulator, anyone):
    for media_type in ("Application/JSON", "application/json; charset=utf-8"):
        assert anyone.call("POST", "/_simulator/reset", body="{}", **{"Content-Type": media_type}).status == 200
    assert anyone.call("POST", "/_simulator/reset").status == 200  # without a body there is nothing to read
