"""A service that really runs in pods: on a real control plane, a real master, and our part in each pod."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from evicting import LIMIT_S, drain, read_until
from installed import Installed, installed
from lab import hosts
from lab.control_plane import ControlPlane
from lab.running import RunningNodes, running_nodes

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import POD, WEBHOOK
from upcall.substrate.kubernetes.evictions.objects import NAME

SMALL = Path(__file__).with_name("small.py")
WHY_NOT = hosts.missing()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


@pytest.fixture
async def running(api: Api, tmp_path: Path) -> AsyncIterator[RunningNodes]:
    async with running_nodes(api, 3, tmp_path / "machines") as nodes:
        yield nodes


@pytest.fixture
async def upcall(
    tmp_path: Path, plane: ControlPlane, api: Api, namespace: str, running: RunningNodes
) -> AsyncIterator[Installed]:
    async with installed(tmp_path / "data", plane.kubeconfig(), namespace) as one:
        yield one
    with contextlib.suppress(NotFound):
        await api.delete(WEBHOOK, NAME)
    for each in (await api.list(POD, namespace)).objects:
        with contextlib.suppress(NotFound):
            await api.merge(POD, each["metadata"]["name"], {"metadata": {"finalizers": None}}, namespace)


async def test_a_service_lives_in_pods(
    upcall: Installed, plane: ControlPlane, api: Api, namespace: str, running: RunningNodes, tmp_path: Path
) -> None:
    busy = tmp_path / "busy"
    await upcall.upcall("install", str(SMALL), "--set", f"busy={busy}")
    before = {}
    for member in ("small.part-0", "small.part-1"):
        before[member] = await upcall.task(member, lambda one: one.state == "ready", "it is ready")
    first = before["small.part-0"]
    assert first.address == f"part-0.small.{namespace}.svc", "it is known by a name"
    volume = running.claim(namespace, "data.small.part-0.1") / "data"
    assert (volume / "prepared").read_text() == "once"

    # What a person asks for.
    assert "it begins:" in await upcall.upcall("logs", "small.part-0")
    assert "it begins:" in (running.container("small.part-0.p1").folder / "output").read_text(), "kubectl logs has it"
    figures = await upcall.task("small.part-0", lambda one: one.memory_used_mib > 1, "its figures are known")
    assert figures.state == "ready"
    assert "x" in await upcall.upcall("service", "do", "small", "lives", "member=part-0")

    # The master dies, and is away for a while: the task is none the wiser, and is heard of again.
    await upcall.kill("master")
    await asyncio.sleep(3)
    await upcall.start("master")
    again = await upcall.task("small.part-0", lambda one: one.state == "ready", "it is ready still")
    assert again.incarnation == 1
    assert (volume / "lives").read_text() == "x"
    assert "it begins:" in await upcall.upcall("logs", "small.part-0")

    # A check fails, in the check's own words; and is well again, before its service lets anybody restart it.
    busy.touch()
    (volume / "ill").touch()
    ill = await upcall.task("small.part-0", lambda one: one.state == "unready" and "500" in one.reason, "it says why")
    assert "answered with status 500" in ill.reason
    (volume / "ill").unlink()
    await upcall.task("small.part-0", lambda one: one.state == "ready", "it is well again")
    busy.unlink()

    # Its process dies: the ledger brings it back, with its volume.
    record = next(
        (running.container("small.part-1.p1").folder).glob("volumes/sandbox/nodes/pod/tasks/*/running.json"), None
    )
    assert record is not None
    os.kill(json.loads(record.read_text())["task"]["pid"], signal.SIGKILL)
    back = await upcall.task("small.part-1", lambda one: one.state == "ready" and one.incarnation == 2, "it is back")
    assert back.state == "ready"
    assert (running.claim(namespace, "data.small.part-1.1") / "data" / "lives").read_text() == "xx"
    assert (running.claim(namespace, "data.small.part-1.1") / "data" / "prepared").read_text() == "once"

    # Somebody who never heard of us drains its node: asked, told why not, agreed, done.
    busy.touch()
    node = first.node
    draining = await drain(plane, node, "--delete-emptydir-data")
    await read_until(draining, "deferred by small: 6 parts would have a single copy (progress 0.25)")
    busy.unlink()
    async with asyncio.timeout(LIMIT_S):
        rest, _ = await draining.communicate()
    assert draining.returncode == 0, rest.decode()
    moved = await upcall.task("small.part-0", lambda one: one.state == "ready" and one.incarnation > 1, "it is back")
    assert moved.node != node
    assert len((volume / "lives").read_text()) == moved.incarnation, "each of its lives found what those before it left"

    await upcall.upcall("uninstall", "small")
    async with asyncio.timeout(LIMIT_S):
        while (await api.list(POD, namespace)).objects:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    assert not running.failures
