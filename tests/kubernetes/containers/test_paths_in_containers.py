"""The ways in which a task is disturbed, by real kubelets and containers: of each, what the core says that it can hold
is what happened. The container is a few words of shell that answer as our part does; what our part does in a real
container is ``test_services_in_containers.py``.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml
from driving import LIMIT_S, TASK, Driven, wanted
from evicting import says
from realnodes.cluster import RealNodes
from realnodes.logind import BUS, GOES_DOWN, LISTENED_TO

from upcall.protocol.declaration import Volume
from upcall.substrate.interface import NodeObserved, Wanted
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import Forbidden
from upcall.substrate.kubernetes.client.kinds import CLAIM, NODE, POD, VOLUME, Kind, Object
from upcall.substrate.kubernetes.exits import BY_ITS_NODE
from upcall.substrate.kubernetes.substrate import FIRMNESS

PRIORITY = Kind("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", namespaced=False)
OUT = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
SHUT_DOWN = "Pod was terminated in response to imminent node shutdown."


async def runs(driven: Driven, api: Api, namespace: str, one: Wanted) -> Object:
    """Its pod."""
    driven.take(lambda now_s: driven.core.launch(one, now_s))
    await driven.until(lambda: driven.states(one.task)[-1:] == ["ready"], "it is ready")
    (found,) = (await api.list(POD, namespace)).objects
    return found


@pytest.fixture
async def pod(driven: Driven, api: Api, namespace: str) -> Object:
    return await runs(driven, api, namespace, wanted())


async def silent(driven: Driven, node: str) -> None:
    def it_is() -> bool:
        return node_states(driven, node)[-1:] == ["silent"]

    await driven.until(it_is, f"{node} is not heard")


def node_states(driven: Driven, node: str) -> list[str]:
    return [up.state for up in driven.said if isinstance(up, NodeObserved) and up.node == node]


def runs_on(real: RealNodes, pod: Object) -> bool:
    """Its container, as the node's containerd says it, past everybody."""
    node, status = pod["spec"]["nodeName"], pod["status"]["containerStatuses"][0]
    if node not in real.first:
        return False
    told = real.inside(node, *real.settings[node].ctr("tasks", "ls"))
    assert told.returncode == 0, told.stderr
    lines = [line.split() for line in told.stdout.splitlines()]
    return any(
        line[0] == status["containerID"].removeprefix("containerd://") and line[-1] == "RUNNING" for line in lines
    )


@contextlib.asynccontextmanager
async def kubelet(real: RealNodes, node: str, **more: Any) -> AsyncIterator[None]:
    """Of that node, begun anew with more settings, if there are any. However a test ends, it is there as before."""
    file = real.folder / node / "kubelet.yaml"
    before = file.read_text()
    try:
        if more:
            file.write_text(yaml.safe_dump(yaml.safe_load(before) | more))
            real.kill(node, "kubelet")
            real.begin(node, "kubelet")
        yield
    finally:
        file.write_text(before)
        real.kill(node, "kubelet")
        real.begin(node, "kubelet")
        await asyncio.to_thread(real.until_ready)


async def test_deleted_by_hand_it_is_observed(
    driven: Driven, real: RealNodes, api: Api, namespace: str, pod: Object
) -> None:
    await api.delete(POD, pod["metadata"]["name"], namespace)
    ended = await driven.over()
    assert driven.told() == [("stop", FIRMNESS["kill"])]
    assert ended.number == 0
    assert not runs_on(real, pod)


async def test_a_taint_is_notified(driven: Driven, real: RealNodes, api: Api, pod: Object) -> None:
    node = driven.last(TASK).node
    taint = {"key": "test", "value": "x", "effect": "NoExecute"}
    await api.merge(NODE, node, {"spec": {"taints": [taint]}})
    try:
        await driven.over()
    finally:
        await api.merge(NODE, node, {"spec": {"taints": None}})
    assert driven.told() == [("stop", "notified")]
    assert not runs_on(real, pod)


async def test_preemption_is_notified(driven: Driven, api: Api, namespace: str, real: RealNodes) -> None:
    cores = [int(node["status"]["allocatable"]["cpu"]) for node in (await api.list(NODE)).objects]
    for name in real.names[1:]:
        await api.merge(NODE, name, {"spec": {"unschedulable": True}})
    try:
        await runs(driven, api, namespace, wanted(cpus=cores[0] / 2))
        await api.apply(PRIORITY, {"metadata": {"name": "above"}, "value": 1000})
        half = {"requests": {"cpu": f"{cores[0] * 600}m"}}
        container = {"name": "main", "image": "lab.invalid/pause:1", "resources": half}
        spec = {"containers": [container], "priorityClassName": "above", "terminationGracePeriodSeconds": 1}
        async with asyncio.timeout(LIMIT_S):
            while True:
                # The server learns of the class in its own time.
                with contextlib.suppress(Forbidden):
                    await api.create(POD, {"metadata": {"name": "above"}, "spec": spec}, namespace)
                    break
                await asyncio.sleep(0.1)
        await driven.over()
    finally:
        for name in real.names[1:]:
            await api.merge(NODE, name, {"spec": {"unschedulable": None}})
    assert driven.told() == [("preempt", FIRMNESS["preempt"])]
    await api.delete(PRIORITY, "above")


async def test_a_container_without_memory_is_observed(
    driven: Driven, real: RealNodes, namespace: str, pod: Object
) -> None:
    hungry = ("/bin/busybox", "touch", "/upcall/sandbox/hungry")
    await says(*real.plane.kubectl("-n", namespace, "exec", pod["metadata"]["name"], "--", *hungry))
    ended = await driven.over()
    assert (ended.number, ended.reason) == (137, "out of memory")
    assert driven.told() == []


@pytest.mark.parametrize("image_of", ["lab.invalid/gone:1"])
async def test_an_image_that_is_gone_is_said_in_the_nodes_words(driven: Driven) -> None:
    driven.take(lambda now_s: driven.core.launch(wanted(), now_s))
    await driven.until(lambda: driven.states(TASK)[-1:] == ["fetching"], "it is told")
    await driven.until(lambda: "lab.invalid/gone:1" in driven.last(TASK).reason, "it is told in the node's words")
    assert driven.last(TASK).state == "fetching"
    assert driven.last(TASK).reason.startswith(("ErrImagePull: ", "ImagePullBackOff: "))


async def test_pressure_on_its_node_is_observed_in_the_nodes_words(
    driven: Driven, real: RealNodes, api: Api, pod: Object
) -> None:
    node = driven.last(TASK).node
    # More is to be free than there ever is; softly, for what is kept free hard no pod may ask for.
    free = {"memory.available": "99.99%"}
    after = dict.fromkeys(free, "1s")
    async with kubelet(real, node, evictionSoft=free, evictionSoftGracePeriod=after, evictionMaxPodGracePeriod=30):
        ended = await driven.over()
    async with asyncio.timeout(LIMIT_S):
        while (await api.get(NODE, node))["spec"].get("taints"):  # noqa: ASYNC110
            await asyncio.sleep(1)
    assert ": The node was low on resource: memory." in ended.reason
    assert driven.told() == []


async def test_with_a_node_that_is_shut_down_gracefully_it_ends_in_the_nodes_words(
    driven: Driven, real: RealNodes, pod: Object
) -> None:
    node = driven.last(TASK).node
    real.begin(node, "logind")
    try:
        async with kubelet(real, node, shutdownGracePeriod="60s", shutdownGracePeriodCriticalPods="10s"):
            async with asyncio.timeout(LIMIT_S):
                while real.inside(node, "ls", str(LISTENED_TO)).returncode:  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
                # A kubelet that does not know the pod yet would not end it but reject it.
                knows = real.plane.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/pods")
                while pod["metadata"]["uid"] not in await says(*knows):  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
            assert real.inside(node, "touch", str(GOES_DOWN)).returncode == 0
            ended = await driven.over()
            assert (ended.number, ended.reason) == (0, f"{BY_ITS_NODE}: {SHUT_DOWN}")
            assert driven.told() == []
            assert not runs_on(real, pod)
            # For the kubelet that comes next it is up again.
            real.inside(node, "rm", str(GOES_DOWN), str(LISTENED_TO))
    finally:
        real.kill(node, "logind")
        real.inside(node, "rm", "-f", str(GOES_DOWN), str(LISTENED_TO), str(BUS))


async def test_rejected_by_a_kubelet_that_came_back_with_less_room_it_has_ended_when_that_is_told(
    driven: Driven, real: RealNodes, pod: Object
) -> None:
    # What is kept free no pod may ask for.
    async with kubelet(real, driven.last(TASK).node, evictionHard={"memory.available": "99.99%"}):
        await driven.over()
        assert not runs_on(real, pod)
        assert driven.told() == []


async def test_without_its_kubelet_it_runs_on_and_nothing_is_concluded(
    driven: Driven, real: RealNodes, api: Api, namespace: str, pod: Object
) -> None:
    node = driven.last(TASK).node
    async with kubelet(real, node):
        real.kill(node, "kubelet")
        await silent(driven, node)
        assert driven.last(TASK).state != "ended"
        assert runs_on(real, pod)
    # It is heard again: the same container, and nobody touched it.
    await driven.until(lambda: node_states(driven, node)[-1:] == ["up"], "the node is there again")
    await driven.until(lambda: driven.last(TASK).state == "ready", "it is ready as before")
    (again,) = (await api.list(POD, namespace)).objects
    assert again["metadata"]["uid"] == pod["metadata"]["uid"]
    assert again["status"]["containerStatuses"][0]["restartCount"] == 0


async def test_deleted_with_force_while_its_kubelet_is_dead_it_has_ended_when_that_is_told(
    driven: Driven, real: RealNodes, namespace: str, pod: Object
) -> None:
    async with kubelet(real, driven.last(TASK).node):
        real.kill(driven.last(TASK).node, "kubelet")
        force = ("delete", "pod", pod["metadata"]["name"], "--force", "--grace-period=0", "--wait=false")
        await says(*real.plane.kubectl("-n", namespace, *force))
        await driven.until(lambda: bool(driven.told()), "it is told")
        assert driven.last(TASK).state != "ended", "force proves nothing"
        assert runs_on(real, pod)
    await driven.over()
    assert driven.told() == [("stop", FIRMNESS["kill"])]
    assert not runs_on(real, pod)


async def test_of_a_node_that_died_nothing_is_concluded_until_it_is_taken_out_of_service(
    driven: Driven, real: RealNodes, api: Api, pod: Object
) -> None:
    node = driven.last(TASK).node
    real.power_cut(node)
    try:
        await silent(driven, node)
        assert driven.last(TASK).state != "ended"
        assert not runs_on(real, pod)
        await api.merge(NODE, node, {"spec": {"taints": [OUT]}})
        await driven.over()
    finally:
        await api.merge(NODE, node, {"spec": {"taints": None}})
        await asyncio.to_thread(real.start, node)
        await asyncio.to_thread(real.until_ready)


async def test_with_its_volume_lost_it_runs_on_and_the_next_one_waits_in_the_schedulers_words(
    driven: Driven, real: RealNodes, api: Api, namespace: str
) -> None:
    one = wanted(volumes=(Volume(name="data", size_mib=1),))
    pod = await runs(driven, api, namespace, one)
    (claim,) = (await api.list(CLAIM, namespace)).objects
    name = claim["spec"]["volumeName"]
    await api.delete(VOLUME, name)
    await api.merge(VOLUME, name, {"metadata": {"finalizers": None}})
    async with asyncio.timeout(LIMIT_S):
        while (await api.get(CLAIM, claim["metadata"]["name"], namespace))["status"]["phase"] != "Lost":  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    assert runs_on(real, pod), "what it has mounted stays"
    assert driven.last(TASK).state == "ready"
    assert driven.told() == []

    driven.take(lambda now_s: driven.core.end(TASK, 5, now_s))
    await driven.over()
    again = wanted(2, volumes=one.declaration.volumes)
    driven.take(lambda now_s: driven.core.launch(again, now_s))
    await driven.until(lambda: "persistentvolume" in driven.last(again.task).reason, "the scheduler says why")
    assert driven.last(again.task).state == "pending"
