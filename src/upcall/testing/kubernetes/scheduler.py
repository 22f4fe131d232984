"""The played scheduler of Kubernetes: where a pod goes, by what stands in its manifest and nothing else.

It says what keeps how many nodes out, in the words of the simulated cluster on which somebody else places
(:mod:`upcall.testing.simulated.places`), so that one test reads both.
"""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import Any

from upcall.substrate.kubernetes import names
from upcall.substrate.kubernetes.exits import OVER
from upcall.substrate.kubernetes.quantities import amount

Obj = Mapping[str, Any]
WORDS = {label: word for word, label in names.ATTRIBUTES.items()}
AMOUNTS = {"cpu": "cpus", "memory": "memory", "ephemeral-storage": "disk"}
RULE = "requiredDuringSchedulingIgnoredDuringExecution"


def choose(pod: Obj, nodes: Sequence[Obj], pods: Sequence[Obj], claims: Container[str]) -> tuple[str, str]:
    """A node; or none, and why. The emptiest that will do; by name among equals."""
    for volume in pod["spec"]["volumes"]:
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        if claim and claim not in claims:
            return "", f'persistentvolumeclaim "{claim}" not found'
    placed = [one for one in pods if one["spec"].get("nodeName") and one["status"].get("phase") not in OVER]
    objections = Counter[str]()
    fits: list[tuple[int, int, str]] = []
    for node in nodes:
        here = [one for one in placed if one["spec"]["nodeName"] == node["metadata"]["name"]]
        if objection := _objection(pod, node, here):
            objections[objection] += 1
        else:
            fits.append((_alike_near(pod, node, nodes, placed), len(here), node["metadata"]["name"]))
    if fits:
        return min(fits)[-1], ""
    why = ", ".join(f"{count} {objection}" for objection, count in sorted(objections.items()))
    return "", f"0 of {len(nodes)} nodes will do" + (f": {why}" if why else "")


def _objection(pod: Obj, node: Obj, here: Sequence[Obj]) -> str:
    spec, labels = pod["spec"], node["metadata"].get("labels", {})
    ready = next(one for one in node["status"]["conditions"] if one["type"] == "Ready")
    if ready["status"] != "True":
        return "silent"
    if node.get("spec", {}).get("unschedulable"):
        return "closed for new tasks"
    if any(labels.get(key) != value for key, value in spec.get("nodeSelector", {}).items()):
        return "without the attributes that it asks for"
    affinity = spec.get("affinity", {})
    for term in affinity.get("nodeAffinity", {}).get(RULE, {}).get("nodeSelectorTerms", ()):
        for rule in term["matchExpressions"]:
            if rule["key"] not in labels:
                return f"without {WORDS.get(rule['key'], rule['key'])}"
    if any(_matches(term, here) for term in affinity.get("podAntiAffinity", {}).get(RULE, ())):
        return "with one that it keeps apart from"
    for spread in spec.get("topologySpreadConstraints", ()):
        if spread["whenUnsatisfiable"] == "DoNotSchedule" and _matches(spread, here) >= spread["maxSkew"]:
            return "with one that it keeps apart from"
    if any(not _matches(term, here) for term in affinity.get("podAffinity", {}).get(RULE, ())):
        return "without the member that it goes with"
    lacking = [AMOUNTS[name] for name in AMOUNTS if _free(node, here, name) < _wants(pod, name)]
    return f"with too little {' and '.join(lacking)}" if lacking else ""


def _matches(term: Obj, here: Sequence[Obj]) -> int:
    wanted = term["labelSelector"]["matchLabels"].items()
    return sum(wanted <= one["metadata"].get("labels", {}).items() for one in here)


def _free(node: Obj, here: Sequence[Obj], name: str) -> Any:
    return amount(node["status"]["allocatable"].get(name, "0")) - sum(_wants(one, name) for one in here)


def _wants(pod: Obj, name: str) -> Any:
    return sum(amount(one["resources"]["requests"].get(name, "0")) for one in pod["spec"]["containers"])


def _alike_near(pod: Obj, node: Obj, nodes: Sequence[Obj], placed: Sequence[Obj]) -> int:
    """Spreading is a wish: fewest of its kind first."""
    count = 0
    for spread in pod["spec"].get("topologySpreadConstraints", ()):
        if spread["whenUnsatisfiable"] == "ScheduleAnyway":
            key = spread["topologyKey"]
            domain = node["metadata"].get("labels", {}).get(key)
            near = {one["metadata"]["name"] for one in nodes if one["metadata"].get("labels", {}).get(key) == domain}
            count += _matches(spread, [one for one in placed if one["spec"]["nodeName"] in near])
    return count
