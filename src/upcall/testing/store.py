"""A store in memory, with the versions and the start numbers of a real one. What is not a record is not kept."""

import hashlib
from collections.abc import Sequence

from upcall.store.interface import BlobMismatch, Change, Delete, Event, Put, Record, VersionConflict


class MemoryStore:
    """Implements :class:`upcall.store.interface.Store`."""

    def __init__(self) -> None:
        self.start = 1
        self._records: dict[tuple[str, str], Record] = {}
        self._blobs: dict[str, bytes] = {}
        self._version = 0

    def begin(self) -> int:
        self.start += 1
        return self.start

    def newest_start(self) -> int:
        return self.start

    def leads(self) -> bool:
        return True

    def starts(self) -> None:
        """Nobody else opens it."""

    # -- records ----------------------------------------------------------------------------------------------------

    def put(self, kind: str, key: str, value: bytes, expected_version: int | None = None) -> int:
        return self.commit([Put(kind, key, value, expected_version)])[0]

    def delete(self, kind: str, key: str, expected_version: int | None = None) -> None:
        self.commit([Delete(kind, key, expected_version)])

    def commit(self, changes: Sequence[Change]) -> list[int]:
        before = {key: record.version for key, record in self._records.items()} if len(changes) > 1 else None
        return [self._change(change, before) for change in changes]

    def _change(self, change: Change, before: dict[tuple[str, str], int] | None) -> int:
        if not isinstance(change, Put | Delete):
            return 0
        key = (change.kind, change.key)
        known = self._records.get(key)
        stands = before.get(key, 0) if before is not None else known.version if known else 0
        if change.expected_version is not None and change.expected_version != stands:
            raise VersionConflict(f"{key} has version {stands}, not {change.expected_version}")
        if isinstance(change, Delete):
            self._records.pop(key, None)
            return 0
        self._version += 1
        self._records[key] = Record(change.kind, change.key, change.value, self._version)
        return self._version

    def get(self, kind: str, key: str) -> Record | None:
        return self._records.get((kind, key))

    def load(self, kind: str) -> list[Record]:
        return [self._records[key] for key in sorted(self._records) if key[0] == kind]

    def kinds(self) -> list[str]:
        return sorted({kind for kind, _ in self._records})

    # -- events and blobs -------------------------------------------------------------------------------------------

    def events_after(self, cluster: str, sequence: int, limit: int = 1000) -> list[Event]:
        return []

    def events_bounds(self, cluster: str) -> tuple[int, int]:
        return 0, 0

    def put_blob(self, data: bytes, sha256: str = "") -> str:
        found = hashlib.sha256(data).hexdigest()
        if sha256 not in ("", found):
            raise BlobMismatch(f"these bytes are {found}, not {sha256}")
        self._blobs[found] = data
        return found

    def blob(self, sha256: str) -> bytes | None:
        return self._blobs.get(sha256)

    def has_blob(self, sha256: str) -> bool:
        return sha256 in self._blobs

    def blobs(self) -> dict[str, int]:
        return {sha256: len(data) for sha256, data in self._blobs.items()}

    def delete_blob(self, sha256: str) -> None:
        self._blobs.pop(sha256, None)

    def close(self) -> None:
        pass
