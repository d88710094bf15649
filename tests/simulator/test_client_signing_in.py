"""Both ways to sign in, against the running API: one token for all, renewed once, and refusals in clear words."""

from __future__ import annotations

from types import SimpleNamespace

import anyio
import pytest
from clients import COMMANDS, TOKEN_PATH, client_at, client_of, seen
from raw_server import raw_server, reply

from airflow_provider_supersim.api import auth as auth_module
from airflow_provider_supersim.api.errors import AuthenticationError, SuperSimError, Verdict

pytestmark = pytest.mark.anyio

COMMAND = {"sid": "HG1", "status": "queued", "direction": "to_sim", "payload_type": "text"}


def token(name, expires_in=3600):
    return reply({"access_token": name, "expires_in": expires_in, "token_type": "Bearer"})


@pytest.mark.parametrize("login", ["AC" + 32 * "a", "SK" + 32 * "b"], ids=["Account SID", "API Key"])
async def test_twilio_is_signed_in_to_with_account_sid_and_token_and_with_key_and_secret(supersim_simulator, login):
    async with client_of(supersim_simulator, login=login) as client:
        await client.send_ip_command("device-0001", "x", 1)
    (request,) = seen(supersim_simulator, "POST", COMMANDS)
    assert (request["vendor"], request["status"]) == ("twilio", 201)


async def test_kore_is_signed_in_to_with_a_token_from_its_endpoint(supersim_simulator):
    async with client_of(supersim_simulator, "kore") as client:
        await client.send_ip_command("device-0001", "x", 1)
    (request,) = seen(supersim_simulator, "POST", TOKEN_PATH)
    assert request["form"] == {"grant_type": "client_credentials", "client_id": "simulator"}
    (request,) = seen(supersim_simulator, "POST", COMMANDS)
    assert (request["vendor"], request["status"]) == ("kore", 201)


@pytest.mark.parametrize(
    ("vendor", "changes", "status", "code", "words"),
    [
        ("twilio", {"password": "wrong-word"}, 401, 20003, "POST /v1/IpCommands answered 401 (code 20003): "),
        ("twilio", {"login": "AC1"}, 401, 20409, "POST /v1/IpCommands answered 401 (code 20409): "),
        ("twilio", {"login": "SK" + 32 * "c"}, 403, 20006, "POST /v1/IpCommands answered 403 (code 20006): "),
        (
            "kore",
            {"password": "wrong-word"},
            401,
            None,
            "POST /api-services/v1/auth/token answered 401: unauthorized_client: ",
        ),
        ("kore", {"login": "stranger"}, 401, None, "POST /api-services/v1/auth/token answered 401: unauth"),
    ],
)
async def test_bad_credentials_are_refused_in_the_vendors_words(
    supersim_simulator, vendor, changes, status, code, words
):
    async with client_of(supersim_simulator, vendor, **changes) as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.send_ip_command("device-0001", "x", 1)
    error = caught.value
    assert (error.status, error.code, error.verdict) == (status, code, Verdict.REFUSED)
    assert str(error).startswith(words)
    assert "wrong-word" not in str(error)
    assert supersim_simulator.requests()["total"] == 1


async def test_100_requests_at_once_cause_one_token_request(supersim_simulator):
    async with client_of(supersim_simulator, "kore") as client, anyio.create_task_group() as group:
        for number in range(1, 101):
            group.start_soon(client.get_sim, f"device-{number:04d}")
    assert supersim_simulator.requests()["token_requests"] == 1


async def test_requests_under_way_with_a_wrong_secret_ask_for_one_token(supersim_simulator):
    failures = []

    async def ask(client):
        try:
            await client.get_sim("device-0001")
        except AuthenticationError as error:
            failures.append(error)

    async with client_of(supersim_simulator, "kore", password="wrong") as client, anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(ask, client)
    assert len(failures) == 8
    assert supersim_simulator.requests()["token_requests"] == 1


async def test_a_token_that_ends_in_mid_run_causes_one_renewal_and_no_second_command(supersim_simulator):
    supersim_simulator.reset(token_lifetime=3600, sims=100)
    async with client_of(supersim_simulator, "kore") as client:
        await client.get_sim("device-0001")
        supersim_simulator.stop_clock()
        supersim_simulator.advance(3601)  # by the API's clock alone: the client must learn it from the refusal
        async with anyio.create_task_group() as group:
            for number in range(1, 101):
                group.start_soon(client.send_ip_command, f"device-{number:04d}", "x", 1)
    assert supersim_simulator.requests()["token_requests"] == 2
    sims = supersim_simulator.summary("field-devices")["sims"]
    assert (sims["with_1_command"], sims["with_more_commands"]) == (100, 0)


async def test_a_token_is_renewed_before_it_ends(supersim_simulator, monkeypatch):
    supersim_simulator.reset(token_lifetime=3600)
    supersim_simulator.stop_clock()
    now = SimpleNamespace(monotonic=lambda: 1000.0)
    monkeypatch.setattr(auth_module, "time", now)  # by the client's clock alone
    async with client_of(supersim_simulator, "kore") as client:
        await client.get_sim("device-0001")
        now.monotonic = lambda: 1000.0 + 3550
        await client.get_sim("device-0001")
    assert supersim_simulator.requests()["token_requests"] == 2
    assert [request["status"] for request in seen(supersim_simulator, "GET", "/v1/Sims/{Sid}")] == [200, 200]


@pytest.mark.parametrize("said", ["text", "nothing"])
async def test_a_token_endpoint_that_says_the_life_in_its_own_way_is_understood(supersim_simulator, said):
    supersim_simulator.reset(token_expires_in=said)
    supersim_simulator.stop_clock()
    async with client_of(supersim_simulator, "kore") as client:
        await client.send_ip_command("device-0001", "x", 1)
        await client.get_sim("device-0001")
        supersim_simulator.advance(3601)
        await client.send_ip_command("device-0001", "x", 1)
    assert supersim_simulator.requests()["token_requests"] == 2
    assert len(supersim_simulator.commands()) == 2


async def test_a_fresh_token_that_is_refused_ends_it_after_one_renewal(supersim_simulator):
    supersim_simulator.faults({"kind": "expired_token", "path": "/v1/"})
    async with client_of(supersim_simulator, "kore") as client:
        with pytest.raises(AuthenticationError, match="explicit deny: Invalid or expired token") as caught:
            await client.send_ip_command("device-0001", "x", 1)
    assert caught.value.status == 403
    assert supersim_simulator.requests()["token_requests"] == 2
    assert len(seen(supersim_simulator, "POST", COMMANDS)) == 2
    assert supersim_simulator.commands() == []


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "error_before", "status": 503},
        {"kind": "drop_before"},
        {"kind": "drop_after"},
        {"kind": "garbage", "body": "html"},
        {"kind": "too_many_requests"},
    ],
    ids=str,
)
async def test_a_token_endpoint_in_trouble_is_asked_again_and_the_command_is_one(supersim_simulator, fault):
    supersim_simulator.faults({**fault, "path": TOKEN_PATH, "count": 2})
    async with client_of(supersim_simulator, "kore") as client:
        await client.send_ip_command("device-0001", "x", 1)
    assert len(supersim_simulator.commands()) == 1


async def test_a_token_endpoint_that_stays_down_leaves_no_doubt_about_the_command(supersim_simulator):
    supersim_simulator.faults({"kind": "error_before", "status": 500, "path": TOKEN_PATH})
    async with client_of(supersim_simulator, "kore", keep_trying=0) as client:
        with pytest.raises(SuperSimError) as caught:
            await client.send_ip_command("device-0001", "x", 1)
    assert caught.value.verdict is Verdict.TRY_AGAIN
    assert caught.value.request == f"POST {TOKEN_PATH}"
    assert seen(supersim_simulator, "POST", COMMANDS) == []


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_the_request_that_is_made_again_carries_the_new_token(status):
    refusal = reply({"message": "deny", "error": "Invalid or expired token"}, status=status)
    answers = [token("first"), refusal, token("second"), reply(COMMAND, status="201 Created")]
    async with raw_server(*answers) as server, client_at(server.url, "kore") as client:
        await client.send_ip_command("s", "x", 1)
    assert [request.headers.get("authorization") for request in server.requests] == [
        None,
        "Bearer first",
        None,
        "Bearer second",
    ]
    assert server.requests[1].body == server.requests[3].body == b"Sim=s&Payload=x&DevicePort=1&PayloadType=text"


async def test_no_credentials_of_the_netrc_file_are_used(tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("default login intruder password netrc-password\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    answers = [token("first"), reply(COMMAND, status="201 Created")]
    async with raw_server(*answers) as server, client_at(server.url, "kore") as client:
        await client.send_ip_command("s", "x", 1)
    assert [request.headers.get("authorization") for request in server.requests] == [None, "Bearer first"]
