"""Look up in the API's list what became of commands whose outcome is unknown.

There are three answers: it is there, it is not there, and the list cannot tell. It is not there only if the list was
read past the time of the sending and holds nothing that could be the command.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import msgspec

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.models import Direction, IpCommand
from airflow_provider_supersim.delivery.once.before import until_older
from airflow_provider_supersim.delivery.once.recognise import Answer, Row, Wanted
from airflow_provider_supersim.delivery.once.sims import FEW, SimBook

#: Seconds after which a command that the API's list does not show was not accepted. The API promises no number.
LAG = 30.0
#: Seconds between two looks.
LOOK_EVERY = 2.0

_SIM_SID = re.compile(r"HS[0-9a-fA-F]{32}")


class Look(msgspec.Struct):
    """What one look at the list has shown. The list may lag behind.

    :ivar found: commands that the API has accepted, by SIM as the DAG names it
    :ivar suspects: sids of rows that could be the command, and need not be, by SIM; a row without a sid counts as ""
    """

    found: dict[str, IpCommand] = {}
    suspects: defaultdict[str, set[str]] = msgspec.field(default_factory=lambda: defaultdict(set))


async def look_up(
    client: AsyncSuperSimClient, wanted: Sequence[Wanted], book: SimBook, has: Callable[[str], bool]
) -> Look:
    """Look for commands in the API's list.

    :param book: what is known of SIMs; what is learned here is added
    :param has: says whether the ledger has a sid: such a command is not another one of ours
    :raises SuperSimError: the list cannot be read
    """
    walk = _Walk(client, book, has)
    await book.learn(client, [one.sim for one in wanted if walk.sid_of(one) is None])
    there = [one for one in wanted if walk.sid_of(one)]  # no such SIM: no command to it
    if len(there) > FEW:
        await walk.read(there, client.iter_ip_commands(direction=Direction.TO_SIM))
    else:
        for one in there:
            await walk.read([one], client.iter_ip_commands(sim=walk.sid_of(one), direction=Direction.TO_SIM))
    return walk.look


class _Walk:
    """Compares each row of the list with what is wanted. The list's filters are not relied on."""

    def __init__(self, client: AsyncSuperSimClient, book: SimBook, has: Callable[[str], bool]) -> None:
        self._client = client
        self._book = book
        self._has = has
        self._taken: set[str] = set()
        self.look = Look()

    def sid_of(self, one: Wanted) -> str | None:
        if one.sim_sid or _SIM_SID.fullmatch(one.sim):
            return one.sim_sid or one.sim
        known = self._book.find(one.sim)
        return known.sid if known else None

    async def read(self, wanted: Sequence[Wanted], commands: AsyncIterator[IpCommand]) -> None:
        by_sid: defaultdict[str | None, list[Wanted]] = defaultdict(list)
        for one in wanted:
            by_sid[self.sid_of(one)].append(one)
        left, without_sim = len(wanted), list[Row]()
        async for command in until_older(commands, min(one.before.since for one in wanted)):
            if command.sim_sid is None:
                without_sim.append(Row(command))
            elif ours := by_sid.get(command.sim_sid):
                row = Row(command)
                left -= self._compare(row, ((one, row.may_be(one)) for one in ours))
                if not left:
                    return
        if without_sim:
            await self._read_without_sim([one for one in wanted if one.sim not in self.look.found], without_sim)

    async def _read_without_sim(self, wanted: Sequence[Wanted], rows: Sequence[Row]) -> None:
        """Compare rows whose ``sim_sid`` is null. Their ICCID may stand for it."""
        rows = [row for row in rows if self._is_free(row) and any(row.may_be(one) for one in wanted)]
        if any(row.command.sim_iccid for row in rows):
            await self._book.learn(self._client, [one.sim for one in wanted])
        answers = [(row, [(one, min(self._goes_to(row, one), row.may_be(one))) for one in wanted]) for row in rows]
        for row, of_each in answers:  # first the sure ones, so that no other command may claim their rows
            self._compare(row, [(one, answer) for one, answer in of_each if answer is Answer.IS])
        for row, of_each in answers:
            self._compare(row, of_each)

    def _goes_to(self, row: Row, one: Wanted) -> Answer:
        sim = self._book.find(one.sim)
        return row.goes_to(self.sid_of(one), sim.iccid if sim else None)

    def _compare(self, row: Row, answers: Iterable[tuple[Wanted, Answer]]) -> bool:
        """Note what a row says; return whether it is one of ours."""
        for one, answer in answers:
            if answer is Answer.IS_NOT or one.sim in self.look.found or not self._is_free(row):
                continue
            sid = row.command.sid or ""
            if answer is Answer.IS:
                self.look.found[one.sim] = row.command
                self._taken.add(sid)
                return True
            self.look.suspects[one.sim].add(sid)
        return False

    def _is_free(self, row: Row) -> bool:
        """Whether the command may be one whose sid the ledger does not have yet: a sid belongs to one entry."""
        sid = row.command.sid
        return not sid or (sid not in self._taken and not self._has(sid))
