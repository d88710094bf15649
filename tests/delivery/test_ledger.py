"""What a ledger remembers from one try to the next, and what a clear by hand changes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from copy import deepcopy

import pytest
from pendulum import DateTime
from support import TextStore, device, entries

from airflow_provider_supersim.api.errors import NotFoundError, Verdict
from airflow_provider_supersim.api.models import Direction, IpCommand, IpCommandRequest, PayloadType, Status
from airflow_provider_supersim.delivery.once.before import Before
from airflow_provider_supersim.delivery.once.held_journal import LedgerTakenError
from airflow_provider_supersim.delivery.once.ledger import CHUNK, Ledger
from airflow_provider_supersim.delivery.once.recognise import fingerprint
from airflow_provider_supersim.delivery.once.store import MemoryOnly, Store
from airflow_provider_supersim.delivery.state.device import Device
from airflow_provider_supersim.delivery.state.states import State

pytestmark = pytest.mark.anyio

MOST_BYTES = 65_535  # of a value in Airflow's task state store, before it complains


def command(number: int, status: str = "queued", date: DateTime | None = None) -> IpCommand:
    return IpCommand(
        date_created=date,
        date_updated=date,
        sid=f"HG{number:032x}",
        sim_sid=f"HS{number:032x}",
        status=Status(status),
        direction=Direction.TO_SIM,
        payload_type=PayloadType.TEXT,
        payload="apn=iot.example",
    )


async def batches(ledger: Ledger, targets: list[Device]) -> list[list[Device]]:
    async def stream() -> AsyncIterator[Device]:
        for target in targets:
            yield target

    return [batch async for batch in ledger.batches(stream())]


async def reopened(store: Store, *, clears: int = 0, restart: bool = False) -> Ledger:
    return await Ledger.open(store, clears=clears, restart=restart)


async def test_a_retry_finds_what_was_recorded_and_what_was_about_to_be_sent() -> None:
    kept = TextStore()
    ledger = await reopened(kept)
    one, two, _ = await ledger.write_ahead({"one": "a", "two": "b", "three": "c"}, Before(1000))
    ledger.accept(one, command(1))
    ledger.refuse(two, NotFoundError("no such SIM", request="POST /v1/IpCommands", verdict=Verdict.REFUSED, status=404))
    await ledger.save(one.chunk)

    again = await reopened(kept)

    assert {sim: entry.status for sim, entry in entries(again).items()} == {
        "one": "queued",
        "two": State.REFUSED,
        "three": State.ABOUT_TO_SEND,
    }
    assert again.entry("one").sid == command(1).sid
    assert "no such SIM" in str(again.entry("two").error)
    assert {again.before(entry).since for entry in entries(again).values()} == {1000}


async def test_without_a_place_nothing_is_remembered() -> None:
    store = MemoryOnly()
    ledger = await reopened(store)
    await ledger.write_ahead({"one": "a"}, Before(1000))

    assert ledger.entry("one").status == State.ABOUT_TO_SEND
    assert not entries(await reopened(store))


async def test_what_is_not_saved_was_about_to_be_sent() -> None:
    store = TextStore()
    ledger = await reopened(store)
    (entry,) = await ledger.write_ahead({"one": "a"}, Before(1000))
    ledger.accept(entry, command(1))

    # Read from a copy: who opens the store itself takes the ledger over.
    assert (await reopened(deepcopy(store))).entry("one").status == State.ABOUT_TO_SEND

    await ledger.save_changed()
    assert (await reopened(store)).entry("one").sid == command(1).sid


async def test_statuses_that_move_are_kept_after_a_retry_too() -> None:
    store = TextStore()
    ledger = await reopened(store)
    (entry,) = await ledger.write_ahead({"one": "a"}, Before(1000))
    ledger.accept(entry, command(1))
    await ledger.save_changed()

    ledger = await reopened(store)
    assert ledger.entry("one").open
    ledger.settle(command(1, "failed"))
    ledger.settle(command(2, "sent"))  # of another task
    await ledger.save_changed()

    assert {sim: entry.status for sim, entry in entries(await reopened(store)).items()} == {"one": "failed"}


async def test_a_clear_that_resumes_keeps_what_was_sent_and_counts_attempts_from_one() -> None:
    store = TextStore()
    ledger = await reopened(store, clears=2)
    (entry,) = await ledger.write_ahead({"one": "a"}, Before(1000))
    ledger.accept(entry, command(1, "failed"))
    ledger.state["waves_passed"] = 1
    await ledger.save_state()
    await ledger.save_changed()

    retried = await reopened(store, clears=2)
    assert retried.state == {"waves_passed": 1}
    cleared = await reopened(store, clears=3)
    assert cleared.state == {}
    assert cleared.entry("one").sid == command(1).sid
    (entry,) = await cleared.write_ahead({"one": "a"}, Before(2000))
    assert (entry.attempt, entry.clears, entry.earlier) == (1, 3, (command(1).sid,))


async def test_a_clear_that_restarts_forgets_and_a_retry_after_it_does_not() -> None:
    store = TextStore()
    ledger = await reopened(store)
    (entry,) = await ledger.write_ahead({"one": "a"}, Before(1000))
    ledger.accept(entry, command(1))
    await ledger.save_changed()

    ledger = await reopened(store, clears=1, restart=True)
    assert not entries(ledger)
    await ledger.write_ahead({"one": "b"}, Before(2000))

    again = await reopened(store, clears=1, restart=True)
    assert again.entry("one").content == "b"
    assert not entries(await reopened(store, clears=2, restart=True))


async def test_the_latest_of_a_devices_entries_counts() -> None:
    store = TextStore()
    ledger = await reopened(store)
    for number in (1, 2, 3):
        (entry,) = await ledger.write_ahead({"one": "a"}, Before(1000))
        ledger.accept(entry, command(number, "failed"))
        await ledger.save_changed()

    entry = (await reopened(store)).entry("one")

    assert (entry.attempt, entry.sid, entry.earlier) == (3, command(3).sid, (command(1).sid, command(2).sid))


async def test_an_attempt_that_was_withdrawn_does_not_count_and_those_before_it_do() -> None:
    ledger = await reopened(TextStore())
    (first,) = await ledger.write_ahead({"one": "a"}, Before(1000))
    ledger.accept(first, command(1, "failed"))
    (second,) = await ledger.write_ahead({"one": "a"}, Before(1000))
    ledger.withdraw(second, "outside the window")

    (third,) = await ledger.write_ahead({"one": "a"}, Before(1000))
    assert third.attempt == 2


async def test_a_write_that_fails_leaves_no_gap() -> None:
    class Failing(TextStore):
        fails = False

        def set(self, key: str, value: object) -> None:
            if self.fails:
                raise OSError("the store cannot be reached")
            super().set(key, value)

    store = Failing()
    ledger = await reopened(store)
    await ledger.write_ahead({"one": "a"}, Before(1000))
    store.fails = True
    with pytest.raises(OSError, match="cannot be reached"):
        await ledger.write_ahead({"two": "a"}, Before(1000))
    store.fails = False
    await ledger.write_ahead({"three": "a"}, Before(1000))

    assert entries(await reopened(store)).keys() == {"one", "three"}
    assert entries(ledger).keys() == {"one", "three"}


@pytest.mark.parametrize("letter", ["n", "ü", "網"])
@pytest.mark.parametrize("attempts", [1, 5, 20])
async def test_no_value_outgrows_the_store(letter: str, attempts: int) -> None:
    store = TextStore()
    ledger = await reopened(store)
    targets = [device(f"{number:04d}" + 60 * letter) for number in range(600)]
    for attempt in range(attempts):
        sent = 0
        for batch in await batches(ledger, targets):
            written = await ledger.write_ahead(
                {one.sim: fingerprint(one.request) for one in batch}, Before(2_000_000_000)
            )
            for number, entry in enumerate(written, sent):
                ledger.accept(entry, command(1000 * attempt + number, "failed", date=DateTime(2033, 5, 18)))
            sent += len(batch)
            await ledger.save(written[0].chunk)
        assert sent == len(targets)
    for batch in await batches(ledger, targets):
        written = await ledger.write_ahead({one.sim: fingerprint(one.request) for one in batch}, Before(2_000_000_000))
        for entry in written:
            ledger.withdraw(entry, 200 * letter)
        await ledger.save(written[0].chunk)

    assert max(len(text) for text in store.texts.values()) <= MOST_BYTES
    again = await reopened(store)
    assert len(entries(again)) == len(targets)
    assert {entry.status for entry in entries(again).values()} == {State.NOT_SENT}
    assert json.dumps(again.entry(targets[0].sim).error).isascii()
    assert again.entry(targets[0].sim).error.endswith("...")


async def test_sims_that_are_given_by_sid_fill_whole_chunks() -> None:
    targets = [device(f"HS{number:032x}") for number in range(2 * CHUNK + 100)]

    assert [len(batch) for batch in await batches(await reopened(TextStore()), targets)] == [CHUNK, CHUNK, 100]


async def test_a_name_of_any_length_is_written_ahead() -> None:
    ledger = await reopened(TextStore())
    targets = [device(100_000 * "n"), device("device-0001")]

    assert [len(batch) for batch in await batches(ledger, targets)] == [1, 1]


def test_content_is_told_apart_by_the_bytes_that_the_device_gets_and_their_port() -> None:
    contents = [("a", 1, None), ("a", 2, None), ("b", 1, None), ("YQ==", 1, None), ("Yg==", 2, "binary")]
    requests = [IpCommandRequest.build("one", text, port, payload_type=kind) for text, port, kind in contents]

    assert len({fingerprint(request) for request in requests}) == len(contents)
    assert {len(fingerprint(request)) for request in requests} == {11}
    assert fingerprint(IpCommandRequest.build("one", b"a", 1)) == fingerprint(requests[0])


async def test_a_process_that_was_taken_for_dead_writes_nothing_more_ahead() -> None:
    store = TextStore()
    zombie = await Ledger.open(store, clears=0, restart=False)
    await zombie.write_ahead({"device-0001": "a"}, Before(0))
    next_try = await Ledger.open(store, clears=0, restart=False)

    with pytest.raises(LedgerTakenError, match="another try of this task has taken over"):
        await zombie.write_ahead({"device-0002": "a"}, Before(0))
    with pytest.raises(LedgerTakenError):
        await zombie.save_state()
    with pytest.raises(LedgerTakenError):  # it would write over what the next try knows
        await zombie.save(0)

    await next_try.write_ahead({"device-0002": "a"}, Before(0))
    assert set(entries(await Ledger.open(store, clears=0, restart=False))) == {"device-0001", "device-0002"}
