"""The ways in which a task is disturbed on Kubernetes: of each, what the core says that it can hold is what happened on
a real cluster, for members of two packages as these declare them. What a kubelet would decide by itself is played
(:mod:`lab.nodes`); by real ones it is ``containers/test_paths_in_containers.py``."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from driving import LIMIT_S, TASK, Driven
from evicting import Asked, drain
from lab.control_plane import ControlPlane
from lab.nodes import PlayedNodes
from lab.volumes import provide
from packages import PACKAGES, declared

from upcall.protocol.declaration import Declaration
from upcall.substrate.interface import NodeObserved, TaskId, Wanted
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import Forbidden, NotFound
from upcall.substrate.kubernetes.client.kinds import BUDGET, CLAIM, NODE, POD, VOLUME, Kind, Object
from upcall.substrate.kubernetes.evictions.objects import DISRUPTION, floor
from upcall.substrate.kubernetes.substrate import FIRMNESS

PRIORITY = Kind("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", namespaced=False)
AGAIN = TaskId(TASK.service, TASK.member, 2)


@pytest.fixture(params=sorted(PACKAGES))
def package(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> str:
    record_property("package", request.param)
    return str(request.param)


@pytest.fixture
def declaration(package: str) -> Declaration:
    """It ends in its own time, which is not what these tests wait for."""
    return msgspec.structs.replace(declared(package), grace_s=5)


@pytest.fixture(autouse=True)
async def volumes(api: Api, tmp_path: Path) -> AsyncIterator[None]:
    """Each claim gets one."""
    providing = asyncio.create_task(provide(api, lambda namespace, name: tmp_path / namespace / name))
    yield
    providing.cancel()
    await asyncio.gather(providing, return_exceptions=True)
    for one in (await api.list(VOLUME)).objects:
        with contextlib.suppress(NotFound):
            await api.delete(VOLUME, one["metadata"]["name"])


@pytest.fixture
async def pod(driven: Driven, nodes: PlayedNodes, declaration: Declaration) -> str:
    """The name of that of a task that is ready."""
    return await runs(driven, nodes, declaration)


async def runs(driven: Driven, nodes: PlayedNodes, declaration: Declaration) -> str:
    driven.take(lambda now_s: driven.core.launch(Wanted(task=TASK, declaration=declaration), now_s))
    await driven.until(lambda: driven.states(TASK)[-1:] == ["ready"], "it is ready")
    (found,) = nodes.pods.values()
    return str(found["metadata"]["name"])


def node_states(driven: Driven, node: str) -> list[str]:
    return [up.state for up in driven.said if isinstance(up, NodeObserved) and up.node == node]


async def command(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(*words)
    assert await process.wait() == 0


@pytest.mark.path("eviction")
async def test_an_eviction_is_intercepted(
    driven: Driven, api: Api, plane: ControlPlane, namespace: str, asked: Asked, pod: str
) -> None:
    await api.apply(BUDGET, floor(), namespace)
    draining = await drain(plane, driven.last(TASK).node, "--delete-emptydir-data")
    await driven.until(lambda: bool(driven.told()), "it is told")
    assert driven.told() == [("evict", FIRMNESS["evict"])]
    await asyncio.sleep(6)  # longer than `kubectl` waits until it asks again
    assert draining.returncode is None
    assert driven.last(TASK).state == "ready", "it is held"
    (told,) = (await api.list(DISRUPTION, namespace)).objects
    name = told["metadata"]["name"]
    driven.take(lambda now_s: driven.core.hold_disruption(name, now_s, held=None))
    async with asyncio.timeout(LIMIT_S):
        said, _ = await draining.communicate()
    assert draining.returncode == 0, said.decode()
    await driven.over()


@pytest.mark.path("delete")
async def test_a_deletion_by_hand_is_observed(driven: Driven, api: Api, namespace: str, pod: str) -> None:
    await api.delete(POD, pod, namespace)
    await driven.over()
    assert driven.told() == [("stop", FIRMNESS["kill"])]


@pytest.mark.path("delete with force")
async def test_deleted_with_force_it_stays_until_its_node_says_that_it_ended(
    driven: Driven, nodes: PlayedNodes, plane: ControlPlane, namespace: str, pod: str
) -> None:
    nodes.ends = lambda _: False
    await command(*plane.kubectl("-n", namespace, "delete", "pod", pod, "--force", "--grace-period=0", "--wait=false"))
    await driven.until(lambda: bool(driven.told()), "it is told")
    assert driven.last(TASK).state != "ended", "nothing is proven by it"
    nodes.ends = lambda _: True
    await nodes.look_again()
    await driven.over()
    assert driven.told() == [("stop", FIRMNESS["kill"])]


@pytest.mark.path("NoExecute taint")
async def test_a_taint_is_notified(driven: Driven, api: Api, pod: str) -> None:
    taint = {"key": "test", "value": "x", "effect": "NoExecute"}
    await api.merge(NODE, driven.last(TASK).node, {"spec": {"taints": [taint]}})
    await driven.over()
    assert driven.told() == [("stop", "notified")]


@pytest.mark.path("preemption")
async def test_preemption_is_notified(
    driven: Driven, nodes: PlayedNodes, api: Api, namespace: str, declaration: Declaration
) -> None:
    for name in ("node-2", "node-3"):
        await api.merge(NODE, name, {"spec": {"unschedulable": True}})
    large = msgspec.structs.replace(declaration.resources, cpus=5.0)
    await runs(driven, nodes, msgspec.structs.replace(declaration, resources=large))
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
        pytest.param(
            "Evicted", "The node was low on resource: memory.", marks=pytest.mark.path("node pressure"), id="pressure"
        ),
        pytest.param(
            "Terminated",
            "Pod was terminated in response to imminent node shutdown.",
            marks=pytest.mark.path("node shut down"),
            id="shutdown",
        ),
    ],
)
async def test_what_a_node_does_by_itself_is_observed_in_its_words(
    driven: Driven, nodes: PlayedNodes, namespace: str, pod: str, reason: str, message: str
) -> None:
    await nodes.gives_up(namespace, pod, reason, message)
    assert (await driven.over()).reason == f"{reason}: {message}"
    assert driven.told() == []


@pytest.mark.path("container without memory")
async def test_a_container_without_memory_is_observed(
    driven: Driven, nodes: PlayedNodes, namespace: str, pod: str
) -> None:
    await nodes.container_ended(namespace, pod, 137, "OOMKilled")
    ended = await driven.over()
    assert (ended.number, ended.reason) == (137, "out of memory")


@pytest.mark.path("image gone")
async def test_an_image_that_cannot_be_had_is_said_in_the_nodes_words(
    driven: Driven, nodes: PlayedNodes, namespace: str, declaration: Declaration
) -> None:
    nodes.starts = lambda _: False
    driven.take(lambda now_s: driven.core.launch(Wanted(task=TASK, declaration=declaration), now_s))
    await driven.until(lambda: driven.states(TASK)[-1:] == ["placed"], "it has a place")
    (found,) = nodes.pods.values()
    await nodes.container_waits(namespace, found["metadata"]["name"], "ErrImagePull", "no such image")
    await driven.until(lambda: driven.last(TASK).reason == "ErrImagePull: no such image", "it is told")
    assert driven.last(TASK).state == "fetching"


@pytest.mark.path("node dead")
async def test_of_a_node_that_died_nothing_is_concluded_until_it_is_taken_out_of_service(
    driven: Driven, nodes: PlayedNodes, api: Api, pod: str
) -> None:
    node = driven.last(TASK).node
    await nodes.power_cut(node)
    await driven.until(lambda: node_states(driven, node)[-1:] == ["silent"], "it is not heard")
    assert driven.last(TASK).state != "ended"
    taint = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
    await api.merge(NODE, node, {"spec": {"taints": [taint]}})
    await driven.over()


@pytest.mark.path("kubelet dead")
async def test_without_its_kubelet_it_runs_on_and_nothing_is_concluded(
    driven: Driven, nodes: PlayedNodes, api: Api, namespace: str, pod: str
) -> None:
    node, uid = driven.last(TASK).node, (await api.get(POD, pod, namespace))["metadata"]["uid"]
    await nodes.power_cut(node)  # of a kubelet that is played, nothing else is heard
    await driven.until(lambda: node_states(driven, node)[-1:] == ["silent"], "it is not heard")
    assert driven.last(TASK).state != "ended"
    await nodes.power_on(node)
    await driven.until(lambda: node_states(driven, node)[-1:] == ["up"], "it is heard again")
    await driven.until(lambda: driven.last(TASK).state == "ready", "it is ready as before")
    assert (await api.get(POD, pod, namespace))["metadata"]["uid"] == uid
    assert driven.told() == []


@pytest.mark.path("volume lost")
async def test_with_its_volume_lost_it_runs_on_and_the_next_one_waits_in_the_schedulers_words(
    driven: Driven, api: Api, namespace: str, declaration: Declaration, pod: str
) -> None:
    claim: Object = (await api.list(CLAIM, namespace)).objects[0]
    name = claim["spec"]["volumeName"]
    await api.delete(VOLUME, name)
    await api.merge(VOLUME, name, {"metadata": {"finalizers": None}})
    async with asyncio.timeout(LIMIT_S):
        while (await api.get(CLAIM, claim["metadata"]["name"], namespace))["status"]["phase"] != "Lost":  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    assert driven.last(TASK).state == "ready"
    assert driven.told() == []
    driven.take(lambda now_s: driven.core.end(TASK, 5, now_s))
    await driven.over()
    driven.take(lambda now_s: driven.core.launch(Wanted(task=AGAIN, declaration=declaration), now_s))
    await driven.until(lambda: "persistentvolume" in driven.last(AGAIN).reason, "the scheduler says why")
    assert driven.last(AGAIN).state == "pending"
