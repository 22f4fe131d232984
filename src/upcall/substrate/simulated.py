"""A cluster in virtual time, of either kind, for tests: no process, no clock, no chance beyond a seed.

``kernel``: places are found for a whole plan at once or not at all, and a member stays on its node with its volumes.
``delegated``: each task is placed when it is launched, by somebody else's rules; volumes follow it; others may delete
or evict a task (:meth:`SimulatedSubstrate.disrupt`). On both kinds the address changes at *every* restart, so whoever
wrote one down is found out.

It loses and repeats what it observes, by seed, and then says everything again every ``RESYNC_S``, as a list and
compare would. A node can fall silent (its tasks run on, unheard), die (they end, unheard), return or go for good.

Two incarnations of one member on the same volumes at the same time are what must never happen: :attr:`violations`
lists each such moment.
"""

import heapq
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from upcall.protocol.declaration import Declaration
from upcall.substrate.interface import (
    Capabilities,
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
    Wanted,
)

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
class _Task:
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
class _Machine:
    description: Node
    state: NodeState = "up"
    heard: bool = True
    closed: bool = False
    silences: int = 0


@dataclass
class _Held:
    task: TaskId
    until_s: float | None
    held: bool = False


@dataclass
class SimulatedSubstrate:
    """Implements :class:`upcall.substrate.interface.Substrate`; what lies below it is what tests do to it."""

    kind: SimulatedKind
    nodes: Sequence[Node]
    seed: int = 0
    loss: float = 0.0
    """Share of the observations that are lost, and said again at the next resync."""
    repeat: float = 0.0
    timing: Timing = field(default_factory=Timing)
    crashing: set[str] = field(default_factory=set)
    """Members (``kafka.b1``) that end by themselves soon after each start."""
    slow: set[str] = field(default_factory=set)
    """Members that run and never become ready."""
    violations: list[str] = field(default_factory=list)
    ended_by_call: list[TaskId] = field(default_factory=list)
    """Every task for which :meth:`end` was called while it ran."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._machines = {node.name: _Machine(node) for node in self.nodes}
        self._tasks: dict[TaskId, _Task] = {}
        self._reserved: dict[str, tuple[str, int]] = {}
        self._declared: dict[str, Declaration] = {}
        self._disruptions: dict[str, _Held] = {}
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0
        self._addresses = 0
        self._out: list[Up] = []
        if self.loss:
            self._at(RESYNC_S, self._resync)

    @property
    def capabilities(self) -> Capabilities:
        ours = self.kind == "kernel"
        return Capabilities(
            placement=self.kind,
            firmness={"*": "enforced"} if ours else {"*": "enforced", "evict": "intercepted", "kill": "observed"},
            stable_addresses=False,
            resize_in_place=False,
            volumes_bound_to_node=ours,
            proves_death=self.timing.prove_s is not None,
        )

    # -- the interface: down ----------------------------------------------------------------------------------------

    def reserve(
        self, service: str, members: Mapping[str, Declaration], now_s: float, *, places: Mapping[str, int] | None = None
    ) -> Output:
        self._declared.update({f"{service}.{name}": declaration for name, declaration in members.items()})
        if self.kind == "delegated":
            return self._flush()
        found: dict[str, tuple[str, int]] = {}
        for name, declaration in members.items():
            member_id, place = f"{service}.{name}", (places or {}).get(name, 1)
            known = self._reserved.get(member_id)
            if known is not None and known[1] >= place:
                continue
            node = self._find(member_id, declaration, found)
            if not node:
                self._out.append(Unplaced(service=service, members=tuple(members), reason=self._shortage(declaration)))
                return self._flush()
            found[member_id] = (node, place)
        self._reserved.update(found)
        for member_id, (node, _) in found.items():
            self._out.append(Placed(member_id=member_id, node=node, address=self._address()))
        return self._flush()

    def launch(self, wanted: Wanted, now_s: float) -> Output:
        known = self._tasks.get(wanted.task)
        if known is not None:
            self._say(known)
            return self._flush()
        task = _Task(wanted.task, wanted.declaration, wanted.generation, wanted.place)
        self._declared[task.id.member_id] = wanted.declaration
        self._tasks[task.id] = task
        self._say(task)
        self._place(task, now_s)
        return self._flush()

    def end(self, task: TaskId, grace_s: float, now_s: float) -> Output:
        known = self._tasks.get(task)
        if known is not None and known.state != "ended":
            self.ended_by_call.append(task)
            self._end(known, grace_s, now_s)
        return self._flush()

    def release(self, member_id: str, now_s: float, *, keep_volumes_s: float = 0.0) -> Output:
        def drop(at_s: float) -> None:
            if self._declared.get(member_id) is None:
                self._reserved.pop(member_id, None)

        self._declared.pop(member_id, None)
        self._at(now_s + keep_volumes_s, drop)
        return self._flush()

    def hold_disruption(self, disruption_id: str, now_s: float, *, hold: bool) -> Output:
        held = self._disruptions.get(disruption_id)
        if held is not None:
            held.held = hold
            if not hold:
                self._go_ahead(disruption_id, now_s)
        return self._flush()

    def cordon(self, node: str, now_s: float, *, closed: bool) -> Output:
        if node in self._machines:
            self._machines[node].closed = closed
        return self._flush()

    def wanted(self, tasks: Sequence[Wanted], now_s: float) -> Output:
        ids = {wanted.task for wanted in tasks}
        for machine in self._machines.values():
            self._say_node(machine)
        for task in sorted(self._tasks.values(), key=lambda t: t.id):
            if task.id not in ids and task.state not in ("ended", "ending"):
                self._end(task, task.declaration.grace_s, now_s)
            else:
                self._say(task)
        out = self._flush()
        for wanted in tasks:
            if wanted.task not in self._tasks:
                out.up.extend(self.launch(wanted, now_s).up)
        for disruption_id in self._disruptions:
            self._say_disruption(disruption_id, now_s, "told again", "the substrate")
        out.up.extend(self._flush().up)
        return out

    def tick(self, now_s: float) -> Output:
        while self._agenda and self._agenda[0][0] <= now_s:
            at_s, _, step = heapq.heappop(self._agenda)
            step(at_s)
        return self._flush()

    def deadline(self) -> float | None:
        return self._agenda[0][0] if self._agenda else None

    # -- what tests do to it ----------------------------------------------------------------------------------------

    def say_nodes(self) -> Output:
        """As at a first hello."""
        for machine in self._machines.values():
            self._say_node(machine)
        return self._flush()

    def running(self, member_id: str) -> TaskId | None:
        """The member's live incarnation, as it is and not as it was observed."""
        alive = [t.id for t in self._tasks.values() if t.id.member_id == member_id and self._alive(t)]
        return max(alive, default=None)

    def alive(self) -> list[TaskId]:
        return sorted(t.id for t in self._tasks.values() if self._alive(t))

    def node_of(self, member_id: str) -> str:
        running = self.running(member_id)
        return self._tasks[running].node if running else ""

    def crash(self, member_id: str, now_s: float, *, code: int = 1, reason: str = "") -> Output:
        """The process ends by itself, or somebody kills it behind our back."""
        running = self.running(member_id)
        if running is not None:
            self._ended(self._tasks[running], Exit(code=code, reason=reason))
        return self._flush()

    def sicken(self, member_id: str, now_s: float, *, reason: str = "health check fails") -> Output:
        running = self.running(member_id)
        if running is not None and self._tasks[running].state == "ready":
            self._move(self._tasks[running], "unready", reason)
        return self._flush()

    def heal(self, member_id: str, now_s: float) -> Output:
        running = self.running(member_id)
        if running is not None and self._tasks[running].state == "unready":
            self._move(self._tasks[running], "ready")
        return self._flush()

    def make_ready(self, member_id: str, now_s: float) -> Output:
        """Ends the slowness of a member in :attr:`slow`."""
        self.slow.discard(member_id)
        running = self.running(member_id)
        if running is not None and self._tasks[running].state == "running":
            self._up(self._tasks[running])
        return self._flush()

    def silence(self, node: str, now_s: float, *, dies: bool = False) -> Output:
        """Nothing is heard of it any more. With ``dies``, its tasks are dead too, which nobody can see."""
        machine = self._machines[node]
        machine.heard = False
        machine.silences += 1
        silences = machine.silences
        if dies:
            for task in self._on(node):
                task.state, task.exit = "ended", Exit(reason="the machine stopped")
                task.steps += 1

        def notice(at_s: float) -> None:
            if not machine.heard and machine.silences == silences and machine.state == "up":
                machine.state = "silent"
                self._say_node(machine, f"nothing heard for {self.timing.liveness_s:.0f} s")
                if self.timing.prove_s is not None:
                    self._at(at_s + self.timing.prove_s, lambda _: self._prove(machine, silences))

        self._at(now_s + self.timing.liveness_s, notice)
        return self._flush()

    def recover(self, node: str, now_s: float) -> Output:
        """It is heard again, and says what it runs."""
        machine = self._machines[node]
        machine.heard, machine.state = True, "up"
        self._say_node(machine)
        for task in list(self._tasks.values()):
            if task.node == node:
                self._say(task)
                if task.end_grace_s is not None and self._alive(task):
                    self._end(task, task.end_grace_s, now_s)
        return self._flush()

    def remove(self, node: str, now_s: float) -> Output:
        """Gone for good, which proves that what ran there is dead."""
        machine = self._machines[node]
        machine.state = "gone"
        self._say_node(machine, "removed")
        self._kill_all(node, "its node is gone")
        machine.heard = False
        return self._flush()

    def disrupt(
        self,
        disruption_id: str,
        member_id: str,
        now_s: float,
        *,
        verb: Literal["stop", "evict", "preempt"],
        who: str,
        reason: str,
        deadline_s: float | None = None,
    ) -> Output:
        """Somebody else ends a task: at once (``stop``, observed), or with a deadline until which it can be held."""
        running = self.running(member_id)
        assert running is not None, f"{member_id} does not run"
        until_s = None if deadline_s is None else now_s + deadline_s
        self._disruptions[disruption_id] = _Held(running, until_s)
        self._say_disruption(disruption_id, now_s, reason, who, verb)
        if verb == "stop":
            self._go_ahead(disruption_id, now_s)
        elif until_s is not None:
            self._at(until_s, lambda at_s: self._go_ahead(disruption_id, at_s))
        return self._flush()

    # -- places -----------------------------------------------------------------------------------------------------

    def _find(self, member_id: str, declaration: Declaration, planned: Mapping[str, tuple[str, int]]) -> str:
        """The node with the fewest members that fits, rather not the one that was given up; by name among equals."""
        places = {m: node for m, (node, _) in {**self._reserved, **planned}.items() if m != member_id}
        if self.kind == "delegated":
            places = {t.id.member_id: t.node for t in self._tasks.values() if self._alive(t) and t.node}
        former = self._reserved.get(member_id, ("", 0))[0]
        word, service = declaration.constraints.apart, member_id.partition(".")[0]
        fits = []
        for name, machine in sorted(self._machines.items()):
            here = [m for m, node in places.items() if node == name]
            used = sum(self._declared[m].resources.memory_mib for m in here if m in self._declared)
            crowded = word and any(
                m.partition(".")[0] == service and m in self._declared and self._declared[m].constraints.apart == word
                for m in here
            )
            room = machine.description.memory_mib - used >= declaration.resources.memory_mib
            if machine.state == "up" and machine.heard and not machine.closed and room and not crowded:
                fits.append((name == former, len(here), name))
        return min(fits)[2] if fits else ""

    def _shortage(self, declaration: Declaration) -> str:
        usable = [m for m in self._machines.values() if m.state == "up" and not m.closed]
        return f"needs {declaration.resources.memory_mib} MiB on a node of its own; {len(usable)} nodes are usable"

    def _place(self, task: _Task, now_s: float) -> None:
        """Where the member is reserved, or wherever the other scheduler likes; waits when there is no room."""
        member_id = task.id.member_id
        if self.kind == "kernel":
            node, place = self._reserved.get(member_id, ("", 0))
            if not node or place < task.place:
                node = self._find(member_id, task.declaration, {})
                if node:
                    self._reserved[member_id] = (node, task.place)
            elif self._machines[node].state == "gone":
                node = ""
        else:
            node = self._find(member_id, task.declaration, {})
        if not node:
            self._move(task, "pending", self._shortage(task.declaration))
            self._step(task, now_s + self.timing.place_s, lambda at_s: self._place(task, at_s))
            return
        task.node, task.address = node, self._address()
        self._check(task)
        self._move(task, "placed")
        self._step(task, now_s + self.timing.start_s, lambda at_s: self._start(task, at_s))

    def _check(self, task: _Task) -> None:
        for other in self._tasks.values():
            same = other.id.member_id == task.id.member_id and other.id != task.id and self._alive(other)
            if same and (self.kind == "delegated" or other.place == task.place):
                self.violations.append(f"{task.id} starts while {other.id} lives on the same volumes")

    def _address(self) -> str:
        self._addresses += 1
        return f"10.{self._addresses >> 16 & 255}.{self._addresses >> 8 & 255}.{self._addresses & 255}"

    # -- one task's life --------------------------------------------------------------------------------------------

    def _start(self, task: _Task, now_s: float) -> None:
        self._move(task, "starting")
        if task.id.member_id in self.crashing:
            self._step(
                task, now_s + self.timing.crash_s, lambda _: self._ended(task, Exit(code=1, reason="it crashes"))
            )
            return
        self._step(task, now_s + self.timing.ready_s, lambda _: self._up(task))

    def _up(self, task: _Task) -> None:
        self._move(task, "running" if task.id.member_id in self.slow else "ready")

    def _end(self, task: _Task, grace_s: float, now_s: float) -> None:
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

    def _ended(self, task: _Task, how: Exit) -> None:
        task.exit = how
        self._move(task, "ended")

    def _move(self, task: _Task, state: TaskState, reason: str = "") -> None:
        task.steps += 1
        changed = (task.state, task.reason) != (state, reason)
        task.state, task.reason = state, reason
        if changed:
            self._say(task)

    def _step(self, task: _Task, at_s: float, step: Callable[[float], None]) -> None:
        steps = task.steps

        def take(now_s: float) -> None:
            if task.steps == steps:
                step(now_s)

        self._at(at_s, take)

    @staticmethod
    def _alive(task: _Task) -> bool:
        return task.state not in ("pending", "ended")

    # -- nodes and disruptions --------------------------------------------------------------------------------------

    def _on(self, node: str) -> list[_Task]:
        return [task for task in self._tasks.values() if task.node == node and self._alive(task)]

    def _prove(self, machine: _Machine, silences: int) -> None:
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

    def _observed(self, task: _Task) -> Observed:
        return Observed(
            task=task.id,
            state=task.state,
            reason=task.reason,
            node=task.node,
            address=task.address,
            exit=task.exit,
            generation=task.generation,
        )

    def _say(self, task: _Task) -> None:
        if task.node and not self._machines[task.node].heard:
            return
        self._utter(self._observed(task))

    def _say_node(self, machine: _Machine, reason: str = "") -> None:
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
