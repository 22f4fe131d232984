"""Objects as an API server would send them, with what a test does not care about filled in."""

from typing import Any

from upcall.protocol.declaration import Declaration
from upcall.substrate.interface import TaskId, Wanted
from upcall.substrate.kubernetes import manifest
from upcall.substrate.kubernetes.manifest import Settings
from upcall.substrate.kubernetes.objects import Node, Pod, read

SETTINGS = Settings(image="registry.test/upcall:1", master_url="https://upcall-master")
BEGAN, LATER = "2026-01-01T00:00:10Z", "2026-01-01T00:05:00Z"


def wanted(declaration: Declaration | None = None, *, incarnation: int = 1, **more: Any) -> Wanted:
    task = TaskId("log", "b0", incarnation)
    return Wanted(task=task, declaration=declaration or Declaration(command=("run",)), **more)


def raw_pod(
    *,
    node: str = "n1",
    phase: str = "Running",
    version: int = 7,
    uid: str = "u1",
    leaving: bool = False,
    grace_s: int = 35,
    container: dict[str, Any] | None = None,
    ready: bool = False,
    conditions: list[dict[str, Any]] | None = None,
    of: Wanted | None = None,
    **status: Any,
) -> dict[str, Any]:
    made = manifest.pod(of or wanted(), {}, SETTINGS)
    made["metadata"] |= {"uid": uid, "resourceVersion": str(version)}
    if leaving:
        made["metadata"] |= {"deletionTimestamp": LATER, "deletionGracePeriodSeconds": grace_s}
    if node:
        made["spec"]["nodeName"] = node
    made["status"] = {"phase": phase, "podIP": "10.1.2.3", "conditions": conditions or [], **status}
    if container is not None:
        made["status"]["containerStatuses"] = [{"name": "task", "ready": ready, "state": container}]
    return made


def pod(**more: Any) -> Pod:
    found = read("Pod", raw_pod(**more))
    assert isinstance(found, Pod)
    return found


def terminated(code: int, **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, **more}}


def raw_node(
    name: str = "n1", *, ready: str | None = "True", message: str = "", version: int = 3, **spec: Any
) -> dict[str, Any]:
    conditions = [] if ready is None else [{"type": "Ready", "status": ready, "message": message}]
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version), "labels": {}},
        "spec": spec,
        "status": {"allocatable": {}, "conditions": conditions},
    }


def node(**more: Any) -> Node:
    found = read("Node", raw_node(**more))
    assert isinstance(found, Node)
    return found
