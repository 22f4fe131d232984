"""What others and machines do to a pod: each is told as firmly as the substrate claims, and never more so.

A deletion is never taken for the end of what it deletes: that is what its node says, or what is as good.
"""

from typing import Any, Final

import pytest

from upcall.operations import inputs as given
from upcall.operations.news import TaskEnded
from upcall.operations.records import Operation, Policy
from upcall.operations.views import PendingSet
from upcall.protocol.declaration import Declaration, Resources, Volume
from upcall.substrate.interface import NodeObserved
from upcall.substrate.kubernetes import exits, names
from upcall.substrate.kubernetes.disruptions import LAPSES_S, MESSAGE_CHARS_MAX
from upcall.substrate.kubernetes.nodes import CORDONED, TAINTED
from upcall.testing.kubernetes import PlayedKubernetes
from upcall.testing.kubernetes.api import Obj
from upcall.testing.kubernetes.kubelets import Container
from upcall.testing.world import World

STORES: Final = Declaration(
    command=("serve",), resources=Resources(memory_mib=512), volumes=(Volume(name="data", size_mib=64),)
)


@pytest.fixture
def world() -> World:
    made = World("kubernetes", node_count=4)
    made.declarations = dict.fromkeys(("log.b0", "log.b1", "log.b2"), STORES)
    made.install("log", ("b0", "b1", "b2"), minimum=1, policy=Policy(answer_s=20, replace_after_s=600))
    made.advance(10)
    return made


def cluster(world: World) -> PlayedKubernetes:
    assert isinstance(world.substrate, PlayedKubernetes)
    return world.substrate


def pod(world: World, name: str = "b1") -> Obj:
    found = cluster(world).api.find("Pod", f"log.{name}.p1")
    assert found is not None
    return found


def container(world: World, name: str = "b1") -> Container:
    return next(one for one in cluster(world).kubelets.containers.values() if one.task.member == name and one.alive)


def goes_on(world: World, seconds: float = 0.0) -> None:
    """What was done to the cluster is heard."""
    world.observe(cluster(world).heard(world.now_s))
    world.advance(seconds)


def foreign(world: World) -> list[tuple[str, str, str]]:
    return [(o.kind, o.firmness, o.state) for o in world.ledger.operations() if o.origin == "foreign"]


def last(world: World) -> Operation:
    return world.ledger.operations()[-1]


def ended(world: World) -> list[str]:
    return [one.how for one in world.news if isinstance(one, TaskEnded) and one.member == "b1"]


def incarnation(world: World) -> int:
    return next(view.incarnation for view in world.ledger.members("log") if view.name == "b1")


def is_back(world: World) -> bool:
    return "b1" in world.ready("log") and incarnation(world) == 2 and cluster(world).violations == []


# -- told by somebody to go -----------------------------------------------------------------------------------------


def test_an_eviction_is_intercepted_and_happens_when_it_may(world: World) -> None:
    world.send(given.HostSubscribed(service="log"))
    world.observe(cluster(world).disrupt("e1", "log.b1", world.now_s, verb="evict", who="kubectl", reason="drain"))
    world.advance(120)
    assert foreign(world) == [("evict", "intercepted", "open")], "nobody is in a hurry"
    assert incarnation(world) == 1
    world.send(given.Force(operation=last(world).id, who="ann", why="now"))
    world.advance(10)
    assert foreign(world) == [("evict", "intercepted", "done")]
    assert is_back(world)
    assert cluster(world).api.all("Disruption") == [], "what is over is cleared away"


def test_the_reason_of_an_eviction_that_waits_stands_in_its_object_as_one_bounded_line(world: World) -> None:
    def says(pending: PendingSet) -> dict[str, given.Answer]:
        asked = [one.operation.id for one in pending.operations if one.asked]
        reason = "two\nlines and " + "very " * 90 + "many words"
        return {o: given.Answer(verdict="defer", reason=reason, progress=0.5) for o in asked}

    world.host("log", says)
    world.observe(cluster(world).disrupt("e1", "log.b1", world.now_s, verb="evict", who="kubectl", reason="drain"))
    world.advance(5)
    (one,) = cluster(world).api.all("Disruption")
    message = one["status"]["message"]
    assert message.startswith(f"{last(world).id} waits for log: deferred by log: two lines and very very")
    assert len(message) == MESSAGE_CHARS_MAX
    assert not one["status"].get("allowed")
    written = len([call for call in cluster(world).api.calls if call == "merge Disruption e1"])
    goes_on(world, 60)
    again = len([call for call in cluster(world).api.calls if call == "merge Disruption e1"])
    assert again == written, "the same reason is written once"


def test_a_drain_that_nobody_goes_on_with_is_called_off(world: World) -> None:
    """The webhook notes when it was asked last; whoever gives up says nothing."""
    world.send(given.HostSubscribed(service="log"))
    one = container(world)
    spec = {"verb": "evict", "pod": one.pod, "podUID": one.uid, "who": "kubectl", "asked": world.wall_s}
    cluster(world).api.create("Disruption", {"metadata": {"name": "evict-1"}, "spec": spec})
    goes_on(world, LAPSES_S - 10)
    cluster(world).api.merge("Disruption", "evict-1", {"spec": {"asked": world.wall_s}})
    goes_on(world, LAPSES_S - 10)
    assert foreign(world) == [("evict", "intercepted", "open")], "it was asked again meanwhile"
    world.advance(20)
    assert foreign(world) == [("evict", "intercepted", "withdrawn")]
    assert cluster(world).api.all("Disruption") == []
    assert incarnation(world) == 1


def test_a_drain_is_not_given_up_because_nobody_of_us_was_there_to_note_that_it_goes_on(world: World) -> None:
    world.send(given.HostSubscribed(service="log"))
    one = container(world)
    spec = {"verb": "evict", "pod": one.pod, "podUID": one.uid, "who": "kubectl", "asked": world.wall_s}
    cluster(world).api.create("Disruption", {"metadata": {"name": "evict-1"}, "spec": spec})
    goes_on(world, 5)
    operation = last(world).id
    world.die()
    world.now_s += 2 * LAPSES_S
    world.boot()
    goes_on(world, 10)
    assert foreign(world) == [("evict", "intercepted", "open")]
    cluster(world).api.merge("Disruption", "evict-1", {"spec": {"asked": world.wall_s}})
    goes_on(world, LAPSES_S - 5)
    assert (last(world).id, foreign(world)) == (operation, [("evict", "intercepted", "open")])
    world.advance(10)
    assert foreign(world) == [("evict", "intercepted", "withdrawn")], "now nobody has asked for so long"


def test_a_node_that_somebody_else_cordons_is_told_as_closed_and_our_own_word_is_not(world: World) -> None:
    node = container(world).node

    def told() -> list[str]:
        out = cluster(world).heard(world.now_s)
        world.observe(out)
        return [up.closed for up in out.up if isinstance(up, NodeObserved) and up.node == node]

    cluster(world).api.merge("Node", node, {"spec": {"unschedulable": True}}, manager="kubectl-cordon")
    assert told() == [CORDONED]
    cluster(world).api.merge("Node", node, {"spec": {"unschedulable": None}}, manager="kubectl-cordon")
    assert told() == [""]
    world.observe(cluster(world).cordon(node, world.now_s, closed=True))
    world.advance(1)
    assert told() == []
    assert cluster(world).api.find("Node", node)["spec"]["unschedulable"] is True  # type: ignore[index]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"unschedulable": True}, CORDONED),
        (
            {"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]},
            TAINTED.format("ToBeDeletedByClusterAutoscaler"),
        ),
    ],
    ids=["a cordon", "a taint of who removes nodes"],
)
def test_maintenance_by_somebody_else_is_told_at_its_begin_and_its_end_and_nothing_ends_by_it(
    world: World, spec: dict[str, Any], words: str
) -> None:
    node = container(world).node

    def told() -> list[str]:
        return [one.text for one in world.journal.newest(100) if one.subject == node and "maintenance" in one.text]

    cluster(world).api.merge("Node", node, {"spec": spec})
    goes_on(world, 60)
    assert told() == [f"in maintenance {words}"]
    assert (world.ledger.operations(), incarnation(world)) == ([], 1)
    cluster(world).api.merge("Node", node, {"spec": dict.fromkeys(spec)})
    goes_on(world, 5)
    assert told()[1:] == ["whoever had it in maintenance has opened it again"]


def test_a_taint_that_says_whom_a_node_is_for_is_no_maintenance(world: World) -> None:
    node = container(world).node
    taints = [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
    cluster(world).api.merge("Node", node, {"spec": {"taints": taints}})
    out = cluster(world).heard(world.now_s)
    assert [up.closed for up in out.up if isinstance(up, NodeObserved) and up.closed] == []


def test_a_deletion_by_hand_is_observed_when_it_begins_and_ends_when_its_node_says_so(world: World) -> None:
    cluster(world).api.delete("Pod", "log.b1.p1")
    goes_on(world)
    assert foreign(world) == [("kill", "observed", "executing")]
    assert last(world).asked_by == "somebody on Kubernetes"
    assert ended(world) == []
    world.advance(10)
    assert foreign(world) == [("kill", "observed", "done")]
    assert is_back(world)


def test_a_deletion_by_force_on_a_node_that_is_not_heard_proves_nothing(world: World) -> None:
    node = container(world).node
    world.observe(cluster(world).silence(node, world.now_s))
    world.advance(20)
    cluster(world).api.delete("Pod", "log.b1.p1", grace_s=0)
    goes_on(world, 300)
    assert (ended(world), incarnation(world)) == ([], 1)
    assert container(world).alive, "it runs on, and nobody started another"
    world.observe(cluster(world).recover(node, world.now_s))
    world.advance(20)
    assert is_back(world)


def test_preemption_is_notified_with_the_time_that_is_left(world: World) -> None:
    leave(world, "PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod")
    assert foreign(world)[0][:2] == ("evict", "notified")
    assert last(world).reason.startswith("default-scheduler: preempting")
    world.advance(10)
    assert is_back(world)


def test_a_taint_that_is_not_tolerated_is_notified(world: World) -> None:
    leave(world, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
    assert foreign(world)[0][:2] == ("kill", "notified")
    world.advance(10)
    assert is_back(world)


def leave(world: World, why: str, message: str) -> None:
    """As Kubernetes does it: it says why, and deletes."""
    api = cluster(world).api
    target = {"type": "DisruptionTarget", "status": "True", "reason": why, "message": message}
    api.say("Pod", "log.b1.p1", {"conditions": [*pod(world)["status"]["conditions"], target]})
    api.delete("Pod", "log.b1.p1")
    goes_on(world)


# -- ended by its node, or with it ----------------------------------------------------------------------------------


def node_says(world: World, ended: dict[str, Any], **status: Any) -> None:
    one = container(world)
    one.state, one.ready = "over", False
    state = {"name": "task", "ready": False, "state": {"terminated": ended}}
    cluster(world).api.say("Pod", one.pod, {"phase": "Failed", "containerStatuses": [state], **status})
    goes_on(world)


@pytest.mark.parametrize(
    ("terminated", "status", "reason"),
    [
        (
            {"exitCode": 137, "reason": "Error"},
            {"reason": "Evicted", "message": "The node was low on resource: memory."},
            "Evicted: The node was low on resource: memory.",
        ),
        (
            {"exitCode": 143, "reason": "Error"},
            {"reason": "Terminated", "message": "Pod was terminated in response to imminent node shutdown."},
            "Terminated: Pod was terminated in response to imminent node shutdown.",
        ),
        ({"exitCode": 137, "reason": "OOMKilled"}, {}, "out of memory"),
    ],
    ids=["node pressure", "a node that shuts down", "out of memory"],
)
def test_what_its_node_ended_is_observed_with_the_nodes_words(
    world: World, terminated: dict[str, Any], status: dict[str, Any], reason: str
) -> None:
    node_says(world, terminated, **status)
    assert (ended(world), foreign(world)) == ([reason], [])
    world.advance(20)
    assert is_back(world)


def test_a_kubelet_that_is_dead_ends_nothing(world: World) -> None:
    node = container(world).node
    world.observe(cluster(world).silence(node, world.now_s))
    world.advance(500)
    assert (ended(world), incarnation(world), container(world).alive) == ([], 1, True)
    assert last(world).kind == "lost"
    world.observe(cluster(world).recover(node, world.now_s))
    world.advance(5)
    assert (last(world).state, incarnation(world)) == ("withdrawn", 1)


@pytest.mark.parametrize("proof", ["out of service", "removed"])
def test_a_dead_node_is_believed_to_be_dead_when_somebody_vouches_for_it(world: World, proof: str) -> None:
    node = container(world).node
    world.observe(cluster(world).silence(node, world.now_s, dies=True))
    world.advance(60)
    assert ended(world) == []
    if proof == "removed":
        world.observe(cluster(world).remove(node, world.now_s))
    else:
        taint = {"key": names.OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"}
        cluster(world).api.merge("Node", node, {"spec": {"taints": [taint]}})
        goes_on(world)
    world.advance(20)
    assert ended(world) == [exits.NODE_GONE if proof == "removed" else exits.OUT_OF_SERVICE]
    assert is_back(world)


# -- what it needs is not there -------------------------------------------------------------------------------------


def test_an_image_that_is_gone_is_told_with_the_words_of_who_looked_for_it(world: World) -> None:
    kubelets = cluster(world).kubelets
    kubelets.timing = type(kubelets.timing)(start_s=1e6)  # It never gets as far as that.
    world.observe(cluster(world).crash("log.b1", world.now_s))
    world.advance(1)
    waiting = {"reason": "ImagePullBackOff", "message": "not found"}
    state = {"name": "task", "ready": False, "state": {"waiting": waiting}}
    cluster(world).api.say("Pod", "log.b1.p1", {"containerStatuses": [state]})
    goes_on(world)
    view = next(view for view in world.ledger.members("log") if view.name == "b1")
    assert (view.observed, view.reason) == ("fetching", "ImagePullBackOff: not found")


def test_a_claim_that_is_lost_under_a_member_is_made_anew_and_told_while_it_is_missing(world: World) -> None:
    api = cluster(world).api
    api.delete("PersistentVolumeClaim", "data.log.b1.1")
    goes_on(world)
    claim = api.find("PersistentVolumeClaim", "data.log.b1.1")
    assert claim is None or "deletionTimestamp" in claim["metadata"]
    assert "b1" in world.ready("log"), "what runs has it"
    world.observe(cluster(world).crash("log.b1", world.now_s))
    world.advance(10)
    assert is_back(world)
    assert len([one for one in api.all("PersistentVolumeClaim") if ".log.b1." in one["metadata"]["name"]]) == 1


# -- nodes ----------------------------------------------------------------------------------------------------------


def test_a_node_that_somebody_else_has_cordoned_too_stays_so_after_our_maintenance(world: World) -> None:
    api, node = cluster(world).api, container(world).node
    world.send(given.Propose(kind="maintenance", asked_by="ann", node=node, window_s=600))
    world.advance(1)
    assert api.find("Node", node)["spec"].get("unschedulable")  # type: ignore[index]
    api.merge("Node", node, {"spec": {"unschedulable": True}}, manager="kubectl-cordon")
    world.send(given.Undrain(node=node, who="ann"))
    world.advance(5)
    known = api.find("Node", node)
    assert known is not None
    assert known["spec"].get("unschedulable")
    assert names.CLOSED not in known["metadata"].get("annotations", {})


def test_what_the_server_refuses_is_the_reason_that_is_shown(world: World) -> None:
    said = 'pods "log.b1.p1" is forbidden: exceeded quota: small, requested: memory=512Mi'
    cluster(world).api.deny = lambda verb, kind, name: said if (verb, kind) == ("create", "Pod") else ""
    world.observe(cluster(world).crash("log.b1", world.now_s))
    world.advance(5)
    view = next(view for view in world.ledger.members("log") if view.name == "b1")
    assert (view.observed, view.reason) == ("pending", said)
    cluster(world).api.deny = lambda verb, kind, name: ""
    world.advance(60)
    assert is_back(world)


def reason_of(world: World, member: str) -> tuple[str, str]:
    view = next(view for view in world.ledger.members("log") if view.name == member)
    return view.observed, view.reason


def test_a_claim_that_the_server_refuses_is_the_reason_of_the_member_that_wants_it(world: World) -> None:
    said = 'persistentvolumeclaims "data.log.b1.1" is forbidden: exceeded quota: small'
    api = cluster(world).api
    api.delete("PersistentVolumeClaim", "data.log.b1.1")
    api.deny = lambda verb, kind, name: said if (verb, kind) == ("apply", "PersistentVolumeClaim") else ""
    world.observe(cluster(world).crash("log.b1", world.now_s))
    world.advance(10)
    assert reason_of(world, "b1") == ("pending", said), "and not that no node will do"
    api.deny = lambda verb, kind, name: ""
    world.advance(60)
    assert is_back(world)


def test_a_claim_for_which_the_cluster_has_no_storage_class_says_so(world: World) -> None:
    api = cluster(world).api
    api.delete("PersistentVolumeClaim", "data.log.b1.1")
    api.deny = lambda verb, kind, name: "no place yet" if (verb, kind) == ("create", "Pod") else ""
    world.observe(cluster(world).crash("log.b1", world.now_s))
    world.advance(5)
    claim = next(
        one["metadata"]["name"] for one in api.all("PersistentVolumeClaim") if ".b1." in one["metadata"]["name"]
    )
    api.say("PersistentVolumeClaim", claim, {"phase": "Pending"})
    goes_on(world, 5)
    state, reason = reason_of(world, "b1")
    assert (state, reason.startswith("volume data of it has no storage class: none is named")) == ("pending", True)
    api.merge("PersistentVolumeClaim", claim, {"spec": {"storageClassName": "quick"}})
    api.deny = lambda verb, kind, name: ""
    world.advance(60)
    assert is_back(world)


def test_a_service_that_the_server_refuses_keeps_all_of_it_waiting_and_all_go_on_when_it_is_there(
    world: World,
) -> None:
    said = 'services "log" is forbidden: exceeded quota: small'
    api = cluster(world).api
    api.delete("Service", "log")
    api.deny = lambda verb, kind, name: said if (verb, kind) == ("apply", "Service") else ""
    for member in ("log.b0", "log.b1"):
        world.observe(cluster(world).crash(member, world.now_s))
    world.advance(20)
    assert [reason_of(world, member) for member in ("b0", "b1")] == [("pending", said)] * 2
    api.deny = lambda verb, kind, name: ""
    world.advance(60)
    assert len(world.ready("log")) == 3


def test_a_node_that_another_control_plane_has_closed_is_left_closed_and_shown_as_somebody_elses(
    world: World,
) -> None:
    api, node = cluster(world).api, container(world).node
    theirs = {"metadata": {"name": node, "annotations": {names.closed("other"): "true"}}}
    api.apply("Node", theirs | {"spec": {"unschedulable": True}}, manager="upcall-other")
    out = cluster(world).heard(world.now_s)
    assert [up.closed for up in out.up if isinstance(up, NodeObserved) and up.node == node] == [CORDONED]
    for closed in (True, False):
        world.observe(cluster(world).cordon(node, world.now_s, closed=closed))
        world.advance(5)
        known = api.find("Node", node)
        assert known is not None
        assert known["spec"].get("unschedulable")
        marks = {names.closed("other"): "true"} | ({names.CLOSED: "true"} if closed else {})
        assert known["metadata"]["annotations"] == marks


def test_beside_the_schedulers_words_stands_the_storage_class_of_a_claim_that_has_no_volume_yet(world: World) -> None:
    """A scheduler says that there are unbound claims, and neither which nor of what."""
    api = cluster(world).api
    for one in api.all("Node"):
        api.merge("Node", one["metadata"]["name"], {"spec": {"unschedulable": True}})
    world.observe(cluster(world).crash("log.b1", world.now_s))
    world.advance(5)
    _, before = reason_of(world, "b1")
    assert before.startswith("0 of 4 nodes will do")
    api.merge("PersistentVolumeClaim", "data.log.b1.1", {"spec": {"storageClassName": "quick"}})
    api.say("PersistentVolumeClaim", "data.log.b1.1", {"phase": "Pending"})
    goes_on(world, 5)
    said = f"{before} (volume data of it waits for one of storage class quick)"
    assert reason_of(world, "b1") == ("pending", said)
    api.merge("PersistentVolumeClaim", "data.log.b1.1", {"spec": {"volumeName": "v1"}})
    goes_on(world, 5)
    assert reason_of(world, "b1") == ("pending", before)
