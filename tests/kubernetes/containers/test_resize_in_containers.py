"""More and less for a container that runs, by a real kubelet: its control group has it, and it was not started anew."""

import asyncio
from pathlib import Path

import pytest
from driving import LIMIT_S, TASK, Driven, wanted
from realnodes.cluster import RealNodes

from upcall.protocol.declaration import Resources
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.kinds import POD, Object

MORE = Resources(cpus=1.0, memory_mib=320)
NEVER = Resources(cpus=4096.0, memory_mib=256)


@pytest.fixture
async def pod(driven: Driven, api: Api, namespace: str) -> Object:
    driven.take(lambda now_s: driven.core.launch(wanted(), now_s))
    await driven.until(lambda: driven.states(TASK)[-1:] == ["ready"], "it is ready")
    (found,) = (await api.list(POD, namespace)).objects
    return found


async def done(driven: Driven, resources: Resources) -> None:
    driven.take(lambda now_s: driven.core.resize(TASK, resources, now_s))
    await driven.until(lambda: driven.core.resizing(TASK, resources).state == "done", "it has it")


def limit_mib(real: RealNodes, pod: Object) -> int:
    """Of its container, as the kernel has it, past everybody."""
    number = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    found = list(Path("/sys/fs/cgroup/memory").rglob(f"*{number}*/memory.limit_in_bytes"))
    assert found, number
    return int(found[0].read_text()) >> 20


async def test_a_container_is_given_more_and_less_and_runs_on(
    driven: Driven, real: RealNodes, api: Api, namespace: str, pod: Object
) -> None:
    assert limit_mib(real, pod) == 256
    for resources in (MORE, wanted().declaration.resources):
        await done(driven, resources)
        async with asyncio.timeout(LIMIT_S):
            while limit_mib(real, pod) != resources.memory_mib:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    again = await api.get(POD, pod["metadata"]["name"], namespace)
    assert again["metadata"]["uid"] == pod["metadata"]["uid"]
    assert again["status"]["containerStatuses"][0]["restartCount"] == 0
    assert driven.told() == []


async def test_what_the_node_can_never_give_is_said_and_it_runs_on(driven: Driven, pod: Object) -> None:
    """In 1.37 the API server knows, and asks no kubelet."""
    driven.take(lambda now_s: driven.core.resize(TASK, NEVER, now_s))
    await driven.until(lambda: driven.core.resizing(TASK, NEVER).state == "refused", "it is refused")
    assert "enough" in driven.core.resizing(TASK, NEVER).reason
    assert "cpu, requested: 4096000" in driven.core.resizing(TASK, NEVER).reason
    await done(driven, wanted().declaration.resources)
    assert driven.last(TASK).state == "ready"
