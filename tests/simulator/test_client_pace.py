"""The pace as the API sees it."""

from __future__ import annotations

import anyio
import pytest
from clients import COMMANDS, client_at, client_of, seen
from raw_server import raw_server, reply

pytestmark = pytest.mark.anyio

COMMAND = {"sid": "HG1", "status": "queued", "direction": "to_sim", "payload_type": "text"}


async def send(client, number):
    async with anyio.create_task_group() as group:
        for _ in range(number):
            group.start_soon(client.send_ip_command, "device-0001", "x", 1)


class Rounds:
    """Answers only when so many requests are in hand, and then all of them; before it begins each by itself.

    :ivar most: requests that were in hand at the same time
    """

    def __init__(self, size):
        self.size = size
        self.begun = False
        self.most = self.in_hand = 0
        self.answered = anyio.Event()

    async def __call__(self, writer, requests):
        if not self.begun:  # let the client see that it is alone
            await anyio.sleep(0.1)
            writer.write(reply(COMMAND, status="201 Created", Twilio_Concurrent_Requests="1"))
            return
        self.in_hand += 1
        self.most = max(self.most, self.in_hand)
        if self.in_hand == self.size:
            await anyio.sleep(0.1)  # in which one too many may come
            self.in_hand = 0
            self.answered.set()
            self.answered = anyio.Event()
        else:
            await self.answered.wait()
        writer.write(reply(COMMAND, status="201 Created"))


@pytest.mark.parametrize(("extra", "at_once"), [({"max_concurrency": 7}, 7), ({}, 100)], ids=["connection", "vendor"])
async def test_as_many_requests_are_under_way_as_connection_or_vendor_allow(extra, at_once):
    rounds = Rounds(at_once)
    async with raw_server(rounds) as server, client_at(server.url, timeout=600, **extra) as client:
        await send(client, 8)
        rounds.begun = True
        await send(client, 3 * at_once)
    assert rounds.most == at_once
    assert len(server.requests) == 8 + 3 * at_once


async def test_above_the_accounts_limit_the_pace_adapts_and_everything_is_accepted_once(supersim_simulator):
    supersim_simulator.reset(latency=0.4, max_concurrency=20)
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
        began = anyio.current_time()
        await send(client, 30)
        assert anyio.current_time() - began >= 29 / 40
    assert len(seen(supersim_simulator, "POST", COMMANDS)) == 30


async def test_reads_do_not_count_against_the_rate(supersim_simulator):
    async with client_of(supersim_simulator, max_rate=0.001) as client:
        with anyio.fail_after(600):  # at that rate they would take more than two hours
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
        while client._pace.concurrency == 8:  # noqa: ASYNC110  # until it has read the 429
            await anyio.sleep(0.01)
        await client.get_sim("device-0001")
    refused = seen(supersim_simulator, "POST", COMMANDS)[0]["at"]
    assert seen(supersim_simulator, "GET", "/v1/Sims/{Sid}")[0]["at"] >= refused + 1
