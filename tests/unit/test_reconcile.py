"""How far the list is read for what became of a command, and what each row says about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pendulum
import pytest

from airflow_provider_supersim.api.models import (
    Direction,
    IpCommand,
    IpCommandRequest,
    PayloadType,
    Sim,
    SimStatus,
    Status,
)
from airflow_provider_supersim.delivery.once import before as bounds
from airflow_provider_supersim.delivery.once.before import MARK, MOST_MARKS, ROWS, Before, Bound, Order, until_older
from airflow_provider_supersim.delivery.once.recognise import Answer, Row, Wanted, fingerprint
from airflow_provider_supersim.delivery.once.reconcile import Look, look_up
from airflow_provider_supersim.delivery.once.sims import SimBook
from airflow_provider_supersim.delivery.state.device import Entry

pytestmark = pytest.mark.anyio

SINCE = 1_000_000
OUR_SIM, OTHER_SIM = "HS" + 32 * "0", "HS" + 32 * "1"


def at(seconds: int | None) -> pendulum.DateTime | None:
    return None if seconds is None else pendulum.from_timestamp(seconds)


def command(created: int | None = SINCE + 1, **changes: Any) -> IpCommand:
    fields: dict[str, Any] = {
        "sid": "HG0",
        "sim_sid": OUR_SIM,
        "status": Status.QUEUED,
        "direction": Direction.TO_SIM,
        "device_port": 4000,
        "payload_type": PayloadType.TEXT,
        "payload": "others",
        "date_created": at(created),
    }
    return IpCommand(**{**fields, **changes})


class List:
    """The API's list, which counts how far it is read."""

    def __init__(self, *commands: IpCommand) -> None:
        self.commands = commands
        self.read = 0

    async def iter_ip_commands(self, **_: object) -> AsyncIterator[IpCommand]:
        for one in self.commands:
            self.read += 1
            yield one

    async def get_sim(self, name: str) -> Sim:
        return Sim(sid=OUR_SIM, unique_name=name, iccid="8988000000000000001", status=SimStatus.ACTIVE)


def ours(content: str = "ours", since: int = SINCE, sent: str | None = None) -> Wanted:
    """A command of ours; ``sent`` is what an earlier try sent, if that is something else."""
    request = IpCommandRequest.build("device-0001", content, 4000)
    was = IpCommandRequest.build("device-0001", sent or content, 4000)
    return Wanted("device-0001", None, Entry("device-0001", 0, fingerprint(was)), request, Before(since))


async def look(api: List, has: frozenset[str] = frozenset()) -> Look:
    return await look_up(api, [ours()], SimBook(), has.__contains__)  # type: ignore[arg-type]  # as far as it is used


async def found(api: List) -> list[str | None]:
    return [one.sid for one in (await look(api)).found.values()]


@pytest.mark.parametrize(("early", "claimed"), [(0, True), (2, True), (3, False), (3600, False)])
async def test_a_command_is_ours_if_it_is_at_most_two_seconds_too_old(early, claimed):
    api = List(command(SINCE + 5), command(SINCE - early, sid="HG1", payload="ours"))

    assert await found(api) == (["HG1"] if claimed else [])


async def test_ours_is_found_behind_199_older_commands_of_others():
    """Some servers of the API have slow clocks, so a command in the middle of the list may look old."""
    others = [command(SINCE - 10 - number // 50, sid=f"HG{number}") for number in range(199)]
    api = List(command(SINCE + 5), *others, command(SINCE + 1, sid="ours", payload="ours"))

    assert await found(api) == ["ours"]


@pytest.mark.parametrize("nulls", [0, 10, 2])
async def test_a_list_that_is_newest_first_is_not_read_to_its_end(nulls):
    """Dates that are null neither end the row of older commands nor count in it."""
    rows = [
        command(None if nulls and number % nulls == 0 else SINCE - 10 - number, sid=f"HG{number}")
        for number in range(1000)
    ]
    api = List(command(SINCE + 5), *rows)

    assert await found(api) == []
    assert bounds.OLD_ENOUGH < api.read <= 1 + bounds.OLD_ENOUGH * (2 if nulls == 2 else 1.2)


async def test_a_list_that_is_seen_to_be_out_of_order_is_read_to_its_end():
    old = [command(SINCE - 1000 + number, sid=f"HG{number}") for number in range(400)]
    api = List(*old, command(SINCE + 1, sid="ours", payload="ours"))

    assert await found(api) == ["ours"]


async def test_commands_of_one_second_tell_nothing_about_the_order():
    api = List(*(command(SINCE - 10, sid=f"HG{number}") for number in range(400)))

    assert len([one async for one in until_older(api.iter_ip_commands(), SINCE)]) == 400


async def test_a_sid_that_the_ledger_has_is_not_claimed():
    api = List(command(sid="HG1", payload="ours"), command(sid="HG2", payload=None))

    assert await look(api, frozenset({"HG1", "HG2"})) == Look()
    assert (await look(api, frozenset({"HG1"}))).suspects == {"device-0001": {"HG2"}}


# What a row says


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ({}, Answer.IS),
        ({"payload": "theirs"}, Answer.IS_NOT),
        ({"device_port": 4001}, Answer.IS_NOT),
        ({"direction": Direction.FROM_SIM}, Answer.IS_NOT),
        ({"direction": Direction("sideways")}, Answer.CANNOT_TELL),
        ({"payload": None}, Answer.CANNOT_TELL),
        ({"payload": None, "device_port": 4001}, Answer.IS_NOT),
        ({"device_port": None}, Answer.CANNOT_TELL),
        ({"device_port": None, "payload": "theirs"}, Answer.IS_NOT),
        ({"payload_type": None}, Answer.CANNOT_TELL),
        ({"payload_type": None, "payload": "theirs"}, Answer.IS_NOT),
        ({"payload_type": PayloadType("morse")}, Answer.CANNOT_TELL),
        ({"payload_type": PayloadType.BINARY, "payload": "b3Vycw=="}, Answer.IS),
        ({"payload_type": PayloadType.BINARY, "payload": "b3 V\r\nycw"}, Answer.IS),
        ({"payload_type": PayloadType.BINARY}, Answer.IS_NOT),
        ({"payload_type": PayloadType.BINARY, "payload": "no base64!"}, Answer.CANNOT_TELL),
        ({"sid": None}, Answer.CANNOT_TELL),
        ({"date_created": None}, Answer.CANNOT_TELL),
        ({"date_created": None, "date_updated": at(SINCE)}, Answer.CANNOT_TELL),
        ({"date_created": None, "date_updated": at(SINCE - 10)}, Answer.IS_NOT),
        ({"date_created": at(SINCE - 10), "date_updated": at(SINCE)}, Answer.IS_NOT),
    ],
)
def test_what_a_row_says(row, answer):
    assert Row(command(**{"payload": "ours", **row})).may_be(ours()) is answer


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ({"payload": "an earlier rendering"}, Answer.IS),
        ({"payload": "ours"}, Answer.IS_NOT),
        ({"payload": None}, Answer.CANNOT_TELL),
        ({"payload": "ours", "device_port": None}, Answer.CANNOT_TELL),
    ],
)
def test_of_what_an_earlier_try_sent_the_fingerprint_alone_is_known(row, answer):
    assert Row(command(**row)).may_be(ours(sent="an earlier rendering")) is answer


@pytest.mark.parametrize(
    ("sim_sid", "sim_iccid", "answer"),
    [
        (OUR_SIM, None, Answer.IS),
        (OTHER_SIM, "1", Answer.IS_NOT),
        (None, "1", Answer.IS),
        (None, "2", Answer.IS_NOT),
        (None, None, Answer.CANNOT_TELL),
    ],
)
def test_which_sim_a_row_is_of(sim_sid, sim_iccid, answer):
    assert Row(command(sim_sid=sim_sid, sim_iccid=sim_iccid)).goes_to(OUR_SIM, "1") is answer


# What was there before


async def before(*rows: IpCommand, has: frozenset[str] = frozenset()) -> tuple[Before, int]:
    api = List(*rows)
    return await Bound(api, has.__contains__).now(), api.read  # type: ignore[arg-type]  # as far as it is used


async def test_an_empty_list_bounds_nothing():
    assert await before() == (Before(0), 0)


async def test_what_is_there_is_older_whatever_its_date():
    bound, _ = await before(*(command(date, sid=f"HG{date}") for date in (SINCE, SINCE - 1, None)))

    assert bound.since == SINCE
    assert [bound.is_older(command(date, sid=f"HG{date}")) for date in (SINCE, SINCE - 1, None)] == [True] * 3
    assert bound.is_older(command(SINCE, sid="new")) is False
    assert bound.is_older(command(None, sid="new")) is None


async def test_what_the_ledger_has_needs_no_mark():
    bound, _ = await before(command(SINCE, sid="HG1"), command(SINCE, sid="HG2"), has=frozenset({"HG1"}))

    assert len(bound.marks) == MARK


async def test_one_date_in_the_future_makes_no_command_of_ours_old():
    rows = [command(SINCE - number, sid=f"HG{number}") for number in range(500)]
    bound, read = await before(command(SINCE + 10**8, sid="wrong"), *rows)

    assert SINCE - ROWS < bound.since < SINCE
    assert read <= ROWS


async def test_all_commands_of_the_last_seconds_are_marked():
    rows = [command(SINCE - number // 100, sid=f"HG{number}") for number in range(1000)]
    bound, read = await before(*rows)

    assert all(bound.is_older(row) for row in rows)
    assert read == 301  # two seconds before the newest, and one that is older


async def test_marks_have_an_end():
    bound, read = await before(*(command(SINCE, sid=f"HG{number}") for number in range(2000)))

    assert (len(bound.marks), read) == (MOST_MARKS * MARK, 2000)


async def test_a_list_in_another_order_is_read_to_its_end():
    bound, read = await before(*(command(SINCE + number, sid=f"HG{number}") for number in range(1000)))

    assert (bound.since, read) == (SINCE + 999, 1000)


async def test_commands_that_were_accepted_move_the_bound_without_a_request():
    api = List(command(SINCE))
    bound = Bound(api, lambda _: False)  # type: ignore[arg-type]  # as far as it is used
    first = await bound.now()
    for number in range(ROWS):
        bound.accepted(SINCE + 60 + number // 50 if number else SINCE + 10**8)

    assert (first.since, (await bound.now()).since, api.read) == (SINCE, SINCE + 60, 1)
    assert (await bound.now()).marks == ""


async def test_a_bound_that_is_not_fresh_is_read_again(monkeypatch):
    api = List(command(SINCE))
    bound = Bound(api, lambda _: False)  # type: ignore[arg-type]  # as far as it is used
    await bound.now()
    await bound.now()
    monkeypatch.setattr(bounds, "FRESH", -1.0)
    api.commands = (command(SINCE + 5),)

    assert ((await bound.now()).since, api.read) == (SINCE + 5, 2)


@pytest.mark.parametrize(
    ("dates", "newest_first"),
    [
        ([3, 2, 1], True),
        ([1, 1, 1], False),
        ([1, 2, 3, 4], False),
        ([9, 7, 8, 6], True),
        ([9, None, 8], True),
        ([9, 1, 9], False),
    ],
)
def test_small_differences_of_clocks_are_no_other_order(dates, newest_first):
    order = Order()
    for date in dates:
        order.note(at(date))

    assert order.newest_first is newest_first
