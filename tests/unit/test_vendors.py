"""What differs between the vendors is as their documents say."""

from __future__ import annotations

import json

import httpx
import pytest

from airflow_provider_supersim.api.reply import Reply
from airflow_provider_supersim.api.requests import FLEETS, IP_COMMANDS, SIMS
from airflow_provider_supersim.api.vendors import VENDORS
from airflow_provider_supersim.hooks.connection_form import EXTRA_FIELDS


@pytest.mark.parametrize(
    ("name", "base_url", "auth_url", "page_sizes"),
    [
        ("twilio", "https://supersim.twilio.com", None, {IP_COMMANDS: 1000, SIMS: 1000, FLEETS: 1000}),
        (
            "kore",
            "https://supersim.api.korewireless.com",
            "https://api.korewireless.com/api-services/v1/auth/token",
            {IP_COMMANDS: 100, SIMS: 1000, FLEETS: 1000},
        ),
    ],
)
def test_each_vendor_is_as_its_document_says(name, base_url, auth_url, page_sizes):
    vendor = VENDORS[name]
    assert (vendor.name, vendor.base_url, vendor.auth_url) == (name, base_url, auth_url)
    assert (vendor.page_sizes, vendor.max_concurrency) == (page_sizes, 100)


@pytest.mark.parametrize(
    ("status", "body", "expired"),
    [
        (401, b"", True),
        (401, {"code": 20003, "message": "Authenticate"}, True),
        (403, {"message": "… with an explicit deny", "error": "Invalid or expired token"}, True),
        (403, {"message": "Access denied", "code": 20006}, False),
        (403, b"<html>token</html>", False),
        (404, {"error": "Invalid or expired token"}, False),
        (200, {"error": "token"}, False),
    ],
)
def test_kore_refuses_a_token_otherwise_than_a_request(status, body, expired):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = Reply(httpx.Request("GET", "https://supersim.api.korewireless.com"), status, httpx.Headers(), content)
    assert VENDORS["kore"].says_token_expired(reply) is expired
    assert not VENDORS["twilio"].says_token_expired(reply)  # which has no token


def test_the_connection_form_offers_every_vendor():
    assert {**EXTRA_FIELDS["vendor"].choices} == {vendor.name: vendor.title for vendor in VENDORS.values()} | {
        "null": "From host or login"
    }
