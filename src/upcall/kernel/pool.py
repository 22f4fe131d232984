"""The nodes in the order in which placement wants to look at them.

Best fit: the fullest node that still has room, so that large holes stay whole for large members. Nodes are kept
sorted by free memory, once for all of them and once for each value of each attribute (a zone, a rack), so a search
starts at the first node with enough memory and stops at the first that fits, however many nodes there are.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from upcall.kernel.resources import Resources

MEMORY = "memory_mib"

Slot = tuple[int, str]
Shelf = tuple[str, str]


@dataclass(frozen=True)
class View:
    """A node as placement sees it."""

    name: str
    free: Resources
    attributes: Mapping[str, str]


class Pool:
    def __init__(self) -> None:
        self._views: dict[str, View] = {}
        self._shelves: dict[Shelf, list[Slot]] = {}
        self._values: dict[str, set[str]] = {}
        self.looked_at = 0
        """How many nodes searches have looked at: what tests count instead of time."""

    def put(self, view: View) -> None:
        self.remove(view.name)
        self._views[view.name] = view
        for shelf in _shelves(view):
            insort(self._shelves.setdefault(shelf, []), (view.free.scalar(MEMORY), view.name))
            self._values.setdefault(shelf[0], set()).add(shelf[1])

    def remove(self, name: str) -> None:
        view = self._views.pop(name, None)
        if view is None:
            return
        for shelf in _shelves(view):
            slots = self._shelves[shelf]
            del slots[bisect_left(slots, (view.free.scalar(MEMORY), name))]
            if not slots:
                del self._shelves[shelf]
                self._values[shelf[0]].discard(shelf[1])

    def get(self, name: str) -> View | None:
        return self._views.get(name)

    def values(self, attribute: str) -> list[str]:
        """The zones, if ``attribute`` is ``zone``."""
        return sorted(self._values.get(attribute, ()))

    def has(self, attribute: str) -> bool:
        """Whether any node has it, whatever its value."""
        return bool(self._values.get(attribute))

    def ascending(self, memory: int, shelf: Shelf = ("", "")) -> Iterator[View]:
        """Nodes with at least ``memory`` free, fullest first."""
        slots = self._shelves.get(shelf, [])
        for index in range(bisect_left(slots, (memory, "")), len(slots)):
            self.looked_at += 1
            yield self._views[slots[index][1]]

    def __iter__(self) -> Iterator[View]:
        """All of them by name, for a message about what does not fit."""
        return (self._views[name] for name in sorted(self._views))


def _shelves(view: View) -> Iterator[Shelf]:
    yield ("", "")
    yield from ((name, value) for name, value in view.attributes.items() if name)
