"""A played API server: objects with versions, as far as we use it, by the rules of the real one.

Every write gives a version that is higher than all before, over all objects. A creation fails where the name is taken.
A deletion or a change may name the uid and the version that it is meant for. What is applied is owned field by field:
a field that another one owns with another value is a conflict unless it is forced, and one that is not applied any
more goes, if nobody else owns it. A deleted pod stays until its node says that it has ended; whatever has a finalizer
stays until that is taken off. A watch goes on from a version, for as long as it was not compacted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from upcall.substrate.kubernetes.exits import OVER
from upcall.substrate.kubernetes.objects import KINDS, Kind
from upcall.substrate.kubernetes.quantities import amount

Obj = dict[str, Any]
FIRST: Final = 100
"""Versions do not begin with 1 on a server that has been there for a while."""


class Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class Event:
    version: int
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: Obj


@dataclass
class ApiServer:
    wall: Callable[[], float]
    version: int = FIRST
    calls: list[str] = field(default_factory=list)
    """``create Pod log.b0.p1``."""
    refuses_too_much: bool = True
    """More than its node has, for a pod that runs: as from 1.37 on. Before, its kubelet says so."""
    deny: Callable[[str, Kind, str], str] = lambda verb, kind, name: ""
    """An admission rule: why not."""
    more: Sequence[Any] = ()
    """Kinds beside those of the substrate. Their ``spec`` is counted, as the real server counts it."""
    whole: Sequence[Any] = ()
    """Those of them whose status is no subresource."""

    def __post_init__(self) -> None:
        kinds = (*KINDS, *self.more)
        self._objects: dict[Kind, dict[str, Obj]] = {kind: {} for kind in kinds}
        self._owned: dict[tuple[Kind, str], dict[str, dict[tuple[str, ...], Any]]] = {}
        self._log: dict[Kind, list[Event]] = {kind: [] for kind in kinds}
        self._compacted: dict[Kind, int] = dict.fromkeys(kinds, 0)
        self._uids = 0

    # -- reading ----------------------------------------------------------------------------------------------------

    def all(self, kind: Kind) -> list[Obj]:
        return list(self._objects[kind].values())

    def find(self, kind: Kind, name: str) -> Obj | None:
        return self._objects[kind].get(name)

    def since(self, kind: Kind, version: int) -> list[Event]:
        """What a watch says that goes on from there. 410: nobody remembers that any more."""
        if version < self._compacted[kind]:
            raise Refusal(410, "the requested resource version is too old")
        log = self._log[kind]
        start = len(log)
        while start and log[start - 1].version > version:
            start -= 1
        return log[start:]

    def logged(self, kind: Kind) -> list[Event]:
        return self._log[kind]

    def newest(self, kind: Kind) -> int:
        """Version of what happened last to one of this kind."""
        return self._log[kind][-1].version if self._log[kind] else self._compacted[kind]

    def compact(self) -> None:
        """What has been is forgotten."""
        for kind in self._log:
            self._compacted[kind] = self.version
            self._log[kind].clear()

    # -- writing ----------------------------------------------------------------------------------------------------

    def create(self, kind: Kind, obj: Mapping[str, Any]) -> Obj:
        name = obj["metadata"]["name"]
        self._call("create", kind, name)
        if name in self._objects[kind]:
            raise Refusal(409, f'{kind} "{name}" already exists')
        return self._new(kind, name, obj)

    def _new(self, kind: Kind, name: str, obj: Mapping[str, Any]) -> Obj:
        self._uids += 1
        meta = {**obj["metadata"], "uid": f"uid-{self._uids}", "creationTimestamp": self.stamp()}
        made = {**obj, "metadata": meta}
        if kind == "Pod":
            made.setdefault("status", {"phase": "Pending"})
        return self._store(kind, name, made, "ADDED")

    def apply(self, kind: Kind, obj: Mapping[str, Any], *, manager: str, force: bool = False) -> Obj:
        name = obj["metadata"]["name"]
        self._call("apply", kind, name)
        known = self._objects[kind].get(name)
        mine = dict(_leaves({key: value for key, value in obj.items() if key != "metadata"}))
        mine |= dict(_leaves({"metadata": {k: v for k, v in obj["metadata"].items() if k != "name"}}))
        owned = self._owned.setdefault((kind, name), {})
        if known is None:
            owned.clear()
            owned[manager] = mine
            return self._new(kind, name, obj)
        if kind == "Pod" and any(path[0] == "spec" for path in mine):
            raise Refusal(422, f'Pod "{name}" is invalid: spec: Forbidden: pod updates may not change fields')
        for other, fields in owned.items():
            theirs = [path for path in mine if other != manager and path in fields and fields[path] != mine[path]]
            if theirs and not force:
                raise Refusal(409, f"Apply failed with 1 conflict: conflict with {other!r}: .{'.'.join(theirs[0])}")
            for path in theirs:
                del fields[path]
        changed = known
        for path in owned.get(manager, {}):
            if path not in mine and not any(path in fields for other, fields in owned.items() if other != manager):
                changed = _without(changed, path)
        for path, value in mine.items():
            changed = _with(changed, path, value)
        _keeps_its_class(kind, name, known, changed)
        owned[manager] = mine
        return self._put(kind, name, changed)

    def merge(self, kind: Kind, name: str, change: Mapping[str, Any], *, part: str = "", manager: str = "") -> Obj:
        self._call("merge", kind, name)
        known = self._known(kind, name)
        meta = change.get("metadata", {})
        self._meant(kind, known, meta.get("uid", ""), meta.get("resourceVersion", ""))
        if part:
            change = {part: change.get(part, {})}
        elif kind not in self.whole:
            change = {key: value for key, value in change.items() if key != "status"}
        if kind == "Pod" and "spec" in change:
            raise Refusal(422, f'Pod "{name}" is invalid: spec: Forbidden: pod updates may not change fields')
        changed = merged(known, change)
        _keeps_its_class(kind, name, known, changed)
        if manager:
            owned = self._owned.setdefault((kind, name), {}).setdefault(manager, {})
            owned |= dict(_leaves(change))
        return self._put(kind, name, changed)

    def resize(self, name: str, obj: Mapping[str, Any]) -> Obj:
        """What is applied at the subresource: amounts of its containers, and nothing else."""
        self._call("resize", "Pod", name)
        known = self._known("Pod", name)
        self._meant("Pod", known, obj["metadata"].get("uid", ""), "")
        wanted = {one["name"]: {"resources": one["resources"]} for one in obj["spec"]["containers"]}
        containers = [merged(one, wanted.get(one.get("name", ""), {})) for one in known["spec"]["containers"]]
        if containers == known["spec"]["containers"]:
            return known
        if self.refuses_too_much:
            self._room_for(known, containers)
        generation = known["metadata"].get("generation", 1) + 1
        changed = merged(known, {"metadata": {"generation": generation}, "spec": {"containers": containers}})
        return self._put("Pod", name, changed)

    def _room_for(self, pod: Obj, containers: list[Obj]) -> None:
        node = self._objects["Node"].get(pod["spec"].get("nodeName", ""))
        for kind in ("cpu", "memory"):
            asked = sum(amount(one["resources"].get("requests", {}).get(kind, "0")) for one in containers)
            has = amount(node["status"]["allocatable"].get(kind, "0")) if node is not None else asked
            if asked > has:
                words = f"node didn't have enough allocatable resources: {kind}, requested: {asked}, allocatable: {has}"
                raise Refusal(403, f'pods "{pod["metadata"]["name"]}" is forbidden: {words}')

    def bind(self, name: str, node: str) -> None:
        """What the scheduler does."""
        pod = self._known("Pod", name)
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": self.stamp()}
        self._put("Pod", name, merged(pod, {"spec": {"nodeName": node}, "status": {"conditions": [scheduled]}}))

    def say(self, kind: Kind, name: str, status: Mapping[str, Any]) -> None:
        """Whoever is responsible for it says how it is: a kubelet of its pods, a controller of a node."""
        if name in self._objects[kind]:
            self._put(kind, name, merged(self._objects[kind][name], {"status": status}))

    def delete(self, kind: Kind, name: str, *, uid: str = "", grace_s: float | None = None) -> Obj | None:
        """None: it is gone. Else it is on its way."""
        self._call("delete", kind, name)
        known = self._known(kind, name)
        self._meant(kind, known, uid, "")
        meta = known["metadata"]
        if kind != "Pod":
            going = {**meta, "deletionTimestamp": meta.get("deletionTimestamp") or self.stamp()}
            return self._put(kind, name, {**known, "metadata": going})
        grace = known["spec"].get("terminationGracePeriodSeconds", 30) if grace_s is None else grace_s
        if not known["spec"].get("nodeName") or known["status"].get("phase") in OVER:
            grace = 0
        left = min(grace, meta.get("deletionGracePeriodSeconds", grace))
        stamp = meta.get("deletionTimestamp") or self.stamp(left)
        going = {**meta, "deletionTimestamp": stamp, "deletionGracePeriodSeconds": left}
        return self._put(kind, name, {**known, "metadata": going})

    # -- below ------------------------------------------------------------------------------------------------------

    def stamp(self, ahead_s: float = 0.0) -> str:
        """Whole seconds, as the real one writes them."""
        return datetime.fromtimestamp(int(self.wall() + ahead_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _call(self, verb: str, kind: Kind, name: str) -> None:
        self.calls.append(f"{verb} {kind} {name}")
        if why := self.deny(verb, kind, name):
            raise Refusal(403, why)

    def _known(self, kind: Kind, name: str) -> Obj:
        known = self._objects[kind].get(name)
        if known is None:
            raise Refusal(404, f'{kind} "{name}" not found')
        return known

    def _meant(self, kind: Kind, known: Obj, uid: str, version: str) -> None:
        meta = known["metadata"]
        if uid and uid != meta["uid"]:
            raise Refusal(409, f"{kind} {meta['name']}: the UID in the precondition does not match")
        if version and version != meta["resourceVersion"]:
            raise Refusal(409, f"{kind} {meta['name']}: the object has been modified")

    def _put(self, kind: Kind, name: str, obj: Obj) -> Obj:
        """As it is to be; gone, where nothing holds what is deleted any more."""
        meta = obj["metadata"]
        held = meta.get("finalizers") or (kind == "Pod" and meta.get("deletionGracePeriodSeconds"))
        if meta.get("deletionTimestamp") and not held:
            stored = self._store(kind, name, obj, "DELETED")
            del self._objects[kind][name]
            self._owned.pop((kind, name), None)
            return stored
        if obj == self._objects[kind][name]:
            return obj  # nothing changes, and nobody is told
        return self._store(kind, name, obj, "MODIFIED")

    def _store(self, kind: Kind, name: str, obj: Obj, event: Literal["ADDED", "MODIFIED", "DELETED"]) -> Obj:
        self.version += 1
        counted: dict[str, Any] = {}
        if kind in self.more:
            before = self._objects[kind].get(name)
            counted["generation"] = 1 if before is None else before["metadata"]["generation"]
            counted["generation"] += before is not None and before.get("spec") != obj.get("spec")
        stored = {**obj, "metadata": {**obj["metadata"], **counted, "resourceVersion": str(self.version)}}
        self._objects[kind][name] = stored
        self._log[kind].append(Event(self.version, event, stored))
        return stored


def merged(known: Obj, change: Mapping[str, Any]) -> Obj:
    """A JSON merge patch; what is not touched is shared."""
    made = dict(known)
    for key, value in change.items():
        if value is None:
            made.pop(key, None)
        elif isinstance(value, Mapping):
            before = made.get(key)
            made[key] = merged(before if isinstance(before, dict) else {}, value)
        else:
            made[key] = value
    return made


def _keeps_its_class(kind: Kind, name: str, known: Obj, changed: Obj) -> None:
    """A claim that has no storage class may be given one, and that is all of its class that is ever changed."""
    was, now = (one.get("spec", {}).get("storageClassName") for one in (known, changed))
    if kind == "PersistentVolumeClaim" and was is not None and now != was:
        raise Refusal(422, f'PersistentVolumeClaim "{name}" is invalid: spec: Forbidden: spec is immutable')


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Fields, each by its path; a list is one."""
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _leaves(each, (*path, key))
    elif path and not (isinstance(value, Mapping) and len(path) == 1):
        yield path, value


def _with(obj: Obj, path: tuple[str, ...], value: Any) -> Obj:
    head, *rest = path
    if not rest:
        return {**obj, head: value}
    below = obj.get(head)
    return {**obj, head: _with(below if isinstance(below, dict) else {}, tuple(rest), value)}


def _without(obj: Obj, path: tuple[str, ...]) -> Obj:
    head, *rest = path
    if head not in obj:
        return obj
    if rest:
        return {**obj, head: _without(obj[head], tuple(rest))}
    return {key: value for key, value in obj.items() if key != head}
