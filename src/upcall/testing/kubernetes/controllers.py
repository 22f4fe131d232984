"""The played controllers of Kubernetes: one that notices silent nodes, one that collects garbage, and those that keep
up the pods of somebody else's workloads.

A pod whose node is gone, or was taken out of service, is declared failed and deleted: that is Kubernetes' proof of
death. Nothing else ends a pod of ours here: taints of silent nodes are tolerated.
"""

from typing import Any, Literal

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


def replicate(api: ApiServer) -> None:
    """As many pods as a workload says: of a ``StatefulSet`` by number, of a ``Deployment`` with names that nobody
    knows beforehand."""
    for kind in ("StatefulSet", "Deployment"):
        for workload in api.all(kind):
            _replicate(api, kind, workload)


def _replicate(api: ApiServer, kind: Literal["StatefulSet", "Deployment"], workload: Obj) -> None:
    name, uid = workload["metadata"]["name"], workload["metadata"]["uid"]
    by = {"kind": kind if kind == "StatefulSet" else "ReplicaSet", "name": name, "uid": uid, "controller": True}
    mine = [one for one in api.all("Pod") if by in one["metadata"].get("ownerReferences", ())]
    stay = [one for one in mine if not one["metadata"].get("deletionTimestamp")]
    for over in stay[workload["spec"]["replicas"] :]:
        api.delete("Pod", over["metadata"]["name"], uid=over["metadata"]["uid"])
    taken = {one["metadata"]["name"] for one in mine}
    for number in range(workload["spec"]["replicas"] - len(stay)):
        if kind == "StatefulSet":
            pod = next(f"{name}-{number}" for number in range(len(taken) + 1) if f"{name}-{number}" not in taken)
            if int(pod.rpartition("-")[2]) >= workload["spec"]["replicas"]:
                return  # the one of that number is on its way out
        else:
            pod = f"{name}-{api.version}x{number}"
        taken.add(pod)
        labels = dict(workload["spec"]["template"]["metadata"]["labels"])
        meta = {"name": pod, "labels": labels, "ownerReferences": [by]}
        spec = {"containers": [{"name": "main", "resources": {"requests": {}}}], "volumes": []}
        api.create("Pod", {"metadata": meta, "spec": spec})


def _is_out(node: Obj) -> bool:
    return any(one["key"] == names.OUT_OF_SERVICE for one in node["spec"].get("taints", ()))


def _on(api: ApiServer, node: str) -> list[Obj]:
    return [one for one in api.all("Pod") if one["spec"].get("nodeName") == node and one["status"]["phase"] not in OVER]
