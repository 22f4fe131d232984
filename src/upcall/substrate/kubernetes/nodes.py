"""A node, as Kubernetes has it, in our words.

It is *silent* while Kubernetes does not hear it (``Ready`` is ``Unknown``): what runs there is not known, and nothing
is made of it. A kubelet that says itself that it is not ready is heard, and what it says of its pods counts. *Gone* is
a node whose object is gone: whoever removes it (a cloud's controller that looked after the machine, or a person) says
that nothing of it runs any more, and so does a node that was taken out of service.
"""

from datetime import datetime
from typing import Final

from upcall.substrate import interface as sub
from upcall.substrate.kubernetes import names
from upcall.substrate.kubernetes.objects import Node
from upcall.substrate.kubernetes.quantities import cores, mib

CORDONED: Final = "by somebody on Kubernetes: nothing new is placed there"
TAINTED: Final = "by somebody on Kubernetes (taint {}): nothing new is placed there"
GOING: Final = (
    "ToBeDeletedByClusterAutoscaler",
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    "aws-node-termination-handler/",
    "node.cloudprovider.kubernetes.io/shutdown",
)
"""Taints by which machines that look after nodes say that one goes, before they evict what is there. A taint that only
says whom a node is for is none of them."""


def observed(node: Node, mark: str = names.CLOSED) -> sub.NodeObserved:
    """``mark``: by which we know a node that we have closed ourselves."""
    heard = is_heard(node)
    reason = "" if heard or node.ready is None else node.ready.message
    return sub.NodeObserved(
        node=node.name,
        state="up" if heard else "silent",
        reason=reason,
        closed=closed_by_others(node, mark),
        description=description(node),
    )


def closed_by_others(node: Node, mark: str) -> str:
    """Maintenance that somebody else has begun. By it nothing ends: no operation is made of it, for one of ours would
    stop what he lets run. What he evicts is asked about, one by one."""
    taint = next((one.key for one in node.spec.taints if one.key.startswith(GOING)), "")
    if taint:
        return TAINTED.format(taint)
    return CORDONED if node.spec.unschedulable and mark not in node.metadata.annotations else ""


def gone(name: str) -> sub.NodeObserved:
    return sub.NodeObserved(node=name, state="gone", reason="removed")


def is_heard(node: Node) -> bool:
    """One that has never said anything is not waited for in vain: it is not heard either."""
    return node.ready is not None and node.ready.status != "Unknown"


def description(node: Node) -> sub.Node:
    offers, labels = node.status.allocatable, node.metadata.labels
    attributes = {key: value for key, value in labels.items() if key not in names.ATTRIBUTES.values()}
    attributes |= {word: labels[key] for word, key in names.ATTRIBUTES.items() if key in labels}
    return sub.Node(
        name=node.name,
        cpus=cores(offers.get("cpu", "0")),
        memory_mib=mib(offers.get("memory", "0")),
        disk_mib=mib(offers.get("ephemeral-storage", "0")),
        attributes=attributes,
    )


def seconds(stamp: str) -> float | None:
    """A time as the server writes it, since 1970."""
    return datetime.fromisoformat(stamp).timestamp() if stamp else None
