"""Records in SQLite: write-ahead log, ``synchronous=FULL``.

``FULL`` flushes the log at every commit, so what was acknowledged survives a power cut; one commit carries a whole
group of changes, which is what makes that affordable. Readers have a connection of their own: in WAL mode they see
the last commit and never wait for the writer's flush.

A commit that fails half-way (full disk) is rolled back by SQLite; the connection is then opened anew, because after
an I/O error the page cache may hold what the disk does not. A failed *flush* is the one uncertain case: the changes
are invisible from then on, but a crash right after it may bring them back. That is harmless here: nothing was
acknowledged, and each record stands alone.

A lock file keeps a second process out; the kernel frees it when the holder dies, however it dies. Where it does not
(somebody deleted it, the file system only seems to lock), the start number does: it is compared in the same transaction
as what is written.
"""

import fcntl
import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from upcall.store.interface import (
    Append,
    BlobMismatch,
    Busy,
    Change,
    CommitFailed,
    Corrupt,
    Delete,
    Event,
    Put,
    Record,
    StoreError,
    Superseded,
    TooLarge,
    VersionConflict,
)
from upcall.store.migrations import migrate, version_of
from upcall.store.starts import Starts, announce

EVENTS_MAX: Final = 100_000
"""Events kept for each cluster; older ones go. A day of a busy cluster, some tens of MiB."""
RECORD_BYTES_MAX: Final = 4 << 20
"""A record is small; a large thing is a blob."""
BLOB_BYTES_MAX: Final = 64 << 20
"""Lock files and files of packages are below 1 MiB; artifacts never come here."""
FILE_MIB_MAX: Final = 4096
"""Above this size of the file a commit fails as on a full disk, instead of eating the disk of everything else."""
LOG_BYTES_MAX: Final = 16 << 20
"""Size to which the write-ahead log is cut back after a checkpoint."""


class SqliteStore:
    """A :class:`~upcall.store.interface.Store` in one file."""

    def __init__(self, path: Path, *, events_max: int = EVENTS_MAX, file_mib_max: float = FILE_MIB_MAX) -> None:
        self._path = path
        self._events_max = events_max
        self._file_mib_max = file_mib_max
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._lock_file = _lock(path)
        try:
            self._writer = self._open()
            self._start = self._take_start()
        except BaseException:
            os.close(self._lock_file)
            raise
        self._reader = self._open()

    def _open(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10.0)
            version = version_of(connection, str(self._path))
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES_MAX}")
            page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {max(1, int(self._file_mib_max * (1 << 20)) // page_bytes)}")
            migrate(connection, version)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, sqlite3.OperationalError):
                raise CommitFailed(f"{self._path} cannot be opened for writing: {error}") from error
            if isinstance(error, sqlite3.DatabaseError):
                raise Corrupt(f"{self._path} is damaged: {error}; restore it, or use another data folder") from error
            raise
        return connection

    def close(self) -> None:
        with self._write_lock, self._read_lock:
            self._writer.close()
            self._reader.close()
            if self._lock_file >= 0:
                os.close(self._lock_file)
                self._lock_file = -1

    # -- starts -----------------------------------------------------------------------------------------------------

    @property
    def start(self) -> int:
        return self._start

    def begin(self) -> int:
        with self._transaction() as connection:
            _count(connection, "start")
        self._start += 1
        announce(self._path, self._start)
        return self._start

    def newest_start(self) -> int:
        ((number,),) = self._rows("SELECT value FROM counter WHERE name = 'start'", ())
        return int(str(number))

    def leads(self) -> bool:
        """The lock is held for as long as this process is there."""
        return True

    def _take_start(self) -> int:
        """Whoever had it before: from here on they are older."""
        with self._atomically() as connection:
            start = _count(connection, "start")
        announce(self._path, start)
        return start

    def starts(self) -> Starts | None:
        try:
            return Starts(self._path)
        except OSError:
            return None

    # -- writes -----------------------------------------------------------------------------------------------------

    def put(self, kind: str, key: str, value: bytes, expected_version: int | None = None) -> int:
        return self.commit((Put(kind, key, value, expected_version),))[0]

    def delete(self, kind: str, key: str, expected_version: int | None = None) -> None:
        self.commit((Delete(kind, key, expected_version),))

    def commit(self, changes: Sequence[Change]) -> list[int]:
        for change in changes:
            if not isinstance(change, Delete) and len(change.value) > RECORD_BYTES_MAX:
                raise TooLarge(f"{_name(change)} has {len(change.value)} bytes; at most {RECORD_BYTES_MAX} are stored")
        # Nothing between is ever seen: the last change of a record is written, over what the first one expects.
        writes: dict[tuple[str, str], Put | Delete] = {}
        with self._transaction() as connection:
            version = _count(connection, "version")
            for change in changes:
                if isinstance(change, Append):
                    self._append(connection, change)
                else:
                    record = change.kind, change.key
                    first = writes.get(record)
                    writes[record] = replace(change, expected_version=first.expected_version) if first else change
            for write in writes.values():
                _write(connection, write, version)
        return [version if isinstance(change, Put) else 0 for change in changes]

    def _append(self, connection: sqlite3.Connection, event: Append) -> None:
        last = connection.execute("SELECT max(sequence) FROM events WHERE cluster = ?", (event.cluster,)).fetchone()[0]
        if event.sequence <= (last or 0):
            raise VersionConflict(f"{_name(event)} comes after event {last}; expected a higher sequence")
        connection.execute("INSERT INTO events VALUES (?, ?, ?)", (event.cluster, event.sequence, event.value))
        connection.execute(
            "DELETE FROM events WHERE cluster = ? AND sequence <= ?", (event.cluster, event.sequence - self._events_max)
        )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A write of this start."""
        with self._atomically() as connection:
            (newest,) = connection.execute("SELECT value FROM counter WHERE name = 'start'").fetchone()
            if newest != self._start:
                raise Superseded(
                    f"{self._path} was opened by start {newest}, and start {self._start} writes to it no more; "
                    f"expected one master for each data folder"
                )
            yield connection

    @contextmanager
    def _atomically(self) -> Iterator[sqlite3.Connection]:
        with self._write_lock:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
                self._writer.execute("COMMIT")
            except sqlite3.Error as error:
                with suppress(sqlite3.Error):
                    self._writer.close()
                # If even this fails, the writer stays closed and each later commit tries and fails the same way.
                with suppress(StoreError):
                    self._writer = self._open()
                raise CommitFailed(f"nothing was written to {self._path}: {error}") from error
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    # -- reads ------------------------------------------------------------------------------------------------------

    def _rows(self, query: str, parameters: tuple[object, ...]) -> list[tuple[object, ...]]:
        try:
            with self._read_lock:
                return self._reader.execute(query, parameters).fetchall()
        except sqlite3.DatabaseError as error:
            raise Corrupt(f"{self._path} cannot be read: {error}") from error

    def get(self, kind: str, key: str) -> Record | None:
        query = "SELECT kind, key, value, version FROM records WHERE kind = ? AND key = ?"
        for row in self._rows(query, (kind, key)):
            return Record(*row)  # type: ignore[arg-type]
        return None

    def load(self, kind: str) -> list[Record]:
        query = "SELECT kind, key, value, version FROM records WHERE kind = ? ORDER BY key"
        return [Record(*row) for row in self._rows(query, (kind,))]  # type: ignore[arg-type]

    def kinds(self) -> list[str]:
        return [str(row[0]) for row in self._rows("SELECT DISTINCT kind FROM records ORDER BY kind", ())]

    def events_after(self, cluster: str, sequence: int, limit: int = 1000) -> list[Event]:
        query = "SELECT cluster, sequence, value FROM events WHERE cluster = ? AND sequence > ? ORDER BY 2 LIMIT ?"
        return [Event(*row) for row in self._rows(query, (cluster, sequence, limit))]  # type: ignore[arg-type]

    def events_bounds(self, cluster: str) -> tuple[int, int]:
        ((first, last),) = self._rows("SELECT min(sequence), max(sequence) FROM events WHERE cluster = ?", (cluster,))
        return (int(first), int(last)) if isinstance(first, int) and isinstance(last, int) else (0, 0)

    # -- blobs ------------------------------------------------------------------------------------------------------

    def put_blob(self, data: bytes, sha256: str = "") -> str:
        if len(data) > BLOB_BYTES_MAX:
            raise TooLarge(f"a blob of {len(data)} bytes; at most {BLOB_BYTES_MAX} are stored")
        actual = hashlib.sha256(data).hexdigest()
        if sha256 and actual != sha256:
            raise BlobMismatch(f"the data have the SHA-256 {actual}; expected {sha256}")
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?, ?)", (actual, len(data), data))
        return actual

    def blob(self, sha256: str) -> bytes | None:
        for (data,) in self._rows("SELECT data FROM blobs WHERE sha256 = ?", (sha256,)):
            assert isinstance(data, bytes)
            if hashlib.sha256(data).hexdigest() != sha256:
                raise Corrupt(f"blob {sha256} in {self._path} does not have this SHA-256 any more")
            return data
        return None

    def has_blob(self, sha256: str) -> bool:
        return bool(self._rows("SELECT 1 FROM blobs WHERE sha256 = ?", (sha256,)))

    def blobs(self) -> dict[str, int]:
        return {str(digest): int(str(size)) for digest, size in self._rows("SELECT sha256, size FROM blobs", ())}

    def delete_blob(self, sha256: str) -> None:
        with self._transaction() as connection:
            connection.execute("DELETE FROM blobs WHERE sha256 = ?", (sha256,))


def _lock(path: Path) -> int:
    lock_path = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CommitFailed(f"{path.parent} is not a writable folder: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise Busy(f"{path} is open in another process; expected one master for each data folder") from None
    return descriptor


def _name(change: Change) -> str:
    if isinstance(change, Append):
        return f"event {change.sequence} of {change.cluster}"
    return f"record {change.kind}/{change.key}"


def _count(connection: sqlite3.Connection, name: str) -> int:
    """The next number of a counter."""
    connection.execute("UPDATE counter SET value = value + 1 WHERE name = ?", (name,))
    (number,) = connection.execute("SELECT value FROM counter WHERE name = ?", (name,)).fetchone()
    return int(number)


def _write(connection: sqlite3.Connection, change: Put | Delete, version: int) -> None:
    """One statement that compares as it writes. What it finds otherwise is read for the refusal alone."""
    expected, record = change.expected_version, (change.kind, change.key)
    if isinstance(change, Put):
        if expected is None:
            done = connection.execute(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", (*record, change.value, version)
            )
        elif expected == 0:
            query = "INSERT INTO records VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
            done = connection.execute(query, (*record, change.value, version))
        else:
            query = "UPDATE records SET value = ?, version = ? WHERE kind = ? AND key = ? AND version = ?"
            done = connection.execute(query, (change.value, version, *record, expected))
    elif expected is None:
        connection.execute("DELETE FROM records WHERE kind = ? AND key = ?", record)
        return
    else:
        query = "DELETE FROM records WHERE kind = ? AND key = ? AND version = ?"
        done = connection.execute(query, (*record, expected))
    if done.rowcount == 0:
        row = connection.execute("SELECT version FROM records WHERE kind = ? AND key = ?", record).fetchone()
        found = row[0] if row else 0
        if found != expected:
            raise VersionConflict(f"{_name(change)} has version {found}; expected {expected}")
