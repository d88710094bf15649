"""Clients of the simulator, and of servers that tests make themselves."""

from __future__ import annotations

from types import SimpleNamespace

from airflow_provider_supersim.hooks.connection import Account

TOKEN_PATH = "/api-services/v1/auth/token"
COMMANDS = "/v1/IpCommands"


def account_of(simulator, vendor="twilio", *, login=None, password=None, host=None, **extra):
    """Return the account that a connection to the simulator names; ``extra`` as in the connection."""
    fields = simulator.connection(vendor)
    connection = SimpleNamespace(
        conn_id="simulator",
        host=host or fields["host"],
        login=login or fields["login"],
        password=password or fields["password"],
        port=None,
        schema=None,
    )
    return Account.read(connection, {**fields["extra"], **extra})


def client_of(simulator, vendor="twilio", *, keep_trying=120.0, wait_if_busy=120.0, **changes):
    """Return a client of the simulator."""
    return account_of(simulator, vendor, **changes).client(keep_trying=keep_trying, wait_if_busy=wait_if_busy)


def account_at(url, vendor="twilio", *, login="AC" + 32 * "a", password="s3cret-of-the-account", **extra):
    """Return an account whose API and token endpoint are a server that a test has made."""
    connection = SimpleNamespace(conn_id="made", host=url, login=login, password=password, port=None, schema=None)
    token = {"auth_url": f"{url}{TOKEN_PATH}"} if vendor == "kore" else {}
    return Account.read(connection, {"vendor": vendor, "timeout": 2, **token, **extra})


def client_at(url, vendor="twilio", *, keep_trying=0.0, **changes):
    """Return a client of a server that a test has made; unless told otherwise it tries once."""
    return account_at(url, vendor, **changes).client(keep_trying=keep_trying)


def seen(simulator, method, route):
    """Return the recent requests of this method and route, oldest first."""
    recent = simulator.requests()["recent"]
    return [request for request in recent if (request["method"], request["route"]) == (method, route)]


async def listed(items):
    return [item async for item in items]
