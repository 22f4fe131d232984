"""What an older release wrote is read, or refused by name; it never crashes a reader."""

import json
import sqlite3
from pathlib import Path

import pytest

from upcall.operations.records import Operation, decode
from upcall.store.migrations import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION
from upcall.store.sqlite import SqliteStore

LOST = {
    "type": "operation", "id": "op-1", "kind": "lost", "class": "involuntary", "reason": "", "asked_by": "upcall",
    "target": {"service": "log", "members": ["b1"], "incarnations": [1]}, "state": "executing", "version": 2,
}  # fmt: skip
CONSENT = {
    "type": "consent", "service": "log", "epoch": {"start": 1, "n": 2},
    "answers": {"op-1": {"verdict": "prefer", "choice": "elsewhere", "at_s": 1.0, "until_s": 9.0}},
}  # fmt: skip


def store_of(path: Path, schema: int, records: dict[tuple[str, str], object]) -> SqliteStore:
    connection = sqlite3.connect(path)
    for migration in MIGRATIONS[:schema]:
        for statement in migration:
            connection.execute(statement)
    for number, ((kind, key), record) in enumerate(records.items(), 1):
        value = json.dumps({"format": 1, "record": record}).encode()
        connection.execute("INSERT INTO records VALUES (?, ?, ?, ?)", (kind, key, value, number))
    connection.execute(f"PRAGMA user_version = {schema}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.commit()
    connection.close()
    return SqliteStore(path)


@pytest.mark.parametrize(("before", "word"), [("in_place", "restart"), ("elsewhere", "replace"), ("renew", "renew")])
def test_how_a_lost_member_comes_back_is_read_from_an_older_store_in_the_words_of_today(
    tmp_path: Path, before: str, word: str
) -> None:
    assert SCHEMA_VERSION >= 3
    written = {("ledger/operation", "op-1"): {**LOST, "choice": before}, ("ledger/operation", "op-2"): LOST}
    store = store_of(tmp_path / "records.db", 2, written)  # type: ignore[arg-type]
    found = [decode(record.value) for record in store.load("ledger/operation")]
    assert all(isinstance(one, Operation) for one in found)
    assert [one.choice for one in found if isinstance(one, Operation)] == [word, ""]
    store.close()


def test_answers_of_an_older_store_are_void_as_after_every_start(tmp_path: Path) -> None:
    store = store_of(tmp_path / "records.db", 2, {("ledger/consent", "log"): CONSENT})
    assert list(store.load("ledger/consent")) == []
    store.close()
