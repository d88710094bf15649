"""A task is cancelled, signed out, cut off or cannot write: nothing is lost, and the next try goes on."""

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
from support import (
    POST,
    KillableClient,
    TextStore,
    commands_by_device,
    devices,
    entries,
    once_each,
    open_client,
    rollout,
    rules,
)

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import AuthenticationError, NotConnectedError, ServerError, SuperSimError
from airflow_provider_supersim.api.models import IpCommand, IpCommandRequest
from airflow_provider_supersim.api.pace import Pace
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.rollout.engine import Rollout
from airflow_provider_supersim.delivery.rollout.steps import End
from airflow_provider_supersim.delivery.state.states import word
from airflow_provider_supersim.hooks.blocking import Session
from airflow_provider_supersim.testing import Simulator

TARGETS = devices(180)
WAVES = rules(waves=[60, "100%"])
HELD_UP = 1200  # seconds for which the API holds a task up


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
    assert {row.sim: row.sid for row in last.overview.rows()} == accepted


async def reported(store: TextStore) -> dict[str, str]:
    """Return the status of each device in the ledger as it is stored now."""
    found = entries(await Ledger.open(store, clears=0, restart=False))
    return {sim: word(entry.status) for sim, entry in found.items()}


def after(count: int, action: Callable[[], None]) -> Callable[[str], None]:
    """Return what a client calls at each point: it acts when so many POSTs were answered, before they are recorded."""
    answered = 0

    def at_point(point: str) -> None:
        nonlocal answered
        answered += point == "between a POST and its record"
        if answered == count:
            action()

    return at_point


@pytest.mark.parametrize("busy_with", ["sending", "looking up", "a pause that the API asked for"])
def test_a_cancel_waits_for_nothing_and_records_what_is_known(simulator: Simulator, busy_with: str) -> None:
    """The 40 first POSTs are answered. Then the API holds the task up for longer than the test would wait."""
    slow = {"kind": "slow", "seconds": HELD_UP}
    lost = {"kind": "drop_after", "skip": 40, **POST}
    too_many = {"kind": "too_many_requests", "skip": 40, "retry_after": HELD_UP, **POST}
    faults, times = {
        "sending": ([{**slow, "skip": 40, **POST}], 20),  # the rest of the wave
        "looking up": ([{**slow, "method": "GET", "skip": 1}, lost], 1),  # not the first GET, which asks for the date
        "a pause that the API asked for": ([too_many], 1),
    }[busy_with]
    simulator.faults(*faults)
    store = TextStore()
    session = Session(open_client(simulator.url, timeout=HELD_UP, keep_trying=2 * HELD_UP))

    def work() -> None:
        with pytest.raises(CancelledError):
            session.run(a_try, store)
        session.close()

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    while simulator.fired()[0]["fired"] < times:
        time.sleep(0.01)
    session.cancel()
    worker.join(HELD_UP / 2)

    assert not worker.is_alive()
    accepted = len(simulator.commands())
    assert 40 <= accepted <= 60
    known = anyio.run(reported, store)
    assert sum(status in ("queued", "sent") for status in known.values()) >= 20
    assert commands_by_device(simulator).keys() <= {sim for sim, status in known.items() if status != "not_sent"}
    assert_each_got_one(simulator, anyio.run(the_next_try, simulator, store))


@pytest.mark.anyio
async def test_a_command_that_waits_for_max_rate_when_the_task_is_killed_is_known_not_to_have_left(
    simulator: Simulator,
) -> None:
    left: set[str] = set()

    class Watched(KillableClient):
        async def send(
            self, command: IpCommandRequest, *, may_leave: Callable[[], None] = lambda: None, **options: Any
        ) -> IpCommand:
            def leave() -> None:
                may_leave()
                left.add(command.sim)

            return await super().send(command, may_leave=leave, **options)

    store = TextStore()
    async with open_client(simulator.url, kind=Watched, pace=Pace(20, max_rate=100)) as client:
        with anyio.CancelScope() as task:
            client.at_point = after(20, task.cancel)
            await a_try(client, store)

    unknown = {sim for sim, status in (await reported(store)).items() if status == "unknown"}
    assert 20 <= len(left) < len(TARGETS)
    assert commands_by_device(simulator).keys() <= left
    assert unknown <= left
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
async def test_an_api_that_breaks_in_mid_run(simulator: Simulator, fault: dict[str, Any]) -> None:
    simulator.faults({**fault, "skip": 100, "path": "/v1/"})
    store = TextStore()
    async with open_client(simulator.url, keep_trying=0.3) as client:
        with pytest.raises(SuperSimError):
            await a_try(client, store)

    assert_each_got_one(simulator, await the_next_try(simulator, store))


@asynccontextmanager
async def line_to(url: str) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """Yield the URL of a TCP proxy for the simulator, and what cuts it: connections are reset, new ones refused."""
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
        await asyncio.sleep(0.05)  # lets the carrying tasks end


@pytest.mark.anyio
async def test_an_api_that_goes_away_in_mid_run(simulator: Simulator) -> None:
    store = TextStore()
    async with line_to(simulator.url) as (url, cut), open_client(url, kind=KillableClient, keep_trying=0.3) as client:
        client.at_point = after(80, cut)
        with pytest.raises((NotConnectedError, ServerError)):
            await a_try(client, store)
    assert 80 <= len(simulator.commands()) < len(TARGETS)

    assert_each_got_one(simulator, await the_next_try(simulator, store))


@pytest.mark.anyio
@pytest.mark.parametrize("writes", [0, 1, 2, 3, 4, 6])
async def test_a_store_that_fails(simulator: Simulator, writes: int) -> None:
    """A command that cannot be written ahead does not leave; one that has left is looked up."""

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


@pytest.mark.anyio
async def test_a_store_that_fails_after_credentials_were_withdrawn_hides_nothing(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Both are told: the task fails for the credentials, as a retry that waits for the storage would not help."""
    simulator.faults({"kind": "error_before", "status": 401, "skip": 30, "path": "/v1/"})

    class FailingAfterRefusal(TextStore):
        def set(self, key: str, value: Any) -> None:
            if any(one["status"] == 401 for one in simulator.requests()["counts"]):
                raise OSError("the store is away")
            super().set(key, value)

    store = FailingAfterRefusal()
    async with open_client(simulator.url) as client:
        one = rollout(client, await Ledger.open(store, clears=0, restart=False), TARGETS, WAVES)
        with pytest.raises(AuthenticationError) as error:
            await one.advance()
        await one.look_once(error.value)

    said = [record.getMessage() for record in caplog.records if "[ledger-not-written]" in record.getMessage()]
    assert len(said) == 2  # at the end of sending, and after the last look
    assert all("the store is away" in words for words in said)
    assert_each_got_one(simulator, await the_next_try(simulator, TextStore(texts=store.texts)))
