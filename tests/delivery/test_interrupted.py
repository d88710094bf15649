"""Cancelled, signed out, cut off, or without a place to write: nothing is lost, and the next try goes on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from support import POST, TextStore, commands_by_device, devices, entries, once_each, open_client, rollout, rules

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import AuthenticationError, NotConnectedError, ServerError, SuperSimError
from airflow_provider_supersim.api.pace import Pace
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.rollout.engine import End, Rollout
from airflow_provider_supersim.delivery.state.states import word
from airflow_provider_supersim.hooks.blocking import Session
from airflow_provider_supersim.testing import Simulator

TARGETS = devices(180)
WAVES = rules(waves=[60, "100%"])


async def a_try(client: AsyncSuperSimClient, store: TextStore, *, concurrency: int = 20) -> Rollout:
    one = rollout(client, await Ledger.open(store, clears=0, restart=False), TARGETS, WAVES, concurrency=concurrency)
    assert isinstance(await one.advance(), End)
    return one


async def the_next_try(simulator: Simulator, store: TextStore) -> Rollout:
    simulator.faults()
    async with open_client(simulator.url) as client:
        return await a_try(client, store)


def assert_each_got_one(simulator: Simulator, last: Rollout) -> None:
    assert commands_by_device(simulator) == once_each(TARGETS)
    accepted = {command["sim_name"]: command["sid"] for command in simulator.commands()}
    assert {row.sim: row.sid for row in last.rows()} == accepted


async def reported(store: TextStore) -> dict[str, str]:
    """What the ledger on its own says, were it read now."""
    found = entries(await Ledger.open(store, clears=0, restart=False))
    return {sim: word(entry.status) for sim, entry in found.items()}


def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)


@pytest.mark.parametrize("busy_with", ["sending", "looking up", "a pause that the API asked for"])
def test_a_cancel_stops_within_a_second_and_records_what_is_known(simulator: Simulator, busy_with: str) -> None:
    simulator.settings(latency=0.05, settle=0)
    busy = {
        "sending": lambda: len(simulator.commands()) >= 40,
        "looking up": lambda: simulator.fired()[1]["fired"] > 0,
        "a pause that the API asked for": lambda: simulator.requests()["too_many_requests"] > 0,
    }[busy_with]
    if busy_with == "looking up":
        slow = {"kind": "slow", "seconds": 60, "method": "GET", "skip": 1}  # the first one asks for the date
        simulator.faults({"kind": "drop_after", "skip": 40, **POST}, slow)
    if busy_with == "a pause that the API asked for":
        simulator.faults({"kind": "too_many_requests", "skip": 40, "retry_after": 60, **POST})
    store = TextStore()
    session = Session(open_client(simulator.url))
    ended: list[float] = []

    def work() -> None:
        with pytest.raises(CancelledError):
            session.run(a_try, session.client, store)
        session.close()
        ended.append(time.monotonic())

    worker = threading.Thread(target=work)
    worker.start()
    wait_until(busy)
    cancelled = time.monotonic()
    session.cancel()
    worker.join()

    assert ended[0] - cancelled < 1
    accepted = len(simulator.commands())
    assert accepted < len(TARGETS)
    known = anyio.run(reported, store)
    assert sum(status in ("queued", "sent") for status in known.values()) >= 20
    assert commands_by_device(simulator).keys() <= {sim for sim, status in known.items() if status != "not_sent"}
    simulator.settings(latency=0)
    assert len(simulator.commands()) == accepted
    assert_each_got_one(simulator, anyio.run(the_next_try, simulator, store))


@pytest.mark.anyio
async def test_what_waits_for_its_turn_when_the_task_is_killed_is_known_not_to_have_left(simulator: Simulator) -> None:
    store = TextStore()
    async with open_client(simulator.url, pace=Pace(20, max_rate=100)) as client:
        with anyio.move_on_after(0.5):
            await a_try(client, store)

    unknown = [sim for sim, status in (await reported(store)).items() if status == "unknown"]
    assert 0 < len(simulator.commands()) < len(TARGETS)
    assert len(unknown) <= 1  # the one that was under way
    assert_each_got_one(simulator, await the_next_try(simulator, store))


@pytest.mark.anyio
@pytest.mark.parametrize("status", [401, 403])
async def test_credentials_that_are_withdrawn_in_mid_run(simulator: Simulator, status: int) -> None:
    simulator.faults({"kind": "error_before", "status": status, "skip": 100, "path": "/v1/"})
    store = TextStore()
    async with open_client(simulator.url) as client:
        with pytest.raises(AuthenticationError):
            await a_try(client, store)
    assert 0 < len(simulator.commands()) < len(TARGETS)

    assert_each_got_one(simulator, await the_next_try(simulator, store))


@pytest.mark.anyio
@pytest.mark.parametrize(
    "fault", [{"kind": "error_before", "status": 503}, {"kind": "drop_after"}, {"kind": "garbage"}]
)
async def test_an_api_that_answers_nonsense_from_some_time_on(simulator: Simulator, fault: dict[str, Any]) -> None:
    simulator.faults({**fault, "skip": 100, "path": "/v1/"})
    store = TextStore()
    async with open_client(simulator.url, keep_trying=0.3) as client:
        with pytest.raises(SuperSimError):
            await a_try(client, store)

    assert_each_got_one(simulator, await the_next_try(simulator, store))


@asynccontextmanager
async def line_to(url: str) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """A TCP line to the simulator, and what cuts it: connections are reset, new ones refused."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    ends: set[asyncio.StreamWriter] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, port)
        ends.update((writer, far_writer))
        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))

    server = await asyncio.start_server(connect, "127.0.0.1")

    def cut() -> None:
        server.close()
        for end in ends:
            end.transport.abort()

    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", cut
    finally:
        cut()
        await asyncio.sleep(0.05)  # what carries must see its end


@pytest.mark.anyio
async def test_an_api_that_goes_away_in_mid_run(simulator: Simulator) -> None:
    simulator.settings(latency=0.02)
    store = TextStore()
    async with line_to(simulator.url) as (url, cut), open_client(url, keep_trying=0.3) as client:

        async def cut_in_the_middle() -> None:
            await anyio.to_thread.run_sync(wait_until, lambda: len(simulator.commands()) >= 80)
            cut()

        async with anyio.create_task_group() as group:
            group.start_soon(cut_in_the_middle)
            with pytest.raises((NotConnectedError, ServerError)):
                await a_try(client, store)
    assert 80 <= len(simulator.commands()) < len(TARGETS)

    assert_each_got_one(simulator, await the_next_try(simulator, store))


@pytest.mark.anyio
@pytest.mark.parametrize("writes", [0, 1, 2, 3, 4, 6])
async def test_a_store_that_fails(simulator: Simulator, writes: int) -> None:
    """Whatever cannot be written ahead does not leave; what has left is looked up."""

    class Failing(TextStore):
        left = writes

        def set(self, key: str, value: Any) -> None:
            self.left -= 1
            if self.left < 0:
                raise OSError("the store is away")
            super().set(key, value)

    failing = Failing()
    async with open_client(simulator.url) as client:
        with pytest.raises(OSError, match="away"):
            await a_try(client, failing)
    known = await reported(TextStore(texts=failing.texts))
    assert commands_by_device(simulator).keys() <= known.keys()

    assert_each_got_one(simulator, await the_next_try(simulator, TextStore(texts=failing.texts)))
