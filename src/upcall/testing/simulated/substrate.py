"""A cluster in virtual time, of either kind, for tests: no process, no clock, no chance beyond a seed.

``kernel``: places are found for a whole plan at once or not at all, and a member stays on its node with its volumes.
``delegated``: each task is placed when it is launched, by somebody else's rules, or waits with what that scheduler
says (:mod:`upcall.testing.simulated.places`); volumes follow it; others may delete or evict a task
(:meth:`SimulatedSubstrate.disrupt`). On both kinds the address changes at *every* restart, so whoever wrote one down
is found out.

It loses and repeats what it observes, by seed, and then says everything again every ``RESYNC_S``, as a list and
compare would. A node can fall silent (its tasks run on, unheard), die (they end, unheard), return or go for good.

Two incarnations of one member on the same volumes at the same time are what must never happen: :attr:`violations`
lists each such moment.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from upcall.protocol.declaration import Declaration, Resources
from upcall.substrate.interface import (
    Capabilities,
    DisruptionOver,
    Disruptions,
    Exit,
    Node,
    Output,
    Promised,
    Resizing,
    StillHeld,
    TaskId,
    Wanted,
)
from upcall.testing.simulated.cluster import Held, Machine, Task
from upcall.testing.simulated.places import placed_by_kernel
from upcall.testing.simulated.scheduling import Scheduling


class SimulatedSubstrate(Scheduling):
    """Implements :class:`upcall.substrate.interface.Substrate`; what lies below it is what tests do to it."""

    @property
    def capabilities(self) -> Capabilities:
        ours = self.kind == "kernel"
        return Capabilities(
            placement="kernel" if ours else "delegated",
            firmness={"*": "enforced"} if ours else {"*": "enforced", "evict": "intercepted", "kill": "observed"},
            volumes_bound_to_node=ours,
        )

    def places(self) -> Mapping[str, str]:
        return {member_id: node for member_id, (node, _) in self._reserved.items()}

    # -- the interface: down ----------------------------------------------------------------------------------------

    def reserve(
        self, service: str, members: Mapping[str, Declaration], now_s: float, *, places: Mapping[str, int] | None = None
    ) -> Output:
        self._declared.update({f"{service}.{name}": declaration for name, declaration in members.items()})
        if self.kind == "kernel":
            self._reserve_or_wait(service, {name: (places or {}).get(name, 1) for name in members})
        return self._flush()

    def fits(self, service: str, members: Mapping[str, Declaration]) -> str:
        if self.kind == "delegated":
            return ""
        rooms = self._rooms()
        has = {
            name: self._reserved[f"{service}.{name}"][0] for name in members if f"{service}.{name}" in self._reserved
        }
        elsewhere = {name: frozenset(one.node.name for one in rooms) - {node} for name, node in has.items()}
        return placed_by_kernel(rooms, self._settled(), service, members, elsewhere)[1]

    def hold_place(
        self,
        member_id: str,
        declaration: Declaration,
        place: int,
        now_s: float,
        *,
        same_node: bool = False,
        takes: int = 0,
    ) -> Output:
        self._declared[member_id] = declaration
        self._hold_or_wait(member_id, place, same_node=same_node)
        return self._flush()

    def call_off_place(self, member_id: str, place: int, now_s: float) -> Output:
        self._moves.without(member_id)
        if self._next.get(member_id, ("", 0))[1] == place:
            del self._next[member_id]
            self._more_room()
        return self._flush()

    def launch(self, wanted: Wanted, now_s: float) -> Output:
        known = self._tasks.get(wanted.task)
        if known is not None:
            self._say(known)
            return self._flush()
        task = Task(wanted.task, wanted.declaration, wanted.generation, wanted.place, wanted.beside)
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

    def resize(self, task: TaskId, resources: Resources, now_s: float) -> Output:
        return Output()

    def resizing(self, task: TaskId, resources: Resources) -> Resizing:
        return Resizing(state="refused", reason="not in place here")

    def let_go(self, task: TaskId, now_s: float) -> Output:
        return Output()  # nobody else's workloads are here

    def release(self, member_id: str, now_s: float, *, keep_volumes_s: float = 0.0) -> Output:
        def drop(at_s: float) -> None:
            if self._declared.get(member_id) is None:
                self._reserved.pop(member_id, None)
                self._more_room()

        self._declared.pop(member_id, None)
        self._plans.without(member_id)
        self._moves.without(member_id)
        self._next.pop(member_id, None)
        self._at(now_s + keep_volumes_s, drop)
        return self._flush()

    def hold_disruption(self, disruption_id: str, now_s: float, *, held: StillHeld | None) -> Output:
        standing = self._disruptions.get(disruption_id)
        if standing is not None:
            standing.why = str(held) if held is not None else ""
            if held is None:
                self._go_ahead(disruption_id, now_s)
        return self._flush()

    def cordon(self, node: str, now_s: float, *, closed: bool) -> Output:
        if node in self._machines:
            self._machines[node].closed = closed
            self._more_room()
        return self._flush()

    def known(self, names: Iterable[str], now_s: float) -> Output:
        """No launch waits for a name here."""
        return Output()

    def prove_death(self, node: str, now_s: float) -> Output:
        machine = self._machines[node]
        if self.timing.asked and self.timing.prove_s is not None and machine.state != "up" and not machine.proving:
            machine.proving, silences = True, machine.silences

            def prove(_: float) -> None:
                machine.proving = False
                self._prove(machine, silences)

            self._at(now_s + self.timing.prove_s, prove)
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
        self._out.append(Disruptions(ids=tuple(self._disruptions)))
        for member_id in self._reserved:
            self._out.append(self._placed(member_id))
        for member_id, (node, place) in self._next.items():
            self._out.append(Promised(member_id=member_id, place=place, node=node))
        out.up.extend(self._flush().up)
        return out

    def tick(self, now_s: float) -> Output:
        while self._agenda and self._agenda[0][0] <= now_s:
            at_s, _, step = self._next_step()
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

    def crash(
        self,
        member_id: str,
        now_s: float,
        *,
        code: int | None = 1,
        reason: str = "",
        not_started: bool = False,
        without_data: bool = False,
    ) -> Output:
        """The process ends by itself, or somebody kills it behind our back; or it never began (``not_started``), also
        for want of what it served with (``without_data``)."""
        running = self.running(member_id)
        if running is not None:
            self._ended(
                self._tasks[running], Exit(code=code, reason=reason, not_started=not_started, without_data=without_data)
            )
        return self._flush()

    def sicken(self, member_id: str, now_s: float, *, reason: str = "health check fails") -> Output:
        running = self.running(member_id)
        if running is not None and self._tasks[running].state == "ready":
            self._move(self._tasks[running], "unready", reason)
        return self._flush()

    def late(self, member_id: str, now_s: float) -> Output:
        """Its start deadline passes, and it runs on; it may become ready all the same."""
        running = self.running(member_id)
        if running is not None and self._tasks[running].state == "running":
            self._move(self._tasks[running], "unready", "not ready within its start timeout")
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
                if self.timing.prove_s is not None and not self.timing.asked:
                    self._at(at_s + self.timing.prove_s, lambda _: self._prove(machine, silences))

        self._at(now_s + self.timing.liveness_s, notice)
        return self._flush()

    def recover(self, node: str, now_s: float) -> Output:
        """It is heard again, and says what it runs."""
        machine = self._machines[node]
        machine.heard, machine.state = True, "up"
        self._say_node(machine)
        self._more_room()
        for task in list(self._tasks.values()):
            if task.node == node:
                self._say(task)
                if task.end_grace_s is not None and self._alive(task):
                    self._end(task, task.end_grace_s, now_s)
        return self._flush()

    def join(self, node: Node, now_s: float) -> Output:
        """One more machine."""
        machine = self._machines[node.name] = Machine(node)
        self._say_node(machine, "registered")
        self._more_room()
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
        self._disruptions[disruption_id] = Held(running, until_s)
        self._say_disruption(disruption_id, now_s, reason, who, verb)
        if verb == "stop":
            self._go_ahead(disruption_id, now_s)
        elif until_s is not None:
            self._at(until_s, lambda at_s: self._go_ahead(disruption_id, at_s))
        return self._flush()

    def why_held(self, disruption_id: str) -> str:
        """What whoever began it is told, while it stands."""
        found = self._disruptions.get(disruption_id)
        return found.why if found is not None else ""

    def call_off(self, disruption_id: str) -> Output:
        """Whoever began it has thought better of it."""
        if self._disruptions.pop(disruption_id, None) is not None:
            self._out.append(DisruptionOver(id=disruption_id, happened=False))
        return self._flush()
