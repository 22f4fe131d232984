"""What a kubelet decides by itself is played as it would say it; what follows is the real cluster's."""

import asyncio
from typing import Any

from lab.nodes import PlayedNodes
from objects import pod

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.kinds import NODE, POD, Object

LIMIT_S = 400.0
TAINT = {"key": "test", "value": "x", "effect": "NoExecute"}


async def running(api: Api, namespace: str, nodes: PlayedNodes, name: str = "one", **spec: Any) -> None:
    await api.create(POD, pod(name, nodeSelector={"kubernetes.io/hostname": "node-1"}, **spec), namespace)
    await nodes.until(lambda: nodes.ready(name), f"{name} runs")


def phase(nodes: PlayedNodes, name: str = "one") -> str:
    found: Object = nodes.named(name) or {}
    return str(found.get("status", {}).get("phase", "gone"))


async def test_a_container_that_was_killed_for_its_memory(api: Api, namespace: str, nodes: PlayedNodes) -> None:
    await running(api, namespace, nodes)
    await nodes.container_ended(namespace, "one", 137, "OOMKilled")
    await nodes.until(lambda: phase(nodes) == "Failed", "it has failed")
    (container,) = (await api.get(POD, "one", namespace))["status"]["containerStatuses"]
    assert container["state"]["terminated"]["exitCode"] == 137
    assert container["state"]["terminated"]["reason"] == "OOMKilled"
    assert container["ready"] is False


async def test_a_container_that_did_what_it_should(api: Api, namespace: str, nodes: PlayedNodes) -> None:
    await running(api, namespace, nodes)
    await nodes.container_ended(namespace, "one", 0, "Completed")
    await nodes.until(lambda: phase(nodes) == "Succeeded", "it is done")


async def test_a_pod_that_its_kubelet_gives_up(api: Api, namespace: str, nodes: PlayedNodes) -> None:
    await running(api, namespace, nodes)
    await nodes.gives_up(namespace, "one", "Evicted", "The node was low on resource: memory.")
    await nodes.until(lambda: phase(nodes) == "Failed", "it has failed")
    status = (await api.get(POD, "one", namespace))["status"]
    assert (status["reason"], status["message"]) == ("Evicted", "The node was low on resource: memory.")


async def test_a_pod_stays_until_its_container_has_ended(api: Api, namespace: str, nodes: PlayedNodes) -> None:
    await running(api, namespace, nodes)
    nodes.ends = lambda _: False
    await api.delete(POD, "one", namespace)
    await nodes.until(lambda: "deletionTimestamp" in (nodes.named("one") or {})["metadata"], "it is told to go")
    assert (await api.get(POD, "one", namespace))["status"]["phase"] == "Running"
    nodes.ends = lambda _: True
    await nodes.look_again()
    await nodes.until(lambda: phase(nodes) == "gone", "it is gone")


async def test_a_pod_whose_container_does_not_come_up_waits(api: Api, namespace: str, nodes: PlayedNodes) -> None:
    nodes.starts = lambda _: False
    await api.create(POD, pod("one"), namespace)
    await nodes.until(lambda: bool((nodes.named("one") or {}).get("spec", {}).get("nodeName")), "it has a place")
    assert phase(nodes) == "Pending"
    nodes.starts = lambda _: True
    await nodes.look_again()
    await nodes.until(lambda: nodes.ready("one"), "it runs")


async def test_a_taint_ends_who_does_not_tolerate_it(api: Api, namespace: str, nodes: PlayedNodes) -> None:
    tolerates = [{"key": "test", "operator": "Exists", "effect": "NoExecute"}]
    await running(api, namespace, nodes, "tolerant", tolerations=tolerates)
    await running(api, namespace, nodes, "one")
    await api.merge(NODE, "node-1", {"spec": {"taints": [TAINT]}})
    await nodes.until(lambda: phase(nodes) == "gone", "the real controller ended it")
    assert nodes.ready("tolerant")


async def test_a_node_without_power_is_noticed_and_comes_back(api: Api, namespace: str, nodes: PlayedNodes) -> None:
    await running(api, namespace, nodes)
    await nodes.power_cut("node-1")
    await until_node(api, "Unknown")
    await nodes.until(lambda: not nodes.ready("one"), "its pods are said not to be ready")
    assert phase(nodes) == "Running", "nobody knows that it ended"
    await nodes.power_on("node-1")
    await until_node(api, "True")


async def until_node(api: Api, ready: str) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            conditions = (await api.get(NODE, "node-1"))["status"]["conditions"]
            if [each["status"] for each in conditions if each["type"] == "Ready"] == [ready]:
                return
            await asyncio.sleep(0.5)
