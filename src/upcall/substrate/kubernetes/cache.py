"""What is known of the API server's objects: lists and watch events, in whatever order and however often they come.

Versions rise with every write, over all objects. So of one object what is newer holds, whatever comes later; an event
that is told twice, or by a server that lags behind, changes nothing; what was deleted does not come back by an old
event, and what was made just now is not gone because an older list has not got it.

Nothing is concluded from what is missing before each kind was listed once (:attr:`Cache.complete`).
"""

from collections import Counter, OrderedDict
from typing import Final, TypeVar

from upcall.substrate.kubernetes.objects import (
    NEEDED,
    Budget,
    Claim,
    Disruption,
    Kind,
    Node,
    Object,
    Pod,
    Raw,
    Workload,
    read,
)
from upcall.substrate.kubernetes.requests import Changed, Event, Listed, Removed

K = TypeVar("K")
GONE_MAX: Final = 10_000
"""Uids of what was deleted that are remembered: events that are older than so many deletions do not come."""


class Cache:
    def __init__(self) -> None:
        self.pods: dict[str, Pod] = {}
        self.nodes: dict[str, Node] = {}
        self.claims: dict[str, Claim] = {}
        self.services: dict[str, Object] = {}
        self.disruptions: dict[str, Disruption] = {}
        self.budgets: dict[str, Budget] = {}
        self.stateful_sets: dict[str, Workload] = {}
        self.deployments: dict[str, Workload] = {}
        self._listed: set[Kind] = set()
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._of_member: dict[tuple[Kind, str], set[str]] = {}
        self._on_node: dict[str, set[str]] = {}
        """Node -> its pods."""
        self._about_pod: dict[str, set[str]] = {}
        """Uid of a pod -> disruptions that are about it."""
        self._labels: Counter[str] = Counter()
        """Of nodes: how many have each."""

    @property
    def complete(self) -> bool:
        return self._listed.issuperset(NEEDED)

    def is_listed(self, kind: Kind) -> bool:
        return kind in self._listed

    def of(self, kind: Kind) -> dict[str, Object]:
        found: dict[Kind, dict[str, Object]] = {
            "Pod": self.pods,  # type: ignore[dict-item]
            "Node": self.nodes,  # type: ignore[dict-item]
            "PersistentVolumeClaim": self.claims,  # type: ignore[dict-item]
            "Service": self.services,
            "Disruption": self.disruptions,  # type: ignore[dict-item]
            "PodDisruptionBudget": self.budgets,  # type: ignore[dict-item]
            "StatefulSet": self.stateful_sets,  # type: ignore[dict-item]
            "Deployment": self.deployments,  # type: ignore[dict-item]
        }
        return found[kind]

    def version_of(self, kind: Kind, name: str) -> int:
        """0: it is not there."""
        known = self.of(kind).get(name)
        return known.metadata.version if known is not None else 0

    def labelled(self, label: str) -> bool:
        """Whether any node has it."""
        return self._labels[label] > 0

    def on_node(self, node: str) -> list[Pod]:
        return [self.pods[name] for name in sorted(self._on_node.get(node, ()))]

    def disruptions_of(self, pod_uid: str) -> list[str]:
        return sorted(self._about_pod.get(pod_uid, ()))

    def pods_of(self, member_id: str) -> list[Pod]:
        """Oldest incarnation first."""
        found = [self.pods[name] for name in self._of_member.get(("Pod", member_id), ())]
        return sorted(found, key=lambda pod: pod.task.incarnation if pod.task else 0)

    def claims_of(self, member_id: str) -> list[Claim]:
        return [self.claims[name] for name in sorted(self._of_member.get(("PersistentVolumeClaim", member_id), ()))]

    def take(self, event: Event) -> list[tuple[Kind, Object | None, Object | None]]:
        """What changed by it: kind, the object before, and now."""
        match event:
            case Listed(kind=kind, objects=objects, version=version):
                self._listed.add(kind)
                found = [read(kind, raw) for raw in objects]
                names = {one.name for one in found}
                missing = [
                    one for name, one in self.of(kind).items() if name not in names and one.metadata.version <= version
                ]
                changes = [self._drop(kind, one) for one in missing]
                changes += [self._put(kind, one) for one in found]
            case Changed(kind=kind, object=raw):
                changes = [self._put(kind, read(kind, raw))]
            case Removed(kind=kind, object=raw):
                changes = [self._drop(kind, read(kind, raw))]
        return [change for change in changes if change is not None]

    def answered(self, kind: Kind, raw: Raw) -> list[tuple[Kind, Object | None, Object | None]]:
        """An object as the answer to a request gave it: as good as an event."""
        return self.take(Changed(kind, raw))

    def _put(self, kind: Kind, now: Object) -> tuple[Kind, Object | None, Object | None] | None:
        known = self.of(kind)
        before = known.get(now.name)
        if now.uid in self._gone or (before is not None and before.metadata.version >= now.metadata.version):
            return None
        if before is not None and before.uid != now.uid:
            self._remember(before.uid)
        known[now.name] = now
        self._index(kind, before, now)
        return kind, before, now

    def _index(self, kind: Kind, before: Object | None, now: Object | None) -> None:
        """What is asked by something else than its name, so that nobody looks at all of a kind for one of it."""
        for one, there in ((before, False), (now, True)):
            if one is None:
                continue
            if one.member_id:
                _note(self._of_member, (kind, one.member_id), one.name, there=there)
            if isinstance(one, Pod) and one.node:
                _note(self._on_node, one.node, one.name, there=there)
            if isinstance(one, Disruption):
                _note(self._about_pod, one.spec.pod_uid, one.name, there=there)
            if isinstance(one, Node):
                self._labels.update(dict.fromkeys(one.metadata.labels, 1 if there else -1))

    def _drop(self, kind: Kind, was: Object) -> tuple[Kind, Object | None, Object | None] | None:
        """Only this very object: another of its name may be there since."""
        self._remember(was.uid)
        known = self.of(kind)
        before = known.get(was.name)
        if before is None or before.uid != was.uid:
            return None
        del known[was.name]
        self._index(kind, before, None)
        return kind, before, None

    def _remember(self, uid: str) -> None:
        self._gone[uid] = None
        while len(self._gone) > GONE_MAX:
            self._gone.popitem(last=False)


def _note(index: dict[K, set[str]], key: K, name: str, *, there: bool) -> None:
    names = index.setdefault(key, set())
    (names.add if there else names.discard)(name)
    if not names:
        del index[key]
