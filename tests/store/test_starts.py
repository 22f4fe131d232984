"""Each opening of a store takes the next start number; whoever is older writes nothing any more."""

import sqlite3
from pathlib import Path

import pytest

from upcall.store import Busy, SqliteStore
from upcall.store.migrations import APPLICATION_ID, MIGRATIONS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.db"


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


def test_the_lock_is_what_keeps_a_second_process_out_otherwise(path: Path) -> None:
    store = SqliteStore(path)
    with pytest.raises(Busy):
        SqliteStore(path)
    assert store.newest_start() == store.start, "who was kept out took no number"
    store.close()
