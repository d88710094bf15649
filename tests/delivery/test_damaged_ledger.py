"""A ledger that cannot be read sends nothing, says what is wrong and where, and can be read once it is restored."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import TextStore, commands_by_device, devices, entries, once_each, open_client, rollout, rules

from airflow_provider_supersim.delivery.once.before import Before
from airflow_provider_supersim.delivery.once.held_journal import LedgerTakenError
from airflow_provider_supersim.delivery.once.journal_format import CHUNK_UPGRADES, FORMAT, META_UPGRADES, JournalError
from airflow_provider_supersim.delivery.once.ledger import CHUNK, Ledger
from airflow_provider_supersim.delivery.once.store import Store
from airflow_provider_supersim.runs.stores import ObjectStorageStore, TaskStateStore
from airflow_provider_supersim.testing import Simulator

pytestmark = pytest.mark.anyio

META = "supersim_ledger"
CHUNKS = [f"supersim_ledger_0_{number}" for number in range(3)]
TI = SimpleNamespace(dag_id="nightly", run_id="run", task_id="roll_out", map_index=-1, max_tries=0)


class Kept(Protocol):
    """A store, and what it keeps, to be damaged."""

    store: Store

    def read(self, key: str) -> str: ...
    def write(self, key: str, text: str | None) -> None: ...


class Folder:
    def __init__(self, path: Path) -> None:
        self.store = ObjectStorageStore(str(path), {"ti": TI})
        self._path = Path(self.store.place)

    def read(self, key: str) -> str:
        return (self._path / f"{key}.json").read_text()

    def write(self, key: str, text: str | None) -> None:
        if text is None:
            (self._path / f"{key}.json").unlink()
        else:
            (self._path / f"{key}.json").write_text(text, errors="surrogateescape")


class Airflows:
    """Airflow's task state store, whose database holds JSON as text."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self.store = TaskStateStore(self, {"ti": TI})

    def get(self, key: str) -> Any:
        return json.loads(self._texts[key]) if key in self._texts else None

    def set(self, key: str, value: Any) -> None:
        self._texts[key] = json.dumps(value)

    def read(self, key: str) -> str:
        return self._texts[key]

    def write(self, key: str, text: str | None) -> None:
        if text is None:
            del self._texts[key]
        else:
            self._texts[key] = text


@pytest.fixture(params=["folder", "airflow"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    return Folder(tmp_path) if request.param == "folder" else Airflows()


async def opened(kept: Kept, **options: Any) -> Ledger:
    return await Ledger.open(kept.store, **{"clears": 0, "restart": False, **options})


async def written(kept: Kept) -> Ledger:
    """A journal of three chunks, each written twice, and a meta record that knows it."""
    ledger = await opened(kept)
    for number in range(3):
        (entry,) = await ledger.write_ahead({f"device-{number}": "content"}, Before(1000))
        ledger.refuse(entry, ValueError("no"))
        await ledger.save_changed()
    await ledger.save_state()
    return ledger


def changed(text: str, **fields: Any) -> str:
    return json.dumps({**json.loads(text), **fields})


DAMAGES = {
    "missing": lambda text: None,
    "null": lambda text: "null",
    "{}": lambda text: "{}",
    "[]": lambda text: "[]",
    "a text": lambda text: '"supersim"',
    "a number": lambda text: "1",
    "of a newer format": lambda text: changed(text, format=FORMAT + 1),
    "of an unknown format": lambda text: changed(text, format=-1),
    "without a format": lambda text: text.replace('"format"', '"former"'),
    "with a wrong type": lambda text: changed(text, format=FORMAT, entries=5, holder=5),
    "empty": lambda text: "",
    "cut": lambda text: text[: len(text) // 2],
    "two in one": lambda text: text + text,
    "not UTF-8": lambda text: text.replace("device", "\udcff").replace("holder", "\udcff"),
}


@pytest.mark.parametrize("key", [META, *CHUNKS])
@pytest.mark.parametrize("damage", DAMAGES)
async def test_every_damage_is_an_error_that_names_the_place_and_can_be_retried(
    kept: Kept, key: str, damage: str
) -> None:
    await written(kept)
    whole = kept.read(key)
    kept.write(key, DAMAGES[damage](whole))

    for _ in range(2):  # the first retry does not make it look whole
        with pytest.raises(JournalError) as caught:
            await opened(kept)
        assert caught.value.key == key
        assert caught.value.place == kept.store.place
        assert str(caught.value).startswith("Ledger unreadable: ")

    kept.write(key, whole)
    assert len(entries(await opened(kept))) == 3


@pytest.mark.parametrize("key", CHUNKS)
async def test_an_older_copy_of_a_chunk_is_an_error(kept: Kept, key: str) -> None:
    ledger = await written(kept)
    older = kept.read(key)
    await ledger.save(CHUNKS.index(key))
    await ledger.save_state()
    newest = kept.read(key)
    kept.write(key, older)

    with pytest.raises(JournalError, match=r"chunk \d of 3 is an older copy: revision 2, not 3"):
        await opened(kept)

    kept.write(key, newest)
    assert len(entries(await opened(kept))) == 3


async def test_an_older_meta_record_loses_no_chunk(kept: Kept) -> None:
    ledger = await opened(kept)
    older = kept.read(META)
    for number in range(3):
        await ledger.write_ahead({f"device-{number}": "content"}, Before(1000))
    kept.write(META, older)

    again = await opened(kept)
    assert len(entries(again)) == 3
    await again.save_state()
    kept.write(CHUNKS[1], None)
    with pytest.raises(JournalError, match="chunk 2 of 3 is missing"):
        await opened(kept)


async def test_a_restart_after_a_clear_does_not_need_the_damaged_chunks(kept: Kept) -> None:
    await written(kept)
    kept.write(CHUNKS[1], "{}")

    with pytest.raises(JournalError):
        await opened(kept, clears=1, restart=False)
    assert not entries(await opened(kept, clears=2, restart=True))


@pytest.mark.parametrize("key", [META, *CHUNKS])
async def test_a_journal_of_an_older_format_is_upgraded_piece_by_piece(
    kept: Kept, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Format 0 is invented: its meta record calls the holder "owner", its entries are lists."""
    await written(kept)
    record = json.loads(kept.read(key))
    if key == META:
        record["owner"] = record.pop("holder")
    else:
        record["entries"] = {sim: list(fields.values()) for sim, fields in record["entries"].items()}
    kept.write(key, json.dumps({**record, "format": 0}))

    with pytest.raises(JournalError, match="has format 0, which this version of the provider cannot read"):
        await opened(kept)

    def upgrade_meta(old: dict[str, Any]) -> dict[str, Any]:
        return {"holder": old.pop("owner"), **old}

    def upgrade_chunk(old: dict[str, Any]) -> dict[str, Any]:
        return {
            **old,
            "entries": {sim: dict(zip(["c", "st", "err"], one, strict=True)) for sim, one in old["entries"].items()},
        }

    monkeypatch.setitem(META_UPGRADES, 0, upgrade_meta)
    monkeypatch.setitem(CHUNK_UPGRADES, 0, upgrade_chunk)
    ledger = await opened(kept)
    assert {entry.error for entry in entries(ledger).values()} == {"no"}
    assert len(entries(ledger)) == 3

    for number in range(3):
        await ledger.save(number)
    assert {json.loads(kept.read(one))["format"] for one in [META, *CHUNKS]} == {FORMAT}


async def test_a_meta_record_that_is_damaged_while_commands_are_sent_stops_them(kept: Kept) -> None:
    ledger = await written(kept)
    kept.write(META, "{}")

    with pytest.raises(JournalError):
        await ledger.write_ahead({"device-4": "content"}, Before(1000))
    with pytest.raises(JournalError):
        await ledger.save_state()
    assert kept.read(META) == "{}"


async def test_the_owners_state_that_cannot_be_read_is_the_same_error(kept: Kept) -> None:
    error = (await opened(kept)).unreadable("the rollout's state is damaged")

    assert (error.place, error.key, error.what) == (kept.store.place, META, "the rollout's state is damaged")


@pytest.mark.parametrize("key", [META, CHUNKS[0], CHUNKS[2]])
async def test_no_device_gets_a_second_command_from_a_damaged_ledger(
    kept: Kept, key: str, simulator: Simulator
) -> None:
    simulator.reset(sims=2 * CHUNK + 100, settle=0)
    targets = devices(2 * CHUNK + 100)

    async def a_try() -> None:
        async with open_client(simulator.url) as client:
            await rollout(client, await opened(kept), targets, rules()).advance()

    await a_try()
    whole = kept.read(key)
    for damaged in (None, "{}", "", whole[: len(whole) // 2]):
        kept.write(key, damaged)
        with pytest.raises(JournalError):
            await a_try()
        kept.write(key, whole)
    await a_try()
    assert commands_by_device(simulator) == once_each(targets)


class Dying(TextStore):
    """A store that cannot be reached after some writes, as for a process that dies."""

    writes_left = 10_000

    def set(self, key: str, value: Any) -> None:
        if self.writes_left == 0:
            raise OSError("the store cannot be reached")
        self.writes_left -= 1
        super().set(key, value)


@pytest.mark.parametrize("writes", range(9))
async def test_what_was_written_ahead_is_never_lost_and_what_was_not_never_left(writes: int) -> None:
    """If a process dies before any of its writes, the next try knows each command that could leave."""
    store = Dying()
    ledger = await Ledger.open(store, clears=0, restart=False)
    store.writes_left, left = writes, set()

    async def write_ahead() -> None:
        for number in range(10):
            await ledger.write_ahead({f"device-{number}": "content"}, Before(1000))
            left.add(f"device-{number}")

    with pytest.raises(OSError, match="cannot be reached"):
        await write_ahead()

    store.writes_left = 10_000
    found = set(entries(await Ledger.open(store, clears=0, restart=False)))
    assert left <= found
    assert len(found - left) <= 1  # it was about to be sent: it is looked up


async def test_a_process_that_lost_its_ledger_does_not_take_it_back_with_a_new_chunk() -> None:
    class Overtaken(TextStore):
        """Another process opens the ledger while a chunk is being written."""

        def set(self, key: str, value: Any) -> None:
            super().set(key, value)
            if key == CHUNKS[0] and not self.taken:
                self.taken = True
                self.texts[META] = changed(self.texts[META], holder="another")

        taken = False

    store = Overtaken()
    ledger = await Ledger.open(store, clears=0, restart=False)
    with pytest.raises(LedgerTakenError):
        await ledger.write_ahead({"device-0": "content"}, Before(1000))
    assert json.loads(store.texts[META])["holder"] == "another"


@pytest.fixture(scope="module")
def journal() -> dict[str, str]:
    store = TextStore()

    async def write() -> None:
        ledger = await Ledger.open(store, clears=0, restart=False)
        (entry,) = await ledger.write_ahead({"device-0": "content"}, Before(1000))
        ledger.refuse(entry, ValueError("no"))
        await ledger.save_changed()
        await ledger.save_state()

    anyio.run(write)
    return store.texts


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["c", "sid", "\ud800", "format"]), inner)
    ),
    max_leaves=5,
)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_a_record_holds_nothing_else_is_raised(journal: dict[str, str], data: st.DataObject) -> None:
    """If any part of a record is exchanged for any value, the ledger opens or says that it cannot be read."""
    texts = dict(journal)
    key = data.draw(st.sampled_from(sorted(texts)))
    whole = json.loads(texts[key])
    part, name = {"record": whole}, "record"
    while isinstance(part[name], dict) and part[name] and data.draw(st.booleans()):
        part, name = part[name], data.draw(st.sampled_from(sorted(part[name])))
    if part is not whole and name == "record":
        whole = data.draw(JSON)
    else:
        part[name] = data.draw(JSON)
    texts[key] = json.dumps(whole)

    try:
        ledger = anyio.run(lambda: Ledger.open(TextStore(texts=texts), clears=0, restart=False))
    except JournalError:
        return
    assert isinstance(ledger.state, dict)
    assert len(entries(ledger)) <= 1


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_file_that_is_cut_anywhere_is_an_error(
    journal: dict[str, str], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    key = data.draw(st.sampled_from(sorted(journal)))
    kept = Folder(tmp_path_factory.mktemp("ledger"))
    for name, text in journal.items():
        kept.write(name, text)
    kept.write(key, journal[key][: data.draw(st.integers(0, len(journal[key]) - 1))])

    with pytest.raises(JournalError):
        anyio.run(lambda: opened(kept))
