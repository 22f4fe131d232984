"""The tasks that the local substrate knows, in memory only: who wants them and what their agents said.

A task is *wanted* (the ledger asked for it) or *stray* (an agent runs it and nobody asked). It is *told* once a
launch went out, and *known* once its agent spoke of it. Ended ones are remembered while they are their member's
newest, so that a repeated wish is answered and not obeyed twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from upcall.substrate.interface import Exit, Observed, TaskId, TaskState, Wanted


@dataclass(slots=True)
class Task:
    id: TaskId
    wanted: Wanted | None = None
    node: str = ""
    address: str = ""
    fence: int = 0
    state: TaskState = "pending"
    reason: str = ""
    exit: Exit | None = None
    generation: int = 0
    progress: int = 0
    told: bool = False
    known: bool = False
    end_grace_s: float | None = None

    @property
    def ended(self) -> bool:
        return self.state == "ended"

    @property
    def ending(self) -> bool:
        return self.end_grace_s is not None and not self.ended

    def observed(self) -> Observed:
        return Observed(
            task=self.id,
            state=self.state,
            reason=self.reason,
            node=self.node,
            address=self.address,
            exit=self.exit,
            generation=self.generation,
            progress=self.progress,
        )


class Tasks:
    def __init__(self) -> None:
        self._all: dict[TaskId, Task] = {}
        self._by_member: dict[str, dict[TaskId, None]] = {}
        self._by_node: dict[str, dict[TaskId, None]] = {}

    def get(self, task_id: TaskId) -> Task | None:
        return self._all.get(task_id)

    def add(self, task: Task) -> Task:
        """Older incarnations that have ended are forgotten: the newest one speaks for the member."""
        assert task.id not in self._all, f"{task.id} is known"
        for other in self.of_member(task.id.member_id):
            if other.ended and other.id < task.id:
                self.drop(other)
        self._all[task.id] = task
        self._by_member.setdefault(task.id.member_id, {})[task.id] = None
        if task.node:
            self._by_node.setdefault(task.node, {})[task.id] = None
        return task

    def move(self, task: Task, node: str) -> None:
        if task.node != node:
            self._off(task)
            task.node = node
            if node:
                self._by_node.setdefault(node, {})[task.id] = None

    def drop(self, task: Task) -> None:
        self._off(task)
        del self._all[task.id]
        members = self._by_member[task.id.member_id]
        del members[task.id]
        if not members:
            del self._by_member[task.id.member_id]

    def _off(self, task: Task) -> None:
        if task.node:
            del self._by_node[task.node][task.id]

    def of_member(self, member_id: str) -> list[Task]:
        """Oldest incarnation first."""
        return [self._all[task_id] for task_id in sorted(self._by_member.get(member_id, ()))]

    def live_on(self, node: str) -> list[Task]:
        tasks = [self._all[task_id] for task_id in self._by_node.get(node, ())]
        return [task for task in tasks if not task.ended]

    def live(self) -> Iterator[Task]:
        return (task for task in list(self._all.values()) if not task.ended)


def parse(text: str) -> TaskId | None:
    """``service.member.incarnation``; None if it is not of this form."""
    member_id, _, incarnation = text.rpartition(".")
    service, _, member = member_id.partition(".")
    if not service or not member or not incarnation.isdecimal():
        return None
    return TaskId(service, member, int(incarnation))
