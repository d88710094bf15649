"""What has been attempted, written before it happens.

The API accepts a POST and does not tell later who asked, so the ledger remembers. It keeps commands in chunks of up to
250. A chunk is written before its first command leaves, again when the outcome of each command is known, and again when
statuses have moved. A process that dies in between leaves entries that are *about to be sent*. The next try
looks these up in the API before it sends anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio

from airflow_provider_supersim.api.models import IpCommand
from airflow_provider_supersim.delivery.once.before import Before
from airflow_provider_supersim.delivery.once.held_journal import HeldJournal
from airflow_provider_supersim.delivery.once.journal_format import CHUNK_BYTES, JournalError, entry_bytes, shorten
from airflow_provider_supersim.delivery.once.store import Store
from airflow_provider_supersim.delivery.state.device import Device, Entry
from airflow_provider_supersim.delivery.state.states import State
from airflow_provider_supersim.delivery.state.working_set import WorkingSet

#: Maximum number of commands in a chunk: its three or four writes take about 0.3 ms a command. A chunk with long names,
#: or with many earlier attempts, has fewer, so that it stays below CHUNK_BYTES.
CHUNK = 250
#: Why the outcome of a command with a sid is unknown.
GONE = "accepted, but the API has no record of the command any more (404)"


class Ledger:
    """The journal of one task instance, and the latest entry of each device. Get it with :meth:`open`.

    :ivar working_set: where the entries are at hand
    :ivar statuses: how many devices' latest entry has each status
    :ivar commands: how many commands the API has accepted, earlier attempts included
    """

    def __init__(self, journal: HeldJournal, working_set: WorkingSet) -> None:
        self._journal = journal
        self.working_set = working_set
        self._writing = anyio.Lock()
        self._changed: set[int] = set()
        self.statuses: Counter[str | None] = Counter()
        self.commands = 0

    @classmethod
    async def open(cls, store: Store, working_set: WorkingSet | None = None, *, clears: int, restart: bool) -> Ledger:
        """Read what earlier tries have written.

        :param working_set: where the entries are at hand; by default, the ledger has its own
        :param clears: how often the task was cleared by hand, in practice ``ti.max_tries``, which only a clear changes
        :param restart: start over after a clear; otherwise continue, and what failed may be sent again
        :raises JournalError: the journal cannot be read; nothing was sent
        """
        journal = await HeldJournal.take_over(store, clears=clears, restart=restart)
        ledger = cls(journal, working_set or WorkingSet())
        # So that no look-up takes what was sent before the restart for what is sent now.
        async for entry in journal.read_former():
            ledger.working_set.keep_sids(filter(None, [entry.sid, *entry.earlier]))
        async for entries in journal.read_chunks():
            ledger._load_chunk(entries)
        return ledger

    @property
    def clears(self) -> int:
        """How often the task was cleared by hand."""
        return self._journal.meta.clears

    @property
    def state(self) -> dict[str, Any]:
        """What the owner of the ledger keeps besides the entries: JSON.

        It is written with the next new chunk, before a command of it leaves, or by :meth:`save_state`.
        """
        return self._journal.meta.state

    @state.setter
    def state(self, value: dict[str, Any]) -> None:
        self._journal.meta.state = value

    @property
    def began(self) -> int:
        """A time by the API's ``date_created``, in seconds since 1970, before which no command was created."""
        return self._journal.began

    def entry(self, sim: str) -> Entry | None:
        """Return the latest entry of a device."""
        return self.working_set.entry(sim)

    def before(self, entry: Entry) -> Before:
        """Return what the API's list held before the entry's command was sent."""
        return self._journal.before(entry.chunk)

    def has_sid(self, sid: str) -> bool:
        """Return whether a command is known: it is an entry's, or that of an earlier attempt."""
        return self.working_set.has_sid(sid)

    async def batches(self, devices: AsyncIterator[Device]) -> AsyncIterator[list[Device]]:
        """Cut devices into batches that fit into a chunk each."""
        batch: list[Device] = []
        size = 0
        async for device in devices:
            more = entry_bytes(device.sim, self.entry(device.sim))
            if batch and (len(batch) == CHUNK or size + more > CHUNK_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(device)
            size += more
        if batch:
            yield batch

    async def write_ahead(self, contents: Mapping[str, str], before: Before) -> list[Entry]:
        """Write that commands are about to be sent, before any of them is.

        :param contents: fingerprint of what is sent, by SIM: one of :meth:`batches`
        :param before: what the API's list holds now
        :return: an entry for each, in one chunk
        :raises LedgerTakenError: another process has opened the ledger since
        :raises JournalError: the meta record cannot be read any more
        """
        number = self._journal.length
        last = {sim: self.entry(sim) for sim in contents}
        entries = [self._next_entry(sim, content, number, last[sim]) for sim, content in contents.items()]
        async with self._writing:
            await self._journal.write_new(before, entries)
        self.working_set.put(entries)
        self.statuses.subtract(one.status for one in last.values() if one)
        self.statuses[State.ABOUT_TO_SEND] += len(entries)
        return entries

    async def save(self, chunk: int) -> None:
        """Write a chunk as it now is.

        :raises LedgerTakenError: another process has opened the ledger since, and what it wrote is newer
        """
        async with self._writing:
            self._changed.discard(chunk)
            try:
                await self._journal.write_again(chunk, self.working_set.entries_of(chunk))
            except BaseException:
                self._changed.add(chunk)
                raise

    async def save_changed(self) -> None:
        """Write every chunk in which something has changed since it was written."""
        for chunk in sorted(self._changed):
            await self.save(chunk)

    async def save_state(self) -> None:
        """Write :attr:`state`.

        :raises LedgerTakenError: another process has opened the ledger since
        """
        async with self._writing:
            await self._journal.write_meta()

    async def check_held(self) -> None:
        """Check that this process still owns the ledger.

        :raises LedgerTakenError: another process has opened it since
        """
        await self._journal.check_held()

    def unreadable(self, what: str) -> JournalError:
        """Return the error for a :attr:`state` that its owner cannot read.

        :param what: what is wrong, e.g. ``the rollout's state is damaged``
        """
        return self._journal.unreadable(what)

    def accept(self, entry: Entry, command: IpCommand) -> None:
        """Note that the API has accepted a command."""
        self.commands += 1
        self._record(entry, command)

    def settle(self, command: IpCommand) -> None:
        """Note the status of a command that was accepted before. Commands of others are ignored."""
        entry = self.working_set.open_entry(str(command.sid))
        if entry and command.status.value != entry.status:
            self._record(entry, command)

    def refuse(self, entry: Entry, error: Exception) -> None:
        """Note that the API refused a command."""
        self._move(entry, State.REFUSED, shorten(str(error)))

    def leave_unknown(self, entry: Entry, why: str) -> None:
        """Note that it cannot be told what became of a command. It is not sent again."""
        self._move(entry, State.UNKNOWN, shorten(why))

    def forget(self, sid: str) -> None:
        """Note that the API has no command of this sid any more, although it accepted it."""
        entry = self.working_set.open_entry(sid)
        if entry:
            self.leave_unknown(entry, GONE)

    def withdraw(self, entry: Entry, why: str) -> None:
        """Note that a command was certainly not accepted and is no longer being sent."""
        self._move(entry, State.NOT_SENT, shorten(why))

    def renew(self, entry: Entry, content: str) -> bool:
        """Note that a command was not accepted and is sent again; return whether that changes the entry.

        :param content: fingerprint of the command as this try has rendered it
        """
        changed = (entry.content, entry.clears) != (content, self.clears)
        if entry.clears != self.clears:
            entry.attempt = 1
        entry.content, entry.clears = content, self.clears
        self.working_set.update(entry)
        return changed

    def _record(self, entry: Entry, command: IpCommand) -> None:
        entry.sid, entry.sim_sid = command.sid, command.sim_sid
        entry.sent_at = int(command.date_created.timestamp()) if command.date_created else None
        if command.status.settled and command.date_updated:
            entry.settled_at = int(command.date_updated.timestamp())
        self._move(entry, command.status.value, None)

    def _move(self, entry: Entry, status: str, error: str | None) -> None:
        self.statuses[entry.status] -= 1
        self.statuses[status] += 1
        entry.status, entry.error = status, error
        self.working_set.update(entry)
        self._changed.add(entry.chunk)

    def _next_entry(self, sim: str, content: str, chunk: int, last: Entry | None) -> Entry:
        if last is None:
            return Entry(sim, chunk, content, clears=self.clears)
        attempt = last.attempt + int(last.status != State.NOT_SENT)  # a withdrawn command was no attempt
        return Entry(
            sim,
            chunk,
            content,
            attempt=attempt if last.clears == self.clears else 1,
            clears=self.clears,
            earlier=(*last.earlier, last.sid) if last.sid else last.earlier,
        )

    def _load_chunk(self, entries: list[Entry]) -> None:
        """Take the entries of a chunk that was read. They replace those of earlier chunks."""
        for last in filter(None, (self.entry(entry.sim) for entry in entries)):
            self._count(last, -1)
        for entry in entries:
            self._count(entry, 1)
        self.working_set.put(entries)

    def _count(self, entry: Entry, sign: int) -> None:
        self.statuses[entry.status] += sign
        self.commands += sign * (len(entry.earlier) + int(entry.sid is not None))
