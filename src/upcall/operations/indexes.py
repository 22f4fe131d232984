"""What the ledger looks things up by: derived from the records, and moved along with every write.

With these an input costs what it touches: no rule searches all members or all operations for the few that it is about.
Nothing here is recorded, and nothing is decided here; indexes that are made of the same records find the same.
"""

from bisect import bisect_right, insort
from collections.abc import Iterator
from typing import Final

from upcall.operations.records import MemberRecord, Operation
from upcall.operations.table import KINDS

_STANDS: Final = frozenset({"open", "executing", "done"})
"""States in which maintenance and shutdown are in effect."""

Keys = dict[str, None]
"""A set that keeps its order, which is that of creation."""


class Indexes:
    def __init__(self) -> None:
        self.members_of: dict[str, Keys] = {}
        """Service -> members by name, tombstones too."""
        self.members_on: dict[str, Keys] = {}
        """Node -> members that were seen there last."""
        self.leaving: Keys = {}
        """Members of which an incarnation runs beside the current one."""
        self.tombstones: Keys = {}
        self.on_member: dict[str, Keys] = {}
        """Member -> every operation on record that names it."""
        self.live_on: dict[str, Keys] = {}
        """Member -> those of them that are live."""
        self.live: dict[str, Keys] = {}
        """Service -> its live operations."""
        self.begun: dict[str, Keys] = {}
        """Service -> those of them that have begun and take something away, in the order of their numbers."""
        self.standing: Keys = {}
        """Maintenance and shutdown in effect."""
        self.all_live: Keys = {}
        """All of the two above."""
        self.below: dict[str, Keys] = {}
        """Operation -> what was proposed below it."""
        self.by_key: dict[str, str] = {}
        """Idempotency key -> operation."""
        self.numbers: list[int] = []
        """Of the operations on record, rising."""
        self._named: dict[str, int] = {}
        """Operation -> how often members name it as what launched or ended them."""

    def copy(self) -> "Indexes":
        copy = Indexes()
        for name, index in vars(self).items():
            if isinstance(index, list):
                setattr(copy, name, list(index))
            else:
                setattr(copy, name, {k: dict(v) if isinstance(v, dict) else v for k, v in index.items()})
        return copy

    def named(self, operation: str) -> bool:
        return operation in self._named

    def after(self, number: int, most: int) -> list[int]:
        """The next numbers of operations, without the highest: from that the next one is made."""
        start = bisect_right(self.numbers, number)
        return self.numbers[start : min(start + most, len(self.numbers) - 1)]

    # -- members ----------------------------------------------------------------------------------------------------

    def file_member(self, member: MemberRecord, before: MemberRecord | None) -> None:
        known = self.members_of.setdefault(member.service, {})
        if member.key not in known:
            self.members_of[member.service] = dict.fromkeys(sorted([*known, member.key]))
        if before is not None:
            self._off(before)
        _keep(self.members_on.setdefault(member.node, {}), member.key, stays=True)
        _keep(self.leaving, member.key, stays=member.leaving is not None)
        _keep(self.tombstones, member.key, stays=member.removed is not None)
        for operation in _causes(member):
            self._named[operation] = self._named.get(operation, 0) + 1

    def unfile_member(self, member: MemberRecord) -> None:
        self.members_of.get(member.service, {}).pop(member.key, None)
        self.leaving.pop(member.key, None)
        self.tombstones.pop(member.key, None)
        self._off(member)

    def _off(self, member: MemberRecord) -> None:
        self.members_on[member.node].pop(member.key, None)
        if not self.members_on[member.node]:
            del self.members_on[member.node]
        for operation in _causes(member):
            self._named[operation] -= 1
            if not self._named[operation]:
                del self._named[operation]

    # -- operations -------------------------------------------------------------------------------------------------

    def file_operation(self, operation: Operation, before: Operation | None) -> None:
        if before is not None and before.target.members != operation.target.members:
            self._off_members(before, keep=operation.target.members)
        for name in operation.target.members:
            member = f"{operation.target.service}.{name}"
            self.on_member.setdefault(member, {})[operation.id] = None
            _keep(self.live_on.setdefault(member, {}), operation.id, stays=operation.live)
        if KINDS[operation.kind].shape in ("node", "system"):
            stays = operation.state in _STANDS
            _keep(self.standing, operation.id, stays=stays)
        else:
            stays = operation.live
            _keep(self.live.setdefault(operation.target.service, {}), operation.id, stays=stays)
            self._keep_begun(operation)
        _keep(self.all_live, operation.id, stays=stays)
        if before is None:
            insort(self.numbers, operation.number)
            if operation.parent:
                self.below.setdefault(operation.parent, {})[operation.id] = None
            if operation.key_given:
                self._newest_of_its_key(operation)

    def _keep_begun(self, operation: Operation) -> None:
        known = self.begun.setdefault(operation.target.service, {})
        if not operation.begun or KINDS[operation.kind].shape == "plan":
            known.pop(operation.id, None)
        elif operation.id not in known:
            in_order = sorted([*known, operation.id], key=lambda key: int(key.removeprefix("op-")))
            self.begun[operation.target.service] = dict.fromkeys(in_order)

    def _newest_of_its_key(self, operation: Operation) -> None:
        """Records may be filed in any order at a start."""
        known = self.by_key.get(operation.key_given)
        if known is None or operation.number > int(known.removeprefix("op-")):
            self.by_key[operation.key_given] = operation.id

    def _off_members(self, operation: Operation, keep: tuple[str, ...] = ()) -> None:
        for name in operation.target.members:
            if name not in keep:
                member = f"{operation.target.service}.{name}"
                self.on_member.get(member, {}).pop(operation.id, None)
                self.live_on.get(member, {}).pop(operation.id, None)

    def unfile_operation(self, operation: Operation) -> None:
        self._off_members(operation)
        self.live.get(operation.target.service, {}).pop(operation.id, None)
        self.begun.get(operation.target.service, {}).pop(operation.id, None)
        self.standing.pop(operation.id, None)
        self.all_live.pop(operation.id, None)
        self.below.get(operation.parent, {}).pop(operation.id, None)
        self.below.pop(operation.id, None)
        if self.by_key.get(operation.key_given) == operation.id:
            del self.by_key[operation.key_given]
        del self.numbers[bisect_right(self.numbers, operation.number) - 1]


def _causes(member: MemberRecord) -> Iterator[str]:
    return (operation for operation in (member.by, member.ended_by) if operation)


def _keep(index: Keys, key: str, *, stays: bool) -> None:
    if stays:
        index[key] = None
    else:
        index.pop(key, None)
