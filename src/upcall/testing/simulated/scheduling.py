"""Who gets a place on the simulated cluster, and when: plans that wait whole, or tasks that wait one by one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from upcall.protocol.declaration import Declaration
from upcall.substrate.interface import Placed, Promised, Unplaced, Unpromised
from upcall.substrate.local_needs import need_of
from upcall.substrate.local_plans import Plan, WaitingPlans
from upcall.testing.simulated.cluster import Machine, SimulatedCluster, Task
from upcall.testing.simulated.places import Room, Settled, placed_by_another, placed_by_kernel


@dataclass
class Scheduling(SimulatedCluster):
    """``kernel``: a member's place is reserved, with its plan, before it is launched, and stays. ``delegated``: there
    is nothing to reserve; a task is where it runs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._reserved: dict[str, tuple[str, int]] = {}
        """Member -> node, and the number of the place."""
        self._next: dict[str, tuple[str, int]] = {}
        """The same of the place that is held beside it."""
        self._declared: dict[str, Declaration] = {}
        self._plans = WaitingPlans()
        self._moves = WaitingPlans()

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
            for member_id, (node, _) in (*self._reserved.items(), *self._next.items())
            if member_id in self._declared
        ]

    def _reserve(self, service: str, places: Mapping[str, int]) -> str:
        """Finds places for all that have none, or for nobody: then gives the reason."""
        members = {name: f"{service}.{name}" for name in places}
        for name, member_id in members.items():
            if self._next.get(member_id, ("", 0))[1] == places[name]:
                self._reserved[member_id] = self._next.pop(member_id)
                self._out.append(self._placed(member_id))
        known = {name: self._reserved.get(member_id, ("", 0)) for name, member_id in members.items()}
        plan = {name: self._declared[member_id] for name, member_id in members.items() if known[name][1] < places[name]}
        avoid = {name: frozenset({known[name][0]}) for name in plan}
        found, reason = placed_by_kernel(self._rooms(), self._settled(), service, plan, avoid)
        for name, node in found.items():
            self._reserved[members[name]] = (node, places[name])
            self._out.append(self._placed(members[name]))
        return reason

    def _placed(self, member_id: str) -> Placed:
        node, place = self._reserved[member_id]
        return Placed(member_id=member_id, node=node, address=self._address(), place=place)

    def _hold_or_wait(self, member_id: str, place: int, said: str = "", *, same_node: bool = False) -> None:
        """The next place, beside the present one; where somebody else places, it is found when the time comes."""
        service, _, name = member_id.partition(".")
        need = {name: need_of(self._declared[member_id])}
        self._moves.drop(service, need)
        if self.kind == "delegated":
            self._out.append(Promised(member_id=member_id, place=place))
            return
        if self._next.get(member_id, ("", 0))[1] != place:
            before, number = self._next.get(member_id, ("", 0))
            own = self._reserved.get(member_id, ("", 0))[0]
            avoid = frozenset({own, before} if number < place else {own})
            plan = {name: self._declared[member_id]}
            rooms = self._rooms()
            if same_node:
                rooms = [room if room.node.name == own else replace(room, closed="is not its own") for room in rooms]
            found, reason = placed_by_kernel(rooms, self._settled(), service, plan, {} if same_node else {name: avoid})
            if not found:
                self._moves.put(Plan(service, need, {name: place}, same_node, reason))
                if reason != said:
                    self._out.append(Unpromised(member_id=member_id, place=place, reason=reason))
                return
            self._next[member_id] = (found[name], place)
        self._out.append(Promised(member_id=member_id, place=place, node=self._next[member_id][0]))

    def _reserve_or_wait(self, service: str, places: Mapping[str, int], said: str = "") -> None:
        """As the local substrate does: a plan that does not fit waits whole until there is room."""
        needs = {name: need_of(self._declared[f"{service}.{name}"]) for name in places}
        self._plans.drop(service, needs)
        moved = any(self._reserved.get(f"{service}.{name}", ("", place))[1] < place for name, place in places.items())
        reason = self._reserve(service, places)
        moved = moved and not reason
        if reason:
            self._plans.put(Plan(service, needs, places, reason=reason))
        if reason and reason != said:
            self._out.append(Unplaced(service=service, members=tuple(places), reason=reason))
        if moved:
            self._more_room()

    def _more_room(self) -> None:
        for plan in self._plans.due():
            places = {name: plan.places[name] for name in plan.needs}
            self._reserve_or_wait(plan.service, places, plan.reason)
        for plan in self._moves.due():
            for name, place in plan.places.items():
                self._hold_or_wait(f"{plan.service}.{name}", place, plan.reason, same_node=plan.same_node)

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
        if task.beside and self._reserved.get(member_id, ("", task.place))[1] < task.place:
            if self._next.get(member_id, ("", 0))[1] != task.place:
                # It was exchanged for a third one that nobody uses: found anew, as for any launch.
                self._hold_or_wait(member_id, task.place)
            node, place = self._next.get(member_id, ("", 0))
            return (node, "") if place == task.place else ("", self._moves.reason(member_id))
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
