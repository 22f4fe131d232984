"""The played controllers of Kubernetes that touch our pods: one that notices silent nodes, one that collects garbage.

A pod whose node is gone, or was taken out of service, is declared failed and deleted: that is Kubernetes' proof of
death. Nothing else ends a pod of ours here: taints of silent nodes are tolerated.
"""

from typing import Any

from upcall.substrate.kubernetes import names
from upcall.substrate.kubernetes.exits import OVER
from upcall.testing.kubernetes.api import ApiServer, Obj


def node_is(api: ApiServer, node: str, *, heard: bool, why: str = "") -> None:
    ready: dict[str, Any] = {"type": "Ready", "status": "True" if heard else "Unknown"}
    if why:
        ready["message"] = why
    api.say("Node", node, {"conditions": [ready]})
    if not heard:
        for pod in _on(api, node):
            # As the real one does, without knowing anything about them.
            kept = [one for one in pod["status"].get("conditions", ()) if one["type"] != "Ready"]
            unknown = {"type": "Ready", "status": "False", "lastTransitionTime": api.stamp()}
            api.say("Pod", pod["metadata"]["name"], {"conditions": [*kept, unknown]})


def out_of_service(api: ApiServer, node: str, *, on: bool) -> None:
    known = api.find("Node", node)
    if known is None:
        return
    taints = [one for one in known["spec"].get("taints", ()) if one["key"] != names.OUT_OF_SERVICE]
    if on:
        taints.append({"key": names.OUT_OF_SERVICE, "effect": "NoExecute"})
    api.merge("Node", node, {"spec": {"taints": taints}})


def collect(api: ApiServer) -> None:
    """Pods of nodes that are no more, or that somebody took out of service."""
    for pod in api.all("Pod"):
        node = pod["spec"].get("nodeName", "")
        known = api.find("Node", node) if node else None
        if not node or (known is not None and not _is_out(known)):
            continue
        name = pod["metadata"]["name"]
        if pod["status"].get("phase") not in OVER:
            api.say("Pod", name, {"phase": "Failed"})
        if not pod["metadata"].get("deletionTimestamp"):
            api.delete("Pod", name, grace_s=0)


def _is_out(node: Obj) -> bool:
    return any(one["key"] == names.OUT_OF_SERVICE for one in node["spec"].get("taints", ()))


def _on(api: ApiServer, node: str) -> list[Obj]:
    return [one for one in api.all("Pod") if one["spec"].get("nodeName") == node and one["status"]["phase"] not in OVER]
