"""Which version of each record this master knows: what its writes expect to find.

A version is learnt when a record is read or written, and compared at the next write of it. So what somebody else wrote
in between is never overwritten: that write is refused, and the master begins again from the records.
"""

from collections.abc import Iterable, Sequence

from upcall.store.interface import Change, Delete, Put, Record


class Versions:
    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._known: dict[str, dict[str, int]] = {}
        """Kind -> key -> version."""
        for record in records:
            self._known.setdefault(record.kind, {})[record.key] = record.version

    def expecting(self, changes: Iterable[Put | Delete]) -> list[Change]:
        """The same changes, each with the version that has to stand there before them."""
        found: list[Change] = []
        for change in changes:
            of_kind = self._known.get(change.kind)
            version = of_kind.get(change.key, 0) if of_kind is not None else 0
            if isinstance(change, Put):
                found.append(Put(change.kind, change.key, change.value, version))
            else:
                found.append(Delete(change.kind, change.key, version))
        return found

    def written(self, changes: Sequence[Change], versions: Sequence[int]) -> None:
        for change, version in zip(changes, versions, strict=True):
            if isinstance(change, Put):
                self._known.setdefault(change.kind, {})[change.key] = version
            elif isinstance(change, Delete):
                self._known.get(change.kind, {}).pop(change.key, None)
