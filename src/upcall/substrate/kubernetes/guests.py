"""Workloads of somebody else's that ask for care by an annotation: which they are, and which of their pods is whose.

A ``StatefulSet`` or ``Deployment`` with ``upcall.dev/ask`` is told as a :class:`~upcall.substrate.interface.Guest`; the
master makes a service of it, and the ledger wants its members as it wants any. Nothing is made for them: an incarnation
*is* a pod that its owner made, and a label of ours on that pod says which. So everything that is known of our own pods
holds for these, from the eviction that is asked about to what is still there after a start of the master.

A pod is followed by who finds it: of a ``StatefulSet`` by the member's number, of a ``Deployment`` any that nobody
follows yet. It has no finalizer of ours and no end by us that no operation has begun; who is not followed any more
loses our labels, and runs on.

Below the answers lies a budget for each of them, by its owner's own selector, so it holds pods too that nobody could
follow yet. It is made only where the owner has none: two budgets on a pod are one too many for Kubernetes, which then
evicts nothing at all.
"""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from upcall.substrate.interface import Guest, Output, TaskId, Wanted
from upcall.substrate.kubernetes import names
from upcall.substrate.kubernetes.asking import Asking
from upcall.substrate.kubernetes.cache import Cache
from upcall.substrate.kubernetes.evictions.objects import NEVER
from upcall.substrate.kubernetes.exits import OVER
from upcall.substrate.kubernetes.objects import Budget, Kind, Object, Pod, Workload
from upcall.substrate.kubernetes.pods import ON_ITS_WAY, Seen, leaving_or_pending

KINDS: Final[dict[Kind, str]] = {"StatefulSet": "statefulset", "Deployment": "deployment"}
CAREFUL: Final = "careful"
AWAY: Final = ("hold", "careful")
SERVICE_CHARS_MAX: Final = 40
FLOOR: Final = "upcall-holds-"
MEMBERS_MAX: Final = 1000


class Guests:
    def __init__(self, cache: Cache, asking: Asking) -> None:
        self._cache, self._asking = cache, asking
        self._told: dict[str, Guest] = {}
        """By name of the service."""

    # -- which there are --------------------------------------------------------------------------------------------

    def all(self) -> Iterator[tuple[str, Workload]]:
        """Those that ask for it, by their names: ``statefulset/web``."""
        for kind, word in KINDS.items():
            for one in self._cache.of(kind).values():
                if isinstance(one, Workload) and one.noted(names.ASK) and not one.metadata.deletion_timestamp:
                    yield f"{word}/{one.name}", one

    def named(self, workload: str) -> Workload | None:
        word, _, name = workload.partition("/")
        kind: Kind = "StatefulSet" if word == KINDS["StatefulSet"] else "Deployment"
        found = self._cache.of(kind).get(name)
        return found if isinstance(found, Workload) else None

    def look(self, followed: dict[str, str], now_s: float, out: Output) -> None:
        """Tells what is asked for now. ``followed``: service -> the workload that it follows, as it is wanted; who asks
        no more is told as gone, once it is certain that he does not."""
        found = {guest.service: guest for guest in (_guest(name, one) for name, one in self.all())}
        for service, guest in found.items():
            if self._told.get(service) != guest:
                self._told[service] = guest
                out.up.append(guest)
        known = {**{service: one.workload for service, one in self._told.items()}, **followed}
        for service, workload in known.items():
            if service not in found and all(self._cache.is_listed(kind) for kind in KINDS):
                self._told.pop(service, None)
                out.up.append(Guest(service=service, workload=workload, gone=True))
        self._look_at_floors(now_s, out)

    # -- whose pods -------------------------------------------------------------------------------------------------

    def of(self, pod: Pod) -> str:
        """The workload that made this pod, where it asks for care."""
        return next((name for name, one in self.all() if _made(one, name, pod)), "")

    def candidate(self, wanted: Wanted, now_s: float) -> Pod | None:
        """A pod for this member that nobody follows yet: one that is ready before one that is not, the older first."""
        workload = wanted.declaration.guest
        owner = self.named(workload)
        if owner is None:
            return None
        fits = [
            pod
            for pod in self._cache.pods.values()
            if not pod.guest
            and not pod.leaving
            and pod.status.phase not in OVER
            and _made(owner, workload, pod)
            and self._asking.is_free("Pod", pod.name, now_s)
            and _is_it(owner, workload, wanted.task, pod)
        ]
        return min(fits, key=lambda pod: (not is_ready(pod), pod.metadata.creation_timestamp, pod.name), default=None)

    def follow(self, wanted: Wanted, pod: Pod, out: Output) -> None:
        task = wanted.task
        labels = {names.SERVICE: task.service, names.MEMBER: task.member, names.GUEST: "true", names.LET_GO: None}
        notes = {names.TASK: str(task), names.GENERATION: str(wanted.generation), names.PLACE: str(wanted.place)}
        change = {"metadata": {"uid": pod.uid, "labels": labels, "annotations": notes}}
        self._asking.merge("Pod", pod.name, change, out, about=task.member_id)

    def let_go(self, pod: Pod, out: Output) -> None:
        labels = dict.fromkeys((names.SERVICE, names.MEMBER, names.GUEST, names.LET_GO))
        notes = dict.fromkeys((names.TASK, names.GENERATION, names.PLACE))
        change = {"metadata": {"uid": pod.uid, "labels": labels, "annotations": notes}}
        self._asking.merge("Pod", pod.name, change, out, about=pod.member_id)

    # -- the floor --------------------------------------------------------------------------------------------------

    def _look_at_floors(self, now_s: float, out: Output) -> None:
        if not self._cache.is_listed("PodDisruptionBudget"):
            return
        wanted = {}
        for name, one in self.all():
            if not self._has_its_own(one):
                wanted[FLOOR + service_name(name)] = floor_of(one, name)
        for name, budget in wanted.items():
            if name not in self._cache.budgets and self._asking.is_free("PodDisruptionBudget", name, now_s):
                self._asking.apply("PodDisruptionBudget", budget, out)
        for name, found in list(self._cache.budgets.items()):
            ours = name.startswith(FLOOR) and found.metadata.labels.get(names.MANAGED_BY) == names.MANAGER
            sure = all(self._cache.is_listed(kind) for kind in KINDS)
            if ours and sure and name not in wanted and self._asking.is_free("PodDisruptionBudget", name, now_s):
                self._asking.delete("PodDisruptionBudget", name, found.uid, None, out)

    def _has_its_own(self, workload: Workload) -> bool:
        labels = workload.spec.template.metadata.labels
        return any(
            budget.holds(labels) and budget.metadata.labels.get(names.MANAGED_BY) != names.MANAGER
            for budget in self._cache.budgets.values()
        )


def says(one: Object) -> object:
    """What of it matters here; its status changes with each of its pods."""
    match one:
        case Workload():
            notes = tuple(one.noted(key) for key in (names.ASK, names.MINIMUM, names.AWAY))
            return one.uid, notes, one.spec, one.metadata.deletion_timestamp
        case Budget():
            return one.uid, one.spec, one.metadata.labels.get(names.MANAGED_BY)
        case _:
            return one


def service_name(workload: str) -> str:
    """``statefulset-web``: so none of ours is called like it by chance, nor two of theirs alike."""
    return names.short(workload.replace("/", "-"), SERVICE_CHARS_MAX)


def _guest(workload: str, one: Workload) -> Guest:
    """What cannot be understood is said, and the careful rule holds instead."""
    said, problems = one.noted(names.ASK).strip(), []
    responder = ""
    if said != CAREFUL:
        parts = urlsplit(said)
        if parts.scheme in ("http", "https") and parts.hostname and len(said) <= 500:
            responder = said
        else:
            problems.append(
                f"{names.ASK} is {said[:60]!r}, and neither `careful` nor an address (http://..., https://...)"
            )
    minimum = one.noted(names.MINIMUM).strip()
    if minimum and not (minimum.isdecimal() and int(minimum) <= MEMBERS_MAX):
        problems.append(f"{names.MINIMUM} is {minimum[:60]!r}, and no number")
        minimum = ""
    away = one.noted(names.AWAY, AWAY[0]).strip()
    if away not in AWAY:
        problems.append(f"{names.AWAY} is {away[:60]!r}, and neither `hold` nor `careful`")
        away = AWAY[0]
    return Guest(
        service=service_name(workload),
        workload=workload,
        members=min(one.spec.replicas, MEMBERS_MAX),
        minimum=int(minimum) if minimum else None,
        responder=responder,
        away=away,
        problem="; ".join(problems),
    )


def _made(owner: Workload, workload: str, pod: Pod) -> bool:
    """A ``Deployment`` makes its pods by sets of replicas; selectors of several of these do not overlap."""
    by = next((one for one in pod.metadata.owner_references if one.controller), None)
    if by is None or not owner.spec.selector.holds(pod.metadata.labels):
        return False
    return by.uid == owner.uid if workload.startswith(KINDS["StatefulSet"]) else by.kind == "ReplicaSet"


def _is_it(owner: Workload, workload: str, task: TaskId, pod: Pod) -> bool:
    if not workload.startswith(KINDS["StatefulSet"]):
        return True
    number = int(task.member.rpartition("-")[2])
    return pod.name == f"{owner.name}-{owner.spec.ordinals.start + number}"


def floor_of(workload: Workload, name: str) -> dict[str, Any]:
    """Its own selector, without who was let go."""
    selector = workload.spec.selector
    rules = [
        {"key": one.key, "operator": one.operator, "values": list(one.values)} for one in selector.match_expressions
    ]
    rules = [{key: value for key, value in rule.items() if value} for rule in rules]
    rules.append({"key": names.LET_GO, "operator": "DoesNotExist"})
    kind = next(kind for kind, word in KINDS.items() if name.startswith(word))
    owner = {"apiVersion": "apps/v1", "kind": kind, "name": workload.name, "uid": workload.uid}
    return {
        "metadata": {
            "name": FLOOR + service_name(name),
            "labels": {names.MANAGED_BY: names.MANAGER},
            "ownerReferences": [owner],  # it goes with the workload, whether or not anybody of us is there
        },
        "spec": {
            "minAvailable": NEVER,
            "selector": {"matchLabels": dict(selector.match_labels), "matchExpressions": rules},
            "unhealthyPodEvictionPolicy": "IfHealthyBudget",
        },
    }


def has_no_identity(pod: Pod) -> bool:
    """Of a set of replicas: another takes its place at once, whatever became of this one."""
    return any(one.controller and one.kind == "ReplicaSet" for one in pod.metadata.owner_references)


def is_ready(pod: Pod) -> bool:
    ready = pod.condition("Ready")
    return ready is not None and ready.status == "True"


def seen(pod: Pod) -> Seen:
    """One that is not ready is ``placed``, with what is said of it: whether it is to be started anew is not for us to
    say, and a cure would be."""
    if (early := leaving_or_pending(pod)) is not None:
        return early
    if is_ready(pod):
        return Seen("ready", f"pod {pod.name}")
    for one in pod.status.container_statuses:
        if one.state.waiting is not None and one.state.waiting.reason not in ON_ITS_WAY:
            said = one.state.waiting
            return Seen("placed", f"pod {pod.name}: {said.reason}{f': {said.message}' if said.message else ''}")
    return Seen("placed", f"pod {pod.name} is not ready")
