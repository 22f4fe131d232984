"""Tasks on machines that we run ourselves: the kernel finds places, agents run what is placed.

What is durable are the kernel's records (nodes, reservations, left volumes). Tasks are not: the ledger says which are
wanted (:meth:`LocalSubstrate.wanted`, after each start), agents say which run (their registration), and the two are
compared (:mod:`upcall.substrate.local_tasks`).

Silence of a node is not the end of its tasks. :meth:`LocalSubstrate.prove_death` asks the master to make it certain,
which on one machine its keeper can: it ends what is left of the node's processes; ``death_proven`` is the answer.

Every node offers all cores of the machine, for ``cpus`` are weights: three virtual nodes on two cores offer six.
Memory and disk are divided among the nodes, and kept to.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from upcall.kernel import events as k
from upcall.kernel.kernel import LIVENESS_S, Kernel
from upcall.kernel.records import Reservation
from upcall.protocol import agent as wire
from upcall.protocol.declaration import Declaration, Resources
from upcall.substrate.interface import (
    Capabilities,
    Node,
    NodeExpected,
    NodeObserved,
    NodeState,
    Output,
    Placed,
    Promised,
    RecordChange,
    Resizing,
    Send,
    StillHeld,
    TaskId,
    Unplaced,
    Unpromised,
    VolumeSet,
    VolumesSetAside,
    Wanted,
)
from upcall.substrate.local_disks import Disks
from upcall.substrate.local_needs import (
    RECORD_TYPES,
    amount_of,
    check_registration,
    check_status,
    describe,
    need_of,
    node_state,
)
from upcall.substrate.local_plans import Plan, WaitingPlans
from upcall.substrate.local_tasks import TaskRunner
from upcall.substrate.local_volumes import listed
from upcall.substrate.machines import LaunchContext

PROVE_AGAIN_S: Final = 10.0
NOT_IN_PLACE: Final = "these machines give a task that runs no other amount"

CAPABILITIES: Final = Capabilities(
    placement="kernel",
    firmness={"*": "enforced"},
    volumes_bound_to_node=True,
    shared_cores=True,
)


class LocalSubstrate:
    """``records`` are (kind, key) -> value, as :class:`RecordChange` gave them, also after a way through JSON.
    ``wall``: the clock by which what was released is kept."""

    def __init__(
        self,
        records: Mapping[tuple[str, str], Any],
        *,
        prefix: str,
        context: Callable[[TaskId, Declaration], LaunchContext],
        cluster: str = "",
        liveness_s: float = LIVENESS_S,
        wall: Callable[[], float] = time.time,
    ) -> None:
        loaded = [(kind, key, msgspec.convert(value, RECORD_TYPES[kind])) for (kind, key), value in records.items()]
        self._kernel = Kernel(prefix.rstrip("."), liveness_s, loaded)
        self._runner = TaskRunner(self, context)
        self._cluster = cluster
        self._wall = wall
        self._disks = Disks()
        self._plans = WaitingPlans()
        self._moves = WaitingPlans()
        """Next places that were not found yet."""
        self._connected: set[str] = set()
        self._unsynced: dict[str, tuple[wire.TaskStatus, ...]] = {}
        """Registrations that came before the wanted set."""
        self._cordoned: frozenset[str] = frozenset()
        self._nodes: dict[str, tuple[NodeState, Node | None]] = {}
        """What was said of each node."""
        self._proving: dict[str, float] = {}
        """Node whose tasks are to be proven dead -> when to ask again."""
        self._backlog_s: float | None = None
        """What one call left over is gone on with at once."""

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    @property
    def kernel(self) -> Kernel:
        """For tests. Not to be changed from outside."""
        return self._kernel

    def hears(self, node: str) -> bool:
        """Whether it was up when something was said of it last."""
        return self._nodes.get(node, ("", None))[0] == "up"

    def reservation(self, member_id: str) -> Reservation | None:
        return self._kernel.reservation(member_id)

    def coming(self, member_id: str) -> Reservation | None:
        return self._kernel.coming(member_id)

    def places(self) -> Mapping[str, str]:
        return {member_id: each.node for member_id, each in self._kernel.books.reservations.items()}

    # -- down: the ledger's wishes ----------------------------------------------------------------------------------

    def reserve(
        self, service: str, members: Mapping[str, Declaration], now_s: float, *, places: Mapping[str, int] | None = None
    ) -> Output:
        out = Output()
        needs = {member: need_of(declaration) for member, declaration in members.items()}
        self._reserve(Plan(service, needs, dict(places or {})), now_s, out)
        return self._done(now_s, out)

    def fits(self, service: str, members: Mapping[str, Declaration]) -> str:
        needs = {member: need_of(declaration) for member, declaration in members.items()}
        if short := self._kernel.fits(k.Reserve(service, needs, {}), self._wall()):
            return f"{short} (`upcall node add` brings a node more)"
        return ""

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
        out = Output()
        service, _, member = member_id.partition(".")
        need = need_of(declaration)
        self._hold(Plan(service, {member: need}, {member: place}, same_node=same_node, takes=takes), now_s, out)
        return self._done(now_s, out)

    def call_off_place(self, member_id: str, place: int, now_s: float) -> Output:
        out = Output()
        self._moves.without(member_id)
        self._input(k.CallOff(member_id, place), now_s, out)
        return self._done(now_s, out)

    def launch(self, wanted: Wanted, now_s: float) -> Output:
        out = Output()
        self._runner.want(wanted, now_s, out)
        return self._done(now_s, out)

    def end(self, task: TaskId, grace_s: float, now_s: float) -> Output:
        out = Output()
        self._runner.end(task, grace_s, out)
        return self._done(now_s, out)

    def resize(self, task: TaskId, resources: Resources, now_s: float) -> Output:
        return Output()

    def resizing(self, task: TaskId, resources: Resources) -> Resizing:
        return Resizing(state="refused", reason=NOT_IN_PLACE)

    def let_go(self, task: TaskId, now_s: float) -> Output:
        return Output()  # nobody else's workloads are here

    def release(self, member_id: str, now_s: float, *, keep_volumes_s: float = 0.0) -> Output:
        out = Output()
        self._runner.forget(member_id, out)
        self._plans.without(member_id)
        self._moves.without(member_id)
        self._input(k.Release(member_id, keep_volumes_s), now_s, out)
        for node, beyond_mib in self._disks.without(member_id).items():
            self._input(k.Beyond(node, amount_of(0, 0, beyond_mib)), now_s, out)
        return self._done(now_s, out)

    def known(self, names: Iterable[str], now_s: float) -> Output:
        out = Output()
        self._runner.waiting.known(names)
        return self._done(now_s, out)

    def hold_disruption(self, disruption_id: str, now_s: float, *, held: StillHeld | None) -> Output:
        """Nobody else disturbs tasks here."""
        return Output()

    def cordon(self, node: str, now_s: float, *, closed: bool) -> Output:
        out = Output()
        self._cordoned = self._cordoned | {node} if closed else self._cordoned - {node}
        self._input(k.Cordon(self._cordoned), now_s, out)
        return self._done(now_s, out)

    def wanted(self, tasks: Sequence[Wanted], now_s: float) -> Output:
        out = Output()
        self._input(k.Tick(), now_s, out)
        self._runner.wanted_known = True
        for reservation in self._kernel.books.reservations.values():
            out.up.append(_placed(reservation))
        for coming in self._kernel.books.coming.values():
            out.up.append(Promised(member_id=coming.member_id, place=coming.place, node=coming.node))
        for name, record in self._kernel.books.records.items():
            if record.gone:
                self._show_node(name, "gone", record.gone, out)
            elif name not in self._nodes:
                out.up.append(NodeExpected(node=name, description=describe(record)))
        self._reserve_missing(tasks, now_s, out)
        for wanted in tasks:
            self._runner.want(wanted, now_s, out)
        self._runner.end_unwanted({wanted.task for wanted in tasks}, out)
        unsynced, self._unsynced = self._unsynced, {}
        for node, statuses in unsynced.items():
            self._runner.sync(node, statuses, now_s, out)
        return self._done(now_s, out)

    def tick(self, now_s: float) -> Output:
        out = Output()
        self._input(k.Tick(), now_s, out)
        for node, again_s in list(self._proving.items()):
            if now_s >= again_s:
                self._ask_for_proof(node, now_s, out)
        return self._done(now_s, out)

    def deadline(self) -> float | None:
        due_s = self._kernel.deadline()
        if self._backlog_s is None and not self._proving:
            return due_s  # as nearly always
        dues = (due_s, self._backlog_s, *self._proving.values())
        return min(due for due in dues if due is not None)

    # -- down: nodes ------------------------------------------------------------------------------------------------

    def node_removed(self, node: str, now_s: float, reason: str = "removed") -> Output:
        """Gone for good, by somebody's decision. What may still run there is to be proven dead."""
        out = Output()
        self._disconnected(node)
        self._input(k.Gone(node, reason), now_s, out)
        if self._runner.tasks.live_on(node):
            self._ask_for_proof(node, now_s, out)
        return self._done(now_s, out)

    def forget_node(self, node: str, now_s: float) -> Output:
        """Its record goes, if it is gone and nothing is reserved there."""
        out = Output()
        self._input(k.Forget(node), now_s, out)
        if self._kernel.node(node) is None:
            self._nodes.pop(node, None)
            self._runner.registered.discard(node)
            self._disks.forget(node)
            self._proving.pop(node, None)
        return self._done(now_s, out)

    def prove_death(self, node: str, now_s: float) -> Output:
        """Asks for proof (:attr:`Output.prove`) that nothing of a silent or gone node runs, until it is there."""
        out = Output()
        if node not in self._proving and self._nodes.get(node, ("up", None))[0] != "up":
            self._ask_for_proof(node, now_s, out)
        return self._done(now_s, out)

    def death_proven(self, node: str, now_s: float) -> Output:
        """The keeper has ended all that was left of the node's processes. Void if the node is back."""
        out = Output()
        if self._proving.pop(node, None) is not None:
            self._runner.proven_dead(node, out)
        return self._done(now_s, out)

    def _ask_for_proof(self, node: str, now_s: float, out: Output) -> None:
        self._proving[node] = now_s + PROVE_AGAIN_S
        out.prove.append(node)

    def volumes(self) -> list[VolumeSet]:
        """All that the machines keep."""
        return listed(self._kernel)

    def drop_volumes(self, member_id: str, fence: int, now_s: float, *, node: str = "") -> Output:
        """A person gives up volumes that nobody uses: they are deleted as soon as their node hears it."""
        out = Output()
        self._input(k.DropVolumes(member_id, fence, node), now_s, out)
        return self._done(now_s, out)

    # -- up: agents -------------------------------------------------------------------------------------------------

    def agent(self, node: str, message: wire.FromAgent, now_s: float) -> Output:
        """A malformed message raises ``Invalid`` and has changed nothing."""
        out = Output()
        match message:
            case wire.Register():
                self._register(node, message, now_s, out)
            case wire.Status(number=number, status=status):
                check_status(node, status)
                self._input(k.Heard(node), now_s, out)
                self._runner.take(node, status, out)
                out.send.append(Send(node, wire.Ack(number=number)))
            case wire.Usage():
                self._input(k.Heard(node), now_s, out)
                beyond_mib = self._disks.measured(node, message, out)
                if beyond_mib is not None:
                    self._input(k.Beyond(node, amount_of(0, 0, beyond_mib)), now_s, out)
            case wire.Progress():
                self._input(k.Heard(node), now_s, out)
                self._runner.progress(node, message, out)
            case _:
                self._input(k.Heard(node), now_s, out)
        return self._done(now_s, out)

    def agent_heard(self, node: str, now_s: float) -> Output:
        """A connection is a sign of life; what it is worth is said by the registration on it."""
        out = Output()
        self._input(k.Heard(node), now_s, out)
        return self._done(now_s, out)

    def agent_disconnected(self, node: str, now_s: float) -> Output:
        """Only of the current connection. Nothing is judged by it: an agent that restarts is back in seconds."""
        self._disconnected(node)
        return Output()

    def _disconnected(self, node: str) -> None:
        self._connected.discard(node)
        self._runner.connected.discard(node)
        self._unsynced.pop(node, None)

    def _register(self, node: str, message: wire.Register, now_s: float, out: Output) -> None:
        total = check_registration(node, message)
        volumes = tuple((volume.member_id, volume.name, volume.fence) for volume in message.volumes)
        self._connected.add(node)
        out.send.append(Send(node, wire.Registered(cluster=self._cluster)))
        self._input(k.Register(node, total, message.attributes, volumes), now_s, out)
        if self._runner.wanted_known:
            self._runner.sync(node, message.tasks, now_s, out)
        else:
            self._unsynced[node] = message.tasks

    # -- places -----------------------------------------------------------------------------------------------------

    def _reserve(self, plan: Plan, now_s: float, out: Output) -> None:
        """The plan as a whole, now or later. ``plan.reason`` is what was said of it before."""
        self._plans.drop(plan.service, plan.needs)
        refusal = self._input(k.Reserve(plan.service, plan.needs, plan.places), now_s, out)
        if refusal:
            self._plans.put(replace(plan, reason=refusal))
            if refusal != plan.reason:
                out.up.append(Unplaced(service=plan.service, members=tuple(plan.needs), reason=refusal))

    def _hold(self, plan: Plan, now_s: float, out: Output) -> None:
        """A next place, now or later, beside the present one."""
        self._moves.drop(plan.service, plan.needs)
        takes = dict.fromkeys(plan.needs, plan.takes) if plan.takes else {}
        given = k.Reserve(plan.service, plan.needs, plan.places, beside=True, same_node=plan.same_node, takes=takes)
        refusal = self._input(given, now_s, out)
        if not refusal:
            return
        self._moves.put(replace(plan, reason=refusal))
        if refusal != plan.reason:
            for member, place in plan.places.items():
                out.up.append(Unpromised(member_id=f"{plan.service}.{member}", place=place, reason=refusal))

    def _reserve_missing(self, tasks: Sequence[Wanted], now_s: float, out: Output) -> None:
        """After a start: what a service has no place for is one plan again."""
        missing: dict[str, dict[str, Wanted]] = {}
        for wanted in tasks:
            if self._kernel.reservation(wanted.task.member_id) is None:
                missing.setdefault(wanted.task.service, {})[wanted.task.member] = wanted
        for service, members in missing.items():
            needs = {member: need_of(wanted.declaration) for member, wanted in members.items()}
            places = {member: wanted.place for member, wanted in members.items()}
            self._reserve(Plan(service, needs, places), now_s, out)

    def _try_plans(self, now_s: float, out: Output) -> None:
        for plan in self._plans.turns():
            self._reserve(plan, now_s, out)
        for plan in self._moves.turns():
            self._hold(plan, now_s, out)

    def waits_for_plan(self, member_id: str) -> str:
        return self._plans.reason(member_id)

    # -- the kernel -------------------------------------------------------------------------------------------------

    def reserve_one(self, given: k.Reserve, now_s: float, out: Output) -> str:
        """For a launch whose member has no place. Gives the reason when there is none."""
        return self._input(given, now_s, out)

    def _input(self, given: k.Input, now_s: float, out: Output) -> str:
        """Performs the kernel's effects; gives the reason of a refusal."""
        refusal = ""
        for effect in self._kernel.handle(given, now_s, self._wall()):
            match effect:
                case k.Write(kind, key, value):
                    out.records.append(RecordChange(kind, key, value))
                case k.NodeChanged(node, state, reason):
                    self._show_node(node, node_state(state), reason, out)
                case k.Reserved(member_id, node, address, place=place):
                    out.up.append(Placed(member_id=member_id, node=node, address=address, place=place))
                    self._runner.left_behind(member_id, out)
                    self._runner.placed(member_id)
                case k.Promised(member_id, node, place):
                    out.up.append(Promised(member_id=member_id, place=place, node=node))
                case k.Refused(reason=reason):
                    refusal = reason
                case k.SetAside(left):
                    out.up.append(
                        VolumesSetAside(
                            member_id=left.member_id,
                            fence=left.fence,
                            node=left.node,
                            volumes=tuple(volume.name for volume in left.volumes),
                            reason=left.reason,
                        )
                    )
                case k.DeleteVolumes(node, member_id, fence):
                    if node in self._connected:
                        out.send.append(Send(node, wire.DeleteVolumes(member_id=member_id, fence=fence)))
        gives = isinstance(given, k.Register | k.Heard | k.CallOff | k.Release | k.DropVolumes | k.Tick | k.Beyond)
        if isinstance(given, k.Cordon) or (gives and (out.records or out.up)):
            self._plans.more_room()
            self._moves.more_room()
            self._runner.waiting.more_room()
        return refusal

    def _show_node(self, node: str, state: NodeState, reason: str, out: Output) -> None:
        """Tells what changed of a node, once."""
        record = self._kernel.node(node)
        description = describe(record) if record is not None and record.total.scalars else None
        before = self._nodes.get(node)
        if before == (state, description):
            return
        self._nodes[node] = (state, description)
        if state == "up":
            self._proving.pop(node, None)
        out.up.append(NodeObserved(node=node, state=state, reason=reason, description=description))
        self._runner.hears(node, out, yes=state == "up")

    def _done(self, now_s: float, out: Output) -> Output:
        """What became possible by this call happens in it."""
        self._backlog_s = None
        if self._runner.wanted_known and self._has_backlog():
            self._try_plans(now_s, out)
            self._runner.go_on(now_s, out)
            if self._has_backlog():
                self._backlog_s = now_s
        return out

    def _has_backlog(self) -> bool:
        return self._plans.backlog or self._moves.backlog or self._runner.waiting.backlog


def _placed(reservation: Reservation) -> Placed:
    member_id, place = reservation.member_id, reservation.place
    return Placed(member_id=member_id, node=reservation.node, address=reservation.address, place=place)
