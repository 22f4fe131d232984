"""Nodes of a test cluster that run nothing: their kubelets are played, through the real API, as a kubelet would speak.

A played kubelet makes its node, renews its lease, takes the pods that the scheduler binds to it, says that they run,
and removes those that are to go once their grace is over (at once here, or when a test lets them). Everything else is
the real cluster's: who is placed where, who may be evicted, what a node that falls silent leads to. What a kubelet
decides by itself, a test asks for: a container that ends, memory that is short, a shutdown, a power cut.
"""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import ApiError, Conflict, NotFound
from upcall.substrate.kubernetes.client.kinds import LEASE, NODE, POD, Object
from upcall.substrate.kubernetes.client.watching import Changed, Listed, Removed, watch

LEASES: Final = "kube-node-lease"
RENEW_S: Final = 10.0
AGAIN_S: Final = 0.2
PENDING: Final = "PodResizePending"


@dataclass
class PlayedNodes:
    api: Api
    cpus: int = 8
    memory_mib: int = 16_384
    alive: set[str] = field(default_factory=set)
    starts: Callable[[Object], bool] = lambda _: True
    """Whether the containers of this pod come up."""
    ends: Callable[[Object], bool] = lambda _: True
    """Whether those of a pod that is to go end; later is asked again with the next change of it."""
    exit_code: Callable[[Object], int] = lambda _: 0
    """With which those end that are told to; 143 is a program that does not know SIGTERM."""
    resizes: Callable[[Object], tuple[str, str]] = lambda _: ("", "")
    """Why a pod does not get the amounts that are wanted of it now: ``Deferred`` or ``Infeasible``, and words."""
    pods: dict[str, Object] = field(default_factory=dict)
    """By uid."""
    failures: list[str] = field(default_factory=list)
    _next_address: int = 1
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    # -- what tests do ----------------------------------------------------------------------------------------------

    async def add(self, name: str, **labels: str) -> None:
        node = {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name} | labels},
            "spec": {},
        }
        await self.api.apply(NODE, node)
        await self.api.apply(
            NODE, {"metadata": {"name": name}, "status": self._node_status()}, part="status", force=True
        )
        self.alive.add(name)
        await self._renew(name)

    async def power_cut(self, name: str) -> None:
        """Nothing more is heard of it."""
        self.alive.discard(name)

    async def power_on(self, name: str) -> None:
        self.alive.add(name)
        status = {"metadata": {"name": name}, "status": self._node_status()}
        await self.api.apply(NODE, status, part="status", force=True)
        await self._renew(name)
        for pod in list(self.pods.values()):
            await self._take(pod)
            await self._says_again(pod, name)

    async def _says_again(self, pod: Object, node: str) -> None:
        """Of what ran on meanwhile: the cluster had noted that nobody knows."""
        status = pod.get("status", {})
        if pod["spec"].get("nodeName") != node or status.get("phase") != "Running":
            return
        if not pod["metadata"].get("deletionTimestamp"):
            with contextlib.suppress(NotFound, Conflict):
                began = status["containerStatuses"][0]["state"]["running"]["startedAt"]
                await self._say(pod, "Running", ready=True, since=began)

    async def container_ended(self, namespace: str, name: str, code: int, reason: str = "Error") -> None:
        """As a kubelet says it of a pod that is not started again; 137 and ``OOMKilled``: by the kernel."""
        pod = await self.api.get(POD, name, namespace)
        await self._say(pod, "Failed" if code else "Succeeded", ready=False, ended=(code, reason))

    async def gives_up(self, namespace: str, name: str, reason: str, message: str) -> None:
        """The kubelet fails a pod of its own accord: ``Evicted`` under pressure, ``Terminated`` at a shutdown."""
        pod = await self.api.get(POD, name, namespace)
        await self._say(pod, "Failed", ready=False, ended=(137, "Error"), why=(reason, message))

    async def container_waits(self, namespace: str, name: str, reason: str, message: str) -> None:
        """It cannot be begun: its image, its settings."""
        pod = await self.api.get(POD, name, namespace)
        waiting = {"waiting": {"reason": reason, "message": message}}
        await self._say(pod, "Pending", ready=False, state=waiting)

    async def look_again(self) -> None:
        """``starts`` or ``ends`` answer differently now."""
        for pod in list(self.pods.values()):
            await self._take(pod)

    async def until(self, holds: Callable[[], bool], what: str, limit_s: float = 300.0) -> None:
        """Waits for something that is to be seen in :attr:`pods`."""
        async with asyncio.timeout(limit_s):
            while not holds():
                assert not self.failures, self.failures
                self._changed.clear()
                try:
                    await self._changed.wait()
                except asyncio.CancelledError:
                    there = {pod["metadata"]["name"]: pod.get("status", {}).get("phase") for pod in self.pods.values()}
                    raise AssertionError(f"not within {limit_s:.0f} s: {what}; pods: {there}") from None

    def named(self, name: str) -> Object | None:
        return next((pod for pod in self.pods.values() if pod["metadata"]["name"] == name), None)

    def ready(self, name: str) -> bool:
        pod = self.named(name)
        conditions = (pod or {}).get("status", {}).get("conditions") or ()
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    # -- what a kubelet does ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._leases())
            group.create_task(self._follow())

    async def _leases(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            for name in sorted(self.alive):
                await self._renew(name)

    async def _renew(self, name: str) -> None:
        lease = {
            "metadata": {"name": name},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now_stamp(exact=True)},
        }
        with contextlib.suppress(ApiError):
            await self.api.apply(LEASE, lease, LEASES, force=True)

    async def _follow(self) -> None:
        async with contextlib.aclosing(watch(self.api, POD)) as events:
            async for event in events:
                match event:
                    case Listed(objects=objects):
                        self.pods = {pod["metadata"]["uid"]: pod for pod in objects}
                        for pod in objects:
                            await self._take(pod)
                    case Changed(pod):
                        self.pods[pod["metadata"]["uid"]] = pod
                        await self._take(pod)
                    case Removed(pod):
                        self.pods.pop(pod["metadata"]["uid"], None)
                        self._gone(pod)
                self._changed.set()

    async def _take(self, pod: Object) -> None:
        if pod.get("spec", {}).get("nodeName") not in self.alive:
            return
        try:
            if pod["metadata"].get("deletionTimestamp"):
                if self.ends(pod):
                    await self._remove(pod)
            elif pod.get("status", {}).get("phase") == "Pending" and self.starts(pod):
                await self._say(pod, "Running", ready=True)
            elif is_resized(pod):
                await self._resize(pod)
        except (NotFound, Conflict):
            pass  # It changed meanwhile, which is told too.
        except ApiError as error:
            self.failures.append(f"{pod['metadata']['name']}: {error}")

    async def _resize(self, pod: Object) -> None:
        reason, message = self.resizes(pod)
        said = {"type": PENDING, "status": "True", "reason": reason, "message": message}
        said["observedGeneration"] = pod["metadata"]["generation"]
        if not reason:
            await self._say(pod, "Running", ready=True)
        elif not any(said.items() <= one.items() for one in pod["status"]["conditions"]):
            await self._say(pod, "Running", ready=True, condition=said)

    def _gone(self, pod: Object) -> None:
        """It is no object any more."""

    async def _remove(self, pod: Object) -> None:
        """The containers end, which a kubelet says first; then it takes the pod out of the record, that very one. Who
        has a finalizer on it may keep it for longer."""
        meta = pod["metadata"]
        if pod.get("status", {}).get("phase") in ("Pending", "Running"):
            code = self.exit_code(pod)
            await self._say(
                pod, "Failed" if code else "Succeeded", ready=False, ended=(code, "Error" if code else "Completed")
            )
        if meta.get("deletionGracePeriodSeconds") == 0:
            return
        await self.api.delete(POD, meta["name"], meta["namespace"], uid=meta["uid"], grace_s=0)

    async def _say(
        self,
        pod: Object,
        phase: str,
        *,
        ready: bool,
        ended: tuple[int, str] | None = None,
        state: Object | None = None,
        why: tuple[str, str] | None = None,
        since: str = "",
        message: str = "",
        restarts: int = 0,
        before: Object | None = None,
        condition: Object | None = None,
    ) -> None:
        """``since``: when its container began; ``message``: what that left in its termination message. ``before``: how
        the container before it ended, where it was started again. ``condition``: of a size that it is not given."""
        now, meta = now_stamp(), pod["metadata"]
        address = self._address_of(pod)
        if ended is None:
            state = state or {"running": {"startedAt": since or now}}
        else:
            code, reason = ended
            over = {"exitCode": code, "reason": reason, "startedAt": since or now, "finishedAt": now}
            state = {"terminated": over | ({"message": message} if message else {})}
        truth = "True" if ready else "False"
        status: dict[str, Any] = {
            "phase": phase,
            "startTime": since or now,
            "hostIP": "192.0.2.1",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [
                *({"type": kind, "status": truth, "lastTransitionTime": now} for kind in ("ContainersReady", "Ready")),
                *([condition | {"lastTransitionTime": now}] if condition is not None else []),
            ],
            "observedGeneration": meta.get("generation", 1),
            "containerStatuses": [
                {
                    "name": each["name"],
                    "image": each["image"],
                    "imageID": "",
                    "ready": ready,
                    "started": ready,
                    "restartCount": restarts,
                    "state": state,
                    "resources": each.get("resources", {}) if condition is None else _given(pod),
                    **({"lastState": before} if before else {}),
                }
                for each in pod["spec"]["containers"]
            ],
        }
        if why is not None:
            status["reason"], status["message"] = why
        # Only of the pod that it was said of: a later one may have its name.
        said = {"metadata": {"name": meta["name"], "uid": meta["uid"]}, "status": status}
        await self.api.apply(POD, said, meta["namespace"], part="status", force=True)

    def _address_of(self, pod: Object) -> str:
        if known := pod.get("status", {}).get("podIP"):
            return str(known)
        number = self._next_address
        self._next_address += 1
        return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"

    def _reached(self) -> Object:
        """Where the API server finds its kubelet."""
        return {}

    def _node_status(self) -> Object:
        room = {"cpu": str(self.cpus), "memory": f"{self.memory_mib}Mi", "pods": "110", "ephemeral-storage": "100Gi"}
        now = now_stamp()
        return {
            **self._reached(),
            "capacity": room,
            "allocatable": room,
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "KubeletReady",
                    "message": "played",
                    "lastHeartbeatTime": now,
                    "lastTransitionTime": now,
                }
            ],
        }


def is_resized(pod: Object) -> bool:
    """What is wanted of the size of a pod that runs is not what it has."""
    status = pod.get("status", {})
    waits = any(one["type"] == PENDING for one in status.get("conditions") or ())
    other = _given(pod) != pod["spec"]["containers"][0].get("resources", {})
    return bool(status.get("phase") == "Running" and (other or waits))


def _given(pod: Object) -> Object:
    statuses = pod.get("status", {}).get("containerStatuses") or [{}]
    return dict(statuses[0].get("resources") or {})


Nodes = TypeVar("Nodes", bound=PlayedNodes)


@contextlib.asynccontextmanager
async def played_nodes(api: Api, count: int = 0) -> AsyncIterator[PlayedNodes]:
    """``node-1`` and so on; removed at the end, with the pods that are still there."""
    async with playing(PlayedNodes(api), count) as nodes:
        yield nodes


@contextlib.asynccontextmanager
async def playing(nodes: Nodes, count: int) -> AsyncIterator[Nodes]:
    api = nodes.api
    for number in range(1, count + 1):
        await nodes.add(f"node-{number}")
    running = asyncio.create_task(nodes.run())
    try:
        yield nodes
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        for pod in (await api.list(POD)).objects:
            with contextlib.suppress(NotFound):
                await api.delete(POD, pod["metadata"]["name"], pod["metadata"]["namespace"], grace_s=0)
        for node in (await api.list(NODE)).objects:
            with contextlib.suppress(NotFound):
                await api.delete(NODE, node["metadata"]["name"])


def now_stamp(*, exact: bool = False) -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ" if exact else "%Y-%m-%dT%H:%M:%SZ")
