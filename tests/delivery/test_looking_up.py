"""Finding in the API's list what became of commands: other orders, names, many pages, both vendors."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest
from support import (
    POST,
    KillableClient,
    TextStore,
    commands_by_device,
    device,
    devices,
    entries,
    once_each,
    open_client,
)

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import ServerError, Verdict
from airflow_provider_supersim.api.models import IpCommand, IpCommandRequest
from airflow_provider_supersim.delivery.once import dispatcher as dispatch
from airflow_provider_supersim.delivery.once.before import Before
from airflow_provider_supersim.delivery.once.dispatcher import Dispatcher
from airflow_provider_supersim.delivery.once.job import MOST_SENDINGS
from airflow_provider_supersim.delivery.once.ledger import CHUNK, Ledger
from airflow_provider_supersim.delivery.once.reconcile import FEW
from airflow_provider_supersim.delivery.state.device import Device
from airflow_provider_supersim.delivery.state.states import State
from airflow_provider_supersim.testing import Simulator

pytestmark = pytest.mark.anyio

LAG = 0.2
LOSE_ALL = {"kind": "drop_after", **POST}
Order = Callable[[list[IpCommand]], list[IpCommand]]


class ReorderedClient(AsyncSuperSimClient):
    """A client of an API that lists commands in another order."""

    order: Order

    async def iter_ip_commands(self, **query: Any) -> AsyncIterator[IpCommand]:
        for command in self.order([command async for command in super().iter_ip_commands(**query)]):
            yield command


def shuffled(commands: list[IpCommand]) -> list[IpCommand]:
    return random.Random(7).sample(commands, len(commands))


def oldest_first(commands: list[IpCommand]) -> list[IpCommand]:
    return commands[::-1]


def oldest_page_first(commands: list[IpCommand]) -> list[IpCommand]:
    pages = [commands[start : start + 50] for start in range(0, len(commands), 50)]
    return [command for page in reversed(pages) for command in page]


async def send(client: AsyncSuperSimClient, targets: list[Device], *, ledger: Ledger | None = None) -> Ledger:
    ledger = ledger or await Ledger.open(TextStore(), clears=0, restart=False)
    async with client:
        with anyio.fail_after(30):
            await Dispatcher(client, ledger, concurrency=100, lag=LAG).send(targets)
    return ledger


def sids(simulator: Simulator) -> dict[str, str]:
    """The latest command of each device."""
    return {command["sim_name"]: command["sid"] for command in simulator.commands()}


@pytest.mark.parametrize("order", [shuffled, oldest_first, oldest_page_first])
async def test_newest_first_is_not_relied_on(simulator: Simulator, order: Order) -> None:
    simulator.reset(sims=400, settle=0)
    await send(open_client(simulator.url), devices(400, "of last night"))
    simulator.advance(86_400)
    simulator.faults(LOSE_ALL)
    client = open_client(simulator.url, kind=ReorderedClient)
    client.order = order
    targets = devices(30)

    ledger = await send(client, targets)

    assert len(simulator.commands()) == 430
    latest = sids(simulator)
    assert {sim: entry.sid for sim, entry in entries(ledger).items()} == {one.sim: latest[one.sim] for one in targets}


@pytest.mark.parametrize("count", [1, FEW, FEW + 1, 250])
@pytest.mark.parametrize("vendor", ["twilio", "kore"])
async def test_what_was_accepted_is_found(simulator: Simulator, vendor: str, count: int) -> None:
    simulator.reset(sims=250, settle=0)
    simulator.faults(LOSE_ALL)
    targets = devices(count)

    ledger = await send(open_client(simulator.url, vendor=vendor), targets)

    assert commands_by_device(simulator) == once_each(targets)
    assert {sim: entry.sid for sim, entry in entries(ledger).items()} == sids(simulator)


@pytest.mark.parametrize("count", [FEW, 20])
@pytest.mark.parametrize("by", ["name", "sid", "name, with the sid beside it"])
async def test_sims_may_be_named_either_way(simulator: Simulator, by: str, count: int) -> None:
    simulator.faults(LOSE_ALL)
    made = [sim for sim in simulator.sims("field-devices") if sim["status"] == "active"][:count]
    targets = {
        "name": [device(sim["unique_name"]) for sim in made],
        "sid": [device(sim["sid"]) for sim in made],
        "name, with the sid beside it": [device(sim["unique_name"], sim_sid=sim["sid"]) for sim in made],
    }[by]

    ledger = await send(open_client(simulator.url), targets)

    assert commands_by_device(simulator) == {sim["unique_name"]: 1 for sim in made}
    assert {entry.sim_sid for entry in entries(ledger).values()} == {sim["sid"] for sim in made}


@pytest.mark.parametrize("count", [FEW, 20])
async def test_an_equal_command_of_another_day_is_not_claimed(simulator: Simulator, count: int) -> None:
    targets = devices(count)
    await send(open_client(simulator.url), targets)
    simulator.advance(86_400)
    simulator.faults({"kind": "drop_before", "count": count, **POST})

    ledger = await send(open_client(simulator.url), targets)

    assert set(commands_by_device(simulator).values()) == {2}
    assert {sim: entry.sid for sim, entry in entries(ledger).items()} == sids(simulator)


@pytest.mark.parametrize("count", [FEW, 20])
async def test_an_earlier_attempt_is_not_claimed_by_a_later_one(simulator: Simulator, count: int) -> None:
    targets = devices(count)
    ledger = await send(open_client(simulator.url), targets)
    simulator.faults({"kind": "drop_before", "count": count, **POST})

    await send(open_client(simulator.url), targets, ledger=ledger)

    assert set(commands_by_device(simulator).values()) == {2}
    assert {sim: entry.sid for sim, entry in entries(ledger).items()} == sids(simulator)
    assert {entry.attempt for entry in entries(ledger).values()} == {2}


@pytest.mark.parametrize("count", [FEW, 20])
async def test_a_command_of_other_content_is_not_claimed(simulator: Simulator, count: int) -> None:
    targets = devices(count)
    simulator.faults({"kind": "drop_before", "count": count, **POST})
    ledger = await Ledger.open(TextStore(), clears=0, restart=False)
    async with open_client(simulator.url) as client:
        for one in targets:  # somebody else's, at the same time
            simulator.faults()
            await client.send_ip_command(one.sim, "apn=other.example", 5683)
            simulator.faults({"kind": "drop_before", "count": count, **POST})

    await send(open_client(simulator.url), targets, ledger=ledger)

    assert set(commands_by_device(simulator).values()) == {2}
    assert {command["payload"] for command in simulator.commands()} == {"apn=iot.example", "apn=other.example"}
    assert {sim: entry.sid for sim, entry in entries(ledger).items()} == sids(simulator)


@pytest.mark.parametrize("count", [1, 10])
async def test_sims_that_there_are_not_are_refused_even_when_the_first_reply_is_lost(
    simulator: Simulator, count: int
) -> None:
    simulator.faults({"kind": "drop_before", "count": count, **POST})
    targets = [device(f"nobody-{number}") for number in range(count)]

    ledger = await send(open_client(simulator.url), targets)

    assert {entry.status for entry in entries(ledger).values()} == {"refused"}
    assert not simulator.commands()


async def test_many_pages_of_others_commands_are_read_through(simulator: Simulator) -> None:
    """KORE's pages hold 100; whoever shares the account fills some of them."""
    simulator.reset(sims=700, settle=0)
    ours, others = devices(60), devices(700)[60:]
    simulator.faults({"kind": "drop_after", "count": len(ours), **POST})
    targets_seen: list[str] = []

    class CrowdedClient(KillableClient):
        async def iter_ip_commands(self, **query: Any) -> AsyncIterator[IpCommand]:
            if not targets_seen:
                targets_seen.append("now the others send")
                await send(open_client(simulator.url), others)
            async for command in super().iter_ip_commands(**query):
                yield command

    ledger = await send(open_client(simulator.url, kind=CrowdedClient, vendor="kore"), ours)

    assert commands_by_device(simulator) == once_each([*ours, *others])
    latest = sids(simulator)
    assert {sim: entry.sid for sim, entry in entries(ledger).items()} == {one.sim: latest[one.sim] for one in ours}


@pytest.mark.parametrize("count", [FEW, 20])
async def test_it_looks_until_the_list_has_caught_up(simulator: Simulator, count: int) -> None:
    """The list shows nothing for a second: what is not there yet is not sent again."""
    simulator.settings(list_lag=1)
    simulator.faults(LOSE_ALL)
    targets = devices(count)
    ledger = await Ledger.open(TextStore(), clears=0, restart=False)
    async with open_client(simulator.url) as client:
        await Dispatcher(client, ledger, concurrency=100, lag=1.3).send(targets)

    assert commands_by_device(simulator) == once_each(targets)


async def test_what_is_sent_anew_after_a_clear_is_noted_as_this_clears_first(simulator: Simulator) -> None:
    """A try died over a second attempt that never left; then somebody cleared the task and changed the payload."""
    store = TextStore()
    ledger = await Ledger.open(store, clears=0, restart=False)
    for _ in range(2):
        await ledger.write_ahead({"device-0001": "content of yesterday"}, Before(0))
        await ledger.save_changed()
    simulator.faults({"kind": "drop_after", "count": 1, **POST})

    ledger = await send(
        open_client(simulator.url), devices(1), ledger=await Ledger.open(store, clears=1, restart=False)
    )

    entry = (await Ledger.open(store, clears=1, restart=False)).entry("device-0001")
    assert (entry.attempt, entry.clears, entry.sid) == (1, 1, sids(simulator)["device-0001"])
    assert commands_by_device(simulator) == {"device-0001": 1}


async def test_while_very_much_is_unknown_nothing_new_leaves(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "MOST_UNKNOWN", 100)
    simulator.reset(sims=1_000, settle=0)
    simulator.faults({"kind": "error_before", "status": 503, **POST})
    targets = devices(1_000)
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: send(open_client(simulator.url), targets))
        with anyio.fail_after(20):
            while simulator.fired()[0]["fired"] < 700:  # noqa: ASYNC110 - it is the simulator that is waited for
                await anyio.sleep(0.05)
        tried = {request["form"]["Sim"] for request in simulator.requests()["recent"] if request["form"]}
        simulator.faults()
    assert 100 <= len(tried) <= 100 + 2 * CHUNK  # those few, again and again
    assert commands_by_device(simulator) == once_each(targets)


async def test_an_api_that_answers_5xx_to_everything_ends_the_try(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    store, targets = TextStore(), devices(20)
    simulator.faults({"kind": "error_before", "status": 503, **POST})
    with pytest.raises(ServerError, match="answered 503"):
        await send(open_client(simulator.url), targets, ledger=await Ledger.open(store, clears=0, restart=False))
    assert len(targets) < simulator.fired()[0]["fired"] <= MOST_SENDINGS * len(targets)
    assert "[api-accepts-nothing]" in caplog.text

    simulator.faults()
    await send(open_client(simulator.url), targets, ledger=await Ledger.open(store, clears=0, restart=False))
    assert commands_by_device(simulator) == once_each(targets)


async def test_an_outage_is_told_in_sum_and_not_for_each_device(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    targets = devices(60)
    simulator.faults({"kind": "error_before", "status": 503, "count": 120, **POST})

    await send(open_client(simulator.url), targets)

    begins, over = [record for record in caplog.records if "[api-failing]" in record.message]
    assert begins.levelname == over.levelname == "WARNING"
    assert "120 sendings without a reply, of 60 commands" in over.message
    assert len([record for record in caplog.records if "device-" in record.message]) == 1
    assert commands_by_device(simulator) == once_each(targets)


async def test_a_command_over_which_the_api_breaks_counts_as_refused_while_others_are_accepted(
    simulator: Simulator,
) -> None:
    attempts = 0

    class BreakingClient(KillableClient):
        async def send(self, command: IpCommandRequest, **options: Any) -> IpCommand:
            nonlocal attempts
            if command.sim == broken.sim:
                attempts += 1
                raise ServerError("Internal error", request="POST /v1/IpCommands", verdict=Verdict.UNKNOWN, status=500)
            while attempts < min(turns[command.sim], MOST_SENDINGS):  # noqa: ASYNC110  # one after each attempt
                await anyio.sleep(0.01)
            return await super().send(command, **options)

    broken, *others = devices(20)
    turns = {one.sim: turn for turn, one in enumerate(others, 1)}

    ledger = await send(open_client(simulator.url, kind=BreakingClient), [broken, *others])

    assert commands_by_device(simulator) == once_each(others)
    entry = ledger.entry(broken.sim)
    assert entry is not None
    assert (entry.status, entry.error) == (State.REFUSED, "POST /v1/IpCommands answered 500: Internal error")


async def test_an_outage_counts_against_no_command_that_was_under_way(simulator: Simulator) -> None:
    """These have seen others being accepted, when the outage began and when it was over."""
    simulator.reset(sims=200, settle=0)
    served, struck = devices(200)[:60], devices(200)[60:]
    left = {one.sim: MOST_SENDINGS for one in struck}

    class StruckClient(KillableClient):
        async def send(self, command: IpCommandRequest, **options: Any) -> IpCommand:
            if left.get(command.sim):
                left[command.sim] -= 1
                raise ServerError("Unavailable", request="POST /v1/IpCommands", verdict=Verdict.UNKNOWN, status=503)
            return await super().send(command, **options)

    ledger = await send(open_client(simulator.url, kind=StruckClient), [*served, *struck])

    assert commands_by_device(simulator) == once_each([*served, *struck])
    assert not {entry.status for entry in entries(ledger).values()} & {State.REFUSED, State.NOT_SENT}
