"""Volumes without a reservation: kept for a grace, set aside, being deleted (:class:`LeftVolumes`).

Deletion needs no acknowledgement: the order to delete is repeated whenever the node registers with the volume, and
forgotten when it registers without it. Until then the record stands, so that a volume whose deletion got lost is
never mistaken for one that nobody knows.
"""

import heapq
from collections.abc import Iterable, Iterator, Set
from dataclasses import replace
from typing import Final

from upcall.kernel.accounts import Accounts
from upcall.kernel.events import DeleteVolumes, Effect, SetAside, Write
from upcall.kernel.records import LEFT, LeftVolumes

DELETING_MAX: Final = 1000
"""Deletions remembered for each node. Beyond, the oldest is forgotten: its volume, if it is still there, will be set
aside for a person to look at."""


SAME_MOMENT_S: Final = 1.0


class LeftBehind:
    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._all: dict[str, LeftVolumes] = {}
        self._by_member: dict[str, dict[str, None]] = {}
        self._by_node: dict[str, dict[str, None]] = {}
        self._due: dict[str, float] = {}
        """Kept volumes -> end of their grace, by the wall clock."""
        self._graces: list[tuple[float, str]] = []
        """A heap of the same; an entry that ``_due`` does not confirm is of an earlier release."""

    def all(self) -> Iterable[LeftVolumes]:
        return self._all.values()

    def of_member(self, member_id: str) -> list[LeftVolumes]:
        return [self._all[key] for key in self._by_member.get(member_id, ())]

    def on_node(self, node: str) -> list[LeftVolumes]:
        return [self._all[key] for key in self._by_node.get(node, ())]

    def get(self, key: str) -> LeftVolumes | None:
        return self._all.get(key)

    def kept(self, member_id: str) -> LeftVolumes | None:
        """What the member's next reservation takes back."""
        kept = [left for left in self.of_member(member_id) if left.state == "kept"]
        return max(kept, key=lambda left: left.fence, default=None)

    def addresses(self) -> Set[str]:
        """Of those whose volumes are kept."""
        return {self._all[key].address for key in self._due}

    def highest_fence(self, member_id: str) -> int:
        return max((left.fence for left in self.of_member(member_id)), default=0)

    def put(self, left: LeftVolumes) -> Iterator[Effect]:
        before = self._all.get(left.key)
        if before is not None and before.state != "deleting":
            self._accounts.give_back(_holder(before))
        self._all[left.key] = left
        self._by_member.setdefault(left.member_id, {})[left.key] = None
        self._by_node.setdefault(left.node, {})[left.key] = None
        if left.state != "deleting":
            self._accounts.hold(_holder(left), left.node, left.amount, fact=True)
        if left.state == "kept":
            self._due[left.key] = left.until_wall_s
            heapq.heappush(self._graces, (self._due[left.key], left.key))
        else:
            self._due.pop(left.key, None)
        yield Write(LEFT, left.key, left)
        if left.state == "aside":
            yield SetAside(left)
        if left.state == "deleting":
            yield DeleteVolumes(left.node, left.member_id, left.fence)
            yield from self._forget_oldest(left.node)

    def drop(self, key: str) -> Iterator[Effect]:
        left = self._all.pop(key)
        self._due.pop(key, None)
        if left.state != "deleting":
            self._accounts.give_back(_holder(left))
        for index, name in ((self._by_member, left.member_id), (self._by_node, left.node)):
            del index[name][key]
            if not index[name]:
                del index[name]
        yield Write(LEFT, key, None)

    def _forget_oldest(self, node: str) -> Iterator[Effect]:
        keys = self._by_node[node]
        if len(keys) > DELETING_MAX:
            deleting = [key for key in keys if self._all[key].state == "deleting"]
            for key in deleting[: max(0, len(deleting) - DELETING_MAX)]:
                yield from self.drop(key)

    def delete(self, left: LeftVolumes) -> Iterator[Effect]:
        if left.state != "deleting":
            yield from self.put(_deleting(left))

    def keep(self, left: LeftVolumes, grace_s: float, until_wall_s: float) -> Iterator[Effect]:
        """What is kept already is kept until then. A word that is repeated moves the end by the time that it took to
        say, which is not worth a record."""
        if abs(left.until_wall_s - until_wall_s) > SAME_MOMENT_S:
            yield from self.put(replace(left, grace_s=grace_s, until_wall_s=until_wall_s))

    def over(self, wall_s: float) -> Iterator[LeftVolumes]:
        while (due_s := self.deadline()) is not None and due_s <= wall_s:
            _, key = heapq.heappop(self._graces)
            yield self._all[key]

    def deadline(self) -> float | None:
        """By the wall clock."""
        while self._graces:
            due_s, key = self._graces[0]
            if self._due.get(key) == due_s and self._all[key].state == "kept":
                return due_s
            heapq.heappop(self._graces)
        return None

    def reconcile(self, node: str, listed: Iterable[tuple[str, int]]) -> Iterator[Effect]:
        """The node registered with these (member id, fence): repeats deletions, forgets what is not there."""
        there = {f"{member_id}/{fence}@{node}" for member_id, fence in listed}
        for left in self.on_node(node):
            if left.key not in there:
                yield from self.drop(left.key)
            elif left.state == "deleting":
                yield DeleteVolumes(node, left.member_id, left.fence)


def _holder(left: LeftVolumes) -> str:
    return f"left {left.key}"


def _deleting(left: LeftVolumes) -> LeftVolumes:
    return replace(left, state="deleting", grace_s=0.0, until_wall_s=0.0, reason="")
