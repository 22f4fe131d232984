"""The machines and tasks below the simulated substrate: how a task lives, where it lands, and what is heard of it."""

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from upcall.protocol.declaration import Declaration
from upcall.substrate.interface import (
    Disruption,
    DisruptionOver,
    Exit,
    Node,
    NodeObserved,
    NodeState,
    Observed,
    Output,
    TaskId,
    TaskState,
    Up,
)

RESYNC_S: Final = 5.0
SimulatedKind = Literal["kernel", "delegated", "kubernetes"]
"""``kubernetes`` is not simulated here: it is the real substrate on a played API server
(:mod:`upcall.testing.kubernetes`)."""


@dataclass(frozen=True)
class Timing:
    """How long things take."""

    place_s: float = 0.5
    start_s: float = 1.0
    ready_s: float = 2.0
    end_s: float = 1.0
    crash_s: float = 0.5
    """How long a member in :attr:`SimulatedSubstrate.crashing` lives."""
    liveness_s: float = 15.0
    prove_s: float | None = None
    """After the liveness time, until what is left on a silent node is proven dead; ``None``: never."""
    asked: bool = False
    """It is proven when somebody asks for it, ``prove_s`` later, and not by itself."""


@dataclass
class Task:
    id: TaskId
    declaration: Declaration
    generation: int
    place: int
    beside: bool = False
    """Another incarnation of the member may live at the place before."""
    state: TaskState = "pending"
    reason: str = ""
    node: str = ""
    address: str = ""
    exit: Exit | None = None
    end_grace_s: float | None = None
    steps: int = 0
    """Rises with each turn of its life, so that a step planned before it is not taken any more."""


@dataclass
class Machine:
    description: Node
    state: NodeState = "up"
    heard: bool = True
    closed: bool = False
    silences: int = 0
    proving: bool = False


@dataclass
class Held:
    task: TaskId
    until_s: float | None
    why: str = ""
    """What whoever began it is told."""


@dataclass
class SimulatedCluster:
    """Machines and tasks as they are, and what is said of them."""

    kind: SimulatedKind
    nodes: Sequence[Node]
    seed: int = 0
    loss: float = 0.0
    """Share of the observations that are lost, and said again at the next resync."""
    repeat: float = 0.0
    timing: Timing = field(default_factory=Timing)
    crashing: set[str] = field(default_factory=set)
    """Members (``store.replica-2``) that end by themselves soon after each start."""
    slow: set[str] = field(default_factory=set)
    """Members that run and never become ready."""
    violations: list[str] = field(default_factory=list)
    ended_by_call: list[TaskId] = field(default_factory=list)
    """Every task for which :meth:`end` was called while it ran."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._machines = {node.name: Machine(node) for node in self.nodes}
        self._tasks: dict[TaskId, Task] = {}
        self._disruptions: dict[str, Held] = {}
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0
        self._addresses = 0
        self._out: list[Up] = []
        if self.loss:
            self._at(RESYNC_S, self._resync)

    # -- one task's life --------------------------------------------------------------------------------------------

    def _check(self, task: Task) -> None:
        for other in self._tasks.values():
            same = other.id.member_id == task.id.member_id and other.id != task.id and self._alive(other)
            beside = task.beside and other.place < task.place
            if same and not beside and (self.kind == "delegated" or other.place == task.place):
                self.violations.append(f"{task.id} starts while {other.id} lives on the same volumes")

    def _address(self) -> str:
        self._addresses += 1
        return f"10.{self._addresses >> 16 & 255}.{self._addresses >> 8 & 255}.{self._addresses & 255}"

    def _start(self, task: Task, now_s: float) -> None:
        self._move(task, "starting")
        if task.id.member_id in self.crashing:
            self._step(
                task, now_s + self.timing.crash_s, lambda _: self._ended(task, Exit(code=1, reason="it crashes"))
            )
            return
        self._step(task, now_s + self.timing.ready_s, lambda _: self._up(task))

    def _up(self, task: Task) -> None:
        self._move(task, "running" if task.id.member_id in self.slow else "ready")

    def _end(self, task: Task, grace_s: float, now_s: float) -> None:
        task.end_grace_s = grace_s
        if task.node and not self._machines[task.node].heard:
            return  # it hears of it when it is back
        if task.state == "ending":
            return
        if not task.node:
            self._ended(task, Exit(reason="it was never placed"))
            return
        self._move(task, "ending")
        self._step(task, now_s + min(grace_s, self.timing.end_s), lambda _: self._ended(task, Exit(code=0)))

    def _ended(self, task: Task, how: Exit) -> None:
        task.exit = how
        self._move(task, "ended")

    def _move(self, task: Task, state: TaskState, reason: str = "") -> None:
        task.steps += 1
        changed = (task.state, task.reason) != (state, reason)
        task.state, task.reason = state, reason
        if changed:
            self._say(task)

    def _step(self, task: Task, at_s: float, step: Callable[[float], None]) -> None:
        steps = task.steps

        def take(now_s: float) -> None:
            if task.steps == steps:
                step(now_s)

        self._at(at_s, take)

    @staticmethod
    def _alive(task: Task) -> bool:
        return task.state not in ("pending", "ended")

    # -- nodes and disruptions --------------------------------------------------------------------------------------

    def _on(self, node: str) -> list[Task]:
        return [task for task in self._tasks.values() if task.node == node and self._alive(task)]

    def _prove(self, machine: Machine, silences: int) -> None:
        if machine.state == "silent" and machine.silences == silences:
            self._kill_all(machine.description.name, "what was left of its node was ended")

    def _kill_all(self, node: str, reason: str) -> None:
        for task in [t for t in self._tasks.values() if t.node == node]:
            if self._alive(task):
                task.state, task.exit = "ended", Exit(reason=reason)
                task.steps += 1
            self._out.append(self._observed(task))

    def _go_ahead(self, disruption_id: str, now_s: float) -> None:
        held = self._disruptions.pop(disruption_id, None)
        if held is None:
            return
        task = self._tasks[held.task]
        alive = self._alive(task)
        self._out.append(DisruptionOver(id=disruption_id, happened=True))
        if alive:
            self._ended(task, Exit(code=0, reason="ended by the substrate"))

    # -- up ---------------------------------------------------------------------------------------------------------

    def _observed(self, task: Task) -> Observed:
        return Observed(
            task=task.id,
            state=task.state,
            reason=task.reason,
            node=task.node,
            address=task.address,
            exit=task.exit,
            generation=task.generation,
        )

    def _say(self, task: Task) -> None:
        if task.node and not self._machines[task.node].heard:
            return
        self._utter(self._observed(task))

    def _say_node(self, machine: Machine, reason: str = "") -> None:
        self._out.append(
            NodeObserved(
                node=machine.description.name, state=machine.state, reason=reason, description=machine.description
            )
        )

    def _say_disruption(
        self,
        disruption_id: str,
        now_s: float,
        reason: str,
        who: str,
        verb: Literal["stop", "evict", "preempt"] = "evict",
    ) -> None:
        held = self._disruptions[disruption_id]
        self._out.append(
            Disruption(
                id=disruption_id,
                task=held.task,
                verb=verb,
                firmness="observed" if verb == "stop" else "intercepted",
                reason=reason,
                who=who,
                deadline_s=None if held.until_s is None else held.until_s - now_s,
            )
        )

    def _utter(self, up: Up) -> None:
        if self.loss and self._random.random() < self.loss:
            return
        self._out.append(up)
        if self.repeat and self._random.random() < self.repeat:
            self._out.append(up)

    def _resync(self, now_s: float) -> None:
        for task in list(self._tasks.values()):
            newest = max(t.id.incarnation for t in self._tasks.values() if t.id.member_id == task.id.member_id)
            if task.id.incarnation == newest or self._alive(task):
                self._say(task)
        self._at(now_s + RESYNC_S, self._resync)

    def _next_step(self) -> tuple[float, int, Callable[[float], None]]:
        return heapq.heappop(self._agenda)

    def _at(self, at_s: float, step: Callable[[float], None]) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (at_s, self._count, step))

    def _flush(self) -> Output:
        out, self._out = Output(up=self._out), []
        return out


def small_nodes(count: int = 3, *, memory_mib: int = 4096) -> list[Node]:
    """``n0``, ``n1`` ... each in a zone of its own."""
    base = Node(name="", cpus=2, memory_mib=memory_mib, disk_mib=20480)
    return [_named(base, f"n{i}", f"zone-{i}") for i in range(count)]


def _named(base: Node, name: str, zone: str) -> Node:
    return Node(
        name=name,
        cpus=base.cpus,
        memory_mib=base.memory_mib,
        disk_mib=base.disk_mib,
        attributes={"zone": zone},
    )
