"""Launches that wait: for room, for a name, or for their turn.

A launch without a place waits for *room*: when there is more of it, all that wait are looked at once, oldest first, and
those that still have no place queue up at the end. A launch that lacks a *name* (another service's endpoint, a peer's
address, a secret) waits for what that name comes from, and is looked at when the master says that it is known better.
Nothing is looked at again for any other reason: who waits costs nothing until then.

A call looks at a bounded number of launches; the rest is a backlog, which the driver is asked to go on with at once.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from upcall.substrate.interface import TaskId

LOOKED_AT_MAX: Final = 64
"""Waiting launches looked at in one call; the others have their turn in the next."""


class WaitingLaunches:
    def __init__(self) -> None:
        self._for_room: dict[TaskId, None] = {}
        self._room_turns = 0
        """How many of those have not been looked at since there was more room: they stand in front."""
        self._for_names: dict[TaskId, frozenset[str]] = {}
        self._by_name: dict[str, dict[TaskId, None]] = {}
        self._woken: dict[TaskId, None] = {}

    def room(self, task: TaskId) -> None:
        self.drop(task)
        self._for_room[task] = None

    def names(self, task: TaskId, names: Iterable[str]) -> None:
        self.drop(task)
        self._for_names[task] = frozenset(names)
        for name in self._for_names[task]:
            self._by_name.setdefault(name, {})[task] = None

    def wake(self, task: TaskId) -> None:
        """Its turn comes, whatever it waits for."""
        self.drop(task)
        self._woken[task] = None

    def waits_for_room(self, task: TaskId) -> bool:
        return task in self._for_room

    def drop(self, task: TaskId) -> None:
        self._woken.pop(task, None)
        self._for_room.pop(task, None)
        for name in self._for_names.pop(task, ()):
            waiting = self._by_name[name]
            del waiting[task]
            if not waiting:
                del self._by_name[name]
        self._room_turns = min(self._room_turns, len(self._for_room))

    # -- what they waited for ---------------------------------------------------------------------------------------

    def more_room(self) -> None:
        self._room_turns = len(self._for_room)

    def known(self, names: Iterable[str]) -> None:
        for name in names:
            for task in list(self._by_name.get(name, ())):
                self.wake(task)

    def turns(self) -> Iterator[TaskId]:
        """Those whose turn it is, each taken out; a bounded number."""
        for _ in range(LOOKED_AT_MAX):
            if self._woken:
                task = next(iter(self._woken))
            elif self._room_turns > 0 and self._for_room:
                self._room_turns -= 1
                task = next(iter(self._for_room))
            else:
                return
            self.drop(task)
            yield task

    @property
    def backlog(self) -> bool:
        return bool(self._woken) or (self._room_turns > 0 and bool(self._for_room))
