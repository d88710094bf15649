"""The trigger, through Airflow's own encoder and on an event loop."""

import asyncio
import inspect
import time
from datetime import UTC, datetime, timedelta

import pytest
from features import airflow_is

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
    """Run triggers on one loop; return their events, and for how long the loop was held up at most."""

    async def first(trigger):
        return (await anext(trigger.run())).payload

    async def watch(gaps):
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - began)

    async def all_of_them():
        gaps = [0.0]
        watching = asyncio.create_task(watch(gaps))
        events = await asyncio.gather(*map(first, triggers))
        watching.cancel()
        return events, max(gaps)

    return asyncio.run(all_of_them())


def trigger(*sids, timeout=5.0, **options):
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


def test_many_share_their_requests_and_block_nothing(world, sids):
    world.advance(1)
    world.forget_requests()
    events, held_up = run(*(trigger(sid) for sid in sids), trigger(*sids, with_commands=False))
    assert [event["commands"][0]["sid"] for event in events[:-1]] == sids
    assert {event["commands"][0]["status"] for event in events[:-1]} == {"sent"}
    assert events[-1] == {"commands": [], "unread": [], "error": None, "retryable": True}
    assert world.requests()["total"] < 8
    assert held_up < 0.5


def test_those_that_start_together_read_the_connection_together(world, sids, monkeypatch):
    reads, read = [], SuperSimHook.aget_account

    async def counted(hook):
        reads.append(hook.supersim_conn_id)
        await asyncio.sleep(0.1)
        return await read(hook)

    monkeypatch.setattr(SuperSimHook, "aget_account", counted)
    world.advance(1)
    events, _ = run(*(trigger(sid) for sid in sids))
    assert reads == ["supersim_default"]
    assert [event["commands"][0]["sid"] for event in events] == sids


def test_one_that_is_cancelled_at_its_start_disturbs_no_other(world, sids, monkeypatch):
    read = SuperSimHook.aget_account

    async def slow(hook):
        await asyncio.sleep(0.1)
        return await read(hook)

    async def cancel_the_first():
        first, second = (asyncio.ensure_future(anext(trigger(sid).run())) for sid in sids[:2])
        await asyncio.sleep(0.01)
        first.cancel()
        return (await second).payload

    monkeypatch.setattr(SuperSimHook, "aget_account", slow)
    world.advance(1)
    assert [command["sid"] for command in asyncio.run(cancel_the_first())["commands"]] == sids[1:2]


@pytest.mark.parametrize("sids_too", [True, False], ids=["a_command", "a_time"])
def test_a_trigger_that_is_started_again_after_its_deadline_fires_at_once(world, sids, sids_too):
    world.set_behaviour("device-0031", network="never")
    hook = SuperSimHook()
    stuck = hook.send_ip_command("device-0031", "x", 4000).sid
    hook.close()
    began = time.monotonic()
    (event,), _ = run(trigger(*([stuck] if sids_too else []), timeout=-3600))
    assert time.monotonic() - began < 3
    assert [command["status"] for command in event["commands"]] == (["queued"] if sids_too else [])


def test_a_trigger_that_is_cancelled_asks_no_more(world, sids):
    world.set_behaviour("device-0032", network="never")
    hook = SuperSimHook()
    stuck = hook.send_ip_command("device-0032", "x", 4000).sid
    hook.close()

    async def cancel():
        running = asyncio.ensure_future(anext(trigger(stuck).run()))
        await asyncio.wait([running], timeout=0.5)
        assert world.requests()["recent"][-1]["method"] == "GET"
        running.cancel()
        await asyncio.wait([running])
        await asyncio.sleep(0.5)  # what was under way may end
        asked = world.requests()["total"]
        await asyncio.sleep(0.5)  # five looks
        return world.requests()["total"] - asked

    assert asyncio.run(cancel()) == 0
