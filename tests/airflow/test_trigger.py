"""The trigger, through Airflow's own encoder and on an event loop."""

import asyncio
import inspect
from datetime import UTC, datetime, timedelta

import pytest
from features import airflow_is

from airflow_provider_supersim.delivery.waiting.waited import Waited
from airflow_provider_supersim.hooks.supersim import SuperSimHook
from airflow_provider_supersim.triggers.ip_command import SuperSimIpCommandTrigger

ARGUMENTS = {
    "ip_command_sids": ["HG" + 32 * "1", "HG" + 32 * "2"],
    "supersim_conn_id": "kore",
    "poll_interval": 0.5,
    "deadline": datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    "with_commands": False,
}


def test_all_arguments_survive_the_database(airflow_db):
    from airflow.models.trigger import Trigger

    assert set(inspect.signature(SuperSimIpCommandTrigger).parameters) == set(ARGUMENTS)
    path, arguments = SuperSimIpCommandTrigger(**ARGUMENTS).serialize()
    assert path == "airflow_provider_supersim.triggers.ip_command.SuperSimIpCommandTrigger"
    stored = Trigger(path, arguments).kwargs
    if airflow_is("3.2"):  # the triggerer then does the rest, which stored kwargs had done before
        from airflow.sdk.serde import deserialize

        stored = deserialize(stored)
    again = SuperSimIpCommandTrigger(**stored)
    assert {name: getattr(again, name) for name in ARGUMENTS} == ARGUMENTS
    assert again.deadline.tzinfo is not None


def run(*triggers):
    """Run triggers on one event loop, and return their events."""

    async def first(trigger):
        return (await anext(trigger.run())).payload

    async def run_all():
        async with asyncio.timeout(600):
            return await asyncio.gather(*map(first, triggers))

    return asyncio.run(run_all())


def trigger(*sids, timeout=600.0, **options):
    defaults = {"supersim_conn_id": "supersim_default", "poll_interval": 0.1}
    deadline = datetime.now(UTC) + timedelta(seconds=timeout)
    return SuperSimIpCommandTrigger(ip_command_sids=list(sids), deadline=deadline, **defaults | options)


@pytest.fixture
def sids(world):
    hook = SuperSimHook()
    try:
        return [hook.send_ip_command(f"device-{n:04d}", "x", 4000).sid for n in range(1, 31)]
    finally:
        hook.close()


@pytest.fixture
def stuck(world):
    """The sids of two commands that never get a final status."""
    names = ["device-0031", "device-0032"]
    world.set_behaviour(names, network="never")
    hook = SuperSimHook()
    try:
        return [hook.send_ip_command(name, "x", 4000).sid for name in names]
    finally:
        hook.close()


def test_many_share_their_requests(world, sids):
    world.advance(1)
    world.forget_requests()
    events = run(*(trigger(sid) for sid in sids), trigger(*sids, with_commands=False))
    assert [event["commands"][0]["sid"] for event in events[:-1]] == sids
    assert {event["commands"][0]["status"] for event in events[:-1]} == {"sent"}
    assert events[-1] == Waited().to_event()
    assert world.requests()["total"] < 8


def test_those_that_start_together_read_the_connection_together(world, sids, monkeypatch):
    reads, read = [], SuperSimHook.aget_account

    async def counted(hook):
        reads.append(hook.supersim_conn_id)
        for _ in range(10):  # turns of the event loop, in which the others start
            await asyncio.sleep(0)
        return await read(hook)

    monkeypatch.setattr(SuperSimHook, "aget_account", counted)
    world.advance(1)
    events = run(*(trigger(sid) for sid in sids))
    assert reads == ["supersim_default"]
    assert [event["commands"][0]["sid"] for event in events] == sids


def test_one_that_is_cancelled_at_its_start_disturbs_no_other(world, sids, monkeypatch):
    read, begun, goes_on = SuperSimHook.aget_account, asyncio.Event(), asyncio.Event()

    async def slow(hook):
        begun.set()
        await goes_on.wait()
        return await read(hook)

    async def cancel_the_first():
        first, second = (asyncio.ensure_future(anext(trigger(sid).run())) for sid in sids[:2])
        await begun.wait()
        first.cancel()
        goes_on.set()
        return (await second).payload

    monkeypatch.setattr(SuperSimHook, "aget_account", slow)
    world.advance(1)
    assert [command["sid"] for command in asyncio.run(cancel_the_first())["commands"]] == sids[1:2]


def test_a_trigger_that_is_started_again_after_its_deadline_fires_after_one_look(world, stuck):
    world.forget_requests()
    (event,) = run(trigger(stuck[0], timeout=-3600, poll_interval=3600))
    assert [command["status"] for command in event["commands"]] == ["queued"]
    assert world.requests()["total"] == 1


def test_a_trigger_without_commands_that_is_started_again_after_its_deadline_fires(world):
    (event,) = run(trigger(timeout=-3600))
    assert event["commands"] == []


def test_a_trigger_that_is_cancelled_asks_no_more(world, stuck):
    """Another goes on, so that there is something to wait for: five looks of its own."""

    def asked():
        paths = [request["path"].rpartition("/")[2] for request in world.requests()["recent"]]
        return [paths.count(sid) for sid in stuck]

    async def wait_for_looks(of):
        while (await asyncio.to_thread(asked))[of] < 5:  # noqa: ASYNC110  # what it waits for is in another process
            await asyncio.sleep(0.05)

    async def cancel():
        cancelled, other = (asyncio.ensure_future(anext(trigger(sid).run())) for sid in stuck)
        await wait_for_looks(of=0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        world.forget_requests()
        await wait_for_looks(of=1)
        other.cancel()
        return asked()[0]

    assert asyncio.run(cancel()) <= 1  # the look that was under way
