"""Of which storage class a volume is: the control plane's, the service's own word, or the cluster's default."""

from typing import Final

import pytest
from msgspec import structs

from upcall.protocol.declaration import Declaration, Volume
from upcall.testing.kubernetes import PlayedKubernetes
from upcall.testing.kubernetes.api import Refusal
from upcall.testing.world import World

CLAIM: Final = "PersistentVolumeClaim"


def stores(kind: str = "disk") -> Declaration:
    return Declaration(command=("serve",), volumes=(Volume(name="data", size_mib=64, kind=kind),))


@pytest.fixture
def world() -> World:
    made = World("kubernetes", node_count=3)
    made.declarations = {"log.b0": stores(), "log.b1": stores("quick"), "log.b2": stores()}
    return made


def cluster(world: World) -> PlayedKubernetes:
    assert isinstance(world.substrate, PlayedKubernetes)
    return world.substrate


def named(world: World, storage_class: str) -> None:
    """As the next control plane is given it."""
    cluster(world).settings = structs.replace(cluster(world).settings, storage_class=storage_class)
    world.die()
    world.boot()


def classes(world: World) -> list[str | None]:
    found = {one["metadata"]["name"]: one["spec"].get("storageClassName") for one in cluster(world).api.all(CLAIM)}
    return [found.get(f"data.log.{member}.1") for member in ("b0", "b1", "b2")]


def test_a_volume_is_of_the_class_that_is_named_for_all_or_of_its_own_kind(world: World) -> None:
    named(world, "plain")
    world.install("log", ("b0", "b1", "b2"))
    world.advance(10)
    assert classes(world) == ["plain", "quick", "plain"]
    assert len(world.ready("log")) == 3

    # Named anew, what is there keeps what it has.
    named(world, "other")
    world.advance(30)
    assert classes(world) == ["plain", "quick", "plain"]
    assert len(world.ready("log")) == 3


def test_where_none_is_named_it_is_the_clusters_default(world: World) -> None:
    world.install("log", ("b0", "b1", "b2"))
    world.advance(10)
    assert classes(world) == [None, "quick", None], "the API server fills in its default"


def test_a_claim_that_waits_for_a_class_gets_the_one_that_is_named_then_and_all_others_keep_theirs(
    world: World,
) -> None:
    world.install("log", ("b0", "b1", "b2"))
    world.advance(10)
    api = cluster(world).api
    api.say(CLAIM, "data.log.b0.1", {"phase": "Pending"})
    api.merge(CLAIM, "data.log.b2.1", {"spec": {"volumeName": "v1"}})
    api.say(CLAIM, "data.log.b2.1", {"phase": "Pending"})
    world.observe(cluster(world).heard(world.now_s))

    named(world, "plain")
    world.advance(30)
    assert classes(world) == ["plain", "quick", None], "one that has a volume needs none"
    with pytest.raises(Refusal, match="immutable"):
        api.merge(CLAIM, "data.log.b0.1", {"spec": {"storageClassName": "other"}})
