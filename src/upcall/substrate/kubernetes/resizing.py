"""Another amount for a pod that runs: what is asked for, and how far its node is with it.

The API server takes it at the subresource ``resize`` of the pod, of cores and memory alone; what is more than the
pod's node has it refuses itself (from 1.37 on, seen there; before, the kubelet says it). The node's kubelet does it
in its own time, and says in the pod how that goes: ``PodResizePending`` with ``Deferred`` (there is no room now, and it
tries again by itself) or ``Infeasible`` (there never will be, on that node); ``PodResizeInProgress`` while it is being
done, with why it is not done yet where something is in its way. What a container really has stands in its status.
"""

from collections.abc import Mapping
from typing import Any, Final

from upcall.protocol.declaration import Resources
from upcall.substrate.interface import Resizing
from upcall.substrate.kubernetes.manifest import CONTAINER, amounts
from upcall.substrate.kubernetes.objects import Amounts, Node, Pod
from upcall.substrate.kubernetes.quantities import amount

PART: Final = "resize"
PENDING: Final = "PodResizePending"
IN_PROGRESS: Final = "PodResizeInProgress"
INFEASIBLE: Final = "Infeasible"
LIMIT_STAYS: Final = "a limit of memory is not lifted while it runs"
OTHERWISE: Final = "it is not what its pod is to have yet"
UNHEARD: Final = "its node has not heard of it yet"
UNDER_WAY: Final = "its node is doing it"
NO_SUCH_THING: Final = "this API server changes the size of no pod that runs"
NEVER: Final = (404, 405, 422)
"""Answers that are the same the next time: an API server that knows no such thing, or does not take this amount."""


def wish(pod: Pod, resources: Resources) -> dict[str, Any]:
    """To be applied at :data:`PART`: of this very pod, and of nothing but these amounts."""
    of_it = {name: value for name, value in amounts(resources).items() if value}
    for each in of_it.values():
        each.pop("ephemeral-storage", None)  # which is not changed while it runs
    return {
        "metadata": {"name": pod.name, "uid": pod.uid},
        "spec": {"containers": [{"name": CONTAINER, "resources": of_it}]},
    }


def name_of(pod: Pod) -> str:
    """Of the request, while it is on its way."""
    return f"{pod.name}/{PART}"


def refused(status: int, words: str, node: Node | None, resources: Resources) -> Resizing:
    """By the API server, before its node heard of it: what is more than the node has is never taken there; a quota, or
    a right, may be another later."""
    never = status in NEVER or (node is not None and _exceeds(node, resources))
    return Resizing(state="refused" if never else "waits", reason=words or NO_SUCH_THING)


def _exceeds(node: Node, resources: Resources) -> bool:
    has, asked = node.status.allocatable, amounts(resources)["requests"]
    return any(name in has and amount(asked.get(name, "0")) > amount(has[name]) for name in ("cpu", "memory"))


def is_asked(pod: Pod, resources: Resources) -> bool:
    """Whether the pod is to have it already."""
    return any(one.name == CONTAINER and _are(one.resources, resources) for one in pod.spec.containers)


def forbids(pod: Pod, resources: Resources) -> str:
    """Why it needs a restart."""
    limited = any("memory" in one.resources.limits for one in pod.spec.containers if one.name == CONTAINER)
    return LIMIT_STAYS if limited and not resources.memory_mib else ""


def state(pod: Pod, resources: Resources, *, under_way: bool = True) -> Resizing:
    """Of a pod that runs and is to have it. ``under_way``: it is being asked for."""
    if not is_asked(pod, resources):
        if forbidden := forbids(pod, resources):
            return Resizing(state="refused", reason=forbidden)
        return Resizing(state="waits", reason="" if under_way else OTHERWISE)
    newest = pod.metadata.generation
    for kind in (PENDING, IN_PROGRESS):
        said = pod.condition(kind)
        if said is None or said.status != "True" or 0 < said.observed_generation < newest:
            continue  # of an amount that was asked for before
        words = ": ".join(word for word in (said.reason, said.message) if word)
        never = kind == PENDING and said.reason == INFEASIBLE
        return Resizing(state="refused" if never else "waits", reason=words or UNDER_WAY)
    if 0 < pod.status.observed_generation < newest:
        return Resizing(state="waits", reason=UNHEARD)
    has = pod.container.resources if pod.container is not None else None
    if has is None or not _are(has, resources):
        return Resizing(state="waits", reason=UNHEARD)
    return Resizing(state="done")


def _are(has: Amounts, wanted: Resources) -> bool:
    asked = amounts(wanted)
    return _same(has.requests, asked["requests"]) and _same(has.limits, asked["limits"])


def _same(has: Mapping[str, str], asked: Mapping[str, str]) -> bool:
    return all(amount(has.get(name, "0")) == amount(asked.get(name, "0")) for name in ("cpu", "memory"))
