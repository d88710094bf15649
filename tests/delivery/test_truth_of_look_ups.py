"""What a look-up may conclude: nulls, filters that are ignored, other clocks and other spellings prove nothing."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import anyio
import msgspec
import pytest
from support import (
    POST,
    TextStore,
    commands_by_device,
    device,
    devices,
    entries,
    once_each,
    open_client,
)

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.models import IpCommand, IpCommandRequest, PayloadType
from airflow_provider_supersim.delivery.once.dispatcher import Dispatcher
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.once.one_command import OutcomeUnknownError, send_once
from airflow_provider_supersim.delivery.once.sims import FEW
from airflow_provider_supersim.delivery.state.device import Device
from airflow_provider_supersim.delivery.state.states import State
from airflow_provider_supersim.testing import Simulator

pytestmark = pytest.mark.anyio

LAG = 0.2
LOSE_ALL = {"kind": "drop_after", **POST}


async def send(client: AsyncSuperSimClient, targets: list[Device], *, store: TextStore | None = None) -> Ledger:
    ledger = await Ledger.open(store or TextStore(), clears=0, restart=False)
    async with client:
        with anyio.fail_after(60):
            await Dispatcher(client, ledger, concurrency=100, lag=LAG).send(targets)
    return ledger


def latest(simulator: Simulator) -> dict[str, str]:
    return {command["sim_name"]: command["sid"] for command in simulator.commands()}


def known(ledger: Ledger) -> dict[str, str | None]:
    return {sim: entry.sid for sim, entry in entries(ledger).items()}


def statuses(ledger: Ledger) -> Counter[str]:
    return Counter(entry.status for entry in entries(ledger).values())


@pytest.mark.parametrize("count", [FEW, 20])
@pytest.mark.parametrize("offset", [-3600, -5, 5, 3600])
async def test_the_date_header_may_say_what_it_likes(simulator: Simulator, offset: int, count: int) -> None:
    """Half an hour ago the same devices got the same command. Now half of the replies are lost, half of the POSTs."""
    targets = devices(count)
    await send(open_client(simulator.url), targets)
    simulator.advance(1800)
    simulator.settings(date_offset=offset)
    simulator.faults(
        {"kind": "drop_after", "count": count // 2, **POST},
        {"kind": "drop_before", "count": count - count // 2, **POST},
    )

    ledger = await send(open_client(simulator.url), targets)

    assert commands_by_device(simulator) == {one.sim: 2 for one in targets}
    assert known(ledger) == latest(simulator)


@pytest.mark.parametrize("count", [FEW, 20])
@pytest.mark.parametrize("fields", ["payload", "device_port", "payload_type", "date_created,date_updated"])
async def test_what_a_null_hides_is_unknown_and_not_sent_again(
    simulator: Simulator, fields: str, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.settings(null_fields=fields, null_ratio=1)
    simulator.faults({"kind": "drop_after", "count": count, **POST})
    targets = devices(count, "YXBu")  # text that base64 would read as well

    ledger = await send(open_client(simulator.url), targets)

    assert commands_by_device(simulator) == once_each(targets)
    assert statuses(ledger) == {State.UNKNOWN: count}
    assert "[outcome-unknown]" in caplog.text
    assert "device-0001" in caplog.text


async def test_a_text_that_cannot_be_base64_needs_no_payload_type(simulator: Simulator) -> None:
    simulator.settings(null_fields="payload_type", null_ratio=1)
    simulator.faults({"kind": "drop_after", "count": 5, **POST})
    targets = devices(5, "apn=iot.example")

    ledger = await send(open_client(simulator.url), targets)

    assert known(ledger) == latest(simulator)


@pytest.mark.parametrize("count", [FEW, 20])
async def test_the_iccid_stands_for_the_sid_of_the_sim(simulator: Simulator, count: int) -> None:
    simulator.settings(null_fields="sim_sid", null_ratio=1)
    simulator.faults(
        {"kind": "drop_after", "count": count // 2, **POST},
        {"kind": "drop_before", "count": count - count // 2, **POST},
    )
    targets = devices(count)

    ledger = await send(open_client(simulator.url), targets)

    assert commands_by_device(simulator) == once_each(targets)
    assert known(ledger) == latest(simulator)


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_row_without_a_sim_could_be_any_of_those_that_are_looked_for(
    simulator: Simulator, accepted: bool
) -> None:
    simulator.settings(null_fields="sim_sid,sim_iccid", null_ratio=1)
    simulator.faults({"kind": "drop_after" if accepted else "drop_before", "count": 5, **POST})
    targets = devices(20)

    ledger = await send(open_client(simulator.url), targets)

    assert commands_by_device(simulator) == once_each(targets)
    # The rows of the other 15 are theirs: the ledger has their sids.
    assert statuses(ledger)[State.UNKNOWN] == (5 if accepted else 0)


@pytest.mark.parametrize("count", [FEW, 20])
@pytest.mark.parametrize("fields", ["date_created", "date_created,date_updated"])
async def test_a_command_of_yesterday_without_a_date_is_not_claimed(
    simulator: Simulator, fields: str, count: int
) -> None:
    targets = devices(count)
    simulator.settings(null_fields=fields, null_ratio=1)
    await send(open_client(simulator.url), targets)
    simulator.advance(86_400)
    simulator.faults({"kind": "drop_before", "count": count, **POST})

    ledger = await send(open_client(simulator.url), targets)

    assert commands_by_device(simulator) == {one.sim: 2 for one in targets}
    assert known(ledger) == latest(simulator)


async def test_the_last_commands_of_the_run_before_are_not_claimed(simulator: Simulator) -> None:
    """The account was quiet since: the newest date in the list is that of the last run's last commands."""
    simulator.reset(sims=300, settle=0)
    targets = devices(300)
    simulator.stop_clock()
    await send(open_client(simulator.url), targets)
    simulator.advance(86_400)
    simulator.faults({"kind": "drop_before", "count": 300, **POST})

    ledger = await send(open_client(simulator.url), targets)

    assert commands_by_device(simulator) == {one.sim: 2 for one in targets}
    assert known(ledger) == latest(simulator)


async def test_a_later_try_knows_as_well_what_was_there_before(simulator: Simulator) -> None:
    await send(open_client(simulator.url), devices(1))
    simulator.advance(86_400)
    store = TextStore()
    simulator.faults({"kind": "drop_before", **POST})
    async with open_client(simulator.url) as client:
        ledger = await Ledger.open(store, clears=0, restart=False)
        with anyio.move_on_after(1):
            await Dispatcher(client, ledger, concurrency=1, lag=600).send(devices(1))
    simulator.faults()

    await send(open_client(simulator.url), devices(1), store=store)

    assert commands_by_device(simulator) == {"device-0001": 2}


@pytest.mark.parametrize("ignored", ["Sim", "Sim,Direction"])
@pytest.mark.parametrize("count", [1, FEW, FEW + 1])
async def test_another_sims_command_is_not_claimed_when_filters_are_ignored(
    simulator: Simulator, count: int, ignored: str
) -> None:
    simulator.settings(ignored_filters=ignored)
    simulator.set_behaviour("all", answer="echo")
    simulator.faults({"kind": "drop_before", "count": count, **POST})
    targets = devices(20)

    ledger = await send(open_client(simulator.url), targets)

    assert commands_by_device(simulator) == once_each(targets)
    assert known(ledger) == latest(simulator)


@pytest.mark.parametrize("count", [1, FEW, FEW + 1])
async def test_a_strangers_command_to_another_sim_is_not_claimed_when_filters_are_ignored(
    simulator: Simulator, count: int
) -> None:
    """Another task sends the same to other devices while ours are looked up. Our ledger has none of its sids."""
    simulator.settings(ignored_filters="Sim")
    simulator.faults({"kind": "drop_before", "count": count, **POST})
    ours, others = devices(count), devices(20)[count:]
    reads: list[dict[str, Any]] = []

    class CrowdedClient(AsyncSuperSimClient):
        async def iter_ip_commands(self, **query: Any) -> AsyncIterator[IpCommand]:
            reads.append(query)
            if len(reads) == 2:  # the first one was of what was there before
                await send(open_client(simulator.url), others)
            async for command in super().iter_ip_commands(**query):
                yield command

    ledger = await send(open_client(simulator.url, kind=CrowdedClient), ours)

    assert commands_by_device(simulator) == once_each([*ours, *others])
    sent = latest(simulator)
    assert known(ledger) == {one.sim: sent[one.sim] for one in ours}


class SpellingClient(AsyncSuperSimClient):
    """A client of an API whose list spells payloads in its own way."""

    async def iter_ip_commands(self, **query: Any) -> AsyncIterator[IpCommand]:
        async for command in super().iter_ip_commands(**query):
            yield msgspec.structs.replace(command, **self.spelt(str(command.payload)))

    def spelt(self, payload: str) -> dict[str, Any]:
        raise NotImplementedError


class WithoutPadding(SpellingClient):
    def spelt(self, payload: str) -> dict[str, Any]:
        return {"payload": payload.rstrip("=").translate(str.maketrans("+/", "-_"))}


class InLines(SpellingClient):
    def spelt(self, payload: str) -> dict[str, Any]:
        return {"payload": "\r\n".join(payload[start : start + 4] for start in range(0, len(payload), 4))}


class TextAsBinary(SpellingClient):
    def spelt(self, payload: str) -> dict[str, Any]:
        return {"payload": base64.b64encode(payload.encode()).decode(), "payload_type": PayloadType.BINARY}


@pytest.mark.parametrize(
    ("kind", "payload"),
    [(WithoutPadding, b"\xff\xfe\xfb?"), (InLines, b"\xff\xfe\xfb?"), (TextAsBinary, "apn=iot.example")],
)
async def test_another_spelling_of_the_same_bytes_is_the_same_command(
    simulator: Simulator, kind: type[AsyncSuperSimClient], payload: str | bytes
) -> None:
    simulator.faults({"kind": "drop_after", "count": 5, **POST})
    targets = [Device(sim=one.sim, request=IpCommandRequest.build(one.sim, payload, 5683)) for one in devices(5)]

    ledger = await send(open_client(simulator.url, kind=kind), targets)

    assert commands_by_device(simulator) == once_each(targets)
    assert known(ledger) == latest(simulator)


async def test_no_sid_is_in_two_entries(simulator: Simulator) -> None:
    """One SIM under two names: each reply is lost, and each name finds a command of its own."""
    sid = simulator.sims("field-devices")[0]["sid"]
    simulator.faults({"kind": "drop_after", "count": 2, **POST})

    ledger = await send(open_client(simulator.url), [device("device-0001"), device(sid)])

    found = [entry.sid for entry in entries(ledger).values()]
    assert len(set(found)) == len(found) == 2


# One command


async def test_a_retry_reads_a_command_that_lags(simulator: Simulator) -> None:
    simulator.settings(get_lag=0.3)
    ledger = await Ledger.open(TextStore(), clears=0, restart=True)
    async with open_client(simulator.url) as client:
        first, _ = await send_once(client, ledger, device("device-0001").request, lag=5)
        again, sent = await send_once(client, ledger, device("device-0001").request, lag=5)

    assert (again.sid, sent) == (first.sid, False)


@pytest.mark.parametrize("lost", ["in the list", "from the API"])
async def test_one_command_of_unknown_outcome_is_sent_again_by_a_restart_alone(simulator: Simulator, lost: str) -> None:
    store, request = TextStore(), device("device-0001").request
    if lost == "in the list":
        simulator.settings(null_fields="payload", null_ratio=1)
        simulator.faults({"kind": "drop_after", "count": 1, **POST})
    else:
        ledger = await Ledger.open(store, clears=0, restart=True)
        async with open_client(simulator.url) as client:
            await send_once(client, ledger, request, lag=LAG)
        simulator.set_behaviour("device-0001", forgotten=True)

    for clears, restart in ((0, True), (0, True), (1, False)):
        ledger = await Ledger.open(store, clears=clears, restart=restart)
        async with open_client(simulator.url) as client:
            with pytest.raises(OutcomeUnknownError):
                await send_once(client, ledger, request, lag=LAG)
    assert len(simulator.commands()) == 1

    ledger = await Ledger.open(store, clears=2, restart=True)
    async with open_client(simulator.url) as client:
        _, sent = await send_once(client, ledger, request, lag=LAG)
    assert sent
    assert len(simulator.commands()) == 2


async def test_a_restart_does_not_claim_what_was_sent_before_it(simulator: Simulator) -> None:
    """The task is cleared so soon that the list does not show the first command yet."""
    simulator.settings(list_lag=0.5)
    store, request = TextStore(), device("device-0001").request
    async with open_client(simulator.url) as client:
        await send_once(client, await Ledger.open(store, clears=0, restart=True), request, lag=1)
        simulator.faults({"kind": "drop_before", "count": 1, **POST})
        again, _ = await send_once(client, await Ledger.open(store, clears=1, restart=True), request, lag=1)

    assert [command["sid"] for command in simulator.commands()][1:] == [again.sid]
