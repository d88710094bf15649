"""Validation before anything leaves, and the payload's wire form."""

from __future__ import annotations

import base64
import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_supersim.api.models import MAX_PAYLOAD_BYTES, IpCommandRequest, PayloadType

SIM = "HS" + 32 * "a"


def build(**changes):
    return IpCommandRequest.build(**{"sim": SIM, "payload": "reboot", "device_port": 2048, **changes})


def b64(data):
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("payload", "payload_type", "wire", "kind"),
    [
        ("apn=iot", None, "apn=iot", "text"),
        ("apn=iot", "text", "apn=iot", "text"),
        ("größe=1 ☃", None, "größe=1 ☃", "text"),
        (" ", None, " ", "text"),
        ("AAEC", "binary", "AAEC", "binary"),
        (b"\x00\x01\x02", None, "AAEC", "binary"),
        (b"\x00\x01\x02", "binary", "AAEC", "binary"),
        ({"b": 1, "a": [True, None]}, None, '{"b":1,"a":[true,null]}', "text"),
        ([1, "ü"], "text", '[1,"ü"]', "text"),
        ({}, None, "{}", "text"),
    ],
)
def test_the_payloads_type_decides_how_it_goes_over_the_wire(payload, payload_type, wire, kind):
    request = build(payload=payload, payload_type=payload_type)
    assert (request.payload, request.payload_type) == (wire, kind)


@pytest.mark.parametrize("size", [1, 1299, 1300])
@pytest.mark.parametrize(
    "make",
    [
        lambda size: ("x" * size, None),
        lambda size: ("é" * (size // 2) + "x" * (size % 2), None),
        lambda size: ("☃" * (size // 3) + "x" * (size % 3), "text"),
        lambda size: ("😀" * (size // 4) + "x" * (size % 4), None),
        lambda size: (bytes(size), None),
        lambda size: (b64(bytes(size)), "binary"),
    ],
    ids=["ascii", "2-byte characters", "3-byte characters", "4-byte characters", "bytes", "base64"],
)
def test_up_to_1300_bytes_as_the_device_gets_them_are_taken(make, size):
    payload, payload_type = make(size)
    assert build(payload=payload, payload_type=payload_type).payload


@pytest.mark.parametrize(
    ("payload", "payload_type", "size"),
    [
        ("x" * 1301, None, 1301),
        ("é" * 650 + "x", None, 1301),
        ("é" * 651, None, 1302),
        ("☃" * 433 + "xx", None, 1301),
        ("😀" * 325 + "x", "text", 1301),
        (bytes(1301), None, 1301),
        (b64(bytes(1301)), "binary", 1301),
        ({"k": "x" * 1293}, None, 1301),
        ({"k": "é" * 647}, None, 1302),
    ],
)
def test_more_than_1300_bytes_are_refused_and_the_size_is_said(payload, payload_type, size):
    with pytest.raises(ValueError, match=f"payload is {size} bytes as the device gets it; at most 1300"):
        build(payload=payload, payload_type=payload_type)


def test_the_limit_counts_what_the_device_gets_not_what_travels_to_the_api():
    wire = build(payload=bytes(1300)).payload
    assert len(wire) > MAX_PAYLOAD_BYTES


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sim": ""}, "sim must be"),
        ({"sim": "  "}, "sim must be"),
        ({"sim": None}, "sim must be"),
        ({"sim": 7}, "sim must be"),
        ({"payload": ""}, "payload is empty"),
        ({"payload": b""}, "payload is empty"),
        ({"payload": "", "payload_type": "binary"}, "payload is empty"),
        ({"payload": None}, "payload must be str, bytes, dict or list, got NoneType"),
        ({"payload": 7}, "payload must be .* got int"),
        ({"payload": "nonsense!", "payload_type": "binary"}, "payload is not valid base64"),
        ({"payload": "AAE", "payload_type": "binary"}, "payload is not valid base64"),
        ({"payload": "AA\nEC", "payload_type": "binary"}, "payload is not valid base64"),
        ({"payload": "AA==AA==", "payload_type": "binary"}, "payload is not valid base64"),
        ({"payload": "-_-_", "payload_type": "binary"}, "payload is not valid base64"),
        ({"payload": "größe", "payload_type": "binary"}, "payload is not valid base64"),
        ({"payload": b"x", "payload_type": "text"}, "payload is bytes"),
        ({"payload": {"a": 1}, "payload_type": "binary"}, "payload is a dict or list"),
        ({"payload": {"a": object()}}, "payload cannot be written as JSON"),
        ({"payload": [float("nan")]}, "payload cannot be written as JSON"),
        ({"payload": "\ud800"}, "payload cannot be written as UTF-8"),
        ({"payload": {"a": "\ud800"}}, "payload cannot be written as UTF-8"),
        ({"payload_type": "json"}, "payload_type must be 'text' or 'binary'"),
        ({"payload_type": ""}, "payload_type must be"),
        ({"payload_type": 5}, "payload_type must be"),
        ({"callback_url": "ftp://example.com"}, "callback_url must be an http or https URL"),
        ({"callback_url": "example.com/hook"}, "callback_url must be"),
        ({"callback_url": "https://"}, "callback_url must be"),
        ({"callback_url": "https:///path"}, "callback_url must be"),
        ({"callback_url": ""}, "callback_url must be"),
        ({"callback_url": "http://example.com/a b"}, "callback_url must be"),
        ({"callback_url": "http://example.com/ä"}, "callback_url must be"),
        ({"callback_url": "http://bücher.example/"}, "callback_url must be"),
        ({"callback_url": "http://example.com/\n"}, "callback_url must be"),
        ({"callback_url": "http://example.com:65536/"}, "callback_url"),
        ({"callback_url": "https://[::1"}, "callback_url"),
        ({"callback_url": 5}, "callback_url must be"),
        ({"callback_method": "PUT"}, "callback_method must be 'GET' or 'POST'"),
        ({"callback_method": "HEAD"}, "callback_method must be"),
        ({"callback_method": "PATCH"}, "callback_method must be"),
        ({"callback_method": "DELETE"}, "callback_method must be"),
        ({"callback_method": ""}, "callback_method must be"),
        ({"callback_method": 5}, "callback_method must be"),
    ],
)
def test_bad_input_is_refused_in_a_sentence_that_names_the_argument(changes, words):
    with pytest.raises(ValueError, match=words):
        build(**changes)


@pytest.mark.parametrize("port", [0, 65536, -1, "0", "65536", "-1", "", "http", "80.0", 80.0, True, None, "٣", "8 0"])
def test_a_port_outside_1_to_65535_is_refused(port):
    with pytest.raises(ValueError, match="device_port must be a whole number from 1 to 65535"):
        build(device_port=port)


@pytest.mark.parametrize(
    ("port", "sent"), [(1, 1), (65535, 65535), ("1", 1), ("65535", 65535), (" 2048 ", 2048), ("2048\n", 2048)]
)
def test_a_port_is_taken_as_number_or_as_the_text_that_a_template_makes(port, sent):
    assert build(device_port=port).device_port == sent


@pytest.mark.parametrize("url", ["http://example.com", "https://example.com/hook?a=1", "HTTPS://EXAMPLE.com:8443/"])
@pytest.mark.parametrize(("method", "sent"), [("GET", "GET"), ("POST", "POST"), ("get", "GET"), (None, None)])
def test_a_callback_is_an_http_url_called_by_get_or_post(url, method, sent):
    request = build(callback_url=url, callback_method=method)
    assert (request.callback_url, request.callback_method) == (url, sent)


def test_a_sim_loses_the_white_space_that_a_template_left_around_it():
    assert build(sim=" pump-7\n").sim == "pump-7"


@given(st.binary(min_size=1, max_size=1300))
def test_bytes_come_out_of_the_wire_form_as_they_went_in(payload):
    request = build(payload=payload)
    assert base64.b64decode(request.payload, validate=True) == payload
    assert build(payload=request.payload, payload_type="binary") == request


@given(st.text(min_size=1, max_size=325))
def test_any_text_of_up_to_1300_bytes_is_sent_unchanged(payload):
    request = build(payload=payload)
    assert (request.payload, request.payload_type) == (payload, PayloadType.TEXT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(string.printable + "é☃", max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_a_dict_is_sent_as_json_that_reads_back_equal(payload):
    try:
        request = build(payload=payload)
    except ValueError as error:
        assert "at most 1300" in str(error) or "UTF-8" in str(error)  # noqa: PT017 - both are right
    else:
        assert json.loads(request.payload) == payload
        assert len(request.payload.encode()) <= MAX_PAYLOAD_BYTES


@given(st.text(string.ascii_letters + string.digits + "+/=-_ \n", max_size=40))
def test_binary_text_is_base64_or_refused_never_a_foreign_error(payload):
    try:
        request = build(payload=payload, payload_type="binary")
    except ValueError as error:
        assert "payload" in str(error)  # noqa: PT017 - hypothesis gives both kinds
    else:
        assert base64.b64decode(request.payload, validate=True)


@pytest.mark.parametrize("payload", [{"deep": None}, [None]])
def test_a_payload_of_many_levels_is_refused_as_what_cannot_be_written(payload):
    for _ in range(5000):
        payload = [payload]
    with pytest.raises(ValueError, match="payload cannot be written as JSON"):
        IpCommandRequest.build("s", payload, 1)


def test_a_password_in_a_callback_url_is_not_quoted():
    with pytest.raises(ValueError, match="callback_url must be") as caught:
        IpCommandRequest.build("s", "x", 1, callback_url="ftp://me:hidden-word@example.com")
    assert "hidden-word" not in str(caught.value)
