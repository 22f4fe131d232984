"""A played Kubernetes with the real substrate on it, in virtual time: the third kind of cluster in tests.

It is driven as the simulated kinds are (:class:`upcall.testing.simulated.SimulatedSubstrate`), by the same tests. What
lies between is ours: every wish becomes a request (:attr:`Output.send`, made after the commit through
:meth:`PlayedKubernetes.perform`), the API server is played by its rules, a scheduler, kubelets and controllers act on
it, and what the ledger hears is what the substrate reads out of watches.

The substrate is made anew at each start of the master, the cluster outlives it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from upcall.protocol.declaration import Declaration, Resources
from upcall.substrate.interface import (
    Capabilities,
    Exit,
    Node,
    NodeObserved,
    Output,
    Resizing,
    Send,
    StillHeld,
    TaskId,
    Wanted,
)
from upcall.substrate.kubernetes import nodes as node_words
from upcall.substrate.kubernetes.manifest import Settings
from upcall.substrate.kubernetes.objects import Kind, read
from upcall.substrate.kubernetes.objects import Node as NodeObject
from upcall.substrate.kubernetes.requests import Answer, Apply, Create, Delete, Done, Merge, Refused, Request
from upcall.substrate.kubernetes.substrate import KubernetesSubstrate
from upcall.testing.kubernetes import controllers
from upcall.testing.kubernetes.api import ApiServer, Obj, Refusal
from upcall.testing.kubernetes.kubelets import Container, Kubelets
from upcall.testing.kubernetes.scheduler import choose
from upcall.testing.kubernetes.watches import Watches, add
from upcall.testing.simulated.cluster import Timing

SETTINGS: Final = Settings(image="registry.test/upcall", master_url="https://upcall-master")
ROUNDS_MAX: Final = 10_000

Trouble = Literal["", "unreachable", "unanswered", "conflict", "throttled"]
"""What becomes of a request: it never arrived; it was carried out, and nobody heard; it is refused, once."""
REFUSALS: Final[Mapping[Trouble, Answer]] = {
    "unreachable": Refused(0, "no answer"),
    "unanswered": Refused(0, "the connection broke"),
    "conflict": Refused(409, "somebody else was faster"),
    "throttled": Refused(429, "too many requests", wait_s=2.0),
}


class PlayedKubernetes:
    """Implements :class:`upcall.substrate.interface.Substrate`; what lies below it is what tests do to it."""

    kind: Final = "kubernetes"

    def __init__(
        self,
        nodes: Sequence[Node],
        *,
        seed: int = 0,
        loss: float = 0.0,
        repeat: float = 0.0,
        timing: Timing | None = None,
        wall: Callable[[], float] | None = None,
        settings: Settings = SETTINGS,
    ) -> None:
        self.now_s = 0.0
        self.timing = timing or Timing()
        self.wall: Callable[[], float] = wall or (lambda: self.now_s)
        self.settings = settings
        """What the next life of the master is given."""
        self.api = ApiServer(lambda: self.wall())
        self.kubelets = Kubelets(self.api, self.timing)
        self.watches = Watches(self.api, seed=seed, loss=loss, repeat=repeat)
        self.trouble: Callable[[Request], Trouble] = lambda request: ""
        self.ended_by_call: list[TaskId] = []
        self._core = KubernetesSubstrate(settings, wall=self.wall)
        self._answers: list[tuple[int, Answer]] = []
        self._settled: dict[Kind, int] = {}
        self._scheduled_at = 0
        for node in nodes:
            self.kubelets.join(node)

    def begin(self) -> "PlayedKubernetes":
        """A new life of the master: nothing that the substrate had in memory is left."""
        self._core = KubernetesSubstrate(self.settings, wall=lambda: self.wall())
        self.watches.begin()
        self._answers = []
        self.kubelets.words = []
        self.kubelets.tell_all()
        return self

    @property
    def crashing(self) -> set[str]:
        return self.kubelets.crashing

    @property
    def slow(self) -> set[str]:
        return self.kubelets.slow

    @slow.setter
    def slow(self, members: set[str]) -> None:
        self.kubelets.slow = members

    @property
    def violations(self) -> list[str]:
        return self.kubelets.violations

    # -- the interface: down ----------------------------------------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        return self._core.capabilities

    def places(self) -> Mapping[str, str]:
        return self._core.places()

    def reserve(
        self, service: str, members: Mapping[str, Declaration], now_s: float, *, places: Mapping[str, int] | None = None
    ) -> Output:
        return self._core.reserve(service, members, self._at(now_s), places=places)

    def fits(self, service: str, members: Mapping[str, Declaration]) -> str:
        return self._core.fits(service, members)

    def hold_place(
        self,
        member_id: str,
        declaration: Declaration,
        place: int,
        now_s: float,
        *,
        same_node: bool = False,
        takes: int = 0,
    ) -> Output:
        at_s = self._at(now_s)
        return self._core.hold_place(member_id, declaration, place, at_s, same_node=same_node, takes=takes)

    def call_off_place(self, member_id: str, place: int, now_s: float) -> Output:
        return self._core.call_off_place(member_id, place, self._at(now_s))

    def launch(self, wanted: Wanted, now_s: float) -> Output:
        return self._core.launch(wanted, self._at(now_s))

    def end(self, task: TaskId, grace_s: float, now_s: float) -> Output:
        if any(one.task == task and one.alive for one in self.kubelets.containers.values()):
            self.ended_by_call.append(task)
        return self._core.end(task, grace_s, self._at(now_s))

    def resize(self, task: TaskId, resources: Resources, now_s: float) -> Output:
        return self._core.resize(task, resources, self._at(now_s))

    def resizing(self, task: TaskId, resources: Resources) -> Resizing:
        return self._core.resizing(task, resources)

    def let_go(self, task: TaskId, now_s: float) -> Output:
        return self._core.let_go(task, self._at(now_s))

    def release(self, member_id: str, now_s: float, *, keep_volumes_s: float = 0.0) -> Output:
        return self._core.release(member_id, self._at(now_s), keep_volumes_s=keep_volumes_s)

    def known(self, names: Iterable[str], now_s: float) -> Output:
        return self._core.known(names, self._at(now_s))

    def prove_death(self, node: str, now_s: float) -> Output:
        out = self._core.prove_death(node, self._at(now_s))
        for asked in out.prove:
            self.prove(asked)
        return out

    def hold_disruption(self, disruption_id: str, now_s: float, *, held: StillHeld | None) -> Output:
        return self._core.hold_disruption(disruption_id, self._at(now_s), held=held)

    def cordon(self, node: str, now_s: float, *, closed: bool) -> Output:
        return self._core.cordon(node, self._at(now_s), closed=closed)

    def wanted(self, tasks: Sequence[Wanted], now_s: float) -> Output:
        return self._core.wanted(tasks, self._at(now_s))

    def tick(self, now_s: float) -> Output:
        out = Output()
        while (due_s := self.kubelets.due()) is not None and due_s <= now_s:
            self.now_s = max(self.now_s, due_s)
            self.kubelets.step()
            self._hear(out)
        self._at(now_s)
        self._hear(out)
        if (due_s := self._core.deadline()) is not None and due_s <= now_s:
            add(out, self._core.tick(now_s))
        return out

    def deadline(self) -> float | None:
        heard_s = self.now_s if self._answers or self.kubelets.words else self.watches.due(self.now_s)
        dues = (self.kubelets.due(), self._core.deadline(), heard_s)
        return min((due_s for due_s in dues if due_s is not None), default=None)

    # -- after the commit -------------------------------------------------------------------------------------------

    def perform(self, send: Send) -> None:
        """A request is made. Its answer is heard next."""
        request: Request = send.message
        trouble = self.trouble(request)
        answer = REFUSALS.get(trouble)
        if answer is None or trouble == "unanswered":
            done = self._carry_out(request)
            self._settle()
            answer = answer or done
        self._answers.append((request.number, answer))

    def _carry_out(self, request: Request) -> Answer:
        try:
            match request:
                case Create(kind=kind, object=obj):
                    return Done(self.api.create(kind, obj))
                case Apply(kind=kind, name=name, object=obj, part="resize"):
                    return Done(self.api.resize(name, obj))
                case Apply(kind=kind, object=obj):
                    return Done(self.api.apply(kind, obj, manager="upcall", force=True))
                case Merge(kind=kind, name=name, change=change, part=part):
                    return Done(self.api.merge(kind, name, change, part=part))
                case Delete(kind=kind, name=name, uid=uid, grace_s=grace_s):
                    self.api.delete(kind, name, uid=uid, grace_s=grace_s)
                    return Done()
        except Refusal as refusal:
            return Refused(refusal.status, refusal.message)

    def heard(self, now_s: float) -> Output:
        """What there is to hear at this moment."""
        out = Output()
        self._at(now_s)
        self._hear(out)
        return out

    def speaks(self, now_s: float) -> bool:
        """Whether there is something to hear at this moment."""
        return bool(self._answers or self.kubelets.words) or self.watches.is_due(self._at(now_s))

    def _hear(self, out: Output) -> None:
        self._settle()
        answers, self._answers = self._answers, []
        for number, answer in answers:
            add(out, self._core.answered(number, answer, self.now_s))
        words, self.kubelets.words = self.kubelets.words, []
        self.watches.hear(lambda event: self._core.heard(event, self.now_s), self.now_s, out)
        for task, word in words:
            add(out, self._core.told(task, word, self.now_s))

    def _at(self, now_s: float) -> float:
        self.now_s = max(self.now_s, now_s)
        return now_s

    # -- the cluster itself -----------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """All that follows at this moment within the cluster."""
        for _ in range(ROUNDS_MAX):
            before = self.api.version
            for kind in ("Node", "Disruption", "Pod"):
                self._follow(kind)
            controllers.replicate(self.api)
            self._schedule()
            if self.api.version == before:
                return
        raise AssertionError("the cluster does not come to rest")

    def _follow(self, kind: Kind) -> None:
        since = self._settled.get(kind, 0)
        if self.api.newest(kind) <= since:
            return
        self._settled[kind] = self.api.newest(kind)
        for event in [one for one in self.api.logged(kind) if one.version > since]:
            match kind:
                case "Pod" if event.type == "DELETED":
                    self.kubelets.gone(event.object)
                case "Pod":
                    found = self.api.find("Pod", event.object["metadata"]["name"])
                    if found is not None:
                        self.kubelets.look(found, self.now_s)
                case "Disruption":
                    self._evict(event.object["metadata"]["name"])
                case _:
                    pass
        if kind in ("Node", "Pod"):
            controllers.collect(self.api)

    def _schedule(self) -> None:
        if self.api.version == self._scheduled_at:
            return
        for pod in self.api.all("Pod"):
            if pod["spec"].get("nodeName") or "deletionTimestamp" in pod["metadata"]:
                continue
            name = pod["metadata"]["name"]
            claims = {one["metadata"]["name"] for one in self.api.all("PersistentVolumeClaim")}
            node, reason = choose(pod, self.api.all("Node"), self.api.all("Pod"), claims)
            if node:
                self.api.bind(name, node)
            else:
                waits = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": reason}
                self.api.say("Pod", name, {"conditions": [waits]})
        self._scheduled_at = self.api.version

    def _evict(self, name: str) -> None:
        """Whoever evicts tries again, and is let through when we have said yes."""
        found = self.api.find("Disruption", name)
        if found is not None and found.get("status", {}).get("allowed"):
            self._take_away(found)

    def _take_away(self, disruption: Obj) -> None:
        spec = disruption["spec"]
        pod = self.api.find("Pod", spec["pod"])
        if pod is not None and pod["metadata"]["uid"] == spec["podUID"]:
            self.api.delete("Pod", spec["pod"], uid=spec["podUID"], grace_s=0)

    # -- what tests do to it ----------------------------------------------------------------------------------------

    def say_nodes(self) -> Output:
        """As at a first hello; the substrate tells of them by itself."""
        known = [read("Node", one) for one in self.api.all("Node")]
        up: list[Any] = [node_words.observed(one) for one in known if isinstance(one, NodeObject)]
        assert all(isinstance(one, NodeObserved) for one in up)
        return Output(up=up)

    def _containers(self, member_id: str) -> list[Container]:
        found = [one for one in self.kubelets.containers.values() if one.task.member_id == member_id and one.alive]
        return sorted(found, key=lambda one: one.task)

    def _newest(self, member_id: str) -> Container | None:
        return next(reversed(self._containers(member_id)), None)

    def running(self, member_id: str) -> TaskId | None:
        newest = self._newest(member_id)
        return newest.task if newest is not None else None

    def alive(self) -> list[TaskId]:
        return sorted(one.task for one in self.kubelets.containers.values() if one.alive)

    def node_of(self, member_id: str) -> str:
        newest = self._newest(member_id)
        return newest.node if newest is not None else ""

    def crash(
        self,
        member_id: str,
        now_s: float,
        *,
        code: int | None = 1,
        reason: str = "",
        not_started: bool = False,
        without_data: bool = False,
    ) -> Output:
        self._at(now_s)
        if (one := self._newest(member_id)) is not None:
            how = Exit(code=code, reason=reason, not_started=not_started, without_data=without_data)
            self.kubelets.crash(one, how)
        return self.heard(self.now_s)

    def sicken(self, member_id: str, now_s: float, *, reason: str = "health check fails") -> Output:
        self._at(now_s)
        one = self._newest(member_id)
        if one is not None and one.ready:
            self.kubelets.turn(one, ready=False, why=reason)
        return self.heard(self.now_s)

    def late(self, member_id: str, now_s: float) -> Output:
        """Our part in its pod says that it should be ready by now."""
        self._at(now_s)
        one = self._newest(member_id)
        if one is not None and one.state == "running" and not one.ready and not one.unready:
            one.late = True
            self.kubelets.tell(one)
        return self.heard(self.now_s)

    def heal(self, member_id: str, now_s: float) -> Output:
        self._at(now_s)
        one = self._newest(member_id)
        if one is not None and not one.ready and (one.unready or one.late):
            self.kubelets.turn(one, ready=True)
        return self.heard(self.now_s)

    def make_ready(self, member_id: str, now_s: float) -> Output:
        self._at(now_s)
        self.slow.discard(member_id)
        one = self._newest(member_id)
        if one is not None and one.state == "running" and not one.ready and not one.unready:
            self.kubelets.turn(one, ready=True)
        return self.heard(self.now_s)

    def silence(self, node: str, now_s: float, *, dies: bool = False) -> Output:
        self._at(now_s)
        machine = self.kubelets.machines[node]
        machine.heard = False
        machine.silences += 1
        silences = machine.silences
        if dies:
            self.kubelets.dies(node)

        def notice(at_s: float) -> None:
            if not machine.heard and machine.silences == silences and self.api.find("Node", node):
                why = f"nothing heard for {self.timing.liveness_s:.0f} s"
                controllers.node_is(self.api, node, heard=False, why=why)
                if self.timing.prove_s is not None and not self.timing.asked:
                    self.kubelets.at(at_s + self.timing.prove_s, lambda _: self._fence(node, silences))

        self.kubelets.at(now_s + self.timing.liveness_s, notice)
        return self.heard(self.now_s)

    def prove(self, node: str) -> None:
        """Whoever looks after machines was asked to make sure."""
        machine = self.kubelets.machines.get(node)
        if machine is None or machine.proving or self.timing.prove_s is None or not self.timing.asked:
            return
        machine.proving, silences = True, machine.silences

        def fence(_: float) -> None:
            machine.proving = False
            self._fence(node, silences)

        self.kubelets.at(self.now_s + self.timing.prove_s, fence)

    def _fence(self, node: str, silences: int) -> None:
        """The machine is switched off, and then taken out of service."""
        machine = self.kubelets.machines[node]
        if not machine.heard and machine.silences == silences:
            self.kubelets.dies(node)
            controllers.out_of_service(self.api, node, on=True)

    def recover(self, node: str, now_s: float) -> Output:
        self._at(now_s)
        machine = self.kubelets.machines[node]
        machine.heard = True
        if self.api.find("Node", node) is None:
            self.kubelets.join(machine.description)
        controllers.out_of_service(self.api, node, on=False)
        controllers.node_is(self.api, node, heard=True)
        self.kubelets.back(node, now_s)
        return self.heard(self.now_s)

    def join(self, node: Node, now_s: float) -> Output:
        self._at(now_s)
        self.kubelets.join(node)
        return self.heard(self.now_s)

    def remove(self, node: str, now_s: float) -> Output:
        self._at(now_s)
        self.kubelets.dies(node)
        self.kubelets.machines[node].heard = False
        self.api.delete("Node", node)
        return self.heard(self.now_s)

    def disrupt(
        self,
        disruption_id: str,
        member_id: str,
        now_s: float,
        *,
        verb: Literal["stop", "evict", "preempt"],
        who: str,
        reason: str,
        deadline_s: float | None = None,
    ) -> Output:
        """The webhook writes down who wants what; a deletion it never holds."""
        self._at(now_s)
        one = self._newest(member_id)
        assert one is not None, f"{member_id} does not run"
        spec: dict[str, Any] = {"verb": verb, "pod": one.pod, "podUID": one.uid, "who": who, "reason": reason}
        if deadline_s is not None and verb != "stop":
            spec["until"] = self.wall() + deadline_s
        made = self.api.create("Disruption", {"metadata": {"name": disruption_id}, "spec": spec})
        if verb == "stop":
            self._take_away(made)
        elif deadline_s is not None:

            def go_ahead(_: float) -> None:
                if self.api.find("Disruption", disruption_id) is not None:
                    self._take_away(made)

            self.kubelets.at(now_s + deadline_s, go_ahead)
        return self.heard(self.now_s)

    def why_held(self, disruption_id: str) -> str:
        """What the webhook tells whoever asks."""
        found = self.api.find("Disruption", disruption_id)
        return str((found or {}).get("status", {}).get("message", ""))

    def call_off(self, disruption_id: str) -> Output:
        if self.api.find("Disruption", disruption_id) is not None:
            self.api.delete("Disruption", disruption_id)
        return self.heard(self.now_s)
