"""Callbacks are real requests, and their signatures are the vendors'."""

import base64
from urllib.parse import parse_qsl, urlsplit

import pytest
from polling import wait_until
from vendor_api import Api

from airflow_provider_supersim.simulator.api.vendors import kore as kore_api
from airflow_provider_supersim.simulator.api.vendors import twilio as twilio_api
from airflow_provider_supersim.testing import Simulator


def results(simulator: Simulator, **which):
    """Wait until every callback has its result; return them."""

    def finished():
        (callbacks,) = [command["callbacks"] for command in simulator.commands(**which)]
        return all(one["status"] or one["error"] for one in callbacks) and callbacks

    return wait_until(finished)


def test_the_vendors_own_examples():
    fields = {"CallSid": "CA1234567890ABCDE", "Caller": "+12349013030", "Digits": "1234"}
    fields |= {"From": "+12349013030", "To": "+18005551212"}
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert twilio_api.signature("12345", url, fields) == "0/KCTR6DLpKmkAf8muzZqo1nDgQ="
    expected = "f562d3959f68b5a30fc7a63f8bbf40987f633575f4231ffceb4f76dd154ea3ce"
    for called in ("https://testendpoint.com", "https://testendpoint.com?a=b#c"):
        assert kore_api.signature("12345", "POST", called, b"field1=value1&field2=value2") == expected


def test_twilio_posts(simulator, twilio, callback_listener, port):
    url = f"{callback_listener.url}/done?run=7&x=%20"
    sid = twilio.sent("device-0002", "hé llo", port, CallbackUrl=url)
    simulator.advance(1)
    method, path, headers, body = callback_listener.next()
    fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
    assert (method, path, headers["Content-Type"]) == (
        "POST",
        "/done?run=7&x=%20",
        "application/x-www-form-urlencoded",
    )
    assert headers["X-Twilio-Signature"] == twilio_api.signature("simulator", url, fields)
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
def test_twilio_gets(simulator, twilio, callback_listener, base):
    twilio.sent(CallbackUrl=callback_listener.url + base, CallbackMethod="GET")
    simulator.advance(1)
    method, path, headers, body = callback_listener.next()
    assert (method, body) == ("GET", b"")
    assert path.startswith(base)
    assert dict(parse_qsl(urlsplit(path).query))["Status"] == "sent"
    assert headers["X-Twilio-Signature"] == twilio_api.signature("simulator", callback_listener.url + path, {})


@pytest.mark.parametrize("vendor", ["twilio", "kore"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("base", ["/done", "/done?run=7"])
def test_a_fragment_stays_at_home(request, simulator, callback_listener, vendor, method, base):
    request.getfixturevalue(vendor).sent(CallbackUrl=f"{callback_listener.url}{base}#part", CallbackMethod=method)
    simulator.advance(1)
    called, path, headers, body = callback_listener.next()
    fields = parse_qsl(urlsplit(path).query if method == "GET" else body.decode(), keep_blank_values=True)
    assert called == method
    assert path.startswith(base)
    assert dict(fields)["Status"] == "sent"
    if vendor == "twilio":
        signed = dict(fields) if method == "POST" else {}
        assert headers["X-Twilio-Signature"] == twilio_api.signature("simulator", callback_listener.url + path, signed)
    else:
        bare = f"{callback_listener.url}/done"
        assert headers["kore-signature"] == kore_api.signature("simulator", method, bare, body)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_kore_calls(simulator, kore, callback_listener, method):
    sid = kore.sent(CallbackUrl=f"{callback_listener.url}/done?run=7", CallbackMethod=method)
    simulator.advance(1)
    called, _, headers, body = callback_listener.next()
    assert called == method
    assert headers["kore-signature"] == kore_api.signature("simulator", method, f"{callback_listener.url}/done", body)
    assert headers["kore-idempotency-token"] == sid
    assert "X-Twilio-Signature" not in headers


def test_kore_tries_twice(simulator, kore, callback_listener):
    callback_listener.statuses += [503, 200]
    kore.sent(CallbackUrl=callback_listener.url)
    simulator.advance(1)
    first, second = callback_listener.next(), callback_listener.next()
    assert first[2]["kore-idempotency-token"] == second[2]["kore-idempotency-token"]
    assert first[3] == second[3]
    assert results(simulator)[0]["attempts"] == 2
    assert simulator.alerts() == []


@pytest.mark.parametrize(("vendor", "attempts"), [("twilio", 1), ("kore", 2)])
def test_a_callback_that_fails_is_an_alert(request, simulator, callback_listener, vendor, attempts):
    callback_listener.statuses += [500] * 5
    sid = request.getfixturevalue(vendor).sent(CallbackUrl=callback_listener.url)
    simulator.advance(1)
    for _ in range(attempts):
        callback_listener.next()
    wait_until(simulator.alerts)
    (alert,) = simulator.alerts()
    assert (alert["code"], alert["sid"]) == (83402, sid)
    assert "HTTP 500" in alert["message"]
    assert results(simulator)[0]["attempts"] == attempts
    assert callback_listener.calls.empty()


def test_a_refusal_is_not_tried_again(simulator, kore, callback_listener):
    callback_listener.statuses += [404]
    kore.sent(CallbackUrl=callback_listener.url)
    simulator.advance(1)
    wait_until(simulator.alerts)
    assert results(simulator)[0]["attempts"] == 1


def test_a_callback_that_nothing_listens_to(simulator, twilio):
    twilio.sent(CallbackUrl="http://127.0.0.1:1/gone")
    simulator.advance(1)
    (result,) = results(simulator)
    assert result["status"] is None
    assert "Connect" in result["error"]
    wait_until(simulator.alerts)
    assert simulator.alerts()[0]["code"] == 83402


def test_without_a_secret_kore_signs_nothing(simulator, kore, callback_listener):
    simulator.settings(callback_secret="")
    kore.sent(CallbackUrl=callback_listener.url)
    simulator.advance(1)
    assert callback_listener.next()[2]["kore-signature"] == ""


def test_a_failed_command_is_not_called_back(simulator, twilio, callback_listener):
    simulator.set_behaviour("device-0001", network="offline")
    twilio.sent(CallbackUrl=callback_listener.url)
    simulator.advance(1)
    assert simulator.commands()[0]["callbacks"] == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_fleet_hears_what_its_devices_send(simulator, twilio, callback_listener, port, method):
    simulator.update_fleet("field-devices", ip_commands_url=f"{callback_listener.url}/up", ip_commands_method=method)
    simulator.set_behaviour("all", answer="echo")
    twilio.sent("device-0001", "ping", port)
    simulator.advance(1)
    called, path, headers, body = callback_listener.next()
    fields = dict(parse_qsl(body.decode() if method == "POST" else urlsplit(path).query))
    (answer,) = simulator.commands(direction="from_sim")
    assert (called, fields["Direction"], fields["Sid"]) == (method, "from_sim", answer["sid"])
    assert (fields["Payload"], fields["PayloadType"]) == (base64.b64encode(b"ping").decode(), "binary")
    expected = twilio_api.signature("simulator", callback_listener.url + path, fields if method == "POST" else {})
    assert headers["X-Twilio-Signature"] == expected
    assert results(simulator, direction="from_sim")[0]["status"] == 204


def test_answers_are_called_back_by_the_vendor_of_the_command(simulator, anyone, callback_listener, port):
    simulator.update_fleet("field-devices", ip_commands_url=callback_listener.url)
    simulator.set_behaviour("all", answer="echo")
    Api.token(anyone).sent(port=port)
    simulator.advance(1)
    assert "kore-signature" in callback_listener.next()[2]
