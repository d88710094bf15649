"""Another reason than the window holds commands back: it is waited for and named like the window."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import time_machine
from support import POST, TextStore, commands_by_device, devices, once_each, open_client, rollout, rules
from task_runs import MIDNIGHT

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import SuperSimError
from airflow_provider_supersim.api.models import IpCommand, IpCommandRequest
from airflow_provider_supersim.api.pace import Pace
from airflow_provider_supersim.delivery.once.dispatcher import Dispatcher
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.rollout.reasons import Reason
from airflow_provider_supersim.delivery.rollout.steps import End, Wait
from airflow_provider_supersim.testing import Simulator

pytestmark = pytest.mark.anyio


class Maintenance(Reason, frozen=True, kw_only=True):
    """An invented reason."""

    def sentence(self) -> str:
        return "the network is being maintained"


class MaintenanceHold:
    """Holds everything back from :meth:`begin` on."""

    def __init__(self, passes_at: float | None) -> None:
        self._passes_at = passes_at
        self._began = anyio.Event()
        self.asked = 0

    def begin(self) -> None:
        self._began.set()

    def reason(self, timezone: str | None) -> Reason | None:
        self.asked += 1
        if not self._began.is_set() or (self._passes_at is not None and time.time() >= self._passes_at):
            return None
        return Maintenance(passes_at=self._passes_at)

    async def changed(self) -> None:
        await self._began.wait()
        await anyio.sleep(0.01)


@pytest.fixture
def clock():
    with time_machine.travel(MIDNIGHT, tick=False) as traveller:
        yield traveller


async def step(simulator: Simulator, store: TextStore, hold: MaintenanceHold, *, fresh: bool = True) -> Wait | End:
    ledger = await Ledger.open(store, clears=0, restart=False)
    async with open_client(simulator.url) as client:
        return await rollout(client, ledger, devices(20), rules(), fresh=fresh, holds=[hold]).advance()


async def test_it_is_waited_for_and_named(simulator: Simulator, clock: time_machine.Coordinates) -> None:
    store, passes_at = TextStore(), MIDNIGHT.timestamp() + 600
    hold = MaintenanceHold(passes_at)
    hold.begin()

    held = await step(simulator, store, hold)

    assert isinstance(held, Wait)
    assert (held.sids, held.until, held.why.sentence()) == ([], passes_at, "the network is being maintained")
    assert hold.asked < 10, "the engine asks once, and does not spin"
    assert not simulator.commands()
    clock.move_to(passes_at)
    end = await step(simulator, store, hold, fresh=False)
    assert isinstance(end, End)
    assert (end.summary["sent"], end.left_out) == (20, None)


async def test_one_that_does_not_pass_by_itself_ends_the_try(simulator: Simulator) -> None:
    store, hold = TextStore(), MaintenanceHold(None)
    hold.begin()

    end = await step(simulator, store, hold)

    assert isinstance(end, End)
    assert end.left_out.sentence() == "the network is being maintained before 20 devices of the wave had their turn"
    assert end.left_out.outlook() == "A retry continues with them."  # nothing about a window
    assert not simulator.commands()
    assert (await step(simulator, store, MaintenanceHold(None))).summary["sent"] == 20


async def test_one_that_comes_in_mid_wave_takes_back_what_waits_for_its_turn(simulator: Simulator) -> None:
    """The rate is one command in ten minutes, so what is not taken back would wait for hours."""
    store, hold, targets = TextStore(), MaintenanceHold(None), devices(100)

    class Client(AsyncSuperSimClient):
        async def send(self, command: IpCommandRequest, **options: object) -> IpCommand:
            accepted = await super().send(command, **options)
            hold.begin()
            return accepted

    ledger = await Ledger.open(store, clears=0, restart=False)
    pace = Pace(20, max_rate=1 / 600)
    async with open_client(simulator.url, kind=Client, pace=pace) as client:
        one = rollout(client, ledger, targets, rules(), holds=[hold])
        end = await one.advance()

    assert isinstance(end, End)
    assert end.left_out.sentence() == "the network is being maintained before 99 devices of the wave had their turn"
    assert one.overview.progress(rate=None).in_flight == 0
    assert (end.summary["sent"], end.summary["not_sent"]) == (1, 99)
    ledger = await Ledger.open(store, clears=0, restart=False)
    async with open_client(simulator.url) as client:
        assert (await rollout(client, ledger, targets, rules()).advance()).summary["sent"] == 100
    assert commands_by_device(simulator) == once_each(targets)


async def test_a_worker_whose_command_is_taken_back_goes_on_with_the_next(simulator: Simulator) -> None:
    targets, waits = devices(3), anyio.Event()

    class Client(AsyncSuperSimClient):
        async def send(self, command: IpCommandRequest, **options: object) -> IpCommand:
            if command.sim == targets[0].sim:
                waits.set()
                await anyio.sleep_forever()  # its turn never comes
            return await super().send(command, **options)

    ledger = await Ledger.open(TextStore(), clears=0, restart=False)
    async with open_client(simulator.url, kind=Client) as client:
        dispatcher = Dispatcher(client, ledger, concurrency=1)
        async with anyio.create_task_group() as group:
            group.start_soon(dispatcher.send, targets)
            await waits.wait()
            await dispatcher.recall(lambda one: one.sim == targets[0].sim, "held back")

    assert [ledger.entry(one.sim).status for one in targets] == ["not_sent", "queued", "queued"]
    assert commands_by_device(simulator) == once_each(targets[1:])


class WatchedPace(Pace):
    """Notes that a request was not processed."""

    def __init__(self, came_back: anyio.Event) -> None:
        super().__init__(20)
        self._came_back = came_back

    async def run(self, request: Callable[[], Awaitable[Any]], *, rated: bool) -> Any:
        try:
            return await super().run(request, rated=rated)
        except SuperSimError:
            self._came_back.set()
            raise


NOT_PROCESSED = {
    "429": [{"kind": "too_many_requests", "retry_after": 60, "count": 1, **POST}],
    "expired token": [
        {"kind": "expired_token", "count": 1, **POST},
        {"kind": "hang", "seconds": 60, "skip": 1, "path": "/api-services/v1/auth/token"},
    ],
}


@pytest.mark.parametrize("recalled", [True, False], ids=["recalled", "killed"])
@pytest.mark.parametrize("why", NOT_PROCESSED)
async def test_a_command_that_was_not_processed_is_taken_back_while_it_waits_for_another_turn(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, why: str, recalled: bool
) -> None:
    simulator.faults(*NOT_PROCESSED[why])
    came_back, targets = anyio.Event(), devices(1)
    ledger = await Ledger.open(TextStore(), clears=0, restart=False)
    async with open_client(simulator.url, vendor="kore", pace=WatchedPace(came_back)) as client:
        renew = client._auth.renew
        monkeypatch.setattr(client._auth, "renew", lambda refused: (renew(refused), came_back.set()))
        dispatcher = Dispatcher(client, ledger, concurrency=1)
        async with anyio.create_task_group() as group:
            group.start_soon(dispatcher.send, targets)
            await came_back.wait()
            if recalled:
                await dispatcher.recall(lambda _: True, "held back")
                await anyio.wait_all_tasks_blocked()
                assert ledger.entry(targets[0].sim).error == "held back"
            group.cancel_scope.cancel()

    assert ledger.entry(targets[0].sim).status == "not_sent"
    assert simulator.commands() == []


async def test_a_command_without_a_reply_that_is_taken_back_later_ends_the_outage(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.faults({"kind": "drop_before", "count": 1, **POST})
    sent, waits = list[str](), anyio.Event()

    class Client(AsyncSuperSimClient):
        async def send(self, command: IpCommandRequest, **options: Any) -> IpCommand:
            sent.append(command.sim)
            if len(sent) == 2:  # the look-up has shown that it was not accepted
                waits.set()
                await anyio.sleep_forever()
            return await super().send(command, **options)

    ledger = await Ledger.open(TextStore(), clears=0, restart=False)
    async with open_client(simulator.url, kind=Client) as client:
        dispatcher = Dispatcher(client, ledger, concurrency=1, lag=0.2)
        async with anyio.create_task_group() as group:
            group.start_soon(dispatcher.send, devices(1))
            await waits.wait()
            await dispatcher.recall(lambda _: True, "held back")

    failing = [record.getMessage() for record in caplog.records if "[api-failing]" in record.getMessage()]
    assert len(failing) == 2
    assert "of every command is known again" in failing[1]
