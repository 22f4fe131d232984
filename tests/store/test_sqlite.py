"""What was acknowledged is there; what failed left nothing behind."""

import hashlib
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from upcall.store import (
    Append,
    BlobMismatch,
    Busy,
    CommitFailed,
    Corrupt,
    Delete,
    FutureVersion,
    Put,
    SqliteStore,
    VersionConflict,
)
from upcall.store.migrations import SCHEMA_VERSION


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "with a space" / "records.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    yield store
    store.close()


def test_a_batch_with_one_conflict_leaves_nothing(store: SqliteStore) -> None:
    version = store.put("k", "a", b"1")
    with pytest.raises(VersionConflict):
        store.commit([Put("k", "b", b"2"), Put("k", "a", b"3", expected_version=version + 1)])
    assert [(r.key, r.value, r.version) for r in store.load("k")] == [("a", b"1", version)]
    assert store.put("k", "c", b"") > version


def test_what_a_commit_changes_twice_is_compared_once_with_what_stood_there_before(store: SqliteStore) -> None:
    version = store.put("k", "a", b"1")
    twice = [Delete("k", "a", version), Put("k", "a", b"2", version), Put("k", "a", b"3", version)]
    assert store.commit(twice) == [0, version + 1, version + 1]  # type: ignore[arg-type]
    assert [(r.value, r.version) for r in store.load("k")] == [(b"3", version + 1)]
    with pytest.raises(VersionConflict, match=f"version {version + 1}; expected {version}"):
        store.commit(twice)  # type: ignore[arg-type]


def test_a_full_disk_fails_the_commit_whole_and_later_commits_go_on(path: Path) -> None:
    store = SqliteStore(path, file_mib_max=1)
    store.put("k", "before", b"1")
    with pytest.raises(CommitFailed, match="full"):
        store.commit([Put("k", "half", b"x"), *(Put("k", f"big-{n}", bytes(100_000)) for n in range(20))])
    assert [r.key for r in store.load("k")] == ["before"]
    store.put("k", "after", b"2")
    store.close()
    store = SqliteStore(path)
    assert [r.key for r in store.load("k")] == ["after", "before"]
    store.close()


def test_a_store_that_cannot_write_fails_each_commit_and_keeps_what_it_has(store: SqliteStore) -> None:
    store.put("k", "a", b"1")
    store._writer.close()
    with pytest.raises(CommitFailed):
        store.put("k", "b", b"2")
    assert [r.key for r in store.load("k")] == ["a"]
    store.put("k", "b", b"2")


def test_events_are_in_order_and_bounded(path: Path) -> None:
    store = SqliteStore(path, events_max=10)
    assert store.events_bounds("c") == (0, 0)
    store.commit([Append("c", n, str(n).encode()) for n in range(1, 26)])
    store.commit([Append("other", 1, b"x")])
    assert store.events_bounds("c") == (16, 25)
    assert [e.sequence for e in store.events_after("c", 20)] == [21, 22, 23, 24, 25]
    assert [e.sequence for e in store.events_after("c", 0, limit=3)] == [16, 17, 18]
    assert store.events_after("c", 25) == []
    with pytest.raises(VersionConflict, match="event 25 of c"):
        store.commit([Put("k", "a", b"1"), Append("c", 25, b"again")])
    assert store.load("k") == []
    store.close()


def test_blobs_are_verified(store: SqliteStore) -> None:
    digest = hashlib.sha256(b"lock").hexdigest()
    assert store.put_blob(b"lock") == digest
    assert store.put_blob(b"lock", digest) == digest
    assert store.blob(digest) == b"lock"
    assert store.has_blob(digest)
    with pytest.raises(BlobMismatch, match=digest):
        store.put_blob(b"other", digest)
    store._writer.execute("UPDATE blobs SET data = x'00'")
    with pytest.raises(Corrupt, match=digest):
        store.blob(digest)
    store.delete_blob(digest)
    assert store.blob(digest) is None


def test_a_second_process_is_kept_out_and_the_first_is_not_harmed(path: Path, store: SqliteStore) -> None:
    with pytest.raises(Busy, match="another process"):
        SqliteStore(path)
    store.put("k", "a", b"1")


def test_refuses_a_future_schema_by_name_and_leaves_it_alone(path: Path) -> None:
    SqliteStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(FutureVersion, match=f"schema version {SCHEMA_VERSION + 1}.*up to {SCHEMA_VERSION}"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_refuses_what_is_not_its_own(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    before = foreign.read_bytes()
    with pytest.raises(Corrupt, match="not a database of upcall"):
        SqliteStore(foreign)
    assert foreign.read_bytes() == before
    noise = tmp_path / "noise.db"
    noise.write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    with pytest.raises(Corrupt, match="damaged"):
        SqliteStore(noise)


def test_a_folder_that_is_not_one_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommitFailed, match="not a writable folder"):
        SqliteStore(tmp_path / "file" / "records.db")


def test_readers_in_other_threads_see_only_whole_commits(store: SqliteStore) -> None:
    store.commit([Put("k", "a", b"0"), Put("k", "b", b"0")])
    done = threading.Event()
    torn: list[object] = []

    def read() -> None:
        while not done.is_set():
            values = {record.value for record in store.load("k")}
            if len(values) != 1:
                torn.append(values)

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(50):
        store.commit([Put("k", "a", str(n).encode()), Put("k", "b", str(n).encode())])
    done.set()
    reader.join()
    assert torn == []


WRITER = """
import sys
from pathlib import Path
from upcall.store import Append, Put, SqliteStore
store = SqliteStore(Path(sys.argv[1]), events_max=1_000_000)
number = int(sys.argv[2])
while True:
    number += 1
    value = str(number).encode()
    store.commit([Put("number", f"{number:09}", value), Put("number", "last", value), Append("c", number, value)])
    print(number, flush=True)
"""


def test_what_was_acknowledged_survives_sigkill_at_any_instant(path: Path) -> None:
    acknowledged = 0
    chance = random.Random(5)
    for _ in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(acknowledged)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(chance.randrange(1, 60)):
            acknowledged = int(writer.stdout.readline())
        writer.kill()
        for line in writer.stdout:
            # What the pipe still holds was acknowledged too; a line cut short was not.
            if line.endswith("\n"):
                acknowledged = int(line)
        writer.wait()
        store = SqliteStore(path, events_max=1_000_000)
        numbers = [int(r.value) for r in store.load("number") if r.key != "last"]
        # The commit after the last acknowledged one may have happened; none before it may be missing.
        assert numbers == list(range(1, len(numbers) + 1))
        assert acknowledged <= len(numbers) <= acknowledged + 1
        assert int(store.get("number", "last").value) == len(numbers)  # type: ignore[union-attr]
        assert store.events_bounds("c") == (1, len(numbers))
        acknowledged = len(numbers)
        store.close()
