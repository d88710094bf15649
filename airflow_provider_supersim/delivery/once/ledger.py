"""What has been attempted, written before it happens.

The API accepts a POST and forgets who asked, so the memory of it is ours. A ledger is a journal of chunks of some
hundreds of commands: a chunk is written before its first command leaves, again when the outcome of each is known, and
again when statuses have moved. Whoever dies in between leaves entries that are *about to be sent*, and the next try
looks them up in the API before it sends anything.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any
from uuid import uuid4

import anyio.to_thread
import msgspec

from airflow_provider_supersim.api.models import IpCommand, IpCommandRequest
from airflow_provider_supersim.delivery.once.store import Store
from airflow_provider_supersim.delivery.state.device import Device, Entry
from airflow_provider_supersim.delivery.state.states import State
from airflow_provider_supersim.delivery.state.working_set import WorkingSet

#: Most commands in a chunk; two or three writes for each chunk come to 0.2 ms a command.
CHUNK = 250
#: A chunk with longer names, or with many earlier attempts, has fewer: as JSON it stays under the 64 KB above which
#: Airflow's task state store complains.
CHUNK_BYTES = 65_000
ENTRY_BYTES = 180  # of an entry, without the device's name and the sids of earlier attempts
SID_BYTES = 38
ERROR_BYTES = 82


class LedgerTakenError(Exception):
    """A process that was taken for dead is not: a later try goes on with its work, and it must stop."""


class Ledger:
    """The journal of one task instance, and the latest entry of each device. Get it with :meth:`open`.

    :ivar table: where the entries are at hand
    :ivar statuses: how many devices' latest entry has each status
    :ivar commands: how many commands the API has accepted, earlier attempts included
    """

    def __init__(self, store: Store, table: WorkingSet, meta: dict[str, Any]) -> None:
        self._store = store
        self.table = table
        self._meta = meta
        self._writing = anyio.Lock()
        self._since: list[int] = []  # by chunk
        self._changed: set[int] = set()
        self.statuses: Counter[str | None] = Counter()
        self.commands = 0

    @classmethod
    async def open(cls, store: Store, table: WorkingSet | None = None, *, clears: int, restart: bool) -> Ledger:
        """Read what earlier tries have written.

        :param table: where the entries are at hand; without one, the ledger has its own
        :param clears: how often the task was cleared by hand, in practice ``ti.max_tries``, which only a clear changes
        :param restart: whether a clear starts over; else it goes on, and what failed may be sent again
        """
        meta = await anyio.to_thread.run_sync(store.get, _META)
        if meta is None:
            meta = {"generation": 0, "clears": clears, "notes": {}}
        elif meta["clears"] != clears:
            # A restart begins another journal beside the old one: a half-forgotten ledger would be worse than two.
            meta = {"generation": meta["generation"] + int(restart), "clears": clears, "notes": {}}
        ledger = cls(store, table or WorkingSet(), {**meta, "holder": uuid4().hex})
        await ledger._save_meta()
        await ledger._load()
        return ledger

    @property
    def clears(self) -> int:
        """How often the task was cleared by hand."""
        return int(self._meta["clears"])

    @property
    def notes(self) -> dict[str, Any]:
        """What the owner of the ledger wants to remember besides; JSON, written by :meth:`save_notes`."""
        notes: dict[str, Any] = self._meta["notes"]
        return notes

    @property
    def began(self) -> int:
        """A time by the API's clock, in seconds since 1970, before which none of the commands was sent."""
        return min(self._since, default=0)

    def entry(self, sim: str) -> Entry | None:
        """Return the latest entry of a device."""
        return self.table.entry(sim)

    def since(self, entry: Entry) -> int:
        """Return a time by the API's clock, in seconds since 1970, before which the entry's command was not sent."""
        return self._since[entry.chunk]

    async def batches(self, devices: AsyncIterator[Device]) -> AsyncIterator[list[Device]]:
        """Cut devices into pieces that fit into a chunk each."""
        batch: list[Device] = []
        size = 0
        async for device in devices:
            last = self.entry(device.sim)
            more = ENTRY_BYTES + len(json.dumps(device.sim)) + SID_BYTES * (len(last.earlier) + 1 if last else 0)
            if batch and (len(batch) == CHUNK or size + more > CHUNK_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(device)
            size += more
        if batch:
            yield batch

    async def write_ahead(self, contents: Mapping[str, str], since: int) -> list[Entry]:
        """Write that commands are about to be sent, before any of them is.

        :param contents: fingerprint of what is sent, by SIM: one of :meth:`batches`
        :param since: a time by the API's clock, in seconds since 1970
        :return: an entry for each, in one chunk
        :raises LedgerTakenError: another process has opened the ledger since
        """
        number = len(self._since)
        before = {sim: self.entry(sim) for sim in contents}
        entries = [self._next_entry(sim, content, number, before[sim]) for sim, content in contents.items()]
        async with self._writing:
            await self._write(number, since, entries)
            self._since.append(since)  # only now: one that could not be written must leave no gap
        self.table.put(entries)
        self.statuses.subtract(last.status for last in before.values() if last)
        self.statuses[State.ABOUT_TO_SEND] += len(entries)
        return entries

    async def save(self, chunk: int) -> None:
        """Write a chunk as it now is.

        :raises LedgerTakenError: another process has opened the ledger since, and knows better
        """
        async with self._writing:
            self._changed.discard(chunk)
            try:
                await self._write(chunk, self._since[chunk], self.table.entries_of(chunk))
            except BaseException:
                self._changed.add(chunk)
                raise

    async def save_changed(self) -> None:
        """Write every chunk in which something has changed since it was written."""
        for chunk in sorted(self._changed):
            await self.save(chunk)

    async def save_notes(self) -> None:
        """Write :attr:`notes`.

        :raises LedgerTakenError: another process has opened the ledger since
        """
        await self.check_held()
        await self._save_meta()

    async def check_held(self) -> None:
        """Do nothing while this process is the last to have opened the ledger.

        :raises LedgerTakenError: another one has opened it since
        """
        await anyio.to_thread.run_sync(self._check_held)

    def _check_held(self) -> None:
        meta = self._store.get(_META)
        if meta is not None and meta["holder"] != self._meta["holder"]:
            raise LedgerTakenError("another try of this task has taken over; this one sends nothing more")

    def accept(self, entry: Entry, command: IpCommand) -> None:
        """Note that the API has accepted a command."""
        self.commands += 1
        self._take(entry, command)

    def settle(self, command: IpCommand) -> None:
        """Note what was read of a command that was accepted before. Others are passed over."""
        entry = self.table.open_entry(str(command.sid))
        if entry and command.status.value != entry.status:
            self._take(entry, command)

    def refuse(self, entry: Entry, error: Exception) -> None:
        """Note that the API said no."""
        self._move(entry, State.REFUSED, _short(str(error)))

    def withdraw(self, entry: Entry, why: str) -> None:
        """Note that a command surely was not accepted, and is not being sent any more."""
        self._move(entry, State.NOT_SENT, _short(why))

    def renew(self, entry: Entry, content: str) -> bool:
        """Note that a command was not accepted and is sent anew; return whether that changes anything.

        :param content: as this try has rendered it
        """
        changed = (entry.content, entry.clears) != (content, self.clears)
        if entry.clears != self.clears:
            entry.attempt = 1
        entry.content, entry.clears = content, self.clears
        self.table.update(entry)
        return changed

    def _take(self, entry: Entry, command: IpCommand) -> None:
        entry.sid, entry.sim_sid = command.sid, command.sim_sid
        entry.sent_at = int(command.date_created.timestamp()) if command.date_created else None
        if command.status.settled and command.date_updated:
            entry.settled_at = int(command.date_updated.timestamp())
        self._move(entry, command.status.value, None)

    def _move(self, entry: Entry, status: str, error: str | None) -> None:
        self.statuses[entry.status] -= 1
        self.statuses[status] += 1
        entry.status, entry.error = status, error
        self.table.update(entry)
        self._changed.add(entry.chunk)

    def _next_entry(self, sim: str, content: str, chunk: int, last: Entry | None) -> Entry:
        if last is None:
            return Entry(sim, chunk, content, clears=self.clears)
        attempt = last.attempt + int(last.status != State.NOT_SENT)  # what was withdrawn was none
        return Entry(
            sim,
            chunk,
            content,
            attempt=attempt if last.clears == self.clears else 1,
            clears=self.clears,
            earlier=(*last.earlier, last.sid) if last.sid else last.earlier,
        )

    async def _write(self, chunk: int, since: int, entries: Iterable[Entry]) -> None:
        value = {"since": since, "entries": {entry.sim: _fields(entry) for entry in entries}}

        def write() -> None:
            self._check_held()
            self._store.set(self._key(chunk), value)

        await anyio.to_thread.run_sync(write)

    async def _save_meta(self) -> None:
        async with self._writing:
            await anyio.to_thread.run_sync(self._store.set, _META, self._meta)

    async def _load(self) -> None:
        # No list of keys is to be had: chunks are numbered without a gap, and the first that is missing is the end.
        while value := await anyio.to_thread.run_sync(self._store.get, self._key(len(self._since))):
            number = len(self._since)
            entries = [_entry(sim, number, fields) for sim, fields in value["entries"].items()]
            for last in filter(None, (self.entry(entry.sim) for entry in entries)):
                self._count(last, -1)
            for entry in entries:
                self._count(entry, 1)
            self.table.put(entries)
            self._since.append(value["since"])

    def _count(self, entry: Entry, sign: int) -> None:
        self.statuses[entry.status] += sign
        self.commands += sign * (len(entry.earlier) + int(entry.sid is not None))

    def _key(self, number: int) -> str:
        return f"{_META}_{self._meta['generation']}_{number}"


_META = "supersim_ledger"


def fingerprint(content: IpCommandRequest | IpCommand) -> str:
    """Return what tells one command's content from another's: payload, its type and the port, in 11 characters."""
    text = f"{content.payload_type}\0{content.device_port}\0{content.payload}"
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _fields(entry: Entry) -> list[Any]:
    """Return what is written of an entry, beside its SIM and in its chunk."""
    return [*msgspec.structs.astuple(entry)[2:-1], list(entry.earlier)]


def _entry(sim: str, chunk: int, fields: Sequence[Any]) -> Entry:
    return msgspec.convert(dict(zip(Entry.__struct_fields__, (sim, chunk, *fields), strict=True)), Entry)


def _short(text: str) -> str:
    """Cut a text so that, as JSON, it takes no more than :data:`ERROR_BYTES`."""
    text = text[:ERROR_BYTES]
    while len(json.dumps(text)) > ERROR_BYTES:
        text = f"{text[:-4]}..."
    return text
