"""How the ledger's journal is written: the format's number, its records, and what an older format becomes.

A record is JSON, and each one has the number of its format. The whole journal is never rewritten at once: after an
upgrade of this package, some chunks are still as the older version wrote them. When a record is read, :func:`decode`
upgrades it step by step. The next write of that record has the current format.

To change the format, raise :data:`FORMAT`, and add a function for the number before it to :data:`META_UPGRADES` and to
:data:`CHUNK_UPGRADES`. A new default value of a field is a new format too, because fields with their default value are
left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from airflow_provider_supersim.delivery.state.device import Entry
from airflow_provider_supersim.delivery.state.states import State

#: Number of the format that this version writes.
FORMAT = 1

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
#: By the number of a format: makes its meta record one of the next format. The number itself is set by :func:`decode`.
META_UPGRADES: dict[int, Upgrade] = {}
#: The same for chunks.
CHUNK_UPGRADES: dict[int, Upgrade] = {}

#: Maximum number of bytes of JSON for the entries of a chunk. Airflow's task state store complains above 65,535, and
#: 3,200 are for marks.
CHUNK_BYTES = 61_700
#: Maximum number of bytes of an entry, without the device's name and the sids of earlier attempts.
ENTRY_BYTES = 205
SID_BYTES = 38
ERROR_BYTES = 82


class JournalError(Exception):
    """A journal cannot be read, so it is not known what was sent. Nothing is sent; a retry reads the journal again.

    :param place: where the ledger is
    :param key: name of the value that cannot be read
    :param what: what is wrong with it, e.g. ``chunk 3 of 12 is missing``
    """

    def __init__(self, place: str, key: str, what: str) -> None:
        super().__init__(place, key, what)
        self.place = place
        self.key = key
        self.what = what

    def __str__(self) -> str:
        """Return what is wrong, what to do about it, and where."""
        return (
            f"Ledger unreadable: {self.what}. Nothing is sent until it can be read.\nRestore the value, or install the "
            "version of this provider that wrote it, and retry. If that is impossible, look up in the API what was "
            "sent. Then delete the whole ledger: the next try starts over and sends to every device. "
            f"Place: {self.place}, key {self.key}"
        )


# The working set holds numbers of at most 64 bits.
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Ordinal = Annotated[int, msgspec.Meta(ge=1, le=2**62)]


class RecordError(Exception):
    """A record cannot be read. The text continues a sentence that begins with the record's name."""


class StoredEntry(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """An :class:`Entry` inside its chunk. The name of its SIM is its key there.

    The names on the right are those in JSON. They are short so that 250 entries fit into a chunk.
    """

    content: str = msgspec.field(name="c")
    status: str = msgspec.field(name="st", default=State.ABOUT_TO_SEND.value)
    attempt: _Ordinal = msgspec.field(name="at", default=1)
    clears: _Number = msgspec.field(name="cl", default=0)
    sid: str | None = msgspec.field(name="sid", default=None)
    sim_sid: str | None = msgspec.field(name="sim", default=None)
    sent_at: _Number | None = msgspec.field(name="sent", default=None)
    settled_at: _Number | None = msgspec.field(name="end", default=None)
    error: str | None = msgspec.field(name="err", default=None)
    earlier: list[str] = msgspec.field(name="old", default_factory=list)  # Airflow's state store refuses tuples


class Chunk(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Some hundreds of entries that are written together.

    :ivar revision: how often the chunk has been written, this time included
    :ivar since: a time by the API's ``date_created``, in seconds since 1970, before which none was created
    :ivar marks: of commands about as new that were there before, see
        :class:`~airflow_provider_supersim.delivery.once.before.Before`
    :ivar entries: by SIM
    """

    format: int = FORMAT
    revision: _Ordinal
    since: _Number
    marks: str = ""
    entries: dict[str, StoredEntry]

    @classmethod
    def build(cls, entries: Iterable[Entry], *, revision: int, since: int, marks: str = "") -> Chunk:
        """Return a chunk with these entries."""
        return cls(
            revision=revision, since=since, marks=marks, entries={entry.sim: _stored(entry) for entry in entries}
        )

    def read_entries(self, number: int) -> list[Entry]:
        """Return the entries.

        :param number: of this chunk
        """
        return [_entry(sim, number, stored) for sim, stored in self.entries.items()]


class Meta(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The record from which a journal is read.

    :ivar generation: number of the journal; a restart begins the next one
    :ivar clears: how often the task had been cleared by hand
    :ivar holder: random name of the process that opened the ledger last
    :ivar revisions: of each chunk, how often it had been written when this record was; so it counts the chunks too
    :ivar state: what the owner of the ledger keeps in it
    """

    format: int = FORMAT
    generation: _Number
    clears: _Number
    holder: str
    revisions: list[_Ordinal] = []
    state: dict[str, Any] = {}


_Record = TypeVar("_Record", Meta, Chunk)


def encode(record: Meta | Chunk) -> dict[str, Any]:
    """Return a record as JSON types."""
    return dict(msgspec.to_builtins(record))


def decode(value: Any, kind: type[_Record], upgrades: Mapping[int, Upgrade]) -> _Record:
    """Read a record that this version, or an older one, wrote.

    :raises RecordError: for anything else
    """
    number = value.get("format") if isinstance(value, dict) else None
    if type(number) is not int:
        raise RecordError("has no format number: it is not part of a ledger")
    if number > FORMAT:
        raise RecordError(
            f"has format {number}, which a newer version of this provider wrote; this one reads up to {FORMAT}"
        )
    while number < FORMAT:
        if number not in upgrades:
            raise RecordError(f"has format {number}, which this version of the provider cannot read")
        try:
            value = {**upgrades[number](value), "format": number + 1}
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise RecordError(f"has format {number} and cannot be upgraded ({error!r})") from error
        number += 1
    try:
        msgspec.json.encode(value)  # the working set takes no text with half a surrogate pair
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, UnicodeError, OverflowError, RecursionError) as error:
        raise RecordError(f"is damaged ({str(error)[:200]})") from error


def entry_bytes(sim: str, last: Entry | None) -> int:
    """Return how many bytes of JSON the next entry of a device takes at most.

    :param last: its latest entry so far
    """
    return ENTRY_BYTES + len(json.dumps(sim)) + SID_BYTES * (len(last.earlier) + 1 if last else 0)


def shorten(text: str) -> str:
    """Cut a text so that, as JSON, it takes no more than :data:`ERROR_BYTES`."""
    text = text[:ERROR_BYTES]
    while len(json.dumps(text)) > ERROR_BYTES:
        text = f"{text[:-4]}..."
    return text


def _stored(entry: Entry) -> StoredEntry:
    # Field by field takes a fifth of the time of asdict, and each chunk is written several times while it is sent.
    return StoredEntry(
        content=entry.content,
        status=entry.status,
        attempt=entry.attempt,
        clears=entry.clears,
        sid=entry.sid,
        sim_sid=entry.sim_sid,
        sent_at=entry.sent_at,
        settled_at=entry.settled_at,
        error=entry.error,
        earlier=list(entry.earlier),
    )


def _entry(sim: str, chunk: int, stored: StoredEntry) -> Entry:
    return Entry(sim=sim, chunk=chunk, **{**msgspec.structs.asdict(stored), "earlier": tuple(stored.earlier)})
