"""A vendor is one class and one entry: an invented third one is spoken to through the hook and the client."""

from __future__ import annotations

import json
from functools import partial

import anyio.to_thread
import pytest
from raw_server import raw_server, reply
from typing_extensions import override

from airflow_provider_supersim.api.auth import Auth
from airflow_provider_supersim.api.requests import FLEETS, IP_COMMANDS, SIMS
from airflow_provider_supersim.api.vendors import VENDORS, Vendor
from airflow_provider_supersim.hooks.supersim import SuperSimHook

pytestmark = pytest.mark.anyio


class KeyAuth(Auth):
    """A key that counts its sessions: the next one begins when the API says that the last one is over."""

    def __init__(self, key, secret):
        self._key, self._secret = key, secret
        self._session = 1

    @override
    async def header(self, send):
        return f"Key {self._key}:{self._secret}:{self._session}"

    @override
    def renew(self, refused):
        self._session += 1

    @override
    def redact(self, text):
        return text.replace(self._secret, "***")


class Acme(Vendor):
    name = "acme"
    title = "Acme"
    base_url = "https://sims.acme.example"
    credentials = "key and secret"
    host_part = "acme"
    login_prefixes = ("KEY-",)
    page_sizes = {IP_COMMANDS: 20, SIMS: 30, FLEETS: 10}

    @override
    def auth(self, login, password, *, auth_url, timeout):
        return KeyAuth(login, password)

    @override
    def says_token_expired(self, reply):
        return reply.status_code == 419


COMMAND = {"sid": "HG1", "status": "queued", "direction": "to_sim", "payload_type": "text"}
SESSION_OVER = reply(b"session over", status="419 Session over")


@pytest.fixture(autouse=True)
def _acme(monkeypatch):
    monkeypatch.setitem(VENDORS, "acme", Acme())


@pytest.fixture
def connect(monkeypatch):
    """Return a function that makes a connection and returns a hook for it."""

    def connection(**fields):
        given = {"conn_type": "supersim", "login": "KEY-7", "password": "s3cret", **fields}
        monkeypatch.setenv("AIRFLOW_CONN_ACME", json.dumps(given))
        return SuperSimHook("acme")

    return connection


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"login": "x", "host": "eu.acme.example"},
        {"login": "x", "extra": {"vendor": "acme"}},
    ],
    ids=["login", "host", "extra"],
)
def test_it_is_told_by_login_host_or_name(connect, fields):
    account = connect(**fields).account
    assert account.vendor.name == "acme"
    assert account.base_url == (f"https://{fields['host']}" if "host" in fields else "https://sims.acme.example")


def test_errors_name_it_too(connect):
    with pytest.raises(ValueError, match=r"Twilio or KORE or Acme\? Set extra\.vendor to 'twilio' or 'kore' or 'acme'"):
        _ = connect(login="x").account
    with pytest.raises(ValueError, match="login and password are needed: key and secret"):
        _ = connect(password="").account


async def test_the_hook_sends_signed_in_as_it_wants_and_signs_in_again(connect):
    async with raw_server(SESSION_OVER, reply(COMMAND, status="201 Created"), reply(COMMAND)) as server:
        hook = connect(host=server.url)
        command = await anyio.to_thread.run_sync(partial(hook.send_ip_command, "pump-7", "x", 4000))
        assert await anyio.to_thread.run_sync(hook.get_ip_command, command.sid) == command
        await anyio.to_thread.run_sync(hook.close)
    assert [(request.method, request.headers["authorization"]) for request in server.requests] == [
        ("POST", "Key KEY-7:s3cret:1"),
        ("POST", "Key KEY-7:s3cret:2"),
        ("GET", "Key KEY-7:s3cret:2"),
    ]


async def test_the_client_reads_lists_in_its_page_sizes(connect):
    pages = [reply({key: [], "meta": {}}) for key in ("ip_commands", "sims", "fleets")]
    async with raw_server(*pages) as server, connect(host=server.url).client() as client:
        for items in (client.iter_ip_commands(), client.iter_sims(), client.iter_fleets()):
            assert [item async for item in items] == []
    assert [request.target for request in server.requests] == [
        "/v1/IpCommands?PageSize=20",
        "/v1/Sims?PageSize=30",
        "/v1/Fleets?PageSize=10",
    ]
