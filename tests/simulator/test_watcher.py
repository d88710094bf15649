"""Waiting: one poller for all, with the fewest requests, that believes only what it has read.

When it looks, and how often, is tested in virtual time: ``tests/unit/test_watcher_in_virtual_time.py``.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import anyio
import pytest
from clients import COMMANDS, account_of, client_of

from airflow_provider_supersim.delivery.waiting import status_reader as reading
from airflow_provider_supersim.delivery.waiting import watcher as watch
from airflow_provider_supersim.delivery.waiting.shared import watcher_of
from airflow_provider_supersim.delivery.waiting.watcher import Watcher

pytestmark = pytest.mark.anyio

SINGLE = f"{COMMANDS}/{{Sid}}"
PATIENCE = 600  # seconds: more than a busy machine needs, so that only what is tested ends a wait


class Clients:
    """Opens a watcher's clients, and keeps count of those that are open."""

    def __init__(self, simulator, vendor="twilio", **changes):
        self.simulator, self.vendor, self.changes = simulator, vendor, changes
        self.opened = self.open = 0
        self.closing = asyncio.Event()  # set when a client is being closed
        self.may_close = asyncio.Event()
        self.may_close.set()

    def __call__(self):
        return self._one()

    @asynccontextmanager
    async def _one(self):
        self.opened += 1
        self.open += 1
        async with client_of(self.simulator, self.vendor, keep_trying=0, **self.changes) as client:
            yield client
            self.closing.set()
            await self.may_close.wait()
        self.open -= 1

    async def all_closed(self):
        """Wait until no client is open."""
        with anyio.fail_after(PATIENCE):
            while self.open:  # noqa: ASYNC110 - it is the watcher that is waited for
                await asyncio.sleep(0.01)


@pytest.fixture
def frozen(supersim_simulator):
    """The simulator with its clock stopped: nothing settles before the test says so."""
    supersim_simulator.stop_clock()
    return supersim_simulator


async def send(simulator, number, vendor="twilio"):
    """Send a command to each of so many SIMs, and forget these requests."""
    async with client_of(simulator, vendor) as client:
        commands = []

        async def one(name):
            commands.append(await client.send_ip_command(name, "x", 1))

        async with anyio.create_task_group() as group:
            for count in range(1, number + 1):
                group.start_soon(one, f"device-{count:04d}")
    simulator.forget_requests()
    return [command.sid for command in commands]


async def polled(simulator, times=1, route=None):
    """Wait until the watcher has asked so often."""
    with anyio.fail_after(PATIENCE):
        while _requests(simulator, route) < times:  # noqa: ASYNC110 - it is the simulator that is waited for
            await anyio.sleep(0.01)


def _requests(simulator, route=None):
    counts = simulator.requests()["counts"]
    return sum(one["count"] for one in counts if one["method"] == "GET" and route in (None, one["route"]))


async def test_it_ends_when_every_command_is_settled_with_each_as_last_read(frozen, vendor):
    frozen.set_behaviour("device-0002", network="offline")
    sids = await send(frozen, 3, vendor)
    waiting = asyncio.create_task(Watcher(Clients(frozen, vendor)).wait(sids, interval=0.02, timeout=PATIENCE))
    await polled(frozen, 2)
    assert not waiting.done()
    frozen.advance(2)
    waited = await waiting
    assert waited.settled
    assert waited.error is None
    assert {command.sid for command in waited.commands} == set(sids)
    assert sorted(command.status for command in waited.commands) == ["failed", "sent", "sent"]


async def test_nothing_to_wait_for_is_settled_without_a_request(frozen):
    clients = Clients(frozen)
    waited = await Watcher(clients).wait([], interval=1, timeout=1)
    assert waited.settled
    assert clients.opened == 0


async def test_a_timeout_of_nothing_is_one_look(frozen):
    sids = await send(frozen, 1)
    clients = Clients(frozen)
    waited = await Watcher(clients).wait(sids, interval=5, timeout=0)
    assert not waited.settled
    assert [command.status for command in waited.commands] == ["queued"]
    await clients.all_closed()
    assert frozen.requests()["total"] == 1


async def test_what_is_not_settled_at_the_deadline_is_said(frozen):
    frozen.set_behaviour("device-0002", network="never")
    sids = await send(frozen, 2)
    waiting = asyncio.create_task(Watcher(Clients(frozen)).wait(sids, interval=0.05, timeout=0.5))
    frozen.advance(2)
    waited = await waiting
    assert not waited.settled
    assert sorted(command.status for command in waited.commands) == ["queued", "sent"]
    assert (waited.unread, waited.error) == ([], None)


@pytest.mark.parametrize(
    ("vendor", "number", "listed", "single"),
    [
        ("twilio", 1, 0, 1),
        ("twilio", 2, 0, 2),
        ("twilio", 3, 1, 0),
        ("twilio", 150, 1, 0),
        ("kore", 2, 0, 2),
        ("kore", 3, 1, 0),
        ("kore", 100, 1, 0),
        ("kore", 101, 2, 0),
        ("kore", 150, 2, 0),
    ],
    indirect=["vendor"],
)
async def test_a_look_costs_as_few_requests_as_the_list_or_single_reads_would(frozen, vendor, number, listed, single):
    sids = await send(frozen, number, vendor)
    waited = await Watcher(Clients(frozen, vendor)).wait(sids, interval=5, timeout=0)
    assert len(waited.commands) == number
    assert (_requests(frozen, COMMANDS), _requests(frozen, SINGLE)) == (listed, single)


async def test_a_crowded_account_is_not_read_through_to_its_end(frozen):
    ours = await send(frozen, 5, "kore")
    async with client_of(frozen, "kore") as client, anyio.create_task_group() as group:
        for _ in range(900):  # newer than ours: nine pages
            group.start_soon(client.send_ip_command, "device-0100", "x", 1)
    frozen.forget_requests()
    waiting = asyncio.create_task(Watcher(Clients(frozen, "kore")).wait(ours, interval=0.05, timeout=PATIENCE))
    await polled(frozen, 12, SINGLE)
    frozen.advance(2)
    assert (await waiting).settled
    assert _requests(frozen, COMMANDS) <= 4  # of one look, and never again


async def test_a_command_that_the_list_does_not_show_is_read_by_itself(frozen):
    sids = await send(frozen, 3)
    frozen.advance(2)
    frozen.settings(list_lag=3600)
    waited = await Watcher(Clients(frozen)).wait(sids, interval=0.05, timeout=PATIENCE)
    assert waited.settled
    assert _requests(frozen, SINGLE) == 3


async def test_what_a_lagging_list_does_not_show_yet_is_not_asked_for_one_by_one(frozen, monkeypatch):
    monkeypatch.setattr(reading, "LAG", PATIENCE)
    frozen.settings(list_lag=60)
    sids = await send(frozen, 100)
    waiting = asyncio.create_task(Watcher(Clients(frozen)).wait(sids, interval=0.05, timeout=PATIENCE))
    await polled(frozen, 5)
    assert _requests(frozen, SINGLE) == 0
    frozen.advance(61)
    assert (await waiting).settled
    assert _requests(frozen, SINGLE) == 0


async def test_what_the_list_never_shows_is_asked_for_one_by_one_in_the_end(frozen, monkeypatch):
    monkeypatch.setattr(reading, "LAG", 0.3)
    frozen.settings(list_lag=3600)
    sids = await send(frozen, 100)
    waiting = asyncio.create_task(Watcher(Clients(frozen)).wait(sids, interval=0.05, timeout=PATIENCE))
    await polled(frozen, 100, SINGLE)
    frozen.advance(2)
    assert (await waiting).settled


async def test_whoever_waits_no_longer_is_told_what_single_reads_say(frozen):
    frozen.settings(list_lag=3600)
    sids = await send(frozen, 100)
    waited = await Watcher(Clients(frozen)).wait(sids, interval=1, timeout=0)
    assert len(waited.commands) == 100


async def test_ours_behind_many_of_others_are_found_by_reading_further_each_time(frozen, monkeypatch):
    monkeypatch.setattr(reading, "LAG", PATIENCE)
    sids = await send(frozen, 200, "kore")
    for _ in range(5):
        await send(frozen, 200, "kore")
    waiting = asyncio.create_task(Watcher(Clients(frozen, "kore")).wait(sids, interval=0.05, timeout=PATIENCE))
    await polled(frozen, 4 + 8 + 12 + 12)
    frozen.advance(2)
    assert (await waiting).settled
    assert _requests(frozen, SINGLE) == 0


async def test_many_waiters_share_requests_and_one_client(frozen):
    sids = await send(frozen, 50)
    clients = Clients(frozen)
    watcher = Watcher(clients)
    waits = [asyncio.create_task(watcher.wait([sid], interval=0.05, timeout=PATIENCE)) for sid in sids]
    await polled(frozen, 2)
    frozen.advance(2)
    for waiting, sid in zip(waits, sids, strict=True):
        assert [command.sid for command in (await waiting).commands] == [sid]
    assert _requests(frozen, SINGLE) == 0  # each look is one page
    assert clients.opened == 1


async def test_two_may_wait_for_the_same_command(frozen):
    (sid,) = await send(frozen, 1)
    watcher = Watcher(Clients(frozen))
    waits = [asyncio.create_task(watcher.wait([sid], interval=0.05, timeout=PATIENCE)) for _ in range(2)]
    await polled(frozen)
    frozen.advance(2)
    assert all([(await waiting).settled for waiting in waits])


async def test_an_unknown_status_is_waited_on_and_logged_once(frozen, caplog, monkeypatch):
    monkeypatch.setattr(watch, "KNOWN_STATUSES", watch.KNOWN_STATUSES - {"queued"})  # as if the API had added it
    sids = await send(frozen, 2)
    waiting = asyncio.create_task(Watcher(Clients(frozen)).wait(sids, interval=0.02, timeout=PATIENCE))
    await polled(frozen, 6)
    frozen.advance(2)
    assert (await waiting).settled
    warnings = [record.message for record in caplog.records if record.message.endswith("[status-new]")]
    assert len(warnings) == 1
    assert "'queued'" in warnings[0]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "error_before", "status": 503},
        {"kind": "error_before", "status": 408},
        {"kind": "drop_before"},
        {"kind": "garbage", "body": "html"},
        {"kind": "garbage", "body": "wrong-shape"},
    ],
    ids=str,
)
@pytest.mark.parametrize("number", [1, 3], ids=["read singly", "read from the list"])
async def test_failures_within_the_budget_are_waited_out(frozen, caplog, fault, number):
    sids = await send(frozen, number)
    frozen.faults({**fault, "path": "/v1/", "count": 4})
    frozen.advance(2)
    waited = await Watcher(Clients(frozen)).wait(sids, interval=0.01, timeout=PATIENCE)
    assert waited.settled
    assert waited.error is None
    first = next(record.message for record in caplog.records if record.message.endswith("[statuses-failing]"))
    assert "1 of 10 times in a row" in first
    assert "GET /v1/IpCommands" in first


@pytest.mark.parametrize("number", [1, 3], ids=["read singly", "read from the list"])
async def test_a_429_is_waited_out_and_is_no_failure(frozen, caplog, number):
    sids = await send(frozen, number)
    frozen.faults({"kind": "too_many_requests", "path": "/v1/", "count": 3})
    waited = await Watcher(Clients(frozen)).wait(sids, interval=5, timeout=0)
    assert len(waited.commands) == number
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


async def test_alone_on_an_account_with_a_lower_limit_every_status_is_read(frozen):
    frozen.settings(latency=0.05, list_lag=3600)
    sids = await send(frozen, 200)
    frozen.settings(max_concurrency=90)
    waited = await Watcher(Clients(frozen)).wait(sids, interval=5, timeout=0)
    assert len(waited.commands) == 200
    assert waited.error is None
    assert _requests(frozen, SINGLE) <= 1.1 * 200


@pytest.mark.parametrize("how", ["one look", "at the deadline"])
async def test_the_list_is_read_on_in_one_round_while_it_shows_ours_among_those_of_others(frozen, how):
    """Six tasks send at the same time: twelve pages of 100, of which each holds 17 of ours."""
    ours = []
    async with client_of(frozen, "kore") as client:
        for _ in range(200):
            ours.append((await client.send_ip_command("device-0001", "x", 1)).sid)
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(client.send_ip_command, "device-0002", "x", 1)
    frozen.forget_requests()
    watcher, read = Watcher(Clients(frozen, "kore")), []
    if how == "one look":
        await watcher.look(ours, pause=PATIENCE, timeout=PATIENCE, on_read=read.append)
    else:
        await watcher.wait(ours, interval=PATIENCE, timeout=0, on_read=read.append)
    assert len(read) == 200
    assert (_requests(frozen, COMMANDS), _requests(frozen, SINGLE)) == (12, 0)


async def test_at_the_deadline_the_list_is_read_on_while_it_is_cheaper(frozen):
    ours = await send(frozen, 150, "kore")
    for _ in range(3):
        await send(frozen, 200, "kore")  # newer: six pages, and none of them shows ours
    waited = await Watcher(Clients(frozen, "kore")).wait(ours, interval=PATIENCE, timeout=0)
    assert len(waited.commands) == 150
    assert (_requests(frozen, COMMANDS), _requests(frozen, SINGLE)) == (8, 0)


async def test_ten_failed_looks_in_a_row_end_the_wait_and_waiting_again_may_help(frozen):
    sids = await send(frozen, 1)
    frozen.faults({"kind": "error_before", "status": 503, "path": "/v1/"})
    clients = Clients(frozen)
    waited = await Watcher(clients).wait(sids, interval=0.01, timeout=PATIENCE)
    assert (waited.commands, waited.unread, waited.retryable) == ([], sids, True)
    assert waited.error.startswith("GET /v1/IpCommands/")
    assert " answered 503 (code 20503)" in waited.error
    await clients.all_closed()
    assert frozen.requests()["total"] == watch.FAILED_ROUNDS


async def test_only_a_full_good_look_resets_the_count_of_failures(frozen):
    sids = await send(frozen, 1)
    frozen.faults(
        {"kind": "error_before", "status": 503, "path": "/v1/", "count": 9},
        {"kind": "error_before", "status": 503, "path": "/v1/", "count": 9, "skip": 1},
    )
    waiting = asyncio.create_task(Watcher(Clients(frozen)).wait(sids, interval=0.01, timeout=PATIENCE))
    await polled(frozen, 19)
    frozen.advance(2)
    assert (await waiting).settled


async def test_those_who_come_after_a_failure_for_good_have_the_whole_budget(frozen):
    sids = await send(frozen, 1)
    watcher = Watcher(Clients(frozen))
    frozen.faults({"kind": "error_before", "status": 503, "path": "/v1/", "count": watch.FAILED_ROUNDS + 3})
    assert (await watcher.wait(sids, interval=0.01, timeout=PATIENCE)).error
    frozen.advance(2)
    assert (await watcher.wait(sids, interval=0.01, timeout=PATIENCE)).settled


async def test_a_refusal_of_the_credentials_ends_all_at_once_for_good(frozen):
    sids = await send(frozen, 4)
    clients = Clients(frozen, password="wrong")
    watcher = Watcher(clients)
    waits = [asyncio.create_task(watcher.wait([sid], interval=0.01, timeout=PATIENCE)) for sid in sids]
    for waiting, sid in zip(waits, sids, strict=True):
        waited = await waiting
        assert (waited.commands, waited.unread, waited.retryable) == ([], [sid], False)
        assert "answered 401 (code 20003)" in waited.error
    await clients.all_closed()
    assert frozen.requests()["total"] <= 4  # of one look


async def test_a_refusal_of_single_reads_ends_all_too(frozen):
    sids = await send(frozen, 2)
    waited = await Watcher(Clients(frozen, password="wrong")).wait(sids, interval=0.01, timeout=PATIENCE)
    assert not waited.retryable
    assert "answered 401" in waited.error


async def test_a_command_that_is_not_there_ends_its_own_wait_and_no_other(frozen, monkeypatch):
    monkeypatch.setattr(watch, "GONE_AFTER", 0.2)
    sids = await send(frozen, 3)
    unknown = "HG" + 32 * "0"
    watcher = Watcher(Clients(frozen))
    others = [asyncio.create_task(watcher.wait([sid], interval=0.05, timeout=PATIENCE)) for sid in sids]
    lost = await watcher.wait([unknown], interval=0.05, timeout=PATIENCE)
    assert (lost.unread, lost.retryable) == ([unknown], False)
    assert f"GET {COMMANDS}/{unknown} answered 404 (code 20404)" in lost.error
    frozen.advance(2)
    for other in others:
        waited = await other
        assert waited.settled
        assert waited.error is None


async def test_the_client_is_closed_when_no_one_waits_and_opened_again(frozen):
    sids = await send(frozen, 2)
    clients = Clients(frozen)
    watcher = Watcher(clients)
    for sid in sids:
        await watcher.wait([sid], interval=5, timeout=0)
        await clients.all_closed()
    assert clients.opened == 2


async def test_it_stops_when_the_one_who_waits_is_cancelled(frozen):
    sids = await send(frozen, 1)
    clients = Clients(frozen)
    waiting = asyncio.create_task(Watcher(clients).wait(sids, interval=PATIENCE, timeout=PATIENCE))
    await polled(frozen)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await clients.all_closed()
    assert frozen.requests()["total"] == 1


async def test_somebody_who_comes_while_the_client_is_being_closed_is_served(frozen):
    first, second = await send(frozen, 2)
    clients = Clients(frozen)
    clients.may_close.clear()
    watcher = Watcher(clients)
    await watcher.wait([first], interval=5, timeout=0)
    await clients.closing.wait()
    waiting = asyncio.create_task(watcher.wait([second], interval=5, timeout=PATIENCE))
    await asyncio.sleep(0)
    frozen.advance(2)
    clients.may_close.set()
    assert (await waiting).settled
    assert clients.opened == 2


async def test_a_client_that_cannot_be_opened_is_everybodys_error(frozen):
    @asynccontextmanager
    async def broken():
        raise OSError("no such bundle")
        yield

    watcher = Watcher(broken)
    waits = [asyncio.create_task(watcher.wait([sid], interval=1, timeout=PATIENCE)) for sid in ("HG1", "HG2")]
    for waiting in waits:
        with pytest.raises(OSError, match="no such bundle"):
            await waiting


async def test_each_status_that_is_read_can_be_handed_on(frozen):
    sids = await send(frozen, 3)
    heard = []
    waiting = asyncio.create_task(
        Watcher(Clients(frozen)).wait(
            sids, interval=0.02, timeout=PATIENCE, on_read=lambda one: heard.append(one.status)
        )
    )
    await polled(frozen)
    frozen.advance(2)
    waited = await waiting
    assert (waited.settled, waited.commands) == (True, [])
    assert heard.count("sent") == 3


async def test_all_who_wait_for_an_account_on_a_loop_share_a_watcher(supersim_simulator):
    one, same = account_of(supersim_simulator), account_of(supersim_simulator)
    other = account_of(supersim_simulator, "kore")
    assert watcher_of(one, one.client) is watcher_of(same, same.client)
    assert watcher_of(one, one.client) is not watcher_of(other, other.client)

    def on_another_loop():
        async def get():
            return watcher_of(one, one.client)

        return asyncio.run(get())

    assert await asyncio.to_thread(on_another_loop) is not watcher_of(one, one.client)
