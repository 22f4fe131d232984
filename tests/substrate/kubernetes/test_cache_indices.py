"""What is asked by something else than a name (a node's pods, a pod's disruptions, a label of any node) is what stands,
whatever came before it."""

import random
from typing import Any

import pytest
from objects_of import raw_node, raw_pod

from upcall.substrate.kubernetes.cache import Cache
from upcall.substrate.kubernetes.objects import Kind
from upcall.substrate.kubernetes.requests import Changed, Listed, Removed

NODES = ("n0", "n1", "n2")
ZONE = "topology.kubernetes.io/zone"
STEPS = 300


def disruption(name: str, uid: str, version: int) -> dict[str, Any]:
    meta = {"name": name, "uid": f"of-{name}-{version % 5}", "resourceVersion": str(version)}
    return {"metadata": meta, "spec": {"pod": "log.b0.p1", "podUID": uid}}


def some(choose: random.Random, version: int) -> tuple[Kind, dict[str, Any]]:
    match choose.randrange(3):
        case 0:
            pod = raw_pod(node=choose.choice(("", *NODES)), version=version, uid=choose.choice("uvw"))
            pod["metadata"]["name"] = f"pod-{choose.randrange(4)}"
            return "Pod", pod
        case 1:
            node = raw_node(choose.choice(NODES))
            node["metadata"] |= {"resourceVersion": str(version), "uid": f"n-{choose.randrange(2)}"}
            node["metadata"]["labels"] = {ZONE: "a"} if choose.random() < 0.4 else {}
            return "Node", node
        case _:
            return "Disruption", disruption(f"d{choose.randrange(4)}", choose.choice("uvw"), version)


@pytest.mark.parametrize("seed", range(10))
def test_an_index_says_what_a_look_at_all_would(seed: int) -> None:
    choose, cache = random.Random(seed), Cache()
    for version in range(1, STEPS):
        kind, found = some(choose, version)
        how = choose.random()
        if how < 0.7:
            cache.take(Changed(kind, found))
        elif how < 0.9:
            cache.take(Removed(kind, found))
        else:
            cache.take(Listed(kind, (found,), version))
        for node in NODES:
            there = [name for name, pod in cache.pods.items() if pod.node == node]
            assert [pod.name for pod in cache.on_node(node)] == sorted(there)
        for uid in "uvw":
            about = [name for name, one in cache.disruptions.items() if one.spec.pod_uid == uid]
            assert cache.disruptions_of(uid) == sorted(about)
        assert cache.labelled(ZONE) == any(ZONE in node.metadata.labels for node in cache.nodes.values())
