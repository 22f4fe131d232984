"""The schema, and how an older one becomes it.

``PRAGMA user_version`` holds the version of the schema; entry *n* of :data:`MIGRATIONS` makes version *n + 1* out of
version *n*. An entry that was released is never edited: a change is a new entry at the end. Each runs in one
transaction together with the new version number, so a crash leaves the older schema whole. A version above the last
one known is refused: an older program must not guess at what a newer one wrote.
"""

import sqlite3
from typing import Final

from upcall.store.interface import Corrupt, FutureVersion

APPLICATION_ID: Final = 0x75706361
"""``upca`` in the file's header: another program's database is refused instead of migrated."""

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        # One counter for the versions of all records: a key that is deleted and written again gets a new version.
        "CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        "INSERT INTO counter VALUES ('version', 0)",
        "CREATE TABLE records (kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, version INTEGER NOT NULL,"
        " PRIMARY KEY (kind, key)) WITHOUT ROWID",
        "CREATE TABLE events (cluster TEXT NOT NULL, sequence INTEGER NOT NULL, value BLOB NOT NULL,"
        " PRIMARY KEY (cluster, sequence)) WITHOUT ROWID",
        "CREATE TABLE blobs (sha256 TEXT PRIMARY KEY, size INTEGER NOT NULL, data BLOB NOT NULL)",
    ),
    (
        # The start number is of the store, compared in each write; it was a record of the master's.
        "INSERT INTO counter SELECT 'start', coalesce((SELECT json_extract(CAST(value AS TEXT), '$.start')"
        " FROM records WHERE kind = 'master' AND key = 'start'), 0)",
        "DELETE FROM records WHERE kind = 'master' AND key = 'start'",
    ),
    (
        # How a lost member comes back is said in the words in which its service answers. Answers themselves are void
        # after a start of the master.
        "DELETE FROM records WHERE kind = 'ledger/consent'",
        *(
            f"UPDATE records SET value = CAST(json_set(CAST(value AS TEXT), '$.record.choice', '{word}') AS BLOB)"
            f" WHERE kind = 'ledger/operation' AND json_extract(CAST(value AS TEXT), '$.record.choice') = '{before}'"
            for before, word in (("in_place", "restart"), ("elsewhere", "replace"))
        ),
    ),
)

SCHEMA_VERSION: Final = len(MIGRATIONS)


def version_of(connection: sqlite3.Connection, where: str) -> int:
    """The schema version of what is there, 0 of an empty file. Refuses what is not ours without touching it."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application_id != APPLICATION_ID and (tables or version):
        raise Corrupt(f"{where} is not a database of upcall; expected an empty data folder or one of upcall")
    if version > SCHEMA_VERSION:
        raise FutureVersion(
            f"{where} has schema version {version}, written by a newer upcall; this one knows versions up to "
            f"{SCHEMA_VERSION}: use the newer upcall, or another data folder"
        )
    return int(version)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Brings an open database from ``version`` to :data:`SCHEMA_VERSION`. The connection is in autocommit mode."""
    for number in range(version, SCHEMA_VERSION):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
