"""A world that remembers what a master knows of its members: where they are, how they ended, what they declared."""

from typing import Any

from upcall.operations import effects as fx
from upcall.protocol.declaration import Declaration
from upcall.protocol.service import MemberWanted
from upcall.substrate.interface import Node, NodeObserved, Observed, Placed, TaskId, Unplaced, Up, Wanted
from upcall.testing.world import World


class Seen(World):
    """A :class:`upcall.testing.world.World` with a memory."""

    def __post_init__(self) -> None:
        self.places: dict[str, tuple[str, str]] = {}
        """Member -> its node and address, as last observed."""
        self.exits: dict[str, int | None] = {}
        self.launched: list[TaskId] = []
        self.generations: dict[str, list[MemberWanted]] = {}
        """Member -> what its service declared, oldest first; the number of a generation is its place here, from 1."""
        self.nodes: dict[str, Node] = {}
        self.refused: dict[str, Unplaced] = {}
        """Service -> the plan of it that waits for room."""
        super().__post_init__()
        self.observe(self.substrate.say_nodes())

    def declare(self, member_id: str, wanted: MemberWanted) -> int:
        """The generation of this declaration; another ``start`` makes no new one."""
        known = self.generations.setdefault(member_id, [])
        if known and known[-1].declaration == wanted.declaration:
            known[-1] = wanted
        else:
            known.append(wanted)
        self.declarations[member_id] = wanted.declaration
        return len(known)

    def declared(self, task: TaskId, generation: int, place: int) -> Declaration:
        """Every place after the first had empty volumes, and may want another declaration."""
        wanted = self.generations[task.member_id][generation - 1]
        return wanted.replacement if place > 1 and wanted.replacement else wanted.declaration

    def _wanted(self, task: TaskId, generation: int, place: int) -> Wanted:
        declaration = self.declared(task, generation, place)
        return Wanted(task=task, declaration=declaration, generation=generation, place=place)

    def _hear(self, up: Up) -> None:
        match up:
            case Placed(member_id=member_id):
                self.places[member_id] = (up.node, up.address)
                self._fits(member_id)
            case Observed(task=task):
                if up.node:
                    self.places[task.member_id] = (up.node, up.address)
                self.exits[task.member_id] = up.exit.code if up.exit else None
            case Unplaced():
                self.refused[up.service] = up
            case NodeObserved(description=Node() as node):
                self.nodes[up.node] = node
            case _:
                pass
        super()._hear(up)

    def _fits(self, member_id: str) -> None:
        """A plan is placed whole: with one of its members, all have a place."""
        service, _, member = member_id.partition(".")
        if service in self.refused and member in self.refused[service].members:
            del self.refused[service]

    def _perform(self, effect: Any) -> None:
        match effect:
            case fx.Launch():
                self.launched.append(TaskId(effect.service, effect.member, effect.incarnation))
            case fx.Reserve(service=service):
                self.refused.pop(service, None)
            case _:
                pass
        super()._perform(effect)
