"""A cluster of any size, as its API server would list it and tell of it: nodes, and members that are ready on them.

Objects are kept as JSON, as they come over the wire, with what a real server adds for itself; who reads one decodes it.
"""

from typing import Any, Final

import msgspec

from benchmarks.turn_master import DECLARATION, Size
from upcall.substrate.interface import TaskId, Wanted
from upcall.substrate.kubernetes.client.api import bare
from upcall.substrate.kubernetes.manifest import Settings, headless, pod
from upcall.substrate.kubernetes.objects import Kind
from upcall.substrate.kubernetes.requests import Changed, Event, Listed

SETTINGS: Final = Settings(image="played", master_url="https://played", domain="scale.svc")
NOTED: Final = "x" * 1500
"""As much as a server notes of who has written which field."""
IMAGES: Final = [
    {"names": [f"registry.example/image-{number}@sha256:{number:064}"], "sizeBytes": 1} for number in range(20)
]
FIRST: Final = 1000
BEGAN: Final = "2026-01-01T00:00:00Z"
TURNED: Final = "2026-01-01T00:01:00Z"


class Simulated:
    def __init__(self, size: Size, nodes: int) -> None:
        self._version = FIRST
        self.nodes = {name: self._node(name) for name in (f"node-{number}" for number in range(nodes))}
        self.members: dict[str, bytes] = {}
        services = [f"service-{number}" for number in range(size.services)]
        self.services = [self._noted(headless(name, SETTINGS), f"of-{name}") for name in services]
        for at, service in enumerate(services):
            for number in range(size.members_each):
                node = f"node-{(at * size.members_each + number) % nodes}"
                wanted = Wanted(task=TaskId(service, f"member-{number}", 1), declaration=DECLARATION)
                self.members[wanted.task.member_id] = self._pod(wanted, node)

    def listed(self, kind: Kind) -> Listed:
        """All of it, decoded as a client does."""
        found = {"Pod": self.members.values(), "Node": self.nodes.values(), "Service": self.services}.get(kind, ())
        return Listed(kind, tuple(bare(msgspec.json.decode(each)) for each in found), self._version)

    # -- what happens -----------------------------------------------------------------------------------------------

    def pod(self, number: int) -> Event:
        """A member is not ready, and ready again."""
        member = list(self.members)[number // 2 % min(len(self.members), 10)]
        found = self._next(self.members[member])
        ready = "False" if number % 2 == 0 else "True"
        found["status"]["containerStatuses"][0]["ready"] = ready == "True"
        for one in found["status"]["conditions"]:
            one |= {"status": ready, "lastTransitionTime": TURNED}
        return Changed("Pod", bare(found))

    def node(self, number: int) -> Event:
        """A node says that it is as it was."""
        found = self._next(self.nodes[f"node-{number % len(self.nodes)}"])
        found["status"]["conditions"][0]["lastHeartbeatTime"] = f"at {self._version}"
        return Changed("Node", bare(found))

    def silence(self, number: int) -> Event:
        """A node is not heard, and heard again."""
        found = self._next(self.nodes["node-0"])
        found["status"]["conditions"][0]["status"] = "Unknown" if number % 2 == 0 else "True"
        return Changed("Node", bare(found))

    def _next(self, known: bytes) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(known)
        self._version += 1
        found["metadata"]["resourceVersion"] = str(self._version)
        return found

    # -- objects ----------------------------------------------------------------------------------------------------

    def _noted(self, made: dict[str, Any], uid: str) -> bytes:
        self._version += 1
        more: dict[str, Any] = {"uid": uid, "resourceVersion": str(self._version), "creationTimestamp": BEGAN}
        more["managedFields"] = [{"manager": "upcall", "operation": "Update", "fieldsV1": {"f:spec": NOTED}}]
        return msgspec.json.encode({**made, "metadata": {**made["metadata"], **more}})

    def _pod(self, wanted: Wanted, node: str) -> bytes:
        made = pod(wanted, {}, SETTINGS)
        turned = {"status": "True", "lastTransitionTime": TURNED}
        container = {
            "name": "task",
            "ready": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": BEGAN}},
            "resources": made["spec"]["containers"][0]["resources"],
        }
        status = {
            "phase": "Running",
            "podIP": f"10.{len(self.members) >> 16}.{len(self.members) >> 8 & 255}.{len(self.members) & 255}",
            "conditions": [{"type": kind, **turned} for kind in ("ContainersReady", "Ready")],
            "containerStatuses": [container],
        }
        spec = {**made["spec"], "nodeName": node}
        return self._noted({**made, "spec": spec, "status": status}, f"uid-{wanted.task}")

    def _node(self, name: str) -> bytes:
        labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"zone-{len(name) % 3}"}
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": BEGAN}
        room = {"cpu": "8", "memory": "32Gi", "ephemeral-storage": "100Gi", "pods": "110"}
        status = {"capacity": room, "allocatable": room, "conditions": [ready], "images": IMAGES}
        return self._noted({"metadata": {"name": name, "labels": labels}, "spec": {}, "status": status}, f"uid-{name}")
