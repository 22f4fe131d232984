"""Eviction requests (KEP-4563) on a real API server that has them on; the controller that chooses responders is ours,
because Kubernetes 1.37 has none yet."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from evicting import LIMIT_S
from lab.control_plane import ControlPlane, control_plane
from lab.nodes import PlayedNodes, now_stamp, played_nodes
from objects import pod

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import DEFINITION, NAMESPACE, POD, SERVICE_ACCOUNT, Object
from upcall.substrate.kubernetes.client.login import from_kubeconfig
from upcall.substrate.kubernetes.evictions.objects import DISRUPTION, definition
from upcall.substrate.kubernetes.evictions.requests import EVICTION, Responder, said_by_us
from upcall.substrate.kubernetes.evictions.serving import Webhook
from upcall.substrate.kubernetes.names import HELD, MEMBER, RESPONDER, RESPONDER_PRIORITY, SERVICE

REASON = "6 parts would have a single copy"


@pytest.fixture(scope="module")
def requesting(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of its own, with the API on."""
    on = ("--feature-gates=EvictionRequestAPI=true", "--runtime-config=lifecycle.k8s.io/v1alpha1=true")
    with control_plane(tmp_path_factory.mktemp("requesting"), kube_apiserver=on) as running:
        yield running


@pytest.fixture
async def api(requesting: ControlPlane) -> AsyncIterator[Api]:
    async with Connection(from_kubeconfig((requesting.kubeconfig(),))) as connection:
        yield Api(connection)


@pytest.fixture
async def namespace(api: Api) -> AsyncIterator[str]:
    name = f"test-{uuid.uuid4().hex[:8]}"
    await api.create(NAMESPACE, {"metadata": {"name": name}})
    await api.apply(DEFINITION, definition())
    async with asyncio.timeout(LIMIT_S):
        while True:
            with contextlib.suppress(NotFound):
                await api.get(SERVICE_ACCOUNT, "default", name)
                await api.list(DISRUPTION, name)
                break
            await asyncio.sleep(0.1)
    yield name
    await api.delete(NAMESPACE, name)


@pytest.fixture
async def nodes(api: Api) -> AsyncIterator[PlayedNodes]:
    async with played_nodes(api, 1) as playing:
        yield playing


@pytest.fixture
async def eviction(api: Api, namespace: str, nodes: PlayedNodes) -> Object:
    """Of a pod that runs, as the controller makes it: we are its first responder, and active."""
    ours = [{"name": RESPONDER, "priority": RESPONDER_PRIORITY}]
    made = pod("member", labels={SERVICE: "store", MEMBER: "replica-1", HELD: "true"}, evictionResponders=ours)
    there = await api.create(POD, made, namespace)
    assert there["spec"]["evictionResponders"] == ours
    await nodes.until(lambda: nodes.ready("member"), "it runs")
    target = {"pod": {"name": "member", "uid": there["metadata"]["uid"]}}
    await api.create(EVICTION, {"metadata": {"name": "one"}, "spec": {"target": target}}, namespace)
    return await chosen(api, namespace)


async def chosen(api: Api, namespace: str, intent: str = "Eviction") -> Object:
    """What the controller says of whose turn it is."""
    last = {"name": "imperative-eviction.k8s.io/evictor", "priority": 100, "state": "Inactive"}
    status: dict[str, Any] = {
        "requesters": [{"name": "example.com/descheduler", "intent": intent}],
        "targetResponders": [{"name": RESPONDER, "priority": RESPONDER_PRIORITY, "state": "Active"}, last],
    }
    if intent == "Eviction":
        status["responders"] = [{"name": RESPONDER, "startTime": now_stamp()}, {"name": last["name"]}]
    return await api.merge(EVICTION, "one", {"status": status}, namespace, part="status")


@contextlib.asynccontextmanager
async def responding(api: Api, namespace: str) -> AsyncIterator[None]:
    running = asyncio.create_task(Responder(api, namespace, Webhook(api), look_s=0.2).run())
    yield
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def until_said(api: Api, namespace: str, words: str) -> dict[str, Any]:
    said: dict[str, Any] = {}
    try:
        async with asyncio.timeout(LIMIT_S):
            while words not in said.get("message", ""):
                said = said_by_us(await api.get(EVICTION, "one", namespace))
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"never {words!r}: {said}") from None
    return said


async def disruption(api: Api, namespace: str) -> Object:
    async with asyncio.timeout(LIMIT_S):
        while not (found := (await api.list(DISRUPTION, namespace)).objects):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return found[0]


async def test_the_service_is_asked_and_its_reason_stands_in_the_status_until_it_agrees(
    api: Api, namespace: str, nodes: PlayedNodes, eviction: Object
) -> None:
    async with responding(api, namespace):
        said = await until_said(api, namespace, "store is asked whether replica-1 may go")
        assert said["heartbeatTime"]
        one = await disruption(api, namespace)
        assert one["spec"]["who"] == "example.com/descheduler"
        assert nodes.ready("member")
        name = one["metadata"]["name"]
        await api.merge(DISRUPTION, name, {"status": {"message": REASON}}, namespace, part="status")
        await until_said(api, namespace, REASON)
        await api.merge(DISRUPTION, name, {"status": {"allowed": True}}, namespace, part="status")
        said = await until_said(api, namespace, "its service has agreed")
        assert said["completionTime"]
        await nodes.until(lambda: nodes.named("member") is None, "it was evicted")


async def test_an_eviction_that_nobody_wants_any_more_is_called_off(
    api: Api, namespace: str, nodes: PlayedNodes, eviction: Object
) -> None:
    async with responding(api, namespace):
        await disruption(api, namespace)
        await chosen(api, namespace, "Withdrawn")
        async with asyncio.timeout(LIMIT_S):
            while (await api.list(DISRUPTION, namespace)).objects:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        said = await until_said(api, namespace, "nobody asks for it any more")
        assert said["completionTime"]
        assert nodes.ready("member")
