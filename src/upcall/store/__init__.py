"""Durable records with versions, behind one small interface (:mod:`upcall.store.interface`)."""

from upcall.store.interface import (
    Append,
    BlobMismatch,
    Busy,
    Change,
    CommitFailed,
    Corrupt,
    Delete,
    Event,
    FutureVersion,
    Put,
    Record,
    Store,
    StoreError,
    Superseded,
    TooLarge,
    VersionConflict,
)
from upcall.store.sqlite import SqliteStore

__all__ = [
    "Append",
    "BlobMismatch",
    "Busy",
    "Change",
    "CommitFailed",
    "Corrupt",
    "Delete",
    "Event",
    "FutureVersion",
    "Put",
    "Record",
    "SqliteStore",
    "Store",
    "StoreError",
    "Superseded",
    "TooLarge",
    "VersionConflict",
]
