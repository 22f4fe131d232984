"""Workloads of somebody else's that ask for care: their pods are followed, never made, and never ended unasked."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from upcall.operations import inputs as given
from upcall.operations.records import Policy
from upcall.operations.views import PendingSet
from upcall.protocol.declaration import Declaration
from upcall.substrate.interface import Guest
from upcall.substrate.kubernetes import names
from upcall.substrate.kubernetes.guests import FLOOR
from upcall.substrate.kubernetes.objects import Kind
from upcall.substrate.kubernetes.requests import Request
from upcall.testing.kubernetes import PlayedKubernetes
from upcall.testing.kubernetes.api import Obj
from upcall.testing.kubernetes.cluster import Trouble
from upcall.testing.world import World

MEMBERS: Final = ("member-0", "member-1", "member-2")
REASON: Final = "not now"


def cluster(world: World) -> PlayedKubernetes:
    assert isinstance(world.substrate, PlayedKubernetes)
    return world.substrate


def workload(name: str = "web", replicas: int = 3, **notes: str) -> Obj:
    labels = {"app": name}
    return {
        "metadata": {"name": name, "annotations": {names.PREFIX + key: value for key, value in notes.items()}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}},
        },
    }


def pods(world: World) -> dict[str, Obj]:
    return {one["metadata"]["name"]: one for one in cluster(world).api.all("Pod")}


def followed(world: World) -> dict[str, str]:
    """Task -> pod."""
    found = pods(world).items()
    return {one["metadata"].get("annotations", {}).get(names.TASK, ""): name for name, one in found}


def goes_on(world: World, seconds: float = 0.0) -> None:
    world.observe(cluster(world).heard(world.now_s))
    world.advance(seconds)


def guests(world: World) -> list[Guest]:
    return list(world.guests.values())


@pytest.fixture(params=["StatefulSet", "Deployment"])
def world(request: pytest.FixtureRequest) -> World:
    return asking(request.param)


def asking(kind: Kind, trouble: Callable[[Request], Trouble] = lambda request: "") -> World:
    """A workload that runs already, and then asks; its service follows it, and its host says what a test wants."""
    made = World("kubernetes", node_count=4)
    cluster(made).trouble = trouble
    cluster(made).api.create(kind, workload())
    goes_on(made, 10)
    assert (guests(made), set(followed(made))) == ([], {""}), "who does not ask is left alone"
    cluster(made).api.merge(kind, "web", {"metadata": {"annotations": {names.ASK: "careful"}}})
    goes_on(made)
    (guest,) = guests(made)
    assert (guest.workload, guest.members, guest.gone) == (f"{kind.lower()}/web", 3, False)
    made.declarations = {
        f"{guest.service}.{name}": Declaration(command=("theirs",), guest=guest.workload) for name in MEMBERS
    }
    made.install(guest.service, MEMBERS, minimum=2, policy=Policy(answer_s=20, replace_after_s=600))
    made.advance(60)
    assert made.ready(guest.service) == list(MEMBERS)
    return made


def service(world: World) -> str:
    return guests(world)[0].service


def evict(world: World, task: str, name: str = "e1") -> None:
    """As the webhook notes it."""
    pod = pods(world)[followed(world)[task]]
    spec = {
        "verb": "evict",
        "pod": pod["metadata"]["name"],
        "podUID": pod["metadata"]["uid"],
        "who": "kubectl",
        "reason": "drain",
    }
    cluster(world).api.create("Disruption", {"metadata": {"name": name}, "spec": spec})
    goes_on(world)


def says(verdict: str) -> Any:
    def answer(pending: PendingSet) -> dict[str, given.Answer]:
        asked = [one.operation.id for one in pending.operations if one.asked]
        return {one: given.Answer(verdict=verdict, reason=REASON) for one in asked}  # type: ignore[arg-type]

    return answer


def test_its_pods_are_followed_as_they_are_and_none_is_made(world: World) -> None:
    name = service(world)
    assert set(followed(world)) == {f"{name}.{member}.1" for member in MEMBERS}
    assert len(pods(world)) == 3
    assert not any(one["metadata"].get("finalizers") for one in pods(world).values())
    assert cluster(world).api.all("Service") == []
    if name.startswith("statefulset"):
        assert followed(world)[f"{name}.member-1.1"] == "web-1", "a number is a number"


def test_an_eviction_waits_for_the_answer_and_the_next_pod_is_the_next_incarnation(world: World) -> None:
    name = service(world)
    world.host(name, says("defer"))
    evict(world, f"{name}.member-1.1")
    world.advance(60)
    (operation,) = [one for one in world.ledger.operations() if one.kind == "evict"]
    assert (operation.state, operation.firmness, operation.origin) == ("open", "intercepted", "foreign")
    assert REASON in cluster(world).why_held("e1")
    assert len(pods(world)) == 3
    world.host(name, says("accept"))
    world.advance(60)
    states = [(one.kind, one.state) for one in world.ledger.operations()]
    assert states == [("evict", "done")]
    assert world.ready(name) == list(MEMBERS)
    assert f"{name}.member-1.2" in followed(world)


@pytest.mark.parametrize("trouble", ["unreachable", "unanswered", "conflict", "throttled"])
@pytest.mark.parametrize("kind", ["StatefulSet", "Deployment"])
def test_whichever_call_goes_wrong_the_end_is_the_same(kind: Kind, trouble: Trouble) -> None:
    calls = 0

    def course(wrong: int) -> None:
        nonlocal calls
        calls = 0

        def goes_wrong(request: Request) -> Trouble:
            nonlocal calls
            calls += 1
            return trouble if calls == wrong else ""

        world = asking(kind, goes_wrong)
        name = service(world)
        world.host(name, says("accept"))
        evict(world, f"{name}.member-1.1")
        world.advance(200)
        assert [(one.kind, one.state) for one in world.ledger.operations()] == [("evict", "done")], wrong
        assert set(followed(world)) == {f"{name}.member-0.1", f"{name}.member-1.2", f"{name}.member-2.1"}, wrong
        assert world.ready(name) == list(MEMBERS), wrong
        assert len(cluster(world).api.all("PodDisruptionBudget")) == 1, wrong

    course(0)
    assert calls > 5
    for number in range(1, calls + 1):
        course(number)


def test_below_every_answer_lies_the_minimum(world: World) -> None:
    name = service(world)
    world.host(name, says("accept"))
    slow = followed(world)[f"{name}.member-0.1"]
    cluster(world).kubelets.strangers_ready(slow, ready=False)
    goes_on(world, 60)
    assert world.ready(name) == ["member-1", "member-2"]
    assert [one for one in world.ledger.operations() if one.kind == "restart"] == [], "no cure: it is not ours to start"
    evict(world, f"{name}.member-1.1")
    world.advance(60)
    assert "minimum 2" in cluster(world).why_held("e1")
    cluster(world).kubelets.strangers_ready(slow, ready=True)
    goes_on(world, 60)
    assert f"{name}.member-1.2" in followed(world)


def test_a_master_that_starts_anew_finds_them_as_they_were(world: World) -> None:
    name = service(world)
    before = followed(world)
    world.die()
    world.boot()
    world.advance(60)
    assert followed(world) == before
    assert world.ready(name) == list(MEMBERS)
    assert world.ledger.operations() == []


def test_what_its_owner_does_is_his_and_is_recorded(world: World) -> None:
    name = service(world)
    world.host(name, says("accept"))
    gone = followed(world)[f"{name}.member-2.1"]
    cluster(world).api.delete("Pod", gone)
    goes_on(world, 60)
    assert ("kill", "done") in [(one.kind, one.state) for one in world.ledger.operations()]
    assert world.ready(name) == list(MEMBERS)
    assert f"{name}.member-2.2" in followed(world)


def test_on_a_node_that_is_not_heard_a_replica_is_given_up_with_its_owner_and_a_number_is_waited_for(
    world: World,
) -> None:
    name = service(world)
    pod = followed(world)[f"{name}.member-1.1"]
    node = pods(world)[pod]["spec"]["nodeName"]
    world.observe(cluster(world).silence(node, world.now_s, dies=True))
    world.advance(60)
    assert "member-1" not in world.ready(name)
    cluster(world).api.delete("Pod", pod)  # as Kubernetes does after five minutes
    goes_on(world, 60)
    back = name.startswith("deployment")
    assert ("member-1" in world.ready(name)) == back
    assert (f"{name}.member-1.2" in followed(world)) == back


def test_its_own_selector_is_the_floor_and_who_was_let_go_is_out_of_it(world: World) -> None:
    (budget,) = cluster(world).api.all("PodDisruptionBudget")
    assert budget["metadata"]["name"] == FLOOR + service(world)
    selector = budget["spec"]["selector"]
    assert selector["matchLabels"] == {"app": "web"}
    assert selector["matchExpressions"] == [{"key": names.LET_GO, "operator": "DoesNotExist"}]


def test_where_it_has_a_budget_of_its_own_there_is_none_of_ours(world: World) -> None:
    own = {"metadata": {"name": "web"}, "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}}
    cluster(world).api.create("PodDisruptionBudget", own)
    goes_on(world, 5)
    assert [one["metadata"]["name"] for one in cluster(world).api.all("PodDisruptionBudget")] == ["web"]
    cluster(world).api.delete("PodDisruptionBudget", "web")
    goes_on(world, 5)
    assert [one["metadata"]["name"] for one in cluster(world).api.all("PodDisruptionBudget")] == [
        FLOOR + service(world)
    ]


def test_who_asks_no_more_is_told_as_gone_also_after_a_start(world: World) -> None:
    kind: Kind = "StatefulSet" if service(world).startswith("statefulset") else "Deployment"
    name = service(world)
    world.die()
    cluster(world).api.merge(kind, "web", {"metadata": {"annotations": {names.ASK: None}}})
    world.boot()
    world.advance(5)
    assert [(one.service, one.gone) for one in guests(world)] == [(name, True)]
    assert cluster(world).api.all("PodDisruptionBudget") == []
    assert len(pods(world)) == 3


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        ({"ask": "https://web.example/upcall"}, {"responder": "https://web.example/upcall"}),
        ({"ask": "careful", "minimum": "1"}, {"minimum": 1}),
        ({"ask": "careful", "away": "careful"}, {"away": "careful"}),
        ({"ask": "boldly"}, {"problem": "upcall.dev/ask is 'boldly', and neither `careful` nor an address"}),
        ({"ask": "careful", "minimum": "most"}, {"problem": "upcall.dev/minimum is 'most', and no number"}),
        ({"ask": "careful", "away": "run"}, {"problem": "upcall.dev/away is 'run', and neither `hold` nor `careful`"}),
    ],
)
def test_a_wish_is_read_and_what_of_it_is_no_wish_is_said(notes: dict[str, str], expected: dict[str, Any]) -> None:
    made = World("kubernetes", node_count=1)
    cluster(made).api.create("Deployment", workload(replicas=1, **notes))
    goes_on(made, 1)
    (guest,) = guests(made)
    for field, value in expected.items():
        found = getattr(guest, field)
        assert found.startswith(value) if field == "problem" else found == value
