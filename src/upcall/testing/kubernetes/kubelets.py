"""The played machines: what really runs, and what a node says of it.

A container lives whether or not its node is heard, and whatever the API server believes of it. A kubelet hears what is
wanted of its pods, and says how they are, while it is heard; when it comes back it says everything.
"""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

import msgspec

from upcall.substrate.interface import Exit, Node, TaskId
from upcall.substrate.kubernetes import names
from upcall.substrate.kubernetes.exits import LAST_WORD, OVER
from upcall.substrate.kubernetes.pods import Word
from upcall.substrate.kubernetes.quantities import MIB, amount
from upcall.substrate.tasks import parse
from upcall.testing.kubernetes.api import ApiServer, Obj
from upcall.testing.simulated.cluster import Timing

KILLED = 137
DEFERRED = "Deferred"
AGAIN_S = 1.0
"""A kubelet looks again at what it had no room for."""


@dataclass
class Container:
    """What really is there of one pod."""

    pod: str
    uid: str
    task: TaskId
    node: str
    address: str
    beside: bool
    claims: frozenset[str]
    state: Literal["creating", "running", "over"] = "creating"
    ready: bool = False
    unready: str = ""
    started_at: str = ""
    turned_at: str = ""
    """When its readiness changed last."""
    late: bool = False
    exit: Exit | None = None
    by_itself: bool = True
    """Our part in it had the time to say how it ended."""
    ending: bool = False
    steps: int = 0
    generation: int = 1
    """Of its pod, that its node has heard of."""
    has: Mapping[str, Any] = field(default_factory=dict)
    """Its amounts, as they really are."""
    resize: Obj | None = None
    """The condition that says why they are not what is wanted."""

    @property
    def alive(self) -> bool:
        return self.state != "over"


@dataclass
class Machine:
    description: Node
    heard: bool = True
    silences: int = 0
    proving: bool = False


@dataclass
class Kubelets:
    api: ApiServer
    timing: Timing
    crashing: set[str] = field(default_factory=set)
    slow: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    taken: int = 0
    """MiB of each node that somebody else has: a pod that runs gets no more then."""

    def __post_init__(self) -> None:
        self.machines: dict[str, Machine] = {}
        self.containers: dict[str, Container] = {}
        """By uid of the pod."""
        self.words: list[tuple[TaskId, Word]] = []
        """What our part in the pods says to the master, on its way."""
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0

    # -- time -------------------------------------------------------------------------------------------------------

    def at(self, at_s: float, step: Callable[[float], None]) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (at_s, self._count, step))

    def due(self) -> float | None:
        return self._agenda[0][0] if self._agenda else None

    def step(self) -> float:
        at_s, _, step = heapq.heappop(self._agenda)
        step(at_s)
        return at_s

    def _later(self, one: Container, at_s: float, step: Callable[[float], None]) -> None:
        one.steps += 1
        steps = one.steps

        def take(now_s: float) -> None:
            if one.steps == steps and one.alive:
                step(now_s)

        self.at(at_s, take)

    # -- one pod's life ---------------------------------------------------------------------------------------------

    def look(self, pod: Obj, now_s: float) -> None:
        """What its node makes of a pod as it is wanted now."""
        node, meta = pod["spec"].get("nodeName", ""), pod["metadata"]
        machine = self.machines.get(node)
        if machine is None or not machine.heard:
            return
        if meta.get("ownerReferences"):
            self._look_at_strangers(pod, now_s)
            return
        one = self.containers.get(meta["uid"])
        leaving = "deletionTimestamp" in meta
        if pod["status"].get("phase") in OVER:
            if one is not None and one.alive:  # given up by others meanwhile
                self._stop(one, Exit(code=KILLED), by_itself=False)
            return
        if one is None:
            if not leaving:
                self._begin(pod, node, now_s)
            else:
                self.api.say("Pod", meta["name"], {"phase": "Failed", "reason": "", "message": ""})
            return
        if one.alive and not leaving:
            self._resize(one, pod, now_s)
        if leaving and one.alive:
            grace_s = meta["deletionGracePeriodSeconds"]
            if grace_s == 0:
                self._finish(one, Exit(code=KILLED), by_itself=False)
            elif not one.ending:
                one.ending = True
                self._later(one, now_s + min(grace_s, self.timing.end_s), lambda _: self._finish(one, Exit(code=0)))

    def _resize(self, one: Container, pod: Obj, now_s: float) -> None:
        """Takes over what is wanted of its size, or says why not."""
        wanted = pod["spec"]["containers"][0]["resources"]
        generation = pod["metadata"].get("generation", 1)
        if generation == one.generation and (one.has == wanted or one.resize is not None):
            return
        one.generation = generation
        one.resize = self._against(one, wanted)
        if one.resize is None:
            one.has = wanted
        elif one.resize["reason"] == DEFERRED:
            self.at(now_s + AGAIN_S, lambda at_s: self._resize_again(one, at_s))
        self.say(one)

    def _resize_again(self, one: Container, now_s: float) -> None:
        pod = self.api.find("Pod", one.pod)
        if one.alive and one.resize is not None and pod is not None and pod["metadata"]["uid"] == one.uid:
            one.resize = None
            one.generation = 0
            self._resize(one, pod, now_s)

    def _against(self, one: Container, wanted: Obj) -> Obj | None:
        node = self.machines[one.node].description
        others = [each for each in self.containers.values() if each.node == one.node and each.alive and each is not one]
        for name, room in (("cpu", float(node.cpus)), ("memory", float(node.memory_mib * MIB))):
            asked = _of(wanted, name)
            if asked > room:
                words = f"Node didn't have enough capacity: {name}, requested: {asked:g}, capacity: {room:g}"
                return {"reason": "Infeasible", "message": words}
            taken = float(self.taken * MIB) if name == "memory" else 0.0
            if asked + taken + sum(_of(each.has, name) for each in others) > room:
                return {"reason": DEFERRED, "message": f"Node didn't have enough resource: {name}"}
        return None

    def _look_at_strangers(self, pod: Obj, now_s: float) -> None:
        """A pod of somebody else's workload: it runs, is ready after a while, and goes when it is told to."""
        meta = pod["metadata"]
        if "deletionTimestamp" in meta:
            self.at(now_s, lambda _: self._strangers_gone(meta["name"], meta["uid"]))
        elif pod["status"].get("phase") == "Pending":
            self.strangers_ready(meta["name"], ready=False)
            self.at(now_s + self.timing.ready_s, lambda _: self._strangers_come_up(meta["name"], meta["uid"]))

    def _strangers_come_up(self, name: str, uid: str) -> None:
        pod = self.api.find("Pod", name)
        if pod is not None and pod["metadata"]["uid"] == uid and name not in self.slow:
            self.strangers_ready(name, ready=True)

    def strangers_ready(self, name: str, *, ready: bool) -> None:
        condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": self.api.stamp()}
        self.api.say("Pod", name, {"phase": "Running", "podIP": "10.9.9.9", "conditions": [condition]})

    def _strangers_gone(self, name: str, uid: str) -> None:
        pod = self.api.find("Pod", name)
        if pod is not None and pod["metadata"]["uid"] == uid:
            self.api.delete("Pod", name, uid=uid, grace_s=0)

    def gone(self, pod: Obj) -> None:
        """Its object is no more: a node that is heard ends what is left of it."""
        one = self.containers.get(pod["metadata"]["uid"])
        if one is not None and one.alive and self.hears(one.node):
            self._stop(one, Exit(code=KILLED), by_itself=False)

    def _begin(self, pod: Obj, node: str, now_s: float) -> None:
        meta, spec = pod["metadata"], pod["spec"]
        task = parse(meta["annotations"][names.TASK])
        assert task is not None, "only our pods are played"
        mounted = (one["persistentVolumeClaim"] for one in spec["volumes"] if "persistentVolumeClaim" in one)
        one = Container(
            pod=meta["name"],
            uid=meta["uid"],
            task=task,
            node=node,
            address=_address(task),
            beside=names.BESIDE in meta["annotations"],
            claims=frozenset(one["claimName"] for one in mounted),
            turned_at=self.api.stamp(),
            generation=meta.get("generation", 1),
            has=spec["containers"][0]["resources"],
        )
        self._check(one)
        self.containers[one.uid] = one
        self.say(one)
        self._later(one, now_s + self.timing.start_s, lambda at_s: self._start(one, at_s))

    def _check(self, one: Container) -> None:
        """What must never be: two of a member at once, unless one was wanted beside the other."""
        for other in self.containers.values():
            if other.alive and other.task.member_id == one.task.member_id and not one.beside:
                self.violations.append(f"{one.task} starts while {other.task} lives on the same volumes")
            if other.alive and other.claims & one.claims:
                self.violations.append(f"{one.task} and {other.task} share {', '.join(other.claims & one.claims)}")

    def _start(self, one: Container, now_s: float) -> None:
        one.state, one.started_at = "running", self.api.stamp()
        self.say(one)
        member_id = one.task.member_id
        if member_id in self.crashing:
            crash = Exit(code=1, reason="it crashes")
            self._later(one, now_s + self.timing.crash_s, lambda _: self._finish(one, crash))
        elif member_id not in self.slow:
            self._later(one, now_s + self.timing.ready_s, lambda _: self.turn(one, ready=True))

    def turn(self, one: Container, *, ready: bool, why: str = "") -> None:
        if one.ready != ready or why != one.unready:
            one.ready, one.unready, one.turned_at, one.late = ready, why, self.api.stamp(), False
            self.tell(one)
            self.say(one)

    def _finish(self, one: Container, how: Exit, *, by_itself: bool = True) -> None:
        self._stop(one, how, by_itself=by_itself)
        self.say(one)

    def _stop(self, one: Container, how: Exit, *, by_itself: bool) -> None:
        one.state, one.ready, one.exit, one.by_itself = "over", False, how, by_itself

    def crash(self, one: Container, how: Exit) -> None:
        self._finish(one, how)

    # -- what a node says -------------------------------------------------------------------------------------------

    def hears(self, node: str) -> bool:
        machine = self.machines.get(node)
        return machine is not None and machine.heard

    def tell(self, one: Container) -> None:
        """To the master itself."""
        if self.hears(one.node) and one.state == "running":
            self.words.append((one.task, Word(late=one.late, reason=one.unready)))

    def tell_all(self) -> None:
        """The master has started anew: whoever has something to say says it again."""
        for one in self.containers.values():
            if one.late or one.unready:
                self.tell(one)

    def say(self, one: Container) -> None:
        if not self.hears(one.node):
            return
        pod = self.api.find("Pod", one.pod)
        if pod is None or pod["metadata"]["uid"] != one.uid or pod["status"].get("phase") in OVER:
            return
        phase = {"creating": "Pending", "running": "Running"}.get(one.state, "")
        if one.exit is not None:
            phase = "Succeeded" if one.exit.code == 0 else "Failed"
        status = "True" if one.ready else "False"
        readiness = {"status": status, "message": one.unready, "lastTransitionTime": one.turned_at}
        conditions = [
            {"type": "PodScheduled", "status": "True"},
            {"type": "ContainersReady", **readiness},
            {"type": "Ready", **readiness},
        ]
        if one.resize is not None:
            about = {"observedGeneration": one.generation, **one.resize}
            conditions.append({"type": "PodResizePending", "status": "True", **about})
        container = {"name": "task", "ready": one.ready, "state": self._state(one), "resources": one.has}
        said = {
            "phase": phase,
            "podIP": one.address,
            "observedGeneration": one.generation,
            "conditions": conditions,
            "containerStatuses": [container],
        }
        self.api.say("Pod", one.pod, said)
        if one.exit is not None and pod["metadata"].get("deletionGracePeriodSeconds"):
            self.api.delete("Pod", one.pod, uid=one.uid, grace_s=0)  # its node is done with it

    @staticmethod
    def _state(one: Container) -> dict[str, Any]:
        if one.exit is None:
            if one.state == "creating":
                return {"waiting": {"reason": "ContainerCreating"}}
            return {"running": {"startedAt": one.started_at}}
        if one.exit.with_its_node:  # nobody was there to say how
            return {"terminated": {"exitCode": 255, "reason": "Unknown"}}
        code = one.exit.number or 0
        ended: dict[str, Any] = {"exitCode": code, "reason": "Completed" if code == 0 else "Error"}
        if one.by_itself:
            ended["message"] = LAST_WORD + msgspec.json.encode(one.exit).decode()
        return {"terminated": ended}

    # -- machines ---------------------------------------------------------------------------------------------------

    def join(self, node: Node) -> None:
        self.machines[node.name] = Machine(node)
        labels = {names.label_of(name): value for name, value in node.attributes.items()} | {names.HOST: node.name}
        amounts = {
            "cpu": f"{round(node.cpus * 1000)}m",
            "memory": f"{node.memory_mib}Mi",
            "ephemeral-storage": f"{node.disk_mib}Mi",
        }
        ready = {"type": "Ready", "status": "True"}
        made = {"metadata": {"name": node.name, "labels": labels}, "spec": {}}
        self.api.create("Node", {**made, "status": {"allocatable": amounts, "conditions": [ready]}})

    def dies(self, node: str) -> None:
        """Its machine stops. Nobody hears of it."""
        for one in self.containers.values():
            if one.node == node and one.alive:
                self._stop(one, Exit(reason="the machine stopped", with_its_node=True), by_itself=True)

    def back(self, node: str, now_s: float) -> None:
        """It is heard again, and says everything."""
        for one in [one for one in self.containers.values() if one.node == node]:
            pod = self.api.find("Pod", one.pod)
            if pod is None or pod["metadata"]["uid"] != one.uid:
                if one.alive:
                    self._stop(one, Exit(code=KILLED), by_itself=False)
                continue
            self.tell(one)
            self.say(one)
        for pod in self.api.all("Pod"):
            if pod["spec"].get("nodeName") == node:
                self.look(pod, now_s)


def _of(amounts: Mapping[str, Any], name: str) -> float:
    return float(amount(amounts.get("requests", {}).get(name, "0")))


def _address(task: TaskId) -> str:
    """Another for each incarnation, whatever started before it."""
    return ".".join(("10", *map(str, sha256(str(task).encode()).digest()[:3])))
