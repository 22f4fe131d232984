"""Each opening of a store takes the next start number; whoever is older writes nothing any more."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upcall.store import Append, Busy, Delete, Put, SqliteStore, Superseded, VersionConflict
from upcall.store.migrations import APPLICATION_ID, MIGRATIONS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.db"


def unlocked(path: Path) -> SqliteStore:
    """As where the lock does not keep a second one out: its file was deleted."""
    path.with_name(path.name + ".lock").unlink(missing_ok=True)
    return SqliteStore(path)


def test_each_opening_and_each_new_beginning_takes_the_next_number(path: Path) -> None:
    store = SqliteStore(path)
    assert (store.start, store.newest_start()) == (1, 1)
    assert (store.begin(), store.start) == (2, 2)
    store.put("k", "a", b"1")
    store.close()
    again = SqliteStore(path)
    assert again.start == 3
    again.close()


WRITES: dict[str, Callable[[SqliteStore], object]] = {
    "a record": lambda store: store.put("k", "new", b"1"),
    "a record whose version is right": lambda store: store.put("k", "a", b"2", expected_version=version_of(store)),
    "a deletion": lambda store: store.delete("k", "a"),
    "an event": lambda store: store.commit([Append("c", 9, b"")]),
    "a blob": lambda store: store.put_blob(b"lock"),
    "a blob's deletion": lambda store: store.delete_blob("0" * 64),
    "a new beginning": lambda store: store.begin(),
}


def version_of(store: SqliteStore) -> int:
    found = store.get("k", "a")
    assert found is not None
    return found.version


@pytest.mark.parametrize("write", WRITES)
def test_nothing_is_written_by_an_older_start(path: Path, write: str) -> None:
    older = SqliteStore(path)
    older.put("k", "a", b"1")
    newer = unlocked(path)
    before = (newer.load("k"), newer.blobs(), newer.events_bounds("c"), newer.newest_start())
    with pytest.raises(Superseded, match="was opened by start 2, and start 1 writes to it no more"):
        WRITES[write](older)
    assert (newer.load("k"), newer.blobs(), newer.events_bounds("c"), newer.newest_start()) == before
    assert older.newest_start() > older.start, "and it can see that"
    newer.put("k", "a", b"3")
    older.close()
    newer.close()


def test_a_store_of_the_first_schema_goes_on_with_the_next_number(path: Path) -> None:
    connection = sqlite3.connect(path)
    for statement in MIGRATIONS[0]:
        connection.execute(statement)
    connection.execute("INSERT INTO records VALUES ('master', 'start', ?, 7)", (b'{"start":41}',))
    connection.execute("INSERT INTO records VALUES ('k', 'a', ?, 3)", (b"1",))
    connection.execute("PRAGMA user_version = 1")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.commit()
    connection.close()
    store = SqliteStore(path)
    assert store.start == 42
    assert [(each.kind, each.key, each.version) for kind in store.kinds() for each in store.load(kind)] == [
        ("k", "a", 3)
    ]
    store.close()


Step = tuple[str, int, str, bytes]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "delete", "open", "read"]), st.integers(0, 3), st.sampled_from("ab"), st.binary()
        ),
        max_size=40,
    )
)
def test_of_many_writers_the_newest_alone_writes_and_over_nothing_that_it_has_not_seen(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    """Each writer names the version that it knows. What stands in the end is what the accepted writes came to."""
    path = tmp_path_factory.mktemp("starts") / "records.db"
    stores, known = [unlocked(path)], [dict[str, int]()]
    model: dict[str, tuple[bytes, int]] = {}
    for action, which, key, value in steps:
        who = which % len(stores)
        expected = known[who].get(key, 0)
        newest, current = who == len(stores) - 1, model[key][1] if key in model else 0
        if action == "open" and len(stores) < 4:
            stores.append(unlocked(path))
            known.append({})
        elif action == "read":
            known[who] = {record.key: record.version for record in stores[who].load("k")}
        elif action in ("put", "delete"):
            change = Put("k", key, value, expected) if action == "put" else Delete("k", key, expected)
            if not newest or expected != current:
                with pytest.raises(VersionConflict if newest else Superseded):
                    stores[who].commit([change])
                continue
            (version,) = stores[who].commit([change])
            model.pop(key, None)
            known[who].pop(key, None)
            if action == "put":
                model[key] = value, version
                known[who][key] = version
    assert {each.key: (each.value, each.version) for each in stores[0].load("k")} == model
    for store in stores:
        store.close()


def test_the_lock_is_what_keeps_a_second_process_out_otherwise(path: Path) -> None:
    store = SqliteStore(path)
    with pytest.raises(Busy):
        SqliteStore(path)
    assert store.newest_start() == store.start, "who was kept out took no number"
    store.close()
