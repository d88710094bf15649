"""A ledger's journal in its store: one meta record, and chunks that are numbered from 0 without a gap.

**Order of writes.** A new chunk is written first, then a meta record that counts it. Only then may its commands leave.
So the count is never too high: a chunk that it counts was written. A missing one is an error and never the end. If the
process dies between the two writes, there is a chunk that the meta record does not count. None of its commands left.
The reader takes it all the same, so an older meta record loses no chunk. The commands in it are *about to be sent*, and
are looked up before they are sent. At worst, that look-up finds nothing. The second write is small: with the check
before it, it adds 20 to 60 ms for 250 commands in Airflow's task state store.

**Older copies.** A chunk has a revision, which each write raises. The meta record lists the revisions that were written
before it. A chunk with a lower one is an older copy, for example from a backup, and an error.

**What is detected:** a record that is cut, empty, of a wrong type or of a newer format; a missing chunk; a missing meta
record beside the very first chunk; an older chunk, if the meta record was written after the newer revision.

**What is not detected:** a chunk that was written after the last meta record, and then exchanged for its previous
revision. Most commands in that one are about to be sent or have a sid, so they are looked up. A changed letter inside
a name or a sid is not detected either, because there are no checksums. A whole journal that vanished looks like one
that was never begun.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_supersim.delivery.once.journal_format import (
    CHUNK_UPGRADES,
    META_UPGRADES,
    Chunk,
    JournalError,
    Meta,
    RecordError,
    decode,
    encode,
)
from airflow_provider_supersim.delivery.once.store import Store

META_KEY = "supersim_ledger"


def chunk_key(generation: int, number: int) -> str:
    """Return the name under which a chunk is kept."""
    return f"{META_KEY}_{generation}_{number}"


class Journal:
    """Reads and writes the records. All methods block, so they are called in a thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read_meta(self) -> Meta | None:
        """Return the meta record; ``None`` if no journal was begun.

        :raises JournalError: it cannot be read, or it is missing beside a chunk
        """
        value = self._store.get(META_KEY)
        if value is None:
            if self._store.get(chunk_key(0, 0)) is not None:
                raise self.unreadable("the meta record is missing, but there are chunks")
            return None
        try:
            return decode(value, Meta, META_UPGRADES)
        except RecordError as error:
            raise self.unreadable(f"the meta record {error}") from error

    def write_meta(self, meta: Meta) -> None:
        """Write the meta record."""
        self._store.set(META_KEY, encode(meta))

    def read_chunk(self, generation: int, number: int, revisions: Sequence[int]) -> Chunk | None:
        """Return a chunk; ``None`` if the journal ends before it.

        :param revisions: from the meta record
        :raises JournalError: the chunk cannot be read, is missing, or is older than the meta record says
        """
        key = chunk_key(generation, number)
        counted = number < len(revisions)
        name = f"chunk {number + 1} of {len(revisions)}" if counted else f"chunk {number + 1}"
        value = self._store.get(key)
        if value is None:
            if counted:
                raise JournalError(self._store.place, key, f"{name} is missing")
            return None
        try:
            chunk = decode(value, Chunk, CHUNK_UPGRADES)
        except RecordError as error:
            raise JournalError(self._store.place, key, f"{name} {error}") from error
        if counted and chunk.revision < revisions[number]:
            what = f"{name} is an older copy: revision {chunk.revision}, not {revisions[number]}"
            raise JournalError(self._store.place, key, what)
        return chunk

    def write_chunk(self, generation: int, number: int, chunk: Chunk) -> None:
        """Write a chunk."""
        self._store.set(chunk_key(generation, number), encode(chunk))

    def unreadable(self, what: str) -> JournalError:
        """Return an error about the meta record.

        :param what: what is wrong with it
        """
        return JournalError(self._store.place, META_KEY, what)
