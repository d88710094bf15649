"""Look up in the API what became of commands whose outcome is unknown.

There is no idempotency key to ask by: a command is recognised by its SIM, payload, payload type and port, and by having
been created no earlier than we began to send.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence

import msgspec

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import NotFoundError
from airflow_provider_supersim.api.models import Direction, IpCommand
from airflow_provider_supersim.api.requests import SIMS
from airflow_provider_supersim.delivery.once.ledger import fingerprint
from airflow_provider_supersim.delivery.state.device import Entry

FEW = 3  # up to so many SIMs are asked for one by one
CLOCK_SKEW = 2  # seconds by which the clocks of the API's own servers may differ
OLD_ENOUGH = 200  # older commands in a row, newest first, after which the list holds nothing of ours

_SIM_SID = re.compile(r"HS[0-9a-fA-F]{32}")


class Lost(msgspec.Struct, frozen=True):
    """A command whose outcome is unknown."""

    sim: str
    sim_sid: str | None
    entry: Entry
    since: int


async def find(
    client: AsyncSuperSimClient, lost: Sequence[Lost], sim_sids: dict[str, str]
) -> list[tuple[Lost, IpCommand]]:
    """Return those that the API has accepted, each with its command. One look; the list may lag behind.

    :param sim_sids: known sids by unique name; what is learned here is added
    """
    if len(lost) <= FEW:
        pages = [(one, client.iter_ip_commands(sim=one.sim, direction=Direction.TO_SIM)) for one in lost]
        found = [(one, await _first_match(one, commands)) for one, commands in pages]
        return [(one, command) for one, command in found if command is not None]
    await _learn_sim_sids(client, lost, sim_sids)
    return await _walk(client, lost, sim_sids)


async def _first_match(one: Lost, commands: AsyncIterator[IpCommand]) -> IpCommand | None:
    try:
        async for command in recent(commands, one.since):
            if _is(one, command):
                return command
    except NotFoundError:
        pass  # no such SIM, so no command to it
    return None


async def _walk(
    client: AsyncSuperSimClient, lost: Sequence[Lost], sim_sids: dict[str, str]
) -> list[tuple[Lost, IpCommand]]:
    """Find many with one walk of the account's list."""
    wanted = {(one.sim_sid or sim_sids.get(one.sim, one.sim), one.entry.content): one for one in lost}
    found: list[tuple[Lost, IpCommand]] = []
    commands = client.iter_ip_commands(direction=Direction.TO_SIM)
    async for command in recent(commands, min(one.since for one in lost)):
        key = (command.sim_sid or "", fingerprint(command))
        if (one := wanted.get(key)) and _is(one, command):
            found.append((one, command))
            del wanted[key]
            if not wanted:
                break
    return found


def _is(one: Lost, command: IpCommand) -> bool:
    return (
        fingerprint(command) == one.entry.content
        and not _is_older(command, one.since)
        and command.sid not in one.entry.earlier
    )


def _is_older(command: IpCommand, since: int) -> bool:
    return command.date_created is not None and command.date_created.timestamp() < since - CLOCK_SKEW


async def recent(commands: AsyncIterator[IpCommand], since: int) -> AsyncIterator[IpCommand]:
    """Yield the list until it is plain that only older commands follow.

    Newest first is what the API does and does not promise. So it is believed only while it is seen to hold: one command
    that is newer than the one before, and the list is read to its end.
    """
    before, ascended, descended, older = None, False, False, 0
    async for command in commands:
        if before and command.date_created:
            ascended = ascended or command.date_created > before
            descended = descended or command.date_created < before
        before = command.date_created or before
        older = older + 1 if _is_older(command, since) else 0
        if older >= OLD_ENOUGH and descended and not ascended:
            return
        yield command


async def _learn_sim_sids(client: AsyncSuperSimClient, lost: Sequence[Lost], sim_sids: dict[str, str]) -> None:
    """Find the sids of SIMs that were given by name, for the list of commands names none."""
    names = {one.sim for one in lost if one.sim_sid is None and not _SIM_SID.fullmatch(one.sim)} - sim_sids.keys()
    seen, affordable = 0, len(names) * client.page_size(SIMS)
    if not names:
        return
    async for sim in client.iter_sims():
        seen += 1
        if sim.unique_name in names and sim.sid:
            sim_sids[sim.unique_name] = sim.sid
            names.discard(sim.unique_name)
        if not names or seen >= affordable:
            break
    for name in names:
        try:
            sim_sids[name] = str((await client.get_sim(name)).sid)
        except NotFoundError:
            continue  # no such SIM, so no command to it: sending will be refused
