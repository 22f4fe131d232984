"""The ways in which a task is disturbed on Kubernetes: of each, what the core says that it can hold is what happened on
a real cluster. What a kubelet would decide by itself is played (:mod:`lab.nodes`)."""

import asyncio
import contextlib

import pytest
from driving import LIMIT_S, TASK, Driven, wanted
from lab.control_plane import ControlPlane
from lab.nodes import PlayedNodes

from upcall.substrate.interface import NodeObserved, Wanted
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import Forbidden
from upcall.substrate.kubernetes.client.kinds import NODE, POD, Kind
from upcall.substrate.kubernetes.substrate import FIRMNESS

PRIORITY = Kind("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", namespaced=False)


@pytest.fixture
async def pod(driven: Driven, nodes: PlayedNodes) -> str:
    """The name of that of a task that is ready."""
    return await runs(driven, nodes, wanted())


async def runs(driven: Driven, nodes: PlayedNodes, one: Wanted) -> str:
    driven.take(lambda now_s: driven.core.launch(one, now_s))
    await driven.until(lambda: driven.states(one.task)[-1:] == ["ready"], "it is ready")
    (found,) = nodes.pods.values()
    return str(found["metadata"]["name"])


def silent(driven: Driven) -> bool:
    return any(isinstance(up, NodeObserved) and up.state == "silent" for up in driven.said)


async def test_deleted_with_force_it_stays_until_its_node_says_that_it_ended(
    driven: Driven, nodes: PlayedNodes, plane: ControlPlane, namespace: str, pod: str
) -> None:
    nodes.ends = lambda _: False
    force = plane.kubectl("-n", namespace, "delete", "pod", pod, "--force", "--grace-period=0", "--wait=false")
    process = await asyncio.create_subprocess_exec(*force)
    assert await process.wait() == 0
    await driven.until(lambda: bool(driven.told()), "it is told")
    assert driven.last(TASK).state != "ended", "nothing is proven by it"
    nodes.ends = lambda _: True
    await nodes.look_again()
    await driven.over()
    assert driven.told() == [("stop", FIRMNESS["kill"])]


async def test_a_taint_is_notified(driven: Driven, api: Api, pod: str) -> None:
    taint = {"key": "test", "value": "x", "effect": "NoExecute"}
    await api.merge(NODE, driven.last(TASK).node, {"spec": {"taints": [taint]}})
    await driven.over()
    assert driven.told() == [("stop", "notified")]


async def test_preemption_is_notified(driven: Driven, nodes: PlayedNodes, api: Api, namespace: str) -> None:
    for name in ("node-2", "node-3"):
        await api.merge(NODE, name, {"spec": {"unschedulable": True}})
    await runs(driven, nodes, wanted(cpus=5))
    await api.apply(PRIORITY, {"metadata": {"name": "above"}, "value": 1000})
    container = {"name": "main", "image": "example.invalid/nothing:1", "resources": {"requests": {"cpu": "6"}}}
    spec = {"containers": [container], "priorityClassName": "above", "terminationGracePeriodSeconds": 1}
    async with asyncio.timeout(LIMIT_S):
        while True:
            # The server learns of the class in its own time.
            with contextlib.suppress(Forbidden):
                await api.create(POD, {"metadata": {"name": "above"}, "spec": spec}, namespace)
                break
            await asyncio.sleep(0.1)
    await driven.over()
    assert driven.told() == [("preempt", FIRMNESS["preempt"])]
    await api.delete(PRIORITY, "above")


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("Evicted", "The node was low on resource: memory."),
        ("Terminated", "Pod was terminated in response to imminent node shutdown."),
    ],
    ids=["pressure", "shutdown"],
)
async def test_what_a_node_does_by_itself_is_observed_in_its_words(
    driven: Driven, nodes: PlayedNodes, namespace: str, pod: str, reason: str, message: str
) -> None:
    await nodes.gives_up(namespace, pod, reason, message)
    assert (await driven.over()).reason == f"{reason}: {message}"
    assert driven.told() == []


async def test_a_container_without_memory_is_observed(
    driven: Driven, nodes: PlayedNodes, namespace: str, pod: str
) -> None:
    await nodes.container_ended(namespace, pod, 137, "OOMKilled")
    ended = await driven.over()
    assert (ended.number, ended.reason) == (137, "out of memory")


async def test_an_image_that_cannot_be_had_is_said_in_the_nodes_words(
    driven: Driven, nodes: PlayedNodes, namespace: str
) -> None:
    nodes.starts = lambda _: False
    driven.take(lambda now_s: driven.core.launch(wanted(), now_s))
    await driven.until(lambda: driven.states(TASK)[-1:] == ["placed"], "it has a place")
    (found,) = nodes.pods.values()
    await nodes.container_waits(namespace, found["metadata"]["name"], "ErrImagePull", "no such image")
    await driven.until(lambda: driven.last(TASK).reason == "ErrImagePull: no such image", "it is told")
    assert driven.last(TASK).state == "fetching"


async def test_of_a_node_that_died_nothing_is_concluded_until_it_is_taken_out_of_service(
    driven: Driven, nodes: PlayedNodes, api: Api, pod: str
) -> None:
    node = driven.last(TASK).node
    await nodes.power_cut(node)
    await driven.until(lambda: silent(driven), "it is not heard")
    assert driven.last(TASK).state != "ended"
    taint = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
    await api.merge(NODE, node, {"spec": {"taints": [taint]}})
    await driven.over()
