"""Requests: each parameter is named as the reference names it, and no name or link leads a request astray."""

from __future__ import annotations

from urllib.parse import parse_qsl

import httpx
import pytest

from airflow_provider_supersim.api.errors import UnreadableReplyError, Verdict
from airflow_provider_supersim.api.models import IpCommandRequest
from airflow_provider_supersim.api.requests import SIMS, Endpoint, describe

ENDPOINT = Endpoint("https://supersim.twilio.com", 30.0)


def test_the_references_own_example_is_what_is_sent():
    command = IpCommandRequest.build(
        "string", "string", 42, payload_type="text", callback_url="https://example.com", callback_method="POST"
    )
    request = ENDPOINT.create_ip_command(command)
    assert (request.method, str(request.url)) == ("POST", "https://supersim.twilio.com/v1/IpCommands")
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert dict(parse_qsl(request.read().decode())) == {
        "CallbackMethod": "POST",
        "CallbackUrl": "https://example.com",
        "DevicePort": "42",
        "Payload": "string",
        "PayloadType": "text",
        "Sim": "string",
    }


def test_optional_parameters_that_were_not_given_are_left_to_the_vendor():
    request = ENDPOINT.create_ip_command(IpCommandRequest.build("s", "p", 1))
    assert [key for key, _ in parse_qsl(request.read().decode())] == ["Sim", "Payload", "DevicePort", "PayloadType"]


def test_parameters_that_are_none_are_not_in_a_query():
    request = ENDPOINT.get("/v1/Sims", {"Fleet": None, "Status": "ready", "PageSize": 50})
    assert str(request.url) == "https://supersim.twilio.com/v1/Sims?Status=ready&PageSize=50"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("HS1", "/v1/Sims/HS1"),
        ("pump/7", "/v1/Sims/pump%2F7"),
        ("pump 7", "/v1/Sims/pump%207"),
        ("a?b=c#d&e", "/v1/Sims/a%3Fb%3Dc%23d%26e"),
        ("100%", "/v1/Sims/100%25"),
        ("%2e%2e", "/v1/Sims/%252e%252e"),
        ("größe", "/v1/Sims/gr%C3%B6%C3%9Fe"),
        ("../Fleets", "/v1/Sims/..%2FFleets"),
        ("a\r\nHost: evil", "/v1/Sims/a%0D%0AHost%3A%20evil"),
        ("..name", "/v1/Sims/..name"),
    ],
)
def test_a_name_is_one_segment_of_the_path(name, path):
    assert ENDPOINT.get_one(SIMS, name).url.raw_path.decode() == path


@pytest.mark.parametrize("name", ["", " ", ".", "..", "...", " .. ", None, 7])
def test_what_would_ask_for_another_resource_is_refused(name):
    with pytest.raises(ValueError, match="sid_or_name must be a sid or a unique name"):
        ENDPOINT.get_one(SIMS, name)


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("https://supersim.twilio.com/v1/Sims?Page=1&PageToken=PAx", None),
        ("https://supersim.twilio.com:443/v1/Sims?Page=1", "https://supersim.twilio.com/v1/Sims?Page=1"),
        ("HTTPS://SuperSim.Twilio.com/v1/Sims?Page=1", "https://supersim.twilio.com/v1/Sims?Page=1"),
        ("/v1/Sims?Page=1", "https://supersim.twilio.com/v1/Sims?Page=1"),
    ],
)
def test_the_next_page_is_followed_on_the_same_origin(link, url):
    request = ENDPOINT.next_page(link)
    assert (request.method, str(request.url)) == ("GET", url or link)


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/v1/Sims?Page=1",
        "//evil.example/v1/Sims?Page=1",
        "http://supersim.twilio.com/v1/Sims?Page=1",
        "https://supersim.twilio.com:8443/v1/Sims?Page=1",
        "https://supersim.twilio.com.evil.example/v1/Sims",
        "https://evil.example\\@supersim.twilio.com/v1/Sims",
        "https://supersim.twilio.com@evil.example/v1/Sims",
        "https://user:password@supersim.twilio.com/v1/Sims",
        "ftp://supersim.twilio.com/v1/Sims",
        "file:///etc/passwd",
        "https://supersim.twilio.com:port/v1/Sims",
        "https://supersim.twilio.com:99999/v1/Sims",
        "https://[::1/v1/Sims",
        "https://exa mple.com/",
        "https://supersim.twilio.com/v1/Sims?Page=\x01",
        "javascript:alert(1)",
    ],
)
def test_credentials_follow_a_link_to_no_other_origin(link):
    with pytest.raises(UnreadableReplyError, match="not followed") as caught:
        ENDPOINT.next_page(link)
    assert caught.value.verdict is Verdict.REFUSED
    assert "password" not in str(caught.value)


def test_a_request_is_described_without_host_query_or_credentials():
    request = httpx.Request("GET", "https://user:password@example.com/v1/Sims?Fleet=secret")
    assert describe(request) == "GET /v1/Sims"


def test_gzip_alone_is_asked_for():
    assert ENDPOINT.get("/v1/Sims").headers["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize("path", ["/v1/Sims", "/v1/IpCommands"])
def test_each_request_carries_the_connections_timeout(path):
    assert Endpoint("https://supersim.twilio.com", 7.5).get(path).extensions["timeout"] == 7.5
