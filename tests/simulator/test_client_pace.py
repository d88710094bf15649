"""The pace as the API sees it."""

from __future__ import annotations

import anyio
import pytest
from clients import COMMANDS, client_of, seen

pytestmark = pytest.mark.anyio


async def send(client, number):
    async with anyio.create_task_group() as group:
        for _ in range(number):
            group.start_soon(client.send_ip_command, "device-0001", "x", 1)


async def test_no_more_requests_are_under_way_than_the_connection_allows(supersim_simulator, vendor):
    supersim_simulator.reset(latency=0.02)
    async with client_of(supersim_simulator, vendor, max_concurrency=7) as client:
        await send(client, 50)
    assert supersim_simulator.requests()["highest_concurrency"] == 7


async def test_the_pace_begins_at_the_vendors_limit_and_stays_there_without_a_429(supersim_simulator):
    supersim_simulator.reset(latency=0.3)
    async with client_of(supersim_simulator) as client:
        await send(client, 150)
    requests = supersim_simulator.requests()
    assert requests["highest_concurrency"] == 100
    assert requests["too_many_requests"] == 0


async def test_above_the_accounts_limit_the_pace_adapts_and_everything_is_accepted_once(supersim_simulator):
    supersim_simulator.reset(latency=0.01, max_concurrency=20)
    async with client_of(supersim_simulator) as client:
        await send(client, 300)
        supersim_simulator.forget_requests()
        assert client._pace.concurrency <= 30
        await send(client, 200)
    requests = supersim_simulator.requests()
    assert requests["too_many_requests"] < 40
    assert supersim_simulator.summary()["commands"]["to_sim"] == 500


async def test_commands_never_leave_faster_than_the_rate(supersim_simulator):
    async with client_of(supersim_simulator, max_rate=40) as client:
        await send(client, 30)
    at = [request["at"] for request in seen(supersim_simulator, "POST", COMMANDS)]
    assert len(at) == 30
    for start in at:
        assert sum(start <= other < start + 0.25 for other in at) <= 12  # 10, and two for a jerk of a busy machine


async def test_reads_do_not_count_against_the_rate(supersim_simulator):
    async with client_of(supersim_simulator, max_rate=0.1) as client:
        with anyio.fail_after(5):
            for _ in range(10):
                await client.get_sim("device-0001")


async def test_everybody_waits_after_a_429_as_long_as_the_api_asked(supersim_simulator):
    supersim_simulator.faults({"kind": "too_many_requests", "retry_after": 1, "count": 1, "path": "/v1/"})
    async with client_of(supersim_simulator) as client:
        await send(client, 1)
        await send(client, 5)
    first, *others = [request["at"] for request in seen(supersim_simulator, "POST", COMMANDS)]
    assert len(others) == 6
    assert min(others) >= first + 1


async def test_others_are_held_back_by_one_requests_429(supersim_simulator):
    supersim_simulator.faults({"kind": "too_many_requests", "retry_after": 1, "count": 1, "path": COMMANDS})
    async with client_of(supersim_simulator) as client, anyio.create_task_group() as group:
        group.start_soon(client.send_ip_command, "device-0001", "x", 1)
        await anyio.sleep(0.3)
        await client.get_sim("device-0001")
    refused = seen(supersim_simulator, "POST", COMMANDS)[0]["at"]
    assert seen(supersim_simulator, "GET", "/v1/Sims/{Sid}")[0]["at"] >= refused + 1
