"""The working memory of a rollout: its devices, and the latest entry of each, in a table on disk.

A million devices with their commands, sids and statuses take a gigabyte as Python objects. Here they take no more
memory than a hundred thousand: the pages that SQLite caches. The table is not a record: it ends with its process, and
the next process builds it again from the targets and the ledger.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from airflow_provider_supersim.api.models import IpCommandRequest, PayloadType
from airflow_provider_supersim.delivery.state.device import Device, Entry

#: Bytes of pages in memory. What does not fit goes to disk, in the folder for temporary files.
MEMORY = 64_000_000
#: Devices that one statement reads. It takes a few milliseconds, and the rest of the process waits meanwhile.
BITE = 1_000

_SCHEMA = """
    CREATE TABLE listed (sid TEXT PRIMARY KEY, row BLOB) WITHOUT ROWID;
    CREATE TABLE called (name TEXT PRIMARY KEY, row INTEGER, given INTEGER) WITHOUT ROWID;
    CREATE TABLE payload (number INTEGER PRIMARY KEY, text TEXT);
    CREATE TABLE device (
        position INTEGER PRIMARY KEY, sim TEXT, payload INTEGER, payload_type TEXT, device_port INTEGER,
        sim_sid TEXT, name TEXT, timezone TEXT
    );
    CREATE TABLE entry (
        sim TEXT PRIMARY KEY, chunk INTEGER, content TEXT, status TEXT, attempt INTEGER, clears INTEGER, sid TEXT,
        sim_sid TEXT, sent_at INTEGER, settled_at INTEGER, error TEXT, earlier TEXT, open INTEGER
    );
    CREATE INDEX entry_of_chunk ON entry (chunk);
    CREATE INDEX entry_of_sid ON entry (sid) WHERE sid IS NOT NULL;
    CREATE TABLE earlier_sid (sid TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_PLANNED = (
    "FROM device LEFT JOIN entry USING (sim) LEFT JOIN payload ON payload.number = device.payload"
    " WHERE position >= :start AND position < :end"
)
_DEVICE = "device.sim, text, payload_type, device_port, device.sim_sid, name, timezone"
_ENTRY = "sim, chunk, content, status, attempt, clears, sid, sim_sid, sent_at, settled_at, error, earlier"
_ENTRY_OF_SIM = f"SELECT {_ENTRY} FROM entry WHERE sim = ?"  # noqa: S608  # all ours, as are the next two
_OPEN_ENTRY = f"SELECT {_ENTRY} FROM entry WHERE open AND sid = ?"  # noqa: S608
_LABEL_OF_SID = "SELECT coalesce(name, entry.sim) FROM entry LEFT JOIN device USING (sim) WHERE sid = ?"
_HAS_SID = "SELECT EXISTS (SELECT 1 FROM entry WHERE sid = :sid) OR EXISTS (SELECT 1 FROM earlier_sid WHERE sid = :sid)"
_ENTRIES_OF_CHUNK = f"SELECT {_ENTRY} FROM entry WHERE chunk = ?"  # noqa: S608


class WorkingSet:
    """Devices by their position in the plan, and entries by their SIM. It ends with the last reference to it."""

    def __init__(self) -> None:
        # Without a name it is in memory, and, if it outgrows that, in a file without a name.
        self._base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._base.close)
        self._base.execute(f"PRAGMA cache_size = -{MEMORY // 1024}")
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.executescript(_SCHEMA)
        self._base.execute("BEGIN")  # never committed: a commit for each statement makes it five times as slow
        self._length = 0
        self._payloads = 0
        self._moved: dict[str, Entry] = {}

    def __len__(self) -> int:
        """Return the number of devices."""
        return self._length

    def list_sim(self, sid: str, row: Mapping[str, Any]) -> None:
        """Keep the row of a SIM that the API has listed. If a sid comes twice, the later row replaces the earlier."""
        self._base.execute("INSERT OR REPLACE INTO listed VALUES (?, ?)", (sid, msgspec.json.encode(row)))

    def listed_sims(self) -> Iterator[dict[str, Any]]:
        """Yield these rows, sorted by sid."""
        for (row,) in self._base.execute("SELECT row FROM listed ORDER BY sid"):
            yield msgspec.json.decode(row)

    def row_of(self, sim: str, sid: str, name: str) -> int | None:
        """Return the number of the first row with the same SIM; ``None`` if there is none.

        Two rows have the same SIM if they share a ``sim`` or ``sid``, or if one's ``sim`` is the other's ``name``.
        """
        found = self._base.execute(
            "SELECT min(row) FROM called WHERE name IN (:sim, :sid, :name) AND (given OR name IN (:sim, :sid))",
            {"sim": sim, "sid": sid, "name": name},
        )
        row: int | None = found.fetchone()[0]
        return row

    def call(self, sim: str, aliases: Iterable[str], row: int) -> None:
        """Note what a row calls its SIM.

        :param sim: the row's ``sim``
        :param aliases: the SIM's other names in this row: its sid, its unique name
        :param row: the row's number
        """
        self._base.execute("INSERT INTO called VALUES (?, ?, 1)", (sim, row))
        for alias in aliases:
            self._base.execute("INSERT OR REPLACE INTO called VALUES (?, ?, 0)", (alias, row))

    def add_payload(self, text: str) -> int:
        """Add a payload that devices may share; return its number."""
        self._payloads += 1
        self._base.execute("INSERT INTO payload VALUES (?, ?)", (self._payloads, text))
        return self._payloads

    def add(self, device: Device, payload: int) -> None:
        """Add a device after the others.

        :param payload: number of its request's payload, from :meth:`add_payload`
        """
        request = device.request
        self._base.execute(
            "INSERT INTO device VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._length,
                device.sim,
                payload,
                request.payload_type,
                request.device_port,
                device.sim_sid,
                device.name,
                device.timezone,
            ),
        )
        self._length += 1

    def devices(self, which: str, start: int, end: int, **values: int) -> list[Device]:
        """Return the devices at these positions for which a condition holds, in their order.

        :param which: a condition of :mod:`~airflow_provider_supersim.delivery.state.states`
        :param start: the first position
        :param end: the position after the last
        :param values: the condition's parameters: ``clears``, ``attempts``
        """
        found = self._select(f"{_DEVICE} {_PLANNED} AND {which} ORDER BY position", start, end, **values)
        return [
            Device(
                sim=sim,
                request=IpCommandRequest(
                    sim=sim, payload=payload, device_port=port, payload_type=PayloadType(payload_type)
                ),
                sim_sid=sim_sid,
                name=name,
                timezone=timezone,
            )
            for sim, payload, payload_type, port, sim_sid, name, timezone in found
        ]

    def stream(self, which: str) -> Iterator[Device]:
        """Yield all devices for which a condition holds, in their order."""
        for start in range(0, self._length, BITE):
            yield from self.devices(which, start, start + BITE)

    def causes(self, which: str, most: int) -> list[tuple[str | None, str | None, int]]:
        """Return state, error and number of devices for which a condition holds, the most frequent first.

        :param most: at most this many causes
        """
        found = self._select(
            f"status, error, count(*) AS devices {_PLANNED} AND {which} GROUP BY status, error"
            " ORDER BY devices DESC LIMIT :most",
            0,
            self._length,
            most=most,
        )
        return [(state, error, devices) for state, error, devices in found]

    def labels(self, state: str | None, error: str | None, most: int) -> list[str]:
        """Return what people call the first devices in a state, with an error.

        :param most: at most this many
        """
        found = self._select(
            f"coalesce(name, device.sim) {_PLANNED} AND status IS :state AND error IS :error ORDER BY position LIMIT "
            ":most",
            0,
            self._length,
            state=state,
            error=error,
            most=most,
        )
        return [label for (label,) in found]

    def timezones(self, which: str, start: int, end: int, **values: int) -> Counter[str | None]:
        """Return how many of the devices that :meth:`devices` returns are in each timezone."""
        return Counter(
            dict(self._select(f"timezone, count(*) {_PLANNED} AND {which} GROUP BY timezone", start, end, **values))
        )

    def statuses(self, start: int, end: int) -> Counter[str | None]:
        """Return how many of the devices at these positions have each status; ``None`` for those without an entry."""
        return Counter(dict(self._select(f"status, count(*) {_PLANNED} GROUP BY status", start, end)))

    def open_sids(self, start: int, end: int) -> list[str]:
        """Return the sids of commands to these devices without a final status, from the last device to the first."""
        return [sid for (sid,) in self._select(f"sid {_PLANNED} AND open ORDER BY position DESC", start, end)]

    def entry(self, sim: str) -> Entry | None:
        """Return the latest entry of a device."""
        return self._moved.get(sim) or _entry(self._base.execute(_ENTRY_OF_SIM, (sim,)).fetchone())

    def open_entry(self, sid: str) -> Entry | None:
        """Return the entry with this command; ``None`` if its status is final."""
        self._write_moved()
        return _entry(self._base.execute(_OPEN_ENTRY, (sid,)).fetchone())

    def label(self, sid: str) -> str:
        """Return what people call the device with this command. It reads the whole table: ask for few."""
        self._write_moved()
        return str(self._base.execute(_LABEL_OF_SID, (sid,)).fetchone()[0])

    def has_sid(self, sid: str) -> bool:
        """Return whether any entry has this sid, also of an earlier attempt."""
        self._write_moved()
        return bool(self._base.execute(_HAS_SID, {"sid": sid}).fetchone()[0])

    def entries_of(self, chunk: int) -> Iterator[Entry]:
        """Yield the entries of a chunk, except those that a later entry of the same device has replaced."""
        self._write_moved()
        return filter(None, map(_entry, self._base.execute(_ENTRIES_OF_CHUNK, (chunk,))))

    def put(self, entries: Iterable[Entry]) -> None:
        """Add entries. Each replaces the earlier entry of its device."""
        self._write_moved()
        entries = list(entries)
        self.keep_sids(sid for entry in entries for sid in entry.earlier)
        self._base.executemany(
            "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ((*msgspec.structs.astuple(entry)[:-1], " ".join(entry.earlier), entry.open) for entry in entries),
        )

    def keep_sids(self, sids: Iterable[str]) -> None:
        """Keep sids that no entry has any more, so that :meth:`has_sid` knows them."""
        self._base.executemany("INSERT OR IGNORE INTO earlier_sid VALUES (?)", ((sid,) for sid in sids))

    def update(self, entry: Entry) -> None:
        """Note that an entry has changed."""
        self._moved[entry.sim] = entry
        if len(self._moved) >= BITE:
            self._write_moved()

    def _write_moved(self) -> None:
        """Write the changed entries with one statement, which takes half the time of a statement for each."""
        if self._moved:
            moved, self._moved = self._moved, {}
            self._base.executemany(
                "UPDATE entry SET content = ?, status = ?, attempt = ?, clears = ?, sid = ?, sim_sid = ?, sent_at = ?,"
                " settled_at = ?, error = ?, open = ? WHERE sim = ?",
                ((*msgspec.structs.astuple(entry)[2:-1], entry.open, entry.sim) for entry in moved.values()),
            )

    def _select(self, what: str, start: int, end: int, **values: int | str | None) -> list[Any]:
        self._write_moved()
        return self._base.execute(f"SELECT {what}", {"start": start, "end": end, **values}).fetchall()


def _entry(row: tuple[Any, ...] | None) -> Entry | None:
    """Make an entry of what :data:`_ENTRY` selects."""
    return Entry(*row[:-1], earlier=tuple(row[-1].split())) if row else None  # type: ignore[misc]  # no column too many
