"""A node that is removed while its drain waits for consent, and clocks that are a minute apart."""

from typing import Final

import pytest

from upcall.operations import inputs as given
from upcall.operations.records import Policy
from upcall.operations.views import PendingSet
from upcall.protocol.declaration import Declaration, Resources, Volume
from upcall.substrate.kubernetes.disruptions import LAPSES_S
from upcall.substrate.kubernetes.evictions.judging import ASKED_AGAIN_S
from upcall.testing.kubernetes import PlayedKubernetes
from upcall.testing.world import World

STORES: Final = Declaration(
    command=("serve",), resources=Resources(memory_mib=512), volumes=(Volume(name="data", size_mib=64),)
)
APART_S: Final = (-60.0, 60.0)


@pytest.fixture
def world() -> World:
    made = World("kubernetes", node_count=4)
    made.declarations = dict.fromkeys(("log.b0", "log.b1", "log.b2"), STORES)
    made.install("log", ("b0", "b1", "b2"), minimum=1, policy=Policy(answer_s=20, replace_after_s=600))
    made.advance(10)
    made.host("log", defer)
    return made


def defer(pending: PendingSet) -> dict[str, given.Answer]:
    asked = [one.operation.id for one in pending.operations if one.asked]
    return {name: given.Answer(verdict="defer", reason="6 parts would have a single copy") for name in asked}


def cluster(world: World) -> PlayedKubernetes:
    assert isinstance(world.substrate, PlayedKubernetes)
    return world.substrate


def states(world: World, kind: str) -> list[str]:
    return [one.state for one in world.ledger.operations() if one.kind == kind]


def test_a_drain_of_ours_that_waits_is_over_when_its_node_is_removed_and_the_member_lives_elsewhere(
    world: World,
) -> None:
    node = cluster(world).node_of("log.b1")
    world.send(given.Propose(kind="maintenance", asked_by="ann", node=node, window_s=3600))
    world.advance(60)
    assert states(world, "stop") == ["open"], "it waits for the service's word"
    world.observe(cluster(world).remove(node, world.now_s))
    world.advance(700)
    assert "open" not in states(world, "stop"), "nobody is asked any more about what is gone"
    assert cluster(world).node_of("log.b1") not in ("", node)
    assert sorted(world.ready("log")) == ["b0", "b1", "b2"]
    assert cluster(world).violations == []
    assert states(world, "maintenance")[-1] != "open", states(world, "maintenance")


def test_an_eviction_that_waits_is_over_when_its_node_is_removed_and_nothing_of_it_is_left(world: World) -> None:
    node = cluster(world).node_of("log.b1")
    world.observe(cluster(world).disrupt("e1", "log.b1", world.now_s, verb="evict", who="kubectl", reason="drain"))
    world.advance(60)
    assert states(world, "evict") == ["open"]
    world.observe(cluster(world).remove(node, world.now_s))
    world.advance(700)
    assert states(world, "evict") == ["done"], "its pod is gone"
    assert cluster(world).api.all("Disruption") == []
    assert sorted(world.ready("log")) == ["b0", "b1", "b2"]
    assert cluster(world).violations == []


@pytest.mark.parametrize("apart_s", APART_S)
def test_a_drain_that_goes_on_is_not_given_up_by_a_leader_whose_clock_is_a_minute_apart(
    world: World, apart_s: float
) -> None:
    """Who was asked noted it by his own clock, and may not be the one that leads now."""
    one = next(each for each in cluster(world).kubelets.containers.values() if each.task.member == "b1")
    asked = world.wall_s + apart_s
    spec = {"verb": "evict", "pod": one.pod, "podUID": one.uid, "who": "kubectl", "asked": asked}
    cluster(world).api.create("Disruption", {"metadata": {"name": "evict-1"}, "spec": spec})
    for _ in range(8):
        world.observe(cluster(world).heard(world.now_s))
        world.advance(ASKED_AGAIN_S)
        cluster(world).api.merge("Disruption", "evict-1", {"spec": {"asked": world.wall_s + apart_s}})
    assert states(world, "evict") == ["open"]
    world.observe(cluster(world).heard(world.now_s))
    world.advance(LAPSES_S + max(apart_s, 0.0) + 1)
    assert states(world, "evict") == ["withdrawn"], "and it is given up when nobody asks"
