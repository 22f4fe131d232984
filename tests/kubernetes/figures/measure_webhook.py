"""How long an eviction waits for the webhook's answer: asked over TLS as the API server asks it, of a real master whose
members are held. Each answer reads the pod and what stands about it from the API server, and some write."""

import asyncio
import base64
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from installed import Installed, installed
from lab.control_plane import ControlPlane
from lab.nodes import PlayedNodes, played_nodes
from leaving import left

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import POD, WEBHOOK, Object
from upcall.substrate.kubernetes.evictions.objects import NAME

CAREFUL = Path(__file__).parents[1] / "careful.py"
MEMBERS = 9
REVIEWS = 1000
EVERY_S = 0.02
"""Fifty evictions a second: a pool of nodes that is drained at once."""
FIRST = 20
"""Not counted: connections are made, code is loaded."""


@pytest.fixture
async def nodes(api: Api) -> AsyncIterator[PlayedNodes]:
    """Of members no two are on one."""
    async with played_nodes(api, MEMBERS) as playing:
        yield playing


@pytest.fixture
async def upcall(
    tmp_path: Path, plane: ControlPlane, api: Api, namespace: str, nodes: PlayedNodes
) -> AsyncIterator[Installed]:
    async with installed(tmp_path / "data", plane.kubeconfig(), namespace) as one:
        yield one
    await left(api, namespace)


def review(pod: Object) -> Object:
    """As the API server says it."""
    meta = pod["metadata"]
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": str(uuid.uuid4()),
            "kind": {"group": "policy", "version": "v1", "kind": "Eviction"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "subResource": "eviction",
            "name": meta["name"],
            "namespace": meta["namespace"],
            "operation": "CREATE",
            "userInfo": {"username": "admin", "groups": ["system:masters", "system:authenticated"]},
            "object": {"metadata": {"name": meta["name"], "namespace": meta["namespace"]}},
            "dryRun": False,
        },
    }


async def whom_to_ask(api: Api) -> tuple[str, ssl.SSLContext]:
    """As the API server is told."""
    async with asyncio.timeout(120):
        while True:
            try:
                (hook,) = (await api.get(WEBHOOK, NAME))["webhooks"]
                break
            except NotFound:
                await asyncio.sleep(0.2)
    client = hook["clientConfig"]
    return client["url"], ssl.create_default_context(cadata=base64.b64decode(client["caBundle"]).decode())


async def test_webhook(
    upcall: Installed, api: Api, namespace: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    busy = tmp_path / "busy"
    busy.touch()
    await upcall.upcall("install", str(CAREFUL), "--set", f"busy={busy}", "--set", f"count={MEMBERS}")
    for number in range(MEMBERS):
        await upcall.task(f"careful.part-{number}", lambda one: one.state == "ready", "it is ready")
    pods = (await api.list(POD, namespace)).objects
    assert len(pods) == MEMBERS
    url, trust = await whom_to_ask(api)
    taken: list[float] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:

        async def ask(number: int, due_s: float) -> None:
            async with session.post(url, json=review(pods[number % MEMBERS])) as said:
                answer = (await said.json())["response"]
            assert (answer["allowed"], answer["status"]["code"]) == (False, 429)
            if number >= FIRST:
                taken.append(time.monotonic() - due_s)

        async with asyncio.TaskGroup() as group:  # by a schedule that no answer slows down
            began_s = time.monotonic()
            for number in range(FIRST + REVIEWS):
                due_s = began_s + number * EVERY_S
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                group.create_task(ask(number, due_s))
    taken.sort()
    record_property("webhook_reviews", len(taken))
    record_property("webhook_p50_ms", round(1000 * taken[len(taken) // 2], 1))
    record_property("webhook_p99_ms", round(1000 * taken[len(taken) * 99 // 100], 1))
