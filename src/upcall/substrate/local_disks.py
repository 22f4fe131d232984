"""What tasks have filled beyond what they may, as their agents tell it: said once, and not promised to anybody else.

A volume is as large as the disk lets it be. So what one holds beyond its size was promised to others, or will be: the
kernel takes it off what the node has, and gives no new place there that would need it. What runs is left alone.
"""

from typing import Final

from msgspec.structs import replace

from upcall.protocol import agent as wire
from upcall.substrate.interface import DiskUse, Filling, Output
from upcall.substrate.local_needs import disk_uses
from upcall.substrate.tasks import parse

CLEAR: Final = 0.9
"""Of its bound; below this what was over is so no more: what lives around its bound is not told again and again."""

Uses = dict[str, DiskUse]
"""By volume, of those that are at least nearly full."""


class Disks:
    """A task that is away (it restarts, or is held) keeps what it filled: its volumes are as full as they were."""

    def __init__(self) -> None:
        self._uses: dict[str, dict[str, Uses]] = {}
        """Node -> task -> what it fills."""
        self._beyond: dict[str, int] = {}

    def measured(self, node: str, message: wire.Usage, out: Output) -> int | None:
        """Observes what came to a mark; gives what the node's tasks hold beyond their bounds, if that has changed.
        Costs nothing while nothing is full."""
        before = self._uses.get(node, {})
        if not before and not any(each.filling for each in message.tasks):
            return None
        now = _away(before, message)
        for each in message.tasks:
            known = before.get(each.task, {})
            found = {one.volume: _since(known.get(one.volume), one) for one in disk_uses(each)}
            if found:
                now[each.task] = found
            task = parse(each.task)
            if task is not None and _marks(found) != _marks(known):
                out.up.append(Filling(task=task, disks=tuple(found.values())))
        self._uses[node] = now
        return self._changed(node)

    def without(self, member_id: str) -> dict[str, int]:
        """The member gives its places up; what nodes' tasks hold beyond their bounds where that changes it."""
        for node, uses in self._uses.items():
            self._uses[node] = {task: found for task, found in uses.items() if _member_of(task) != member_id}
        return {node: mib for node in self._uses if (mib := self._changed(node)) is not None}

    def forget(self, node: str) -> None:
        self._uses.pop(node, None)
        self._beyond.pop(node, None)

    def _changed(self, node: str) -> int | None:
        beyond = sum(
            max(0, one.used_mib - one.bound_mib) for uses in self._uses[node].values() for one in uses.values()
        )
        if beyond == self._beyond.get(node, 0):
            return None
        self._beyond[node] = beyond
        return beyond


def _away(before: dict[str, Uses], message: wire.Usage) -> dict[str, Uses]:
    """What those fill that are not measured now, and of whose member nothing newer is."""
    here = {_member_of(each.task) for each in message.tasks}
    return {task: uses for task, uses in before.items() if _member_of(task) not in here}


def _member_of(task: str) -> str:
    return task.rpartition(".")[0]


def _since(before: DiskUse | None, now: DiskUse) -> DiskUse:
    stays = before is not None and before.over and now.used_mib > CLEAR * now.bound_mib
    return replace(now, over=stays or now.used_mib > now.bound_mib)


def _marks(uses: Uses) -> dict[str, bool]:
    return {volume: one.over for volume, one in uses.items()}
