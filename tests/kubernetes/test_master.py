"""A real master on a real control plane: the ledger's own reason reaches ``kubectl drain``, and its consent lets it
through."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from evicting import LIMIT_S, drain, read_until
from installed import Installed, installed
from lab.control_plane import ControlPlane
from lab.nodes import PlayedNodes

from upcall.master.app import make
from upcall.store.interface import StoreError
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import NODE, POD, WEBHOOK
from upcall.substrate.kubernetes.client.watching import Changed, watch
from upcall.substrate.kubernetes.evictions.objects import DISRUPTION, NAME

CAREFUL = Path(__file__).with_name("careful.py")
REASON = "deferred by careful: 6 parts would have a single copy (progress 0.25)"


@pytest.fixture
async def upcall(
    tmp_path: Path, plane: ControlPlane, api: Api, namespace: str, nodes: PlayedNodes
) -> AsyncIterator[Installed]:
    async with installed(tmp_path / "data", plane.kubeconfig(), namespace) as one:
        yield one
    with contextlib.suppress(NotFound):
        await api.delete(WEBHOOK, NAME)
    for each in (await api.list(POD, namespace)).objects:
        with contextlib.suppress(NotFound):
            await api.merge(POD, each["metadata"]["name"], {"metadata": {"finalizers": None}}, namespace)


async def kubectl(plane: ControlPlane, *words: str) -> None:
    process = await asyncio.create_subprocess_exec(*plane.kubectl(*words))
    assert await process.wait() == 0


async def test_a_drain_waits_for_the_service_outlives_the_master_and_goes_through(
    upcall: Installed, plane: ControlPlane, api: Api, namespace: str, nodes: PlayedNodes, tmp_path: Path
) -> None:
    busy = tmp_path / "busy"
    busy.touch()
    await upcall.upcall("install", str(CAREFUL), "--set", f"busy={busy}")
    before = {}
    for member in ("careful.part-0", "careful.part-1", "careful.part-2"):
        before[member] = await upcall.task(member, lambda one: one.state == "ready", "it is ready")
    on = {one.node: member for member, one in before.items()}
    assert len(on) == 3
    node, member = "node-1", on["node-1"]
    pods = {pod["metadata"]["uid"] for pod in (await api.list(POD, namespace)).objects}
    assert len(pods) == 3

    # Somebody who never heard of us is told the service's own reason, and so is who asks us.
    draining = await drain(plane, node, "--delete-emptydir-data")
    said = await read_until(draining, REASON)
    (disruption,) = (await api.list(DISRUPTION, namespace)).objects
    message = disruption["status"]["message"]
    operation = message.partition(" ")[0]
    assert f"{operation} waits for careful: {REASON}" in said
    why = await upcall.upcall("why", operation)
    assert REASON in why
    assert "asked for by admin" in why
    assert f"{node} cordoned" in (await upcall.upcall("node", "list"))

    # The master dies: the floor holds. The next one knows what it was about, and nothing was done meanwhile, or twice.
    await upcall.kill("master")
    await read_until(draining, "disruption budget")
    await upcall.start("master")
    await read_until(draining, f"{operation} waits for careful: {REASON}")
    assert {pod["metadata"]["uid"] for pod in (await api.list(POD, namespace)).objects} == pods
    assert await upcall.task(member, lambda one: one.state == "ready", "it is ready") is not None

    # The service agrees.
    busy.unlink()
    async with asyncio.timeout(LIMIT_S):
        rest, _ = await draining.communicate()
    assert draining.returncode == 0, rest.decode()
    assert f"node/{node} drained" in rest.decode()

    # Its next incarnation has no place: two are never on one node, and the third is cordoned.
    waits = await upcall.task(member, lambda one: "unschedulable" in one.reason, "the scheduler says why it waits")
    assert (waits.state, waits.incarnation) == ("pending", 2)
    await kubectl(plane, "uncordon", node)
    back = await upcall.task(member, lambda one: one.state == "ready", "it is ready again")
    assert (back.node, back.incarnation) == (node, 2)
    others = [one for one in upcall.client.tasks() if one.member != member]
    assert sorted((one.member, one.incarnation, one.state) for one in others) == [
        (one.member, 1, "ready") for name, one in sorted(before.items()) if name != member
    ]
    assert "cordoned" not in (await upcall.upcall("node", "list"))
    ended = [one for one in upcall.client.operations(ended=True) if one.kind == "evict"]
    assert [(one.id, one.state) for one in ended] == [(operation, "done")]
    async with asyncio.timeout(LIMIT_S):
        while (await api.list(DISRUPTION, namespace)).objects:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def test_a_master_that_dies_when_it_has_consented_neither_forgets_it_nor_takes_twice(
    upcall: Installed, plane: ControlPlane, api: Api, namespace: str, nodes: PlayedNodes, tmp_path: Path
) -> None:
    busy = tmp_path / "busy"
    busy.touch()
    await upcall.upcall("install", str(CAREFUL), "--set", f"busy={busy}", "--set", "count=2")
    first = await upcall.task("careful.part-0", lambda one: one.state == "ready", "it is ready")
    await upcall.task("careful.part-1", lambda one: one.state == "ready", "the other is ready")
    nodes.ends = lambda _: False
    draining = await drain(plane, first.node, "--delete-emptydir-data")
    await read_until(draining, REASON)
    busy.unlink()
    async with contextlib.aclosing(watch(api, DISRUPTION, namespace)) as events:
        async for event in events:
            if isinstance(event, Changed) and event.object.get("status", {}).get("allowed"):
                break
    await upcall.kill("master")
    await upcall.start("master")
    nodes.ends = lambda _: True
    await nodes.look_again()
    async with asyncio.timeout(LIMIT_S):
        rest, _ = await draining.communicate()
    assert draining.returncode == 0, rest.decode()
    back = await upcall.task("careful.part-0", lambda one: one.state == "ready" and one.incarnation > 1, "it is back")
    assert (back.incarnation, back.node != first.node) == (2, True), "the free node has it"
    ended = [one for one in upcall.client.operations(ended=True) if one.kind in ("evict", "kill", "lost")]
    assert [(one.kind, one.state) for one in ended] == [("evict", "done")]


async def test_a_master_that_reads_its_records_anew_hears_everything_again(
    plane: ControlPlane, namespace: str, nodes: PlayedNodes, disruptions: None, tmp_path: Path
) -> None:
    """As after a commit that failed: the core is another one, and what the one before it asked is nobody's."""
    folder = Installed(tmp_path / "data", plane.kubeconfig(), namespace).folder
    master = make(folder, folder.load_cluster())

    async def heard() -> None:
        async with asyncio.timeout(LIMIT_S):
            while master.core.nodes.keys() != nodes.alive:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async with master.app.router.lifespan_context(master.app):
        await heard()
        core = master.core.substrate
        master.core._commit_failed(StoreError("the disk is full"))
        assert master.core.nodes == {}
        await heard()
        assert master.core.substrate is not core
        gone = min(nodes.alive)
        await nodes.api.delete(NODE, gone)
        nodes.alive.discard(gone)
        await heard()


async def test_what_needs_our_part_in_the_pods_says_so_while_nothing_of_it_is_there(
    upcall: Installed, tmp_path: Path
) -> None:
    await upcall.upcall("install", str(CAREFUL), "--set", "count=1")
    await upcall.task("careful.part-0", lambda one: one.state == "ready", "it is ready")
    logs = await upcall.upcall("logs", "careful.part-0", code=1)
    assert "our part in the pod of careful.part-0.1 is not connected" in logs
