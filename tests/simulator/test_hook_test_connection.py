"""The connection test says what was tried and what the vendor answered, once, and shows no secret."""

from __future__ import annotations

import json

import anyio.to_thread
import pytest
from raw_server import raw_server, reply

from airflow_provider_supersim.hooks.supersim import SuperSimHook


@pytest.fixture
def test_it(supersim_simulator, monkeypatch):
    """Run the connection test on a connection with some fields changed."""

    def run(vendor="twilio", **changes):
        fields = {**supersim_simulator.connection(vendor), **changes}
        monkeypatch.setenv("AIRFLOW_CONN_UNDER_TEST", json.dumps(fields))
        return SuperSimHook("under_test").test_connection()

    return run


def test_it_succeeds_with_what_was_tried_and_found(test_it, supersim_simulator, vendor):
    ok, words = test_it(vendor)
    login = supersim_simulator.connection(vendor)["login"]
    assert ok
    assert words.startswith(f"GET /v1/Fleets at {supersim_simulator.url} as {login} ({vendor}) succeeded: ")
    assert "has the Fleet " in words
    (request,) = [one for one in supersim_simulator.requests()["recent"] if one["path"] == "/v1/Fleets"]
    assert request["query"] == {"PageSize": "1"}


@pytest.mark.parametrize(
    ("vendor", "changes", "words"),
    [
        (
            "twilio",
            {"password": "wr0ng-word"},
            "did not succeed. GET /v1/Fleets answered 401 (code 20003): Authenticate",
        ),
        (
            "kore",
            {"password": "wr0ng-word"},
            "did not succeed. POST /api-services/v1/auth/token answered 401: unauthorized_client: ",
        ),
        ("twilio", {"login": "AC12"}, "answered 401 (code 20409)"),
        ("twilio", {"password": ""}, "login and password are needed"),
        ("twilio", {"login": "x", "extra": {}}, "Twilio or KORE?"),
        ("twilio", {"host": "http://example.com"}, "host is plain http://"),
        ("twilio", {"host": "https://supersim.invalid"}, "no connection to supersim.invalid"),
        ("twilio", {"extra": {"verify": False}}, "extra.verify cannot be switched off"),
        ("twilio", {"extra": {"verify": "/no/such.pem"}}, "extra.verify must be the path"),
    ],
    indirect=["vendor"],
)
def test_it_fails_with_the_reason(test_it, vendor, changes, words):
    ok, said = test_it(vendor, **changes)
    assert not ok
    assert words in said
    assert "wr0ng-word" not in said
    assert "under_test" not in said  # the id that Airflow makes up for its Test button says nothing to its user


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "error_before", "status": 503}, "answered 503 (code 20503)"),
        ({"kind": "too_many_requests"}, "answered 429 (code 20429)"),
        ({"kind": "garbage", "body": "html"}, "the reply cannot be read"),
        ({"kind": "drop_before"}, "no whole reply from 127.0.0.1"),
    ],
    ids=str,
)
def test_it_tries_once_and_does_not_keep_the_user_waiting(test_it, supersim_simulator, fault, words):
    supersim_simulator.faults({**fault, "path": "/v1/"})
    ok, said = test_it()
    assert not ok
    assert words in said
    assert supersim_simulator.requests()["total"] <= 2  # aiohttp reads once more by itself where a connection was lost


@pytest.mark.anyio
async def test_an_account_without_a_fleet_is_fine(monkeypatch):
    async with raw_server(reply({"fleets": [], "meta": {}})) as server:
        connection = {"conn_type": "supersim", "host": server.url, "login": "AC1", "password": "x"}
        monkeypatch.setenv("AIRFLOW_CONN_UNDER_TEST", json.dumps(connection))
        ok, words = await anyio.to_thread.run_sync(SuperSimHook("under_test").test_connection)
    assert ok
    assert words.endswith("the account has no Fleet yet.")
