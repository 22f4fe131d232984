"""Somebody else's workloads on a real control plane: one annotation, and ``kubectl drain`` waits with the reason."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from evicting import LIMIT_S, drain, read_until
from installed import Installed, installed
from lab.control_plane import ControlPlane
from lab.nodes import PlayedNodes

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import BUDGET, DEPLOYMENT, POD, STATEFUL_SET, WEBHOOK, Kind, Object
from upcall.substrate.kubernetes.evictions.objects import NAME
from upcall.substrate.kubernetes.guests import FLOOR


@pytest.fixture
async def upcall(
    tmp_path: Path, plane: ControlPlane, api: Api, namespace: str, nodes: PlayedNodes
) -> AsyncIterator[Installed]:
    async with installed(tmp_path / "data", plane.kubeconfig(), namespace) as one:
        yield one
    with contextlib.suppress(NotFound):
        await api.delete(WEBHOOK, NAME)
    for kind in (STATEFUL_SET, DEPLOYMENT):
        for each in (await api.list(kind, namespace)).objects:
            await api.delete(kind, each["metadata"]["name"], namespace)


def workload(replicas: int = 3) -> Object:
    """Its pods are on nodes apart."""
    labels = {"app": "web"}
    apart = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
    anti = {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": apart}]
        }
    }
    return {
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "affinity": anti,
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{"name": "main", "image": "example.invalid/nothing:1"}],
                },
            },
        },
    }


async def kubectl(plane: ControlPlane, *words: str) -> None:
    process = await asyncio.create_subprocess_exec(*plane.kubectl(*words))
    assert await process.wait() == 0


async def until_followed(upcall: Installed, service: str, count: int) -> None:
    def holds() -> bool:
        found = [one for one in upcall._tasks() if one.member.startswith(f"{service}.")]
        return len(found) == count and all(one.state == "ready" for one in found)

    await upcall.until(holds, f"{count} members of {service} are followed and ready")


async def placed(api: Api, namespace: str) -> dict[str, str]:
    """Pod -> its node, of those that stay."""
    found = (await api.list(POD, namespace)).objects
    return {
        one["metadata"]["name"]: one["spec"].get("nodeName", "")
        for one in found
        if one["metadata"]["labels"].get("app") == "web" and not one["metadata"].get("deletionTimestamp")
    }


@pytest.mark.parametrize("kind", [STATEFUL_SET, DEPLOYMENT], ids=["StatefulSet", "Deployment"])
async def test_one_annotation_and_a_drain_takes_one_at_a_time_and_says_why(
    upcall: Installed, plane: ControlPlane, api: Api, namespace: str, nodes: PlayedNodes, kind: Kind
) -> None:
    await api.create(kind, workload(), namespace)
    word = kind.name.lower()
    service = f"{word}-web"
    await kubectl(plane, "-n", namespace, "annotate", f"{word}/web", "upcall.dev/ask=careful")
    await until_followed(upcall, service, 3)
    assert (await api.get(BUDGET, FLOOR + service, namespace))["spec"]["selector"]["matchLabels"] == {"app": "web"}

    # One of them is not ready: the others stay where they are.
    before = await placed(api, namespace)
    assert sorted(before.values()) == ["node-1", "node-2", "node-3"]
    first, second = sorted(before)[:2]
    ill = await api.get(POD, first, namespace)
    await nodes._say(ill, "Running", ready=False)
    draining = await drain(plane, before[second], "--delete-emptydir-data")
    said = await read_until(draining, "not ready")
    assert f"waits for {service}: deferred by {service}: member-" in said
    (operation,) = [one for one in upcall.client.operations() if one.kind == "evict"]
    why = await upcall.upcall("why", operation.id)
    assert "not ready" in why
    assert "asked for by admin" in why

    # The master is away, and the floor holds, with nobody of ours there.
    await upcall.kill("master")
    await read_until(draining, "disruption budget")
    await upcall.start("master")
    # In its service's words again, or in the guard's, where that was asked before it had seen who is ready.
    await read_until(draining, f"{operation.id} waits for ")
    assert await placed(api, namespace) == before

    # It is well again: the drain goes through, and its owner has brought another one up.
    await nodes._say(await api.get(POD, first, namespace), "Running", ready=True)
    async with asyncio.timeout(LIMIT_S):
        rest, _ = await draining.communicate()
    assert draining.returncode == 0, rest.decode()
    await until_followed(upcall, service, 3)
    after = await placed(api, namespace)
    assert before[second] not in after.values()
    assert len(after) == 3
    ended = [one for one in upcall.client.operations(ended=True) if one.kind == "evict"]
    assert [(one.id, one.state) for one in ended] == [(operation.id, "done")]

    # Asked for no more: nothing of it ends, and nothing of ours is left on it.
    assert f"{before[second]} cordoned" in await upcall.upcall("node", "list")
    assert f"node {before[second]}: in maintenance by somebody on Kubernetes" in await upcall.upcall("events")
    await kubectl(plane, "uncordon", before[second])
    await upcall.until_said(f"node {before[second]}: whoever had it in maintenance has opened it again", "events")
    await kubectl(plane, "-n", namespace, "annotate", f"{word}/web", "upcall.dev/ask-")
    await upcall.until(
        lambda: service not in [one.name for one in upcall.client.services()], "it is no service of ours any more"
    )
    async with asyncio.timeout(LIMIT_S):
        while True:
            found = (await api.list(POD, namespace)).objects
            if not any("upcall.dev/guest" in one["metadata"]["labels"] for one in found):
                break
            await asyncio.sleep(0.2)
    assert await placed(api, namespace) == after


async def test_a_responder_of_its_own_decides(
    upcall: Installed, plane: ControlPlane, api: Api, namespace: str, nodes: PlayedNodes
) -> None:
    heard: list[dict[str, Any]] = []
    verdict = {"verdict": "defer", "reason": "2 shards have one copy", "progress": 0.5, "retry_after_s": 1}

    async def answer(request: web.Request) -> web.Response:
        heard.append(json.loads(await request.read()))
        return web.json_response(verdict)

    app = web.Application()
    app.router.add_post("/upcall", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/upcall"
    await api.create(STATEFUL_SET, workload(), namespace)
    await kubectl(plane, "-n", namespace, "annotate", "statefulset/web", f"upcall.dev/ask={url}")
    await until_followed(upcall, "statefulset-web", 3)
    for count in (4, 2, 3):
        await kubectl(plane, "-n", namespace, "scale", "statefulset/web", f"--replicas={count}")
        await until_followed(upcall, "statefulset-web", count)
    node = (await placed(api, namespace))["web-1"]
    draining = await drain(plane, node, "--delete-emptydir-data")
    await read_until(draining, "deferred by statefulset-web: 2 shards have one copy (progress 0.5)")
    assert (heard[0]["workload"], heard[0]["member"]["name"], heard[0]["kind"]) == (
        "statefulset/web",
        "member-1",
        "evict",
    )
    assert heard[0]["reason"] == f"eviction of pod web-1 from {node}"

    # It goes away: that is said, and is no yes.
    verdict["verdict"] = "perhaps"
    await read_until(draining, "its responder answered something that is no answer")
    verdict.update(verdict="accept", reason="all have two")
    async with asyncio.timeout(LIMIT_S):
        rest, _ = await draining.communicate()
    assert draining.returncode == 0, rest.decode()
    await until_followed(upcall, "statefulset-web", 3)
    await runner.cleanup()


async def test_a_budget_of_its_own_stands_alone_and_decides_after_us(
    upcall: Installed, plane: ControlPlane, api: Api, namespace: str, nodes: PlayedNodes
) -> None:
    """Two budgets on one pod are refused by Kubernetes, in words that a drain takes for a failure."""
    own = {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "web"}}}
    await api.create(BUDGET, {"metadata": {"name": "web"}, "spec": own}, namespace)
    await api.create(DEPLOYMENT, workload(), namespace)
    await kubectl(plane, "-n", namespace, "annotate", "deployment/web", "upcall.dev/ask=careful")
    await until_followed(upcall, "deployment-web", 3)
    pod, node = sorted((await placed(api, namespace)).items())[0]
    draining = await drain(plane, node, "--delete-emptydir-data")
    await read_until(draining, "disruption budget")
    await api.merge(BUDGET, "web", {"spec": {"maxUnavailable": 1}}, namespace)
    async with asyncio.timeout(LIMIT_S):
        rest, _ = await draining.communicate()
    assert draining.returncode == 0, rest.decode()
    assert pod not in await placed(api, namespace)
    assert [one["metadata"]["name"] for one in (await api.list(BUDGET, namespace)).objects] == ["upcall-holds", "web"]
