"""How far a pod is that is to have another amount: read out of what its node says of it."""

from typing import Any

import pytest

from upcall.protocol.declaration import Declaration, Resources
from upcall.substrate.interface import Resizing, TaskId
from upcall.substrate.kubernetes import resizing
from upcall.substrate.kubernetes.objects import Pod, read
from upcall.testing.kubernetes import PlayedKubernetes
from upcall.testing.world import World

MORE = Resources(cpus=0.5, memory_mib=96)
LESS = Resources(cpus=0.25, memory_mib=64)


def amounts(cpu: str, memory: str) -> dict[str, Any]:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}


def pod(
    wanted: dict[str, Any], has: dict[str, Any] | None, *conditions: dict[str, Any], newest: int = 2, heard: int = 2
) -> Pod:
    status = {"name": "task", "ready": True, "state": {}, **({"resources": has} if has is not None else {})}
    found = read(
        "Pod",
        {
            "metadata": {"name": "log.b0.p1", "uid": "u", "generation": newest},
            "spec": {"nodeName": "n", "containers": [{"name": "task", "resources": wanted}]},
            "status": {
                "phase": "Running",
                "observedGeneration": heard,
                "conditions": list(conditions),
                "containerStatuses": [status],
            },
        },
    )
    assert isinstance(found, Pod)
    return found


def says(kind: str, reason: str = "", message: str = "", of: int = 2) -> dict[str, Any]:
    return {"type": kind, "status": "True", "reason": reason, "message": message, "observedGeneration": of}


ASKED, BEFORE = amounts("500m", "96Mi"), amounts("250m", "64Mi")


@pytest.mark.parametrize(
    ("one", "state", "reason"),
    [
        (pod(BEFORE, BEFORE), "waits", ""),
        (pod(ASKED, BEFORE, newest=2, heard=1), "waits", resizing.UNHEARD),
        (pod(ASKED, BEFORE, says(resizing.IN_PROGRESS)), "waits", resizing.UNDER_WAY),
        (pod(ASKED, BEFORE, says(resizing.IN_PROGRESS, "Error", "usage is above")), "waits", "Error: usage is above"),
        (pod(ASKED, BEFORE, says(resizing.PENDING, "Deferred", "no room: cpu")), "waits", "Deferred: no room: cpu"),
        (pod(ASKED, BEFORE, says(resizing.PENDING, "Infeasible", "never")), "refused", "Infeasible: never"),
        (pod(ASKED, BEFORE, says(resizing.PENDING, "Infeasible", "old", of=1), heard=1), "waits", resizing.UNHEARD),
        (pod(ASKED, None), "waits", resizing.UNHEARD),
        (pod(amounts("0.5", "98304Ki"), amounts("500m", "100663296")), "done", ""),
    ],
)
def test_it_is_done_when_its_node_says_that_it_has_it(one: Pod, state: str, reason: str) -> None:
    found = resizing.state(one, MORE)
    assert (found.state, found.reason) == (state, reason)


def test_what_is_asked_names_this_very_pod_and_leaves_its_disk_alone() -> None:
    asked = resizing.wish(pod(BEFORE, BEFORE), Resources(cpus=0.5, memory_mib=96, disk_mib=10))
    assert asked == {
        "metadata": {"name": "log.b0.p1", "uid": "u"},
        "spec": {"containers": [{"name": "task", "resources": ASKED}]},
    }


def test_a_limit_is_not_lifted_while_it_runs() -> None:
    found = resizing.state(pod(BEFORE, BEFORE), Resources(cpus=0.25, memory_mib=0))
    assert (found.state, found.reason) == ("refused", resizing.LIMIT_STAYS)


# -- on a played cluster ---------------------------------------------------------------------------------------------


@pytest.fixture
def world() -> World:
    made = World("kubernetes", node_count=3)
    made.declarations = dict.fromkeys(("log.b0", "log.b1"), Declaration(command=("serve",), resources=LESS))
    made.install("log", ("b0", "b1"))
    made.advance(10)
    return made


def cluster(world: World) -> PlayedKubernetes:
    assert isinstance(world.substrate, PlayedKubernetes)
    return world.substrate


def asks(world: World, resources: Resources, incarnation: int = 1) -> Resizing:
    task = TaskId("log", "b1", incarnation)
    world.observe(cluster(world).resize(task, resources, world.now_s))
    world.advance(2)
    return cluster(world).resizing(task, resources)


def test_a_task_that_runs_is_given_more_and_less_and_runs_on(world: World) -> None:
    for resources in (MORE, LESS, MORE):
        assert asks(world, resources) == Resizing(state="done")
    assert cluster(world).api.calls.count("resize Pod log.b1.p1") == 3
    assert [one.has for one in cluster(world).kubelets.containers.values() if one.task.member == "b1"] == [ASKED]


def test_of_one_that_does_not_run_nothing_is_asked(world: World) -> None:
    assert asks(world, MORE, incarnation=7).state == "away"
    assert not [call for call in cluster(world).api.calls if call.startswith("resize")]


def test_what_others_make_something_else_of_is_not_asked_for_again_and_again(world: World) -> None:
    """A webhook of somebody else's that has its own mind."""
    api = cluster(world).api
    take = api.resize

    def otherwise(name: str, obj: Any) -> Any:
        return take(name, {**obj, "spec": {"containers": [{"name": "task", "resources": BEFORE}]}})

    api.resize = otherwise  # type: ignore[method-assign]
    assert asks(world, MORE) == Resizing(state="waits", reason=resizing.OTHERWISE)
    for _ in range(20):
        asks(world, MORE)
    assert 2 <= api.calls.count("resize Pod log.b1.p1") <= 6, "in 42 seconds"


def test_one_whose_size_is_refused_can_be_ended_at_once(world: World) -> None:
    def deny(verb: str, kind: str, name: str) -> str:
        return "exceeded quota: small" if verb == "resize" else ""

    cluster(world).api.deny = deny
    found = asks(world, MORE)
    assert (found.state, found.reason) == ("waits", "exceeded quota: small")
    task = TaskId("log", "b1", 1)
    world.observe(cluster(world).end(task, 5, world.now_s))
    world.advance(6)
    assert task not in cluster(world).alive()
