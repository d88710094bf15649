"""The journal's format: what is written of an entry, how an older format is read, and what an unreadable one says."""

from __future__ import annotations

import json

import pytest

from airflow_provider_supersim.delivery.once import journal_format
from airflow_provider_supersim.delivery.once.before import MARK, MOST_MARKS
from airflow_provider_supersim.delivery.once.journal_format import (
    CHUNK_BYTES,
    CHUNK_UPGRADES,
    FORMAT,
    META_UPGRADES,
    Chunk,
    JournalError,
    Meta,
    RecordError,
    decode,
    encode,
    entry_bytes,
)
from airflow_provider_supersim.delivery.once.ledger import CHUNK
from airflow_provider_supersim.delivery.state.device import Entry

FULL = Entry("device-0000", 7, "content", "sent", 2, 1, "HG1", "HS1", 100, 200, "why", ("HG2", "HG3"))
BARE = Entry("device-0001", 7, "content")


def as_stored(record):
    return json.loads(json.dumps(encode(record)))


def test_entries_come_back_as_they_were_written():
    stored = as_stored(Chunk.build([FULL, BARE], revision=3, since=1000, marks="abcdefgh"))

    read = decode(stored, Chunk, CHUNK_UPGRADES)
    assert read.read_entries(7) == [FULL, BARE]
    alike = {name for name in FULL.__struct_fields__ if getattr(FULL, name) == getattr(BARE, name)}
    assert alike == {"chunk", "content"}, "only what differs from the default is seen to come back"
    assert (read.format, read.revision, read.since, read.marks) == (FORMAT, 3, 1000, "abcdefgh")


def test_a_field_with_its_default_value_is_left_out():
    assert as_stored(Chunk.build([BARE], revision=1, since=0))["entries"] == {"device-0001": {"c": "content"}}


def test_the_stored_defaults_are_those_of_an_entry():
    """Otherwise a field that is left out would come back as something else."""
    chunk = Chunk(revision=1, since=0, entries={"device-0001": journal_format.StoredEntry(content="content")})

    assert chunk.read_entries(7) == [BARE]


def test_a_meta_record_comes_back_as_it_was_written():
    meta = Meta(generation=2, clears=1, holder="me", revisions=[3, 1], state={"wave": 1})

    assert decode(as_stored(meta), Meta, META_UPGRADES) == meta


def test_a_full_chunk_fits_into_the_state_store():
    sid = 32 * "f"
    entries = [
        Entry(f"HS{number:032x}", 1, 11 * "c", "received", 10, 10, f"HG{sid}", f"HS{sid}", 2**31, 2**31)
        for number in range(CHUNK)
    ]
    size = len(json.dumps(encode(Chunk.build(entries, revision=100, since=2**31))))

    assert size <= sum(entry_bytes(entry.sim, None) for entry in entries) <= CHUNK_BYTES
    assert CHUNK_BYTES + MOST_MARKS * MARK + 100 < 65_535


@pytest.mark.parametrize("kind", [Meta, Chunk])
@pytest.mark.parametrize(
    "value", [{}, [], "", "text", 0, 1.5, True, {"format": None}, {"format": "1"}, {"format": True}]
)
def test_what_has_no_format_number_is_no_record(kind, value):
    with pytest.raises(RecordError, match="has no format number"):
        decode(value, kind, {})


@pytest.mark.parametrize("kind", [Meta, Chunk])
def test_a_newer_format_says_that_a_newer_version_wrote_it(kind):
    with pytest.raises(RecordError, match=f"has format {FORMAT + 1}, which a newer version of this provider wrote"):
        decode({"format": FORMAT + 1}, kind, {})


@pytest.mark.parametrize("number", [-1, 0])
def test_an_older_format_that_nothing_upgrades_cannot_be_read(number):
    with pytest.raises(RecordError, match=f"has format {number}, which this version of the provider cannot read"):
        decode({"format": number}, Meta, {})


def test_an_older_format_is_upgraded_step_by_step():
    steps = []

    def rename(old):
        steps.append(old["format"])
        return {**old, "generation": old["journal"], "journal": None}

    def drop(old):
        steps.append(old["format"])
        del old["journal"]
        return old

    read = decode(
        {"format": -1, "journal": 4, "clears": 0, "holder": "me"}, Meta, {FORMAT - 2: rename, FORMAT - 1: drop}
    )

    assert (read.format, read.generation) == (FORMAT, 4)
    assert steps == [FORMAT - 2, FORMAT - 1]


@pytest.mark.parametrize("value", [{"format": 0}, {"format": 0, "entries": 5}, {"format": 0, "entries": {"one": []}}])
def test_an_older_record_that_is_damaged_is_no_error_of_the_upgrade(value):
    def upgrade(old):
        return {**old, "entries": {sim: {"c": fields[0]} for sim, fields in old["entries"].items()}}

    with pytest.raises(RecordError, match="has format 0 and cannot be upgraded"):
        decode(value, Chunk, {0: upgrade})


@pytest.mark.parametrize(
    "change",
    [
        {"since": "yesterday"},
        {"since": None},
        {"revision": 0},
        {"revision": 2**70},
        {"entries": []},
        {"entries": {"one": {}}},
        {"entries": {"one": ["content", "sent"]}},
        {"entries": {"one": {"c": "content", "sent": -1}}},
        {"entries": {"one": {"c": "content", "sent": 2**70}}},
        {"entries": {"one": {"c": "content", "at": "2"}}},
        {"entries": {"one": {"c": "content", "unknown": 1}}},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_wrong_field_is_named(change):
    with pytest.raises(RecordError, match=r"is damaged \("):
        decode({**as_stored(Chunk.build([BARE], revision=1, since=0)), **change}, Chunk, {})


def test_the_error_says_first_what_happened_and_last_where():
    text = str(JournalError("s3://bucket/dag/run/task/-1", "supersim_ledger_0_3", "chunk 3 of 12 is missing"))

    assert text[:90].startswith("Ledger unreadable: chunk 3 of 12 is missing. Nothing is sent")
    assert text.endswith("Place: s3://bucket/dag/run/task/-1, key supersim_ledger_0_3")


def test_a_record_is_made_of_json_types_alone():
    """Airflow's state store refuses a tuple, which ``json.dumps`` would take."""
    entry = Entry("device-0001", 0, "content", "sent", 2, 0, "HG3", "HS1", 100, 200, None, ("HG1", "HG2"))
    written = encode(Chunk.build([entry], revision=1, since=100))

    assert json.loads(json.dumps(written)) == written
    assert decode(written, Chunk, {}).read_entries(0) == [entry]
