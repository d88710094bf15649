"""How far the list is read for what became of a command, and which commands may be it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pendulum
import pytest

from airflow_provider_supersim.api.models import Direction, IpCommand, IpCommandRequest, PayloadType, Status
from airflow_provider_supersim.delivery.once import reconcile
from airflow_provider_supersim.delivery.once.ledger import fingerprint
from airflow_provider_supersim.delivery.once.reconcile import Unknown, find_accepted, until_older
from airflow_provider_supersim.delivery.state.device import Entry

pytestmark = pytest.mark.anyio

SINCE = 1_000_000


def command(created: int, *, sid: str = "HG0", payload: str = "others") -> IpCommand:
    return IpCommand(
        sid=sid,
        sim_sid="HS" + 32 * "0",
        status=Status.QUEUED,
        direction=Direction.TO_SIM,
        device_port=4000,
        payload_type=PayloadType.TEXT,
        payload=payload,
        date_created=pendulum.from_timestamp(created),
    )


class List:
    """The API's list, which counts how far it is read."""

    def __init__(self, *commands: IpCommand) -> None:
        self.commands = commands
        self.read = 0

    async def iter_ip_commands(self, **_: object) -> AsyncIterator[IpCommand]:
        for one in self.commands:
            self.read += 1
            yield one


def unknown() -> Unknown:
    content = fingerprint(IpCommandRequest.build("device-0001", "ours", 4000))
    return Unknown("device-0001", None, Entry("device-0001", 0, content), SINCE)


async def found(api: List) -> list[str | None]:
    return [one.sid for _, one in await find_accepted(api, [unknown()], {})]


@pytest.mark.parametrize(("early", "claimed"), [(0, True), (2, True), (3, False), (3600, False)])
async def test_a_command_is_ours_if_it_is_at_most_two_seconds_too_old(early, claimed):
    api = List(command(SINCE + 5), command(SINCE - early, sid="HG1", payload="ours"))

    assert await found(api) == (["HG1"] if claimed else [])


async def test_ours_is_found_behind_199_older_commands_of_others():
    """Some servers of the API have slow clocks, so a command in the middle of the list may look old."""
    others = [command(SINCE - 10 - number // 50, sid=f"HG{number}") for number in range(199)]
    api = List(command(SINCE + 5), *others, command(SINCE + 1, sid="ours", payload="ours"))

    assert await found(api) == ["ours"]


async def test_a_list_that_is_newest_first_is_not_read_to_its_end():
    api = List(command(SINCE + 5), *(command(SINCE - 10 - number, sid=f"HG{number}") for number in range(1000)))

    assert await found(api) == []
    assert api.read == 1 + reconcile.OLD_ENOUGH


async def test_a_list_that_is_seen_to_be_out_of_order_is_read_to_its_end():
    old = [command(SINCE - 1000 + number, sid=f"HG{number}") for number in range(400)]
    api = List(*old, command(SINCE + 1, sid="ours", payload="ours"))

    assert await found(api) == ["ours"]


async def test_commands_of_one_second_tell_nothing_about_the_order():
    api = List(*(command(SINCE - 10, sid=f"HG{number}") for number in range(400)))

    assert len([one async for one in until_older(api.iter_ip_commands(), SINCE)]) == 400
