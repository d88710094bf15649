"""Token, secret and Authorization header are in no log, no error and no traceback, whatever a proxy echoes."""

from __future__ import annotations

import base64
import html
import json
import pickle
import traceback

import pytest
from clients import client_at, client_of
from raw_server import raw_server, reply

from airflow_provider_supersim.api.errors import SuperSimError

pytestmark = pytest.mark.anyio

PASSWORD = "s3cret-of-the-account"
TOKEN = "bearer-token-of-kore"
BASIC = base64.b64encode(f"AC{32 * 'a'}:{PASSWORD}".encode()).decode()
SECRETS = (PASSWORD, TOKEN, BASIC, BASIC[-24:], PASSWORD[3:])


def everything(error):
    """All that anybody could render of an error, its chain included."""
    parts = ["".join(traceback.format_exception(error)), str(pickle.dumps(error))]
    while error is not None:
        parts += [str(error), repr(error), repr(error.args), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return "\n".join(parts)


def page(text):
    return f"<html><body><h1>502 Bad Gateway</h1><pre>{html.escape(text)}</pre></body></html>".encode()


async def head_of(request):
    return "\n".join(f"{name}: {value}" for name, value in request.headers.items())


def echoing(make):
    """Return an answer that echoes what the client sent before; ``make`` puts the echo into a reply."""

    async def answer(writer, requests):
        request = requests[-1]
        writer.write(make(f"{await head_of(request)}\n\n{request.body.decode()}"))
        await writer.drain()
        writer.close()

    return answer


ECHOES = {
    "an error page": lambda text: reply(page(text), status="502 Bad Gateway", Content_Type="text/html"),
    "an error page after a long prologue": lambda text: reply(page("x" * 120 + text), status="502 Bad Gateway"),
    "a page that says 200": lambda text: reply(page(text), Content_Type="text/html"),
    "an error in JSON": lambda text: reply({"code": 1, "message": text, "more_info": text}, status="400 Bad Request"),
    "a refusal in JSON": lambda text: reply({"error": text, "error_description": text}, status="403 Forbidden"),
    "JSON with escaped slashes, cut off": lambda text: reply(
        json.dumps({"message": text}).replace("/", "\\/").encode()[:-4], status="500 Error"
    ),
    "a wrong field": lambda text: reply({"sid": text, "status": "sent"}),
    "a status line": lambda text: f"HTTP/1.1 {text.replace(chr(10), ' ')}\r\n\r\n".encode(),
    "a header": lambda text: f"HTTP/1.1 200 OK\r\n{text.replace(chr(10), ' ').replace(':', '')}\r\n\r\n".encode(),
    "a broken header": lambda text: f"HTTP/1.1 200 OK\r\nX-\x01: {text.replace(chr(10), ' ')}\r\n\r\n".encode(),
    "no HTTP at all": lambda text: f"{text}\r\n\r\n".encode(),
    "a reason": lambda text: f"HTTP/1.1 500 {text.replace(chr(10), ' ')}\r\nContent-Length: 0\r\n\r\n".encode(),
}


@pytest.mark.parametrize("make", ECHOES.values(), ids=ECHOES)
async def test_an_echo_of_the_request_shows_no_secret_of_twilio(everything_logged, make):
    async with raw_server(echoing(make)) as server, client_at(server.url, password=PASSWORD) as client:
        with pytest.raises(SuperSimError) as posted:
            await client.send_ip_command("s", "x", 1)
        with pytest.raises(SuperSimError) as got:
            await client.get_sim("s")
    shown = everything(posted.value) + everything(got.value) + everything_logged.text
    assert server.requests[0].headers["authorization"] == f"Basic {BASIC}"
    assert [secret for secret in SECRETS if secret in shown] == []


@pytest.mark.parametrize("make", ECHOES.values(), ids=ECHOES)
async def test_an_echo_of_the_request_shows_no_token_of_kore(everything_logged, make):
    token = reply({"access_token": TOKEN, "expires_in": 3600})
    echo = echoing(make)
    async with (
        raw_server(token, echo, token, echo) as server,
        client_at(server.url, "kore", password=PASSWORD) as client,
    ):
        with pytest.raises(SuperSimError) as posted:
            await client.send_ip_command("s", "x", 1)
    shown = everything(posted.value) + everything_logged.text
    assert server.requests[1].headers["authorization"] == f"Bearer {TOKEN}"
    assert [secret for secret in SECRETS if secret in shown] == []


@pytest.mark.parametrize("make", ECHOES.values(), ids=ECHOES)
async def test_an_echo_of_the_token_request_does_not_show_the_secret(everything_logged, make):
    async with raw_server(echoing(make)) as server, client_at(server.url, "kore", password=PASSWORD) as client:
        with pytest.raises(SuperSimError) as caught:
            await client.get_sim("s")
    shown = everything(caught.value) + everything_logged.text
    assert PASSWORD.encode() in server.requests[0].body
    assert [secret for secret in SECRETS if secret in shown] == []


@pytest.mark.parametrize("body", ["", "truncated {", "scalar"])
async def test_a_token_reply_that_cannot_be_read_is_not_quoted(everything_logged, body):
    broken = {"": f'{{"access_token": "{TOKEN}", "expires_in": "soon"}}', "scalar": f'"{TOKEN}"'}.get(
        body, f'{{"access_token": "{TOKEN}'
    )
    async with raw_server(reply(broken.encode())) as server, client_at(server.url, "kore") as client:
        with pytest.raises(SuperSimError, match="token endpoint") as caught:
            await client.get_sim("s")
    assert TOKEN not in everything(caught.value) + everything_logged.text


async def test_only_what_slows_a_run_down_is_logged_and_no_secret(supersim_simulator, everything_logged, vendor):
    supersim_simulator.reset(auth_token=PASSWORD, client_secret=PASSWORD)
    supersim_simulator.faults(
        {"kind": "too_many_requests", "count": 1, "path": "/v1/"},
        {"kind": "expired_token", "count": 1, "path": "/v1/"},
        {"kind": "drop_after", "count": 1, "path": "/v1/", "method": "GET"},
    )
    async with client_of(supersim_simulator, vendor, password=PASSWORD) as client:
        command = await client.send_ip_command("device-0001", "x", 1)
        await client.get_ip_command(command.sid)
    assert "bearer " not in everything_logged.text.lower()
    assert PASSWORD not in everything_logged.text
    ours = [record for record in everything_logged.records if record.name.startswith("airflow_provider")]
    fields = supersim_simulator.connection(vendor)
    account = f"{fields['host'].partition('://')[2]}, account {fields['login']}"
    assert [record.getMessage() for record in ours] == [f"Slowing to 6 requests at once: 429 from {account}"]


async def test_the_client_shows_no_secret_of_its_own():
    client = client_at("https://supersim.example.com", password=PASSWORD)
    assert PASSWORD not in repr(client) + str(client)
