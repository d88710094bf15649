"""Callbacks are real requests, and their signatures are the vendors'."""

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from urllib.parse import parse_qsl, urlsplit

import pytest
from vendor_api import Api

from airflow_provider_supersim.simulator.api.vendors import signatures
from airflow_provider_supersim.testing import Simulator


class Listener:
    """A web server that remembers how it was called."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.calls: Queue = Queue()
        calls, statuses = self.calls, self.statuses

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                calls.put((self.command, self.path, dict(self.headers), body))
                self.send_response(statuses.pop(0) if statuses else 204)
                self.end_headers()

            def log_message(self, *arguments) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,)).start()

    def next(self):
        return self.calls.get(timeout=10)


@pytest.fixture
def listener() -> Iterator[Listener]:
    one = Listener()
    yield one
    one.server.shutdown()
    one.server.server_close()


def results(simulator: Simulator, **which):
    """Wait until every callback has its result; return them."""
    for _ in range(1000):
        (callbacks,) = [command["callbacks"] for command in simulator.commands(**which)]
        if callbacks and all(one["status"] or one["error"] for one in callbacks):
            return callbacks
    raise AssertionError(callbacks)


def test_the_vendors_own_examples():
    fields = {"CallSid": "CA1234567890ABCDE", "Caller": "+12349013030", "Digits": "1234"}
    fields |= {"From": "+12349013030", "To": "+18005551212"}
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert signatures.twilio("12345", url, fields) == "0/KCTR6DLpKmkAf8muzZqo1nDgQ="
    expected = "f562d3959f68b5a30fc7a63f8bbf40987f633575f4231ffceb4f76dd154ea3ce"
    assert signatures.kore("12345", "POST", "https://testendpoint.com", b"field1=value1&field2=value2") == expected
    assert (
        signatures.kore("12345", "POST", "https://testendpoint.com?a=b#c", b"field1=value1&field2=value2") == expected
    )


def test_twilio_posts(simulator, twilio, listener, port):
    url = f"{listener.url}/done?run=7&x=%20"
    sid = twilio.sent("device-0002", "hé llo", port, CallbackUrl=url)
    simulator.advance(1)
    method, path, headers, body = listener.next()
    fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
    assert (method, path, headers["Content-Type"]) == (
        "POST",
        "/done?run=7&x=%20",
        "application/x-www-form-urlencoded",
    )
    assert headers["X-Twilio-Signature"] == signatures.twilio("simulator", url, fields)
    assert {
        "Sid": sid,
        "Status": "sent",
        "Direction": "to_sim",
        "SimUniqueName": "device-0002",
        "DeviceIp": "100.64.0.3",
        "DevicePort": str(port),
        "Payload": base64.b64encode("hé llo".encode()).decode(),
    }.items() <= fields.items()
    (result,) = results(simulator)
    assert (result["url"], result["status"], result["attempts"]) == (url, 204, 1)
    assert simulator.alerts() == []


@pytest.mark.parametrize("base", ["/done", "/done?run=7"])
def test_twilio_gets(simulator, twilio, listener, base):
    twilio.sent(CallbackUrl=listener.url + base, CallbackMethod="GET")
    simulator.advance(1)
    method, path, headers, body = listener.next()
    assert (method, body) == ("GET", b"")
    assert path.startswith(base)
    assert dict(parse_qsl(urlsplit(path).query))["Status"] == "sent"
    assert headers["X-Twilio-Signature"] == signatures.twilio("simulator", listener.url + path, {})


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_kore_calls(simulator, kore, listener, method):
    sid = kore.sent(CallbackUrl=f"{listener.url}/done?run=7", CallbackMethod=method)
    simulator.advance(1)
    called, _, headers, body = listener.next()
    assert called == method
    assert headers["kore-signature"] == signatures.kore("simulator", method, f"{listener.url}/done", body)
    assert headers["kore-idempotency-token"] == sid
    assert "X-Twilio-Signature" not in headers


def test_kore_tries_twice(simulator, kore, listener):
    listener.statuses += [503, 200]
    kore.sent(CallbackUrl=listener.url)
    simulator.advance(1)
    first, second = listener.next(), listener.next()
    assert first[2]["kore-idempotency-token"] == second[2]["kore-idempotency-token"]
    assert first[3] == second[3]
    assert results(simulator)[0]["attempts"] == 2
    assert simulator.alerts() == []


@pytest.mark.parametrize(("vendor", "attempts"), [("twilio", 1), ("kore", 2)])
def test_a_callback_that_fails_is_an_alert(request, simulator, listener, vendor, attempts):
    listener.statuses += [500] * 5
    sid = request.getfixturevalue(vendor).sent(CallbackUrl=listener.url)
    simulator.advance(1)
    for _ in range(attempts):
        listener.next()
    _until(simulator.alerts)
    (alert,) = simulator.alerts()
    assert (alert["code"], alert["sid"]) == (83402, sid)
    assert "HTTP 500" in alert["message"]
    assert results(simulator)[0]["attempts"] == attempts
    assert listener.calls.empty()


def test_a_refusal_is_not_tried_again(simulator, kore, listener):
    listener.statuses += [404]
    kore.sent(CallbackUrl=listener.url)
    simulator.advance(1)
    _until(simulator.alerts)
    assert results(simulator)[0]["attempts"] == 1


def test_nobody_listens(simulator, twilio):
    twilio.sent(CallbackUrl="http://127.0.0.1:1/gone")
    simulator.advance(1)
    (result,) = results(simulator)
    assert result["status"] is None
    assert "Connect" in result["error"]
    _until(simulator.alerts)
    assert simulator.alerts()[0]["code"] == 83402


def test_without_a_secret_kore_signs_nothing(simulator, kore, listener):
    simulator.settings(callback_secret="")
    kore.sent(CallbackUrl=listener.url)
    simulator.advance(1)
    assert listener.next()[2]["kore-signature"] == ""


def test_a_failed_command_is_not_called_back(simulator, twilio, listener):
    simulator.set_behaviour("device-0001", network="offline")
    twilio.sent(CallbackUrl=listener.url)
    simulator.advance(1)
    assert simulator.commands()[0]["callbacks"] == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_fleet_hears_what_its_devices_send(simulator, twilio, listener, port, method):
    simulator.update_fleet("field-devices", ip_commands_url=f"{listener.url}/up", ip_commands_method=method)
    simulator.set_behaviour("all", answer="echo")
    twilio.sent("device-0001", "ping", port)
    simulator.advance(1)
    called, path, headers, body = listener.next()
    fields = dict(parse_qsl(body.decode() if method == "POST" else urlsplit(path).query))
    (answer,) = simulator.commands(direction="from_sim")
    assert (called, fields["Direction"], fields["Sid"]) == (method, "from_sim", answer["sid"])
    assert (fields["Payload"], fields["PayloadType"]) == (base64.b64encode(b"ping").decode(), "binary")
    expected = signatures.twilio("simulator", listener.url + path, fields if method == "POST" else {})
    assert headers["X-Twilio-Signature"] == expected
    assert results(simulator, direction="from_sim")[0]["status"] == 204


def test_answers_are_called_back_in_the_dialect_of_the_command(simulator, anyone, listener, port):
    simulator.update_fleet("field-devices", ip_commands_url=listener.url)
    simulator.set_behaviour("all", answer="echo")
    Api.token(anyone).sent(port=port)
    simulator.advance(1)
    assert "kore-signature" in listener.next()[2]


def _until(condition) -> None:
    for _ in range(1000):
        if condition():
            return
    raise AssertionError("it never came")
