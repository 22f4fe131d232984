"""Nodes, and amounts as Kubernetes writes them."""

import pytest
from objects_of import node, raw_node

from upcall.substrate.kubernetes import names, nodes
from upcall.substrate.kubernetes.objects import Node, read
from upcall.substrate.kubernetes.quantities import cores, mib, of_cores, of_mib


@pytest.mark.parametrize(("ready", "state"), [("True", "up"), ("False", "up"), ("Unknown", "silent"), (None, "silent")])
def test_a_node_is_silent_only_while_nobody_hears_it(ready: str | None, state: str) -> None:
    told = nodes.observed(node(ready=ready, message="Kubelet stopped posting node status."))
    assert told.state == state
    assert told.reason == ("Kubelet stopped posting node status." if ready == "Unknown" else "")


def test_a_node_offers_what_is_allocatable_and_has_attributes_by_our_words() -> None:
    raw = raw_node()
    raw["metadata"]["labels"] = {names.ZONE: "a", names.HOST: "n1", "disk": "ssd"}
    raw["status"]["allocatable"] = {"cpu": "1930m", "memory": "3915824Ki", "ephemeral-storage": "95551679124"}
    found = read("Node", raw)
    assert isinstance(found, Node)
    told = nodes.description(found)
    assert (told.cpus, told.memory_mib, told.disk_mib) == (1.93, 3824, 91125)
    assert told.attributes == {"zone": "a", "host": "n1", "disk": "ssd"}


@pytest.mark.parametrize(
    ("text", "expected"), [("2", 2.0), ("1500m", 1.5), ("0", 0.0), ("100u", 0.0001), ("1k", 1000.0), ("?", 0.0)]
)
def test_cores(text: str, expected: float) -> None:
    assert cores(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"), [("4Gi", 4096), ("512Mi", 512), ("1048576", 1), ("1G", 953), ("1e3", 0), ("x", 0), ("", 0)]
)
def test_mib(text: str, expected: int) -> None:
    assert mib(text) == expected


def test_amounts_that_we_write() -> None:
    assert (of_cores(1.5), of_cores(0.0), of_mib(512)) == ("1500m", "1m", "512Mi")
    assert mib(of_mib(77)) == 77
    assert cores(of_cores(0.1)) == pytest.approx(0.1)
