"""No command is ever sent twice by the client itself, unless the first was surely not processed."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import anyio
import pytest
from clients import COMMANDS, client_at, client_of, seen
from raw_server import raw_server, reply

from airflow_provider_supersim.api import client as client_module
from airflow_provider_supersim.api.errors import (
    NotConnectedError,
    ServerError,
    SuperSimError,
    TooManyRequestsError,
    Verdict,
)
from airflow_provider_supersim.api.models import IpCommandRequest

pytestmark = pytest.mark.anyio

POSTS = {"method": "POST", "path": COMMANDS}


@pytest.mark.parametrize(
    ("fault", "accepted"),
    [
        ({"kind": "drop_after"}, 1),
        ({"kind": "drop_before"}, 0),
        ({"kind": "error_after", "status": 500}, 1),
        ({"kind": "error_after", "status": 503}, 1),
        ({"kind": "error_before", "status": 500}, 0),
        ({"kind": "error_before", "status": 408}, 0),
        ({"kind": "error_after", "status": 408}, 1),
        ({"kind": "hang", "accepted": True}, 1),
        ({"kind": "hang", "accepted": False}, 0),
        ({"kind": "garbage", "body": "html"}, 1),
        ({"kind": "garbage", "body": "empty"}, 1),
        ({"kind": "garbage", "body": "truncated"}, 1),
        ({"kind": "garbage", "body": "wrong-shape"}, 1),
    ],
    ids=str,
)
async def test_where_nobody_knows_the_client_asks_once_and_says_so(supersim_simulator, vendor, fault, accepted):
    supersim_simulator.faults({**POSTS, **fault})
    patience = 2 if fault["kind"] == "hang" else 60
    async with client_of(supersim_simulator, vendor, timeout=patience) as client:
        with pytest.raises(SuperSimError) as caught:
            await client.send_ip_command("device-0001", "x", 1)
    assert caught.value.verdict is Verdict.UNKNOWN
    assert len(seen(supersim_simulator, "POST", COMMANDS)) == 1
    assert len(supersim_simulator.commands()) == accepted


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 422])
async def test_a_refusal_is_not_asked_again(supersim_simulator, status):
    supersim_simulator.faults({**POSTS, "kind": "error_before", "status": status})
    async with client_of(supersim_simulator) as client:
        with pytest.raises(SuperSimError) as caught:
            await client.send_ip_command("device-0001", "x", 1)
    assert caught.value.verdict is Verdict.REFUSED
    assert len(seen(supersim_simulator, "POST", COMMANDS)) == 1


async def test_a_429_is_sent_again_until_it_is_taken_and_is_one_command(supersim_simulator, vendor):
    supersim_simulator.faults({**POSTS, "kind": "too_many_requests", "count": 3})
    async with client_of(supersim_simulator, vendor) as client:
        command = await client.send_ip_command("device-0001", "x", 1)
    assert [request["status"] for request in seen(supersim_simulator, "POST", COMMANDS)] == [429, 429, 429, 201]
    assert [one["sid"] for one in supersim_simulator.commands()] == [command.sid]


async def test_above_the_accounts_concurrency_every_command_is_accepted_once(supersim_simulator, vendor):
    supersim_simulator.reset(max_concurrency=5, latency=0.01, sims=60)
    async with client_of(supersim_simulator, vendor) as client, anyio.create_task_group() as group:
        for number in range(1, 61):
            group.start_soon(client.send_ip_command, f"device-{number:04d}", "x", 1)
    sims = supersim_simulator.summary("field-devices")["sims"]
    assert (sims["with_1_command"], sims["with_more_commands"]) == (60, 0)
    assert supersim_simulator.requests()["too_many_requests"] > 0


async def test_under_every_fault_at_once_no_sim_gets_two(supersim_simulator, vendor):
    supersim_simulator.reset(sims=300)
    supersim_simulator.faults(
        {**POSTS, "kind": "drop_after", "ratio": 0.08},
        {**POSTS, "kind": "drop_before", "ratio": 0.08},
        {**POSTS, "kind": "error_after", "ratio": 0.08, "status": 502},
        {**POSTS, "kind": "error_before", "ratio": 0.08},
        {**POSTS, "kind": "garbage", "ratio": 0.08, "body": "truncated"},
        {**POSTS, "kind": "too_many_requests", "ratio": 0.08},
        {**POSTS, "kind": "expired_token", "ratio": 0.08},
    )
    outcomes = {}

    async def send(client, sim):
        try:
            outcomes[sim] = (await client.send_ip_command(sim, "x", 1)).sid
        except SuperSimError as error:
            outcomes[sim] = error.verdict

    async with client_of(supersim_simulator, vendor) as client, anyio.create_task_group() as group:
        for number in range(1, 301):
            group.start_soon(send, client, f"device-{number:04d}")
    truth = {}
    for command in supersim_simulator.commands():
        truth.setdefault(command["sim_name"], []).append(command["sid"])
    assert {len(sids) for sids in truth.values()} == {1}
    assert set(outcomes.values()) - {Verdict.UNKNOWN, Verdict.REFUSED} <= {sid for (sid,) in truth.values()}
    for sim, outcome in outcomes.items():
        if isinstance(outcome, str):
            assert truth[sim] == [outcome]
        elif outcome is Verdict.REFUSED:  # a fresh token that the fault called expired, too
            assert sim not in truth
    assert Verdict.UNKNOWN in outcomes.values()


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "error_before", "status": 500},
        {"kind": "error_before", "status": 503},
        {"kind": "drop_before"},
        {"kind": "garbage", "body": "html"},
        {"kind": "garbage", "body": "empty"},
        {"kind": "too_many_requests"},
    ],
    ids=str,
)
async def test_reading_is_tried_again_for_it_harms_nobody(supersim_simulator, vendor, fault):
    supersim_simulator.faults({**fault, "method": "GET", "path": "/v1/", "count": 2})
    async with client_of(supersim_simulator, vendor) as client:
        assert (await client.get_sim("device-0001")).unique_name == "device-0001"


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that the client has made, in seconds. Its clock passes in them alone, and they take no time."""
    made = []

    async def sleep(seconds):
        made.append(seconds)

    monkeypatch.setattr(client_module, "anyio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(client_module, "time", SimpleNamespace(monotonic=lambda: sum(made)))
    return made


async def test_the_pauses_grow_until_it_has_tried_for_long_enough(supersim_simulator, monkeypatch, pauses):
    monkeypatch.setattr(client_module, "_jitter", lambda longest: longest)
    supersim_simulator.faults({"kind": "too_many_requests"})
    async with client_of(supersim_simulator, wait_if_busy=60) as client:
        with pytest.raises(TooManyRequestsError):
            await client.send_ip_command("device-0001", "x", 1)
    assert pauses == [0.25, 0.5, 1, 2, 4, 8, 10, 10, 10, 10]
    assert len(seen(supersim_simulator, "POST", COMMANDS)) == len(pauses) + 1


async def test_the_wait_for_its_turn_does_not_count_as_trying(supersim_simulator, monkeypatch, pauses):
    supersim_simulator.faults({"kind": "too_many_requests", "count": 1})
    async with client_of(supersim_simulator, keep_trying=60) as client:
        run = client._pace.run

        async def wait_and_run(request, **options):
            pauses.append(3600)
            return await run(request, **options)

        monkeypatch.setattr(client._pace, "run", wait_and_run)
        assert (await client.send_ip_command("device-0001", "x", 1)).sid


async def test_the_pauses_differ_so_that_requests_do_not_come_back_together(supersim_simulator, pauses):
    supersim_simulator.faults({"kind": "too_many_requests"})
    async with client_of(supersim_simulator, wait_if_busy=60) as client:
        with pytest.raises(TooManyRequestsError):
            await client.send_ip_command("device-0001", "x", 1)
    assert len(set(pauses)) == len(pauses) > 6
    assert max(pauses) <= 10


async def test_a_client_that_does_not_keep_trying_asks_once(supersim_simulator):
    supersim_simulator.faults({"kind": "too_many_requests"})
    async with client_of(supersim_simulator, wait_if_busy=0) as client:
        with pytest.raises(TooManyRequestsError):
            await client.get_sim("device-0001")
    assert supersim_simulator.requests()["total"] == 1


async def test_a_retry_after_that_is_longer_than_it_keeps_trying_ends_the_tries(pauses):
    refusal = reply({"code": 20429}, status="429 Too Many Requests", Retry_After="3600")
    async with raw_server(refusal) as server, client_at(server.url, keep_trying=30) as client:
        with pytest.raises(TooManyRequestsError) as caught:
            await client.send_ip_command("s", "x", 1)
    assert caught.value.retry_after == 120
    assert (len(server.requests), pauses) == (1, [])


async def test_whoever_may_hold_a_command_back_is_asked_each_time_before_it_leaves(supersim_simulator, vendor):
    supersim_simulator.faults(
        {**POSTS, "kind": "too_many_requests", "count": 1},
        {**POSTS, "kind": "expired_token", "count": 1},  # which Twilio does not know
    )
    asked = []
    async with client_of(supersim_simulator, vendor) as client:
        await client.send(IpCommandRequest.build("device-0001", "x", 1), may_leave=lambda: asked.append(1))
    assert len(asked) == len(seen(supersim_simulator, "POST", COMMANDS)) == (3 if vendor == "kore" else 2)


async def test_a_command_that_is_held_back_does_not_leave(supersim_simulator, vendor):
    class TooLateError(Exception):
        pass

    def hold_back():
        raise TooLateError

    async with client_of(supersim_simulator, vendor) as client:
        with pytest.raises(TooLateError):
            await client.send(IpCommandRequest.build("device-0001", "x", 1), may_leave=hold_back)
    assert seen(supersim_simulator, "POST", COMMANDS) == []


READS = {"kind": "error_before", "method": "GET"}


@pytest.fixture
def said(caplog):
    """Return a function that returns what was said of requests that fail."""
    return lambda: [one.getMessage() for one in caplog.records if "[api-failing]" in one.getMessage()]


async def test_a_read_that_fails_for_long_is_said_and_so_is_its_end(supersim_simulator, monkeypatch, pauses, said):
    monkeypatch.setattr(client_module, "_jitter", lambda longest: longest)
    supersim_simulator.faults({**READS, "status": 503, "count": 14})
    async with client_of(supersim_simulator) as client:
        await client.get_sim("device-0001")
    host = supersim_simulator.url.rpartition("/")[2]
    assert [line.partition(" for ")[0] for line in said()[:2]] == 2 * [f"{host} has been failing"]
    assert "answered 503" in said()[0]
    assert said()[2:] == [f"{host} answers again, after 1 minute 36 seconds [api-failing]"]
    assert sum(pauses) == 95.75


async def test_a_host_that_refuses_connections_is_said_and_the_error_knows_for_how_long_it_was_tried(pauses, said):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host = f"127.0.0.1:{taken.getsockname()[1]}"
    async with client_at(f"http://{host}", keep_trying=120) as client:
        with pytest.raises(NotConnectedError) as caught:
            await client.send_ip_command("device-0001", "x", 1)
    assert {line.partition(" for ")[0] for line in said()} == {f"{host} has not been reachable"}
    assert 1 <= len(said()) <= 2
    assert caught.value.tried_for == sum(pauses) > 100


async def test_an_error_of_the_only_attempt_was_not_tried_for_any_time(supersim_simulator):
    supersim_simulator.faults({**READS, "status": 503})
    async with client_of(supersim_simulator, keep_trying=0) as client:
        with pytest.raises(ServerError) as caught:
            await client.get_sim("device-0001")
    assert caught.value.tried_for == 0
