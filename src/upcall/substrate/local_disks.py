"""What tasks have filled beyond what they may, as their agents tell it: said once, and not promised to anybody else.

A volume is as large as the disk lets it be. So what one holds beyond its size was promised to others, or will be: the
kernel takes it off what the node has, and gives no new place there that would need it. What runs is left alone.
"""

from collections.abc import Mapping

from upcall.protocol import agent as wire
from upcall.substrate.interface import DiskUse, Filling, Output
from upcall.substrate.local_needs import disk_uses
from upcall.substrate.tasks import parse

Marks = dict[str, dict[str, bool]]
"""Task -> volume -> whether it is over its bound, of those that are at least nearly full."""


class Disks:
    def __init__(self) -> None:
        self._marks: dict[str, Marks] = {}
        self._beyond: dict[str, int] = {}

    def measured(self, node: str, message: wire.Usage, out: Output) -> int | None:
        """Observes what came to a mark; gives what the node's tasks hold beyond their bounds, if that has changed.
        Costs nothing while nothing is full."""
        found = {each.task: disk_uses(each) for each in message.tasks if each.filling}
        before = self._marks.get(node, {})
        if not found and not before:
            return None
        now = {task: {one.volume: one.over for one in disks} for task, disks in found.items()}
        for name in found.keys() | before.keys():
            task = parse(name)
            if task is not None and now.get(name) != before.get(name):
                out.up.append(Filling(task=task, disks=found.get(name, ())))
        self._marks[node] = now
        beyond = _beyond(found)
        if beyond == self._beyond.get(node, 0):
            return None
        self._beyond[node] = beyond
        return beyond

    def forget(self, node: str) -> None:
        self._marks.pop(node, None)
        self._beyond.pop(node, None)


def _beyond(found: Mapping[str, tuple[DiskUse, ...]]) -> int:
    return sum(max(0, one.used_mib - one.bound_mib) for disks in found.values() for one in disks)
