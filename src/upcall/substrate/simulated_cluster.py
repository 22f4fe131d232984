"""The machines and tasks below the simulated substrate: how a task lives, where it lands, and what is heard of it."""

import heapq
import random
from collections.abc import Callable, Mapping, Sequence
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
    Placed,
    TaskId,
    TaskState,
    Unplaced,
    Up,
)
from upcall.substrate.local_needs import need_of
from upcall.substrate.local_plans import Plan, WaitingPlans
from upcall.substrate.simulated_places import Room, Settled, placed_by_another, placed_by_kernel

RESYNC_S: Final = 5.0
SimulatedKind = Literal["kernel", "delegated"]


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


@dataclass
class Task:
    id: TaskId
    declaration: Declaration
    generation: int
    place: int
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


@dataclass
class Held:
    task: TaskId
    until_s: float | None
    held: bool = False


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
        self._reserved: dict[str, tuple[str, int]] = {}
        self._declared: dict[str, Declaration] = {}
        self._plans = WaitingPlans()
        self._disruptions: dict[str, Held] = {}
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0
        self._addresses = 0
        self._out: list[Up] = []
        if self.loss:
            self._at(RESYNC_S, self._resync)

    # -- places -----------------------------------------------------------------------------------------------------

    def _rooms(self) -> list[Room]:
        return [Room(machine.description, self._closed(machine)) for _, machine in sorted(self._machines.items())]

    def _closed(self, machine: Machine) -> str:
        ours = self.kind == "kernel"
        if machine.state == "gone":
            return "is gone" if ours else "gone"
        if machine.state == "silent" or not machine.heard:
            return "is silent" if ours else "silent"
        if machine.closed:
            return "is kept free for its maintenance" if ours else "closed for new tasks"
        return ""

    def _settled(self) -> list[Settled]:
        """Whoever has a place: on ours by its reservation, on theirs by running there."""
        if self.kind == "delegated":
            running = [t for t in self._tasks.values() if self._alive(t) and t.node]
            return [Settled(t.id.member_id, t.node, t.declaration) for t in running]
        return [
            Settled(member_id, node, self._declared[member_id])
            for member_id, (node, _) in self._reserved.items()
            if member_id in self._declared
        ]

    def _reserve(self, service: str, places: Mapping[str, int]) -> str:
        """Finds places for all that have none, or for nobody: then gives the reason."""
        members = {name: f"{service}.{name}" for name in places}
        known = {name: self._reserved.get(member_id, ("", 0)) for name, member_id in members.items()}
        plan = {name: self._declared[member_id] for name, member_id in members.items() if known[name][1] < places[name]}
        avoid = {name: known[name][0] for name in plan}
        found, reason = placed_by_kernel(self._rooms(), self._settled(), service, plan, avoid)
        for name, node in found.items():
            self._reserved[members[name]] = (node, places[name])
            self._out.append(Placed(member_id=members[name], node=node, address=self._address()))
        return reason

    def _reserve_or_wait(self, service: str, places: Mapping[str, int], said: str = "") -> None:
        """As the local substrate does: a plan that does not fit waits whole until there is room."""
        needs = {name: need_of(self._declared[f"{service}.{name}"]) for name in places}
        self._plans.drop(service, needs)
        moved = any(self._reserved.get(f"{service}.{name}", ("", place))[1] < place for name, place in places.items())
        reason = self._reserve(service, places)
        moved = moved and not reason
        if reason:
            self._plans.put(Plan(service, needs, places, reason))
        if reason and reason != said:
            self._out.append(Unplaced(service=service, members=tuple(places), reason=reason))
        if moved:
            self._more_room()

    def _more_room(self) -> None:
        for plan in self._plans.due():
            places = {name: plan.places[name] for name in plan.needs}
            self._reserve_or_wait(plan.service, places, plan.reason)

    def _place(self, task: Task, now_s: float) -> None:
        """Where the member is reserved, or wherever the other scheduler likes; waits when there is no room."""
        node, reason = self._reserved_node(task) if self.kind == "kernel" else self._their_choice(task)
        if not node:
            self._move(task, "pending", reason)
            self._step(task, now_s + self.timing.place_s, lambda at_s: self._place(task, at_s))
            return
        task.node, task.address = node, self._address()
        self._check(task)
        self._move(task, "placed")
        self._step(task, now_s + self.timing.start_s, lambda at_s: self._start(task, at_s))

    def _their_choice(self, task: Task) -> tuple[str, str]:
        return placed_by_another(self._rooms(), self._settled(), task.id.member_id, task.declaration)

    def _reserved_node(self, task: Task) -> tuple[str, str]:
        member_id = task.id.member_id
        if not self._plans.reason(member_id) and self._reserved.get(member_id, ("", 0))[1] < task.place:
            # Launched without a plan: a plan of one.
            self._reserve_or_wait(task.id.service, {task.id.member: task.place})
        reason = self._plans.reason(member_id)
        if reason:
            return "", reason
        node = self._reserved[member_id][0]
        if self._machines[node].state == "gone":
            return "", f"its place is on {node}, which is gone"
        return node, ""

    def _check(self, task: Task) -> None:
        for other in self._tasks.values():
            same = other.id.member_id == task.id.member_id and other.id != task.id and self._alive(other)
            if same and (self.kind == "delegated" or other.place == task.place):
                self.violations.append(f"{task.id} starts while {other.id} lives on the same volumes")

    def _address(self) -> str:
        self._addresses += 1
        return f"10.{self._addresses >> 16 & 255}.{self._addresses >> 8 & 255}.{self._addresses & 255}"

    # -- one task's life --------------------------------------------------------------------------------------------

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
