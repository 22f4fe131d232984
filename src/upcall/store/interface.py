"""What the master asks of a store: records, each with a version.

A record is (kind, key) -> bytes. Its version is opaque, rises with every write and never comes back, not even after
a deletion, so ``expected_version`` tells "unchanged since I read it" from "the same again". No promise may depend on
two records being written at once: :meth:`Store.commit` takes several only because one flush to the disk is cheaper
than many. (With SQLite they do become durable together; in a Kubernetes API server they do not.)

After ``commit`` returns, the changes survive the death of the process and of the machine. After it raises, some first
ones of them may be there, each whole, and none after one that is not. (With SQLite none is.) So the caller puts them
into an order of which each beginning makes sense, and after a failure it throws away what it derived, loads again and
goes on from there.

Who opens a store takes its next *start number*, durably, and every write is of that start. From then on a write of an
older one is refused with :class:`Superseded`, whatever it expects: two masters never both write, even where nothing
else keeps them apart.

Beside the records there are two things with other shapes: ``events``, an append-only log for people, bounded by
count, and ``blobs``, files addressed by their SHA-256.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class StoreError(Exception):
    """Base of what a store may raise."""


class VersionConflict(StoreError):
    """Someone else has written the record since it was read, or the sequence of an event is taken."""


class Superseded(StoreError):
    """A newer start has opened the store. Nothing of this one is written any more: it has to end."""


class CommitFailed(StoreError):
    """The commit is not durable: the disk is full, read-only or broken."""


class TooLarge(StoreError):
    """A value above its bound."""


class BlobMismatch(StoreError):
    """The bytes do not have the SHA-256 that was said."""


class Corrupt(StoreError):
    """What is on the disk is not what was written."""


class FutureVersion(StoreError):
    """The data were written by a newer version, which this one must not touch."""


class Busy(StoreError):
    """Another process has the store open."""


class Record(msgspec.Struct, frozen=True):
    kind: str
    key: str
    value: bytes
    version: int


class Put(msgspec.Struct, frozen=True):
    """``expected_version``: None writes whatever stands there; 0 means that nothing may stand there."""

    kind: str
    key: str
    value: bytes
    expected_version: int | None = None


class Delete(msgspec.Struct, frozen=True):
    """Deleting what is not there is no error, unless a version was expected."""

    kind: str
    key: str
    expected_version: int | None = None


class Append(msgspec.Struct, frozen=True):
    """One event; ``sequence`` is above all before it in this cluster."""

    cluster: str
    sequence: int
    value: bytes


class Event(msgspec.Struct, frozen=True):
    cluster: str
    sequence: int
    value: bytes


Change = Put | Delete | Append


class Starts(Protocol):
    """``descriptor`` is readable once somebody may have started."""

    @property
    def descriptor(self) -> int: ...
    def heard(self) -> None:
        """Before each look at :meth:`Store.newest_start`."""
        ...

    def close(self) -> None: ...


class Store(Protocol):
    """Writes come from one thread at a time; reads may come from any and see what is committed."""

    @property
    def start(self) -> int:
        """The number under which this one writes."""
        ...

    def begin(self) -> int:
        """Takes the next start number, as who begins again from the records does. Refused once it is superseded."""
        ...

    def newest_start(self) -> int:
        """The last number that anybody took: above :attr:`start` once this one is superseded."""
        ...

    def leads(self) -> bool:
        """False: this process was away for so long that another may have opened the store since it last wrote. What is
        to follow from its last write is then found anew from the records, by whoever may. Asks nobody."""
        ...

    def starts(self) -> "Starts | None":
        """To be told when somebody may have taken a number; None where nobody tells, and one has to look."""
        ...

    def put(self, kind: str, key: str, value: bytes, expected_version: int | None = None) -> int:
        """Durable when it returns. Gives the record's new version."""
        ...

    def delete(self, kind: str, key: str, expected_version: int | None = None) -> None: ...

    def commit(self, changes: Sequence[Change]) -> list[int]:
        """All of ``changes``, in order, with one flush. Gives the new version of each one's record; 0 for what has
        none: a deletion, an event. Expected versions are those before the commit: what it changes twice is compared
        once."""
        ...

    def get(self, kind: str, key: str) -> Record | None: ...

    def load(self, kind: str) -> list[Record]:
        """All records of a kind, by key."""
        ...

    def kinds(self) -> list[str]: ...

    def events_after(self, cluster: str, sequence: int, limit: int = 1000) -> list[Event]:
        """The events above ``sequence``, oldest first. The first one may be later than ``sequence + 1``: a gap."""
        ...

    def events_bounds(self, cluster: str) -> tuple[int, int]:
        """(first, last) sequence that is still there; (0, 0) if there was none."""
        ...

    def put_blob(self, data: bytes, sha256: str = "") -> str:
        """Gives the SHA-256 of ``data``, and refuses data that have another than ``sha256``."""
        ...

    def blob(self, sha256: str) -> bytes | None: ...

    def has_blob(self, sha256: str) -> bool: ...

    def blobs(self) -> dict[str, int]:
        """SHA-256 of every blob, and its size in bytes."""
        ...

    def delete_blob(self, sha256: str) -> None: ...

    def close(self) -> None: ...
