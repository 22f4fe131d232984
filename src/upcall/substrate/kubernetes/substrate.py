"""Tasks as pods: what the ledger wants becomes objects, what the objects become is what the ledger hears.

Pure, as every core: events of the API server (:meth:`KubernetesSubstrate.heard`) and answers of it
(:meth:`KubernetesSubstrate.answered`) come in with the time, requests go out in :attr:`Output.send`, to be made after
the commit. Nothing of it is remembered beyond a life, and it has no records: what is wanted is told again at each
start, what there is is listed.

Placing, volumes, names and proof of death are Kubernetes'; who may be ended, when and why stays with the ledger. What
Kubernetes may do without us is told as such (:mod:`~upcall.substrate.kubernetes.disruptions`).
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from upcall.protocol.declaration import Declaration, Resources
from upcall.substrate.interface import (
    Capabilities,
    Firmness,
    Output,
    Promised,
    Resizing,
    StillHeld,
    TaskId,
    Unpromised,
    VolumeSet,
    Wanted,
)
from upcall.substrate.kubernetes import names, nodes
from upcall.substrate.kubernetes.asking import Asking, Key
from upcall.substrate.kubernetes.cache import Cache
from upcall.substrate.kubernetes.disruptions import Foreign
from upcall.substrate.kubernetes.guests import Guests, says
from upcall.substrate.kubernetes.manifest import Settings
from upcall.substrate.kubernetes.members import Context, Members
from upcall.substrate.kubernetes.objects import (
    OTHERS,
    Budget,
    Claim,
    Disruption,
    Kind,
    Node,
    Object,
    Pod,
    Service,
    Workload,
)
from upcall.substrate.kubernetes.pods import Word
from upcall.substrate.kubernetes.requests import Answer, Done, Event, Listed
from upcall.substrate.kubernetes.volumes import Volumes

PROVE_AGAIN_S: Final = 10.0
FIRMNESS: Final[dict[str, Firmness]] = {
    "*": "enforced",
    "evict": "intercepted",
    "preempt": "notified",
    "kill": "observed",
}
Change = tuple[Kind, Object | None, Object | None]


class KubernetesSubstrate:
    """Implements :class:`upcall.substrate.interface.Substrate`. ``wall``: the clock of stamps on objects."""

    def __init__(
        self, settings: Settings, *, wall: Callable[[], float] = time.time, context: Context | None = None
    ) -> None:
        self._settings, self._wall = settings, wall
        self._cache = Cache()
        self._asking = Asking(self._cache.version_of)
        self._volumes = Volumes(self._cache, self._asking, settings)
        self._foreign = Foreign(self._cache, self._asking, wall)
        self._guests = Guests(self._cache, self._asking)
        self._members = Members(
            self._cache, self._asking, self._volumes, self._foreign, settings, self._guests, context
        )
        self._wanted_known = False
        self._mark = names.closed(settings.namespace)
        self._closed: set[str] = set()
        """Nodes that are to be free for their maintenance."""
        self._proving: dict[str, float] = {}
        """Node whose tasks are to be proven dead -> when to ask again."""
        self._kept: dict[str, float] = {}
        """Member -> when what is kept of it is due to go."""

    @property
    def capabilities(self) -> Capabilities:
        bound = self._settings.volumes_bound_to_node
        return Capabilities(
            placement="delegated", firmness=FIRMNESS, volumes_bound_to_node=bound, guests=True, resize_in_place=True
        )

    # -- down: places -----------------------------------------------------------------------------------------------

    def places(self) -> Mapping[str, str]:
        """Nothing is reserved: where a member is, is found when it is launched."""
        return {}

    def reserve(
        self, service: str, members: Mapping[str, Declaration], now_s: float, *, places: Mapping[str, int] | None = None
    ) -> Output:
        out = Output()
        for name in members:
            self._volumes.reserved(f"{service}.{name}")
            self._volumes.set_aside(f"{service}.{name}", (places or {}).get(name, 1), out)
        return out

    def fits(self, service: str, members: Mapping[str, Declaration]) -> str:
        """The scheduler says it, of what is launched."""
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
        if takes and declaration.volumes and not self._volumes.belongs(member_id, takes, place, now_s, out):
            reason = f"{member_id} has no volumes {takes}"
            out.up.append(Unpromised(member_id=member_id, place=place, reason=reason))
        else:
            out.up.append(Promised(member_id=member_id, place=place))
        return out

    def call_off_place(self, member_id: str, place: int, now_s: float) -> Output:
        return Output()

    def release(self, member_id: str, now_s: float, *, keep_volumes_s: float = 0.0) -> Output:
        out = Output()
        self._members.forget(member_id)
        self._volumes.release(member_id, self._wall() + keep_volumes_s)
        self._look(member_id, now_s, out)
        return out

    # -- down: tasks ------------------------------------------------------------------------------------------------

    def launch(self, wanted: Wanted, now_s: float) -> Output:
        out = Output()
        self._volumes.reserved(wanted.task.member_id)
        self._members.want(wanted, now_s, out)
        return out

    def end(self, task: TaskId, grace_s: float, now_s: float) -> Output:
        out = Output()
        self._members.end(task, grace_s, now_s, out)
        return out

    def resize(self, task: TaskId, resources: Resources, now_s: float) -> Output:
        out = Output()
        self._members.resize(task, resources, now_s, out)
        return out

    def resizing(self, task: TaskId, resources: Resources) -> Resizing:
        return self._members.resizing(task, resources)

    def let_go(self, task: TaskId, now_s: float) -> Output:
        out = Output()
        self._members.let_go(task, now_s, out)
        return out

    def wanted(self, tasks: Sequence[Wanted], now_s: float) -> Output:
        out = Output()
        self._members.all_wanted({wanted.task: wanted for wanted in tasks})
        self._wanted_known = True
        self._begin(now_s, out)
        self._members.tell_arrived(now_s, out)
        return out

    def known(self, names: Iterable[str], now_s: float) -> Output:
        """Pods are made without; what our part in them is to run may wait for a name."""
        out = Output()
        self._members.named(names, now_s, out)
        return out

    # -- down: nodes and others -------------------------------------------------------------------------------------

    def cordon(self, node: str, now_s: float, *, closed: bool) -> Output:
        out = Output()
        (self._closed.add if closed else self._closed.discard)(node)
        self._close(node, now_s, out)
        return out

    def _close(self, node: str, now_s: float, out: Output) -> None:
        """Our word alone: a node that somebody else has cordoned too stays so when we take ours back."""
        found = self._cache.nodes.get(node)
        if not self._members.ready or found is None or not self._asking.is_free("Node", node, now_s):
            return
        if (node in self._closed) == (self._mark in found.metadata.annotations):
            return
        wish: dict[str, Any] = {"metadata": {"name": node}}
        if node in self._closed:
            wish = {"metadata": {"name": node, "annotations": {self._mark: "true"}}, "spec": {"unschedulable": True}}
        self._asking.apply("Node", wish, out)

    def prove_death(self, node: str, now_s: float) -> Output:
        """Whoever can looks after the machine, and takes it out of service or away: then it is observed."""
        out = Output()
        found = self._cache.nodes.get(node)
        if node not in self._proving and (found is None or not nodes.is_heard(found)):
            self._prove(node, now_s, out)
        return out

    def _prove(self, node: str, now_s: float, out: Output) -> None:
        self._proving[node] = now_s + PROVE_AGAIN_S
        out.prove.append(node)

    def hold_disruption(self, disruption_id: str, now_s: float, *, held: StillHeld | None) -> Output:
        """It is held for as long as nothing is said."""
        out = Output()
        if held is None:
            self._foreign.allow(disruption_id, now_s, out)
        else:
            self._foreign.explain(disruption_id, held, now_s, out)
        return out

    # -- up ---------------------------------------------------------------------------------------------------------

    def heard(self, event: Event, now_s: float) -> Output:
        """What the API server says of its objects."""
        out = Output()
        self._taken(self._cache.take(event), now_s, out)
        if isinstance(event, Listed) and event.kind in OTHERS and self._members.ready:
            self._guests.look(self._members.followed(), now_s, out)  # who is not in it asks no more
        return out

    def answered(self, number: int, answer: Answer, now_s: float) -> Output:
        """What became of a request."""
        out = Output()
        key = self._asking.about(number)
        if key is None:
            return out  # of a life before
        request, about = self._asking.answered(key, answer, now_s)
        if isinstance(answer, Done) and answer.object is not None:
            self._taken(self._cache.answered(request.kind, answer.object), now_s, out)
        self._look_again(key, about, now_s, out)
        return out

    def told(self, task: TaskId, word: Word, now_s: float) -> Output:
        """What our part in a pod says to the master."""
        out = Output()
        self._members.told(task, word, now_s, out)
        return out

    def arrived(self, task: TaskId, now_s: float) -> Output:
        """Our part in its pod is connected: its launch follows in :attr:`Output.send`, now or when all is known."""
        out = Output()
        self._members.arrived(task, now_s, out)
        return out

    def left(self, task: TaskId, now_s: float) -> Output:
        """It is not connected any more."""
        self._members.left(task)
        return Output()

    def whose(self, pod: str, uid: str) -> TaskId | None:
        """The task of this very pod."""
        found = self._cache.pods.get(pod)
        return found.task if found is not None and found.uid == uid else None

    def _taken(self, changes: Sequence[Change], now_s: float, out: Output) -> None:
        for kind, before, now in changes:
            if (one := now or before) is not None:
                if now is not None:
                    self._asking.seen(kind, one.name, now.metadata.version)
                if before is not None and (now is None or now.uid != before.uid):
                    self._asking.forget(kind, before.name, before.uid)
        if not self._members.ready:
            self._begin(now_s, out)
            return
        for kind, before, now in changes:
            self._changed(kind, before, now, now_s, out)

    def _begin(self, now_s: float, out: Output) -> None:
        """Once all is known: tasks are told, then nodes, then what others do to them."""
        if self._members.ready or not self._wanted_known or not self._cache.complete:
            return
        self._members.ready = True
        self._foreign.listens_since = self._wall()
        claims = {claim.member_id for claim in self._cache.claims.values() if claim.member_id}
        for member_id in sorted(self._members.known() | claims):
            self._look(member_id, now_s, out)
        for node in self._cache.nodes.values():
            out.up.append(nodes.observed(node, self._mark))
            self._close(node.name, now_s, out)
        for one in self._cache.disruptions.values():
            self._foreign.began(one, out)
            self._foreign.look(one.name, now_s, out)
        out.up.append(self._foreign.listed())
        self._guests.look(self._members.followed(), now_s, out)

    def _changed(self, kind: Kind, before: Object | None, now: Object | None, now_s: float, out: Output) -> None:
        match now or before:
            case Node() as node:
                self._node(node, before, now, now_s, out)
            case Pod() as pod:
                gone = before if now is None or (before is not None and before.uid != now.uid) else None
                if isinstance(gone, Pod):
                    self._members.vanished(gone, out)
                for name in self._cache.disruptions_of(pod.uid):
                    self._disruption(name, now_s, out)
                self._look(pod.member_id, now_s, out)
                if isinstance(before, Pod) and before.member_id != pod.member_id:
                    self._look(before.member_id, now_s, out)
                if not pod.guest and now is not None and (workload := self._guests.of(pod)):
                    self._members.look_at_guests(workload, now_s, out)
            case Workload() | Budget() if before is None or now is None or says(before) != says(now):
                self._guests.look(self._members.followed(), now_s, out)
                for workload in set(self._members.followed().values()):
                    self._members.look_at_guests(workload, now_s, out)
            case Service() as service:
                for member_id in self._members.of_service(service.name):
                    self._look(member_id, now_s, out)
            case Claim() as claim:
                self._look(claim.member_id, now_s, out)
            case Disruption() as one:
                if now is None:
                    self._foreign.called_off(one.name, out)
                else:
                    self._disruption(one.name, now_s, out)

    def _disruption(self, name: str, now_s: float, out: Output) -> None:
        if (one := self._cache.disruptions.get(name)) is not None:
            self._foreign.began(one, out)
            self._foreign.look(name, now_s, out)

    def _node(self, node: Node, before: Object | None, now: Object | None, now_s: float, out: Output) -> None:
        if now is None:
            self._proving.pop(node.name, None)
            out.up.append(nodes.gone(node.name))
        else:
            told = nodes.observed(node, self._mark)
            if not isinstance(before, Node) or nodes.observed(before, self._mark) != told:
                out.up.append(told)
            if told.state == "up":
                self._proving.pop(node.name, None)
            self._close(node.name, now_s, out)
        was = isinstance(before, Node) and (nodes.is_heard(before), before.out_of_service)
        if now is not None and was == (nodes.is_heard(node), node.out_of_service):
            return
        there = sorted({pod.member_id for pod in self._cache.on_node(node.name)})
        if now is None or not nodes.is_heard(node):
            self._members.tell_again(there)
        for member_id in there:
            self._look(member_id, now_s, out)

    def _look(self, member_id: str, now_s: float, out: Output) -> None:
        if not member_id or not self._members.ready:
            return
        self._members.look(member_id, now_s, out)
        wall_s, wanted = self._wall(), self._members.wants(member_id)
        self._volumes.look(member_id, now_s, wall_s, wanted=wanted, out=out)
        until = None if wanted else self._volumes.kept_until(member_id)
        if until is not None and until > wall_s:
            self._kept[member_id] = now_s + until - wall_s
        else:
            self._kept.pop(member_id, None)

    def _look_again(self, key: Key, about: str, now_s: float, out: Output) -> None:
        """At whatever a request was about."""
        kind, name = key
        match kind:
            case "Disruption":
                self._disruption(name, now_s, out)
            case "Node":
                self._close(name, now_s, out)
            case "PodDisruptionBudget":
                self._guests.look(self._members.followed(), now_s, out)
            case _:
                self._look(about, now_s, out)

    # -- time -------------------------------------------------------------------------------------------------------

    def tick(self, now_s: float) -> Output:
        out = Output()
        for key, about in self._asking.due(now_s):
            self._look_again(key, about, now_s, out)
            self._asking.past(key)
        for member_id in [name for name, due_s in self._kept.items() if due_s <= now_s]:
            self._look(member_id, now_s, out)
        for name in [name for name, due_s in self._foreign.lapses.items() if due_s <= now_s]:
            self._disruption(name, now_s, out)
        for node in [node for node, again_s in self._proving.items() if again_s <= now_s]:
            self._prove(node, now_s, out)
        return out

    def deadline(self) -> float | None:
        asked = self._asking.deadline()
        dues = (*self._kept.values(), *self._foreign.lapses.values(), *self._proving.values())
        return min((*dues, *(() if asked is None else (asked,))), default=None)

    # -- for people -------------------------------------------------------------------------------------------------

    def nodes(self) -> set[str]:
        return set(self._cache.nodes)

    def volumes(self) -> list[VolumeSet]:
        """All that is kept."""
        members = sorted({claim.member_id for claim in self._cache.claims.values() if claim.member_id})
        return [one for name in members for one in self._volumes.sets(name, self._members.places(name))]

    def drop_volumes(self, member_id: str, fence: int, now_s: float) -> Output:
        out = Output()
        self._volumes.drop(member_id, fence, now_s, out)
        return out
