"""Look up in the API what became of commands whose outcome is unknown.

The API has no idempotency key to ask by. A command is recognised by its SIM, payload, payload type and port, and by its
creation no earlier than we began to send.
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

#: Up to this many SIMs are asked for one by one.
FEW = 3
#: Seconds by which the clocks of the API's own servers may differ.
CLOCK_SKEW = 2
#: Newest first, after this many older commands in a row the list holds nothing of ours.
OLD_ENOUGH = 200

_SIM_SID = re.compile(r"HS[0-9a-fA-F]{32}")


class Unknown(msgspec.Struct, frozen=True):
    """A command whose outcome is unknown.

    :ivar sim: as the DAG names it
    :ivar sim_sid: its sid, if that is known
    :ivar since: a time by the API's clock, in seconds since 1970, before which it was not sent
    """

    sim: str
    sim_sid: str | None
    entry: Entry
    since: int


async def find_accepted(
    client: AsyncSuperSimClient, unknown: Sequence[Unknown], sim_sids: dict[str, str]
) -> list[tuple[Unknown, IpCommand]]:
    """Return those that the API has accepted, each with its command. This is one look; the list may lag behind.

    :param sim_sids: known sids by unique name; what is learned here is added
    :raises SuperSimError: the list cannot be read
    """
    if len(unknown) > FEW:
        await _learn_sim_sids(client, unknown, sim_sids)
        return await _find_in_one_walk(client, unknown, sim_sids)
    found = []
    for one in unknown:
        command = await _first_match(one, client.iter_ip_commands(sim=one.sim, direction=Direction.TO_SIM))
        if command is not None:
            found.append((one, command))
    return found


async def _first_match(one: Unknown, commands: AsyncIterator[IpCommand]) -> IpCommand | None:
    try:
        async for command in until_older(commands, one.since):
            if _is(one, command):
                return command
    except NotFoundError:
        pass  # there is no such SIM, and so no command to it
    return None


async def _find_in_one_walk(
    client: AsyncSuperSimClient, unknown: Sequence[Unknown], sim_sids: dict[str, str]
) -> list[tuple[Unknown, IpCommand]]:
    wanted = {(one.sim_sid or sim_sids.get(one.sim, one.sim), one.entry.content): one for one in unknown}
    found: list[tuple[Unknown, IpCommand]] = []
    commands = client.iter_ip_commands(direction=Direction.TO_SIM)
    async for command in until_older(commands, min(one.since for one in unknown)):
        key = (command.sim_sid or "", fingerprint(command))
        if (one := wanted.get(key)) and _is(one, command):
            found.append((one, command))
            del wanted[key]
            if not wanted:
                break
    return found


def _is(one: Unknown, command: IpCommand) -> bool:
    return (
        fingerprint(command) == one.entry.content
        and not _is_older(command, one.since)
        and command.sid not in one.entry.earlier
    )


def _is_older(command: IpCommand, since: int) -> bool:
    return command.date_created is not None and command.date_created.timestamp() < since - CLOCK_SKEW


async def until_older(commands: AsyncIterator[IpCommand], since: int) -> AsyncIterator[IpCommand]:
    """Yield the list until only older commands follow.

    The API lists commands newest first, but does not promise to. So this is believed only while it is seen to hold: if
    one command is newer than the one before, the list is read to its end.

    :param since: in seconds since 1970
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


async def _learn_sim_sids(client: AsyncSuperSimClient, unknown: Sequence[Unknown], sim_sids: dict[str, str]) -> None:
    """Find the sids of SIMs that were given by name, for the list of commands names none."""
    names = {one.sim for one in unknown if one.sim_sid is None and not _SIM_SID.fullmatch(one.sim)} - sim_sids.keys()
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
