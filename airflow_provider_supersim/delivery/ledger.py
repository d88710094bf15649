"""What has been attempted, written before it happens.

The API accepts a POST and forgets who asked, so the memory of it is ours. A ledger is a journal of chunks of some
hundreds of commands: a chunk is written before its first command leaves, again when the outcome of each is known, and
again when statuses have moved. Whoever dies in between leaves entries that are *about to be sent*, and the next try
looks them up in the API before it sends anything.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Protocol
from uuid import uuid4

import anyio.to_thread
import msgspec

from airflow_provider_supersim.api.models import IpCommand, IpCommandRequest, Status
from airflow_provider_supersim.delivery.targets import Device

#: Most commands in a chunk; two or three writes for each chunk come to 0.2 ms a command.
CHUNK = 250
#: A chunk with longer names, or with many earlier attempts, has fewer: as JSON it stays under the 64 KB above which
#: Airflow's task state store complains.
CHUNK_BYTES = 65_000
ENTRY_BYTES = 180  # of an entry, without the device's name and the sids of earlier attempts
SID_BYTES = 38
ERROR_BYTES = 82

ABOUT_TO_SEND = "about_to_send"  # the only state in which nobody knows: look in the API
WITHDRAWN = "not_sent"  # surely never accepted
REFUSED = "refused"  # the API said no


class Store(Protocol):
    """Where a ledger is kept: small JSON values under names. The methods block; they are called in a thread."""

    def get(self, key: str) -> Any | None:
        """Return the value, or ``None`` where there is none."""

    def set(self, key: str, value: Any) -> None:
        """Write or overwrite the value, whole or not at all."""


class NoStore:
    """For want of a place: the ledger lives in its process, protects within one try, and dies with it."""

    def get(self, key: str) -> Any | None:
        """Return ``None``: nothing is kept."""

    def set(self, key: str, value: Any) -> None:
        """Keep nothing."""


class LedgerTakenError(Exception):
    """A process that was taken for dead is not: a later try goes on with its work, and it must stop."""


class Entry(msgspec.Struct, gc=False, array_like=True):
    """The latest attempt to send a command to one device.

    :ivar content: fingerprint of what is sent
    :ivar status: a status of the API, or :data:`ABOUT_TO_SEND`, :data:`WITHDRAWN`, :data:`REFUSED`
    :ivar attempt: 1 for the first; counted anew after a manual clear
    :ivar clears: how often the task had been cleared by hand
    :ivar sent_at: when the API accepted it, in seconds since 1970 by its clock
    :ivar earlier: sids of earlier attempts, which no later one may claim
    """

    content: str
    status: str = ABOUT_TO_SEND
    attempt: int = 1
    clears: int = 0
    sid: str | None = None
    sim_sid: str | None = None
    sent_at: int | None = None
    settled_at: int | None = None
    error: str | None = None
    earlier: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        """Whether the API has accepted it and not settled it yet."""
        return self.sid is not None and not Status(self.status).settled

    def take(self, command: IpCommand) -> None:
        """Note what the API says of the command."""
        self.sid, self.sim_sid, self.status, self.error = command.sid, command.sim_sid, command.status.value, None
        self.sent_at = int(command.date_created.timestamp()) if command.date_created else None
        if command.status.settled and command.date_updated:
            self.settled_at = int(command.date_updated.timestamp())

    def refuse(self, error: Exception) -> None:
        """Note that the API said no."""
        self.status, self.error = REFUSED, _short(str(error))

    def withdraw(self, why: str) -> None:
        """Note that it surely was not accepted, and is not being sent any more."""
        self.status, self.error = WITHDRAWN, _short(why)

    def renew(self, content: str, clears: int) -> bool:
        """Note that it was not accepted and is sent anew; return whether that changes anything.

        :param content: as this try has rendered it
        """
        changed = (self.content, self.clears) != (content, clears)
        if self.clears != clears:
            self.attempt = 1
        self.content, self.clears = content, clears
        return changed


class Chunk:
    """Some entries that are written together.

    :ivar since: a time by the API's clock, in seconds since 1970, before which none of them was sent
    """

    __slots__ = ("changed", "entries", "number", "since")

    def __init__(self, number: int, since: int, entries: dict[str, Entry]) -> None:
        self.number = number
        self.since = since
        self.entries = entries
        self.changed = False


class Ledger:
    """The journal of one task instance, and the latest entry of each device. Get it with :meth:`open`."""

    def __init__(self, store: Store, meta: dict[str, Any]) -> None:
        self._store = store
        self._meta = meta
        self._writing = anyio.Lock()
        self.chunks: list[Chunk] = []
        self.entries: dict[str, Entry] = {}
        self._open: dict[str, tuple[Chunk, Entry]] = {}

    @classmethod
    async def open(cls, store: Store, *, clears: int, restart: bool) -> Ledger:
        """Read what earlier tries have written.

        :param clears: how often the task was cleared by hand, in practice ``ti.max_tries``, which only a clear changes
        :param restart: whether a clear starts over; else it goes on, and what failed may be sent again
        """
        meta = await anyio.to_thread.run_sync(store.get, _META)
        if meta is None:
            meta = {"generation": 0, "clears": clears, "notes": {}}
        elif meta["clears"] != clears:
            # A restart begins another journal beside the old one: a half-forgotten ledger would be worse than two.
            meta = {"generation": meta["generation"] + int(restart), "clears": clears, "notes": {}}
        ledger = cls(store, {**meta, "holder": uuid4().hex})
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

    def batches(self, devices: Iterable[Device]) -> Iterator[list[Device]]:
        """Cut devices into pieces that fit into a chunk each."""
        batch: list[Device] = []
        size = 0
        for device in devices:
            last = self.entries.get(device.sim)
            more = ENTRY_BYTES + len(json.dumps(device.sim)) + SID_BYTES * (len(last.earlier) + 1 if last else 0)
            if batch and (len(batch) == CHUNK or size + more > CHUNK_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(device)
            size += more
        if batch:
            yield batch

    async def write_ahead(self, contents: Mapping[str, str], since: int) -> Chunk:
        """Write that commands are about to be sent, before any of them is.

        :param contents: fingerprint of what is sent, by SIM: one of :meth:`batches`
        :raises LedgerTakenError: another process has opened the ledger since
        """
        entries = {sim: self._next_entry(sim, content) for sim, content in contents.items()}
        chunk = Chunk(len(self.chunks), since, entries)
        await self.save(chunk)
        self.chunks.append(chunk)  # only now: one that could not be written must leave no gap
        self.entries.update(entries)
        return chunk

    async def save(self, *chunks: Chunk) -> None:
        """Write chunks as they now are.

        :raises LedgerTakenError: another process has opened the ledger since, and knows better
        """
        for chunk in chunks:
            async with self._writing:
                await self.check_held()
                value = {"since": chunk.since, "entries": msgspec.json.decode(msgspec.json.encode(chunk.entries))}
                chunk.changed = False
                try:
                    await anyio.to_thread.run_sync(self._store.set, self._key(chunk.number), value)
                except BaseException:
                    chunk.changed = True
                    raise

    async def save_changed(self) -> None:
        """Write every chunk in which something has changed since it was written."""
        await self.save(*[chunk for chunk in self.chunks if chunk.changed])

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
        meta = await anyio.to_thread.run_sync(self._store.get, _META)
        if meta is not None and meta["holder"] != self._meta["holder"]:
            raise LedgerTakenError("another try of this task has taken over; this one sends nothing more")

    def accept(self, chunk: Chunk, entry: Entry, command: IpCommand) -> None:
        """Note that the API has accepted a command."""
        entry.take(command)
        chunk.changed = True
        if entry.open:
            self._open[str(entry.sid)] = chunk, entry

    def settle(self, command: IpCommand) -> None:
        """Note what was read of a command that was accepted before. Others are passed over."""
        chunk, entry = self._open.get(str(command.sid), (None, None))
        if chunk and entry and command.status.value != entry.status:
            entry.take(command)
            chunk.changed = True
            if not entry.open:
                del self._open[str(command.sid)]

    def _next_entry(self, sim: str, content: str) -> Entry:
        last = self.entries.get(sim)
        if last is None:
            return Entry(content, clears=self.clears)
        attempt = last.attempt + int(last.status != WITHDRAWN)  # what was withdrawn was none
        return Entry(
            content,
            attempt=attempt if last.clears == self.clears else 1,
            clears=self.clears,
            earlier=(*last.earlier, last.sid) if last.sid else last.earlier,
        )

    async def _save_meta(self) -> None:
        async with self._writing:
            await anyio.to_thread.run_sync(self._store.set, _META, self._meta)

    async def _load(self) -> None:
        # No list of keys is to be had: chunks are numbered without a gap, and the first that is missing is the end.
        while value := await anyio.to_thread.run_sync(self._store.get, self._key(len(self.chunks))):
            entries = msgspec.convert(value["entries"], dict[str, Entry])
            self.chunks.append(Chunk(len(self.chunks), value["since"], entries))
            self.entries.update(entries)
            self._open.update({str(e.sid): (self.chunks[-1], e) for e in entries.values() if e.open})

    def _key(self, number: int) -> str:
        return f"{_META}_{self._meta['generation']}_{number}"


_META = "supersim_ledger"


def fingerprint(content: IpCommandRequest | IpCommand) -> str:
    """Return what tells one command's content from another's: payload, its type and the port, in 11 characters."""
    text = f"{content.payload_type}\0{content.device_port}\0{content.payload}"
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _short(text: str) -> str:
    """Cut a text so that, as JSON, it takes no more than :data:`ERROR_BYTES`."""
    text = text[:ERROR_BYTES]
    while len(json.dumps(text)) > ERROR_BYTES:
        text = text[:-1]
    return text
