"""No command leaves outside the window, whatever it waits for when the window closes."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from support import POST, TextStore, commands_by_device, device, devices, once_each, open_client, rollout, rules
from task_runs import TaskRun

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.models import IpCommand, IpCommandRequest
from airflow_provider_supersim.api.pace import Pace
from airflow_provider_supersim.delivery.once.before import Before
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.rollout.steps import End, Wait
from airflow_provider_supersim.delivery.rollout.window import Window
from airflow_provider_supersim.testing import Simulator

pytestmark = pytest.mark.anyio

NIGHTLY = Window.build({"start": "01:00", "end": "05:00", "timezone": "UTC"})
DAY = timedelta(days=1)


def at(clock_time: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-01T{clock_time}+00:00")


def waited_for(wait: tuple[int, Wait]) -> tuple[int, list[str], datetime]:
    """How many commands were accepted before a wait, its sids, and until when it was."""
    accepted, step = wait
    return accepted, step.sids, datetime.fromtimestamp(step.until, UTC)


@pytest.fixture
def clock():
    with time_machine.travel(at("00:30"), tick=False) as traveller:
        yield traveller


@pytest.fixture
def night(simulator: Simulator, clock: time_machine.Coordinates) -> TaskRun:
    simulator.reset(sims=100, settle=1)
    simulator.stop_clock()
    return TaskRun(simulator, clock, rules(window=NIGHTLY, wave_timeout=900.0))


async def test_it_waits_for_the_window_to_open(night: TaskRun) -> None:
    end = await night.try_it(devices(20))

    assert waited_for(night.waits[0]) == (0, [], at("01:00"))
    assert end.summary["sent"] == 20


async def test_devices_for_which_the_window_closed_get_their_command_in_the_next_window(night: TaskRun) -> None:
    night.how = rules(window=NIGHTLY, wave_timeout=900.0, waves=[10, "100%"])
    before = night.wait

    def long_wait(wait: Wait) -> None:
        before(wait)
        if wait.sids:
            night.clock.move_to(at("05:00"))

    night.wait = long_wait
    end = await night.try_it(devices(20))

    assert "the window closed at 05:00 UTC before 10 devices of the wave had their turn" in end.left_out.sentence()
    assert (end.summary["sent"], end.summary["not_sent"]) == (10, 10)
    end = await night.try_it(devices(20))
    assert waited_for(night.waits[-2])[1:] == ([], at("01:00") + DAY)
    assert end.left_out is None
    assert commands_by_device(night.simulator) == once_each(devices(20))


async def test_a_try_that_goes_on_after_the_window_ends_instead_of_waiting_for_tomorrow(night: TaskRun) -> None:
    night.clock.move_to(at("04:59"))
    night.how = rules(window=NIGHTLY, wave_timeout=900.0, waves=[10, "100%"])
    await night.step(devices(20), fresh=True)
    night.simulator.advance(60)
    night.clock.move_to(at("05:01"))

    end = await night.step(devices(20), fresh=False)

    assert isinstance(end, End)
    assert end.left_out
    assert len(night.simulator.commands()) == 10


async def test_each_device_has_its_own_hours(night: TaskRun) -> None:
    window = Window.build({"start": "01:00", "end": "05:00"})
    night.how = rules(window=window, wave_timeout=900.0)
    targets = [
        device("device-0001", timezone="Asia/Tokyo"),  # 16:00 to 20:00 UTC
        device("device-0002", timezone="Europe/Berlin"),  # 00:00 to 04:00
        device("device-0003", timezone="UTC"),
    ]

    await night.try_it(targets)

    assert [(accepted, wait.until) for accepted, wait in night.waits if not wait.sids] == [
        (1, at("01:00").timestamp()),
        (2, at("16:00").timestamp()),
    ]
    assert [command["sim_name"] for command in night.simulator.commands()] == [
        "device-0002",
        "device-0003",
        "device-0001",
    ]


async def test_no_second_attempt_leaves_outside_it(night: TaskRun) -> None:
    night.how = rules(window=NIGHTLY, wave_timeout=900.0, attempts=2, attempt_delay=3600.0)
    night.clock.move_to(at("04:30"))
    night.simulator.set_behaviour("all", network="offline")

    end = await night.try_it(devices(5))

    assert (end.summary["failed"], end.summary["commands"]) == (5, 5)


@pytest.mark.parametrize("count", [2, 20])
async def test_unknown_commands_are_looked_up_at_any_hour_and_sent_only_in_the_window(
    night: TaskRun, count: int
) -> None:
    """Half of the commands of a try that died were accepted. By day the next one claims those and sends no other."""
    night.clock.move_to(at("04:59"))
    targets = devices(count)
    ledger = await Ledger.open(night.store, clears=0, restart=False)
    async with open_client(night.simulator.url) as client:
        before = Before(int(night.simulator.clock()["now"]))
        await ledger.write_ahead({one.sim: "another fingerprint" for one in targets[count // 2 :]}, before)
        await rollout(client, ledger, targets[: count // 2], night.how).advance()
    for key in [key for key, text in night.store.texts.items() if targets[0].sim in text]:
        chunk = json.loads(night.store.texts[key])  # as it was before the replies came
        chunk["entries"] = {sim: {"c": entry["c"]} for sim, entry in chunk["entries"].items()}
        night.store.texts[key] = json.dumps(chunk)
    night.clock.move_to(at("12:00"))

    step = await night.step(targets, fresh=True)

    assert waited_for((0, step))[1:] == ([], at("01:00") + DAY)
    assert len(night.simulator.commands()) == count // 2
    assert list(night.statuses().values()) == ["queued"] * (count // 2) + ["not_sent"] * (count - count // 2)
    assert (await night.try_it(targets)).summary["sent"] == count
    assert commands_by_device(night.simulator) == once_each(targets)


class WatchedPace(Pace):
    """Notes when commands asked for their turn."""

    def __init__(self, max_concurrency: int, max_rate: float | None = None) -> None:
        super().__init__(max_concurrency, max_rate)
        self.asked: list[float] = []

    async def run(self, request: Callable[[], Awaitable[Any]], *, rated: bool) -> Any:
        if rated:
            self.asked.append(time.time())
        return await super().run(request, rated=rated)


@pytest.mark.parametrize("held_by", ["max_rate", "Retry-After", "concurrency", "back-off"])
async def test_commands_that_wait_their_turn_when_the_window_closes_do_not_leave(
    simulator: Simulator, clock: time_machine.Coordinates, held_by: str
) -> None:
    """The window closes when the thirtieth request leaves; up to 20 others are under way or wait by then."""
    simulator.reset(sims=600, settle=0)
    pace = {"max_rate": WatchedPace(20, max_rate=40), "concurrency": WatchedPace(1)}.get(held_by, WatchedPace(20))
    if held_by == "Retry-After":
        simulator.faults({"kind": "too_many_requests", "skip": 20, "count": 20, "retry_after": 1, **POST})
    if held_by == "back-off":
        simulator.faults({"kind": "too_many_requests", "ratio": 0.7, **POST})
    store, targets, closes, left = TextStore(), devices(600), at("05:00"), list[float]()

    class Watched(AsyncSuperSimClient):
        async def send(
            self, command: IpCommandRequest, *, may_leave: Callable[[], None] = lambda: None, **options: Any
        ) -> IpCommand:
            def leave() -> None:
                may_leave()
                left.append(time.time())
                if len(left) == 30:
                    clock.move_to(closes)

            return await super().send(command, may_leave=leave, **options)

    async def a_try(**options: Any) -> End | Wait:
        ledger = await Ledger.open(store, clears=0, restart=False)
        async with open_client(simulator.url, **options) as client:
            return await rollout(client, ledger, targets, rules(window=NIGHTLY), concurrency=20).advance()

    clock.move_to(closes - timedelta(seconds=1))
    end = await a_try(kind=Watched, pace=pace)

    assert isinstance(end, End)
    assert end.left_out
    assert len(left) == 30
    assert max(left) < closes.timestamp()
    assert len([asked for asked in pace.asked if asked >= closes.timestamp()]) <= 20
    assert 0 < end.summary["sent"] + end.summary["unsettled"] == len(simulator.commands()) <= 30
    assert len([key for key in store.texts if key.startswith("supersim_ledger_0_")]) == 2  # of three chunks
    simulator.faults()
    clock.move_to(at("01:00") + DAY)
    assert isinstance(await a_try(), End)
    assert commands_by_device(simulator) == once_each(targets)
