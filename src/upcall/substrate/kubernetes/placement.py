"""Where a pod may be placed, in the words of Kubernetes' scheduler; it places, and we only say what must hold.

=================  ==================================================================================================
of a declaration   of the pod
=================  ==================================================================================================
``apart``          required anti-affinity by host, against pods with the same word of the same service
``per_node`` > 1   a hard spread over hosts of at most that skew, counted from none (``minDomains`` beyond any cluster
                   makes the emptiest count as zero), which is how the scheduler can count; and a soft one, evenly
``spread``         a soft spread over the attribute; nodes without it are no places. Where no node has it (kind, k3s,
                   many clusters of one's own) a soft spread over hosts, and nothing is asked of a node
``together``       required affinity by host, to the pod of that member
``attributes``     node selector
=================  ==================================================================================================

A node of ours that falls silent is waited for, and judged by the ledger: the taints by which Kubernetes would end
what runs there after five minutes are tolerated without an end. A node that somebody takes out of service is not.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from upcall.protocol.declaration import Constraints
from upcall.substrate.kubernetes import names

DOMAINS_BEYOND_ANY: Final = 1_000_000
TOLERATED: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def placement(service: str, wants: Constraints, labelled: Callable[[str], bool]) -> dict[str, Any]:
    """What it adds to a pod's spec. ``labelled``: whether any node has this label."""
    spec: dict[str, Any] = {
        "tolerations": [{"key": key, "operator": "Exists", "effect": "NoExecute"} for key in TOLERATED]
    }
    if wants.attributes:
        spec["nodeSelector"] = {names.label_of(name): value for name, value in sorted(wants.attributes.items())}
    alike = _selector({names.SERVICE: names.as_label(service), names.APART: names.as_label(wants.apart)})
    affinity: dict[str, Any] = {}
    spreads: list[dict[str, Any]] = []
    if wants.apart and wants.per_node == 1:
        affinity["podAntiAffinity"] = _required(alike)
    if wants.apart and wants.per_node > 1:
        at_most = _spread(names.HOST, alike, wants.per_node, "DoNotSchedule")
        spreads += [{**at_most, "minDomains": DOMAINS_BEYOND_ANY}, _spread(names.HOST, alike, 1, "ScheduleAnyway")]
    if instead_of(wants, labelled) and wants.per_node == 1:
        spreads.append(_spread(names.HOST, alike, 1, "ScheduleAnyway"))
    elif wants.spread and labelled(attribute := names.label_of(wants.spread)):
        spreads.append(_spread(attribute, alike, 1, "ScheduleAnyway"))
        exists = {"matchExpressions": [{"key": attribute, "operator": "Exists"}]}
        affinity["nodeAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [exists]}}
    if wants.together:
        other = {names.SERVICE: names.as_label(service), names.MEMBER: names.as_label(wants.together)}
        affinity["podAffinity"] = _required(_selector(other))
    if affinity:
        spec["affinity"] = affinity
    if spreads:
        spec["topologySpreadConstraints"] = spreads
    return spec


def instead_of(wants: Constraints, labelled: Callable[[str], bool]) -> str:
    """Over what it cannot be spread, and is spread over hosts instead, in words; empty: it can, or need not."""
    if not wants.spread or labelled(label := names.label_of(wants.spread)):
        return ""
    return f"over nodes: none has the label {label}"


def _required(selector: Mapping[str, Any]) -> dict[str, Any]:
    term = {"topologyKey": names.HOST, "labelSelector": selector}
    return {"requiredDuringSchedulingIgnoredDuringExecution": [term]}


def _spread(over: str, selector: Mapping[str, Any], skew: int, otherwise: str) -> dict[str, Any]:
    return {"topologyKey": over, "labelSelector": selector, "maxSkew": skew, "whenUnsatisfiable": otherwise}


def _selector(labels: Mapping[str, str]) -> dict[str, Any]:
    return {"matchLabels": dict(labels)}
