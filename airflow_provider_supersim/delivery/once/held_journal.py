"""The journal in the hands of one try: taken over when it is opened, and written only while no later try has it.

A task can have two live processes, if Airflow takes the first for dead. Both write to one store. The meta record names
the holder, each write checks that, and the older process stops.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from uuid import uuid4

import anyio.to_thread
import msgspec

from airflow_provider_supersim.delivery.once.before import Before
from airflow_provider_supersim.delivery.once.journal import Journal
from airflow_provider_supersim.delivery.once.journal_format import Chunk, JournalError, Meta
from airflow_provider_supersim.delivery.once.store import Store
from airflow_provider_supersim.delivery.state.device import Entry


class LedgerTakenError(Exception):
    """A later try of the task has opened the ledger while this process was still alive. This process must stop."""


class HeldJournal:
    """The meta record and the chunks of one generation. Get it with :meth:`take_over`. One call at a time may write.

    :ivar meta: the meta record; what changes in it is written with the next new chunk, or by :meth:`write_meta`
    """

    def __init__(self, journal: Journal, meta: Meta) -> None:
        self._journal = journal
        self.meta = meta
        self._before: list[Before] = []  # by chunk

    @classmethod
    async def take_over(cls, store: Store, *, clears: int, restart: bool) -> HeldJournal:
        """Make this process the holder. Call :meth:`read_chunks` next.

        :param clears: how often the task was cleared by hand
        :param restart: begin a new generation after a clear
        :raises JournalError: the meta record cannot be read
        """
        journal, holder = Journal(store), uuid4().hex
        meta = await anyio.to_thread.run_sync(journal.read_meta)
        if meta is None:
            meta = Meta(generation=0, clears=clears, holder=holder)
        elif meta.clears == clears:
            meta.holder = holder
        elif restart:
            # Another journal beside the old one. Emptying the old one takes many writes, and a process that dies
            # between them leaves half a ledger.
            meta = Meta(generation=meta.generation + 1, clears=clears, holder=holder)
        else:
            meta = Meta(generation=meta.generation, clears=clears, holder=holder, revisions=meta.revisions)
        await anyio.to_thread.run_sync(journal.write_meta, meta)
        return cls(journal, meta)

    @property
    def began(self) -> int:
        """A time by the API's ``date_created``, in seconds since 1970, before which no command was created."""
        return min((before.since for before in self._before), default=0)

    @property
    def length(self) -> int:
        """The number of chunks, and so the number of the next one."""
        return len(self._before)

    def before(self, chunk: int) -> Before:
        """Return what the API's list held before the commands of a chunk were sent."""
        return self._before[chunk]

    async def read_former(self) -> AsyncIterator[Entry]:
        """Yield the entries of the generation before this one, up to the first chunk that cannot be read."""
        number, generation = 0, self.meta.generation - 1
        if generation < 0:
            return
        with suppress(JournalError):  # a restart does not depend on what came before it
            while chunk := await anyio.to_thread.run_sync(self._journal.read_chunk, generation, number, []):
                for entry in chunk.read_entries(number):
                    yield entry
                number += 1

    async def read_chunks(self) -> AsyncIterator[list[Entry]]:
        """Yield the entries of each chunk, the first chunk first.

        Only after taking over: otherwise the former holder may write into a chunk that was read already.

        :raises JournalError: a chunk cannot be read, is missing, or is older than the meta record says
        """
        counted, revisions = self.meta.revisions, list[int]()
        while chunk := await anyio.to_thread.run_sync(
            self._journal.read_chunk, self.meta.generation, len(revisions), counted
        ):
            yield chunk.read_entries(len(revisions))
            self._before.append(Before(chunk.since, chunk.marks))
            revisions.append(chunk.revision)
        self.meta.revisions = revisions

    async def write_new(self, before: Before, entries: Iterable[Entry]) -> None:
        """Write the next chunk, and then the meta record that counts it: see the module ``journal``.

        :param before: what the API's list holds now
        :raises LedgerTakenError: another process has opened the ledger since
        :raises JournalError: the meta record cannot be read any more
        """
        chunk = Chunk.build(entries, revision=1, since=before.since, marks=before.marks)
        meta = msgspec.structs.replace(self.meta, revisions=[*self.meta.revisions, chunk.revision])

        def write() -> None:
            self._check_held()
            self._journal.write_chunk(meta.generation, self.length, chunk)
            self._check_held()  # otherwise this meta record would take the ledger back from a later try
            self._journal.write_meta(meta)

        await anyio.to_thread.run_sync(write)
        self.meta.revisions = meta.revisions
        self._before.append(before)  # only now, so that a chunk that could not be written leaves no gap

    async def write_again(self, number: int, entries: Iterable[Entry]) -> None:
        """Write a chunk as it now is.

        :raises LedgerTakenError: another process has opened the ledger since, and what it wrote is newer
        """
        before = self._before[number]
        revision = self.meta.revisions[number] + 1
        chunk = Chunk.build(entries, revision=revision, since=before.since, marks=before.marks)

        def write() -> None:
            self._check_held()
            self._journal.write_chunk(self.meta.generation, number, chunk)

        await anyio.to_thread.run_sync(write)
        self.meta.revisions[number] = revision

    async def write_meta(self) -> None:
        """Write the meta record.

        :raises LedgerTakenError: another process has opened the ledger since
        """

        def write() -> None:
            self._check_held()
            self._journal.write_meta(self.meta)

        await anyio.to_thread.run_sync(write)

    async def check_held(self) -> None:
        """Check that this process still owns the ledger.

        :raises LedgerTakenError: another process has opened it since
        """
        await anyio.to_thread.run_sync(self._check_held)

    def unreadable(self, what: str) -> JournalError:
        """Return an error about the meta record.

        :param what: what is wrong with it
        """
        return self._journal.unreadable(what)

    def _check_held(self) -> None:
        meta = self._journal.read_meta()
        if meta is not None and meta.holder != self.meta.holder:
            raise LedgerTakenError("another try of this task has taken over; this one sends nothing more")
