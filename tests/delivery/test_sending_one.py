"""A rollout of one: what the operator for a single command stands on."""

from __future__ import annotations

import pytest
from support import POST, TextStore, device, open_client

from airflow_provider_supersim.api.errors import BadRequestError, ServerError
from airflow_provider_supersim.api.models import IpCommand
from airflow_provider_supersim.delivery.once.before import Before
from airflow_provider_supersim.delivery.once.job import MOST_SENDINGS
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.once.one_command import send_once
from airflow_provider_supersim.delivery.once.recognise import fingerprint
from airflow_provider_supersim.testing import Simulator

pytestmark = pytest.mark.anyio

TARGET = device("device-0001")


async def send(
    simulator: Simulator, store: TextStore, *, clears: int = 0, restart: bool = True
) -> tuple[IpCommand, bool]:
    ledger = await Ledger.open(store, clears=clears, restart=restart)
    async with open_client(simulator.url) as client:
        return await send_once(client, ledger, TARGET.request, lag=0.2)


async def test_a_retry_does_not_send_again_and_a_clear_does(simulator: Simulator) -> None:
    store = TextStore()
    first, sent = await send(simulator, store)
    again, sent_again = await send(simulator, store)
    cleared, sent_after_clear = await send(simulator, store, clears=1)

    assert (sent, sent_again, sent_after_clear) == (True, False, True)
    assert first.sid == again.sid != cleared.sid
    assert len(simulator.commands()) == 2


async def test_a_clear_that_resumes_does_not_send_again_either(simulator: Simulator) -> None:
    store = TextStore()
    await send(simulator, store)

    assert (await send(simulator, store, clears=1, restart=False))[1] is False
    assert len(simulator.commands()) == 1


async def test_one_that_failed_is_sent_again(simulator: Simulator) -> None:
    store = TextStore()
    simulator.set_behaviour("device-0001", network="offline")
    failed, _ = await send(simulator, store)
    simulator.set_behaviour("device-0001", network="online")

    good, sent = await send(simulator, store)

    assert sent
    assert good.sid != failed.sid
    assert [command["status"] for command in simulator.commands()] == ["failed", "sent"]


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "garbage"])
async def test_a_reply_that_is_lost_is_looked_up(simulator: Simulator, kind: str) -> None:
    simulator.faults({"kind": kind, "count": 1, **POST})

    command, sent = await send(simulator, TextStore())

    assert sent
    assert [accepted["sid"] for accepted in simulator.commands()] == [command.sid]


async def test_an_api_that_answers_5xx_for_long_fails_the_try_and_the_next_one_sends(simulator: Simulator) -> None:
    store = TextStore()
    simulator.faults({"kind": "error_before", "status": 503, **POST})
    with pytest.raises(ServerError, match="answered 503"):
        await send(simulator, store)
    assert simulator.fired()[0]["fired"] == MOST_SENDINGS

    simulator.faults()
    command, sent = await send(simulator, store)

    assert sent
    assert [accepted["sid"] for accepted in simulator.commands()] == [command.sid]


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_try_that_died_over_it_is_gone_on_with(simulator: Simulator, accepted: bool) -> None:
    store = TextStore()
    ledger = await Ledger.open(store, clears=0, restart=True)
    async with open_client(simulator.url) as client:
        before = Before(int(simulator.clock()["now"]))
        await ledger.write_ahead({TARGET.sim: fingerprint(TARGET.request)}, before)
        if accepted:
            await client.send(TARGET.request)

    command, _ = await send(simulator, store)

    assert [one["sid"] for one in simulator.commands()] == [command.sid]


async def test_a_refusal_is_raised_and_asked_for_again_by_the_next_try(simulator: Simulator) -> None:
    store = TextStore()
    simulator.update_sim("device-0001", status="inactive")
    with pytest.raises(BadRequestError):
        await send(simulator, store)
    simulator.update_sim("device-0001", status="active")

    assert (await send(simulator, store))[1]
    assert len(simulator.commands()) == 1
