"""``upcall`` itself is upgraded over running services: the newer release's replicas take over, tasks never stop, and an
older one leaves the newer one's records alone. This checkout under another version number, as locally."""

import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path

from evicting import LIMIT_S
from installed import Installed
from lab.control_plane import ControlPlane
from lab.nodes import PlayedNodes

from upcall import __version__
from upcall.cluster.processes import UNUSABLE_EXIT
from upcall.kubernetes.records import leader
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import LEASE, POD, WEBHOOK
from upcall.substrate.kubernetes.evictions.objects import NAME

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))
from other_release import installed

CAREFUL = Path(__file__).with_name("careful.py")
NEXT = "7.10.0"


async def test_the_next_release_takes_over_no_task_notices_and_an_older_one_is_refused_with_both_named(
    plane: ControlPlane, api: Api, namespace: str, nodes: PlayedNodes, tmp_path: Path
) -> None:
    releases = tmp_path / "releases"
    releases.mkdir()
    release = await asyncio.to_thread(installed, releases / NEXT, NEXT)
    before = Installed(tmp_path / "before", plane.kubeconfig(), namespace, records="kubernetes")
    after = Installed(tmp_path / "after", plane.kubeconfig(), namespace, of=before, python=str(release.python))
    older = Installed(tmp_path / "older", plane.kubeconfig(), namespace, of=before)
    try:
        await before.start("master")
        await before.until(before.folder.master_socket.exists, "it leads")
        await before.start("host")
        await before.upcall("install", str(CAREFUL), "--set", "count=2")
        members = ("careful.part-0", "careful.part-1")
        for member in members:
            await before.task(member, lambda one: one.state == "ready", "it is ready")
        pods = {pod["metadata"]["uid"] for pod in (await api.list(POD, namespace)).objects}

        # As a Deployment exchanges its pods: the new one is there first, and the old one is told to go.
        await after.start("master")
        await after.until(lambda: "standing by" in after.logs(), "the newer one stands by")
        told_s = time.monotonic()
        before.running["master"].send_signal(signal.SIGTERM)
        await after.until(after.folder.master_socket.exists, "the newer one leads")
        print(f"\nthe newer release leads after {time.monotonic() - told_s:.1f} s")
        before.running["host"].send_signal(signal.SIGTERM)
        await after.start("host")
        for member in members:
            found = await after.task(member, lambda one: one.state == "ready", "it is ready")
            assert found.incarnation == 1
        assert {pod["metadata"]["uid"] for pod in (await api.list(POD, namespace)).objects} == pods
        await after.upcall("scale", "careful", "3")
        await after.task("careful.part-2", lambda one: one.state == "ready", "and it works on")

        holder = (await api.get(LEASE, leader.NAME, namespace))["spec"]["holderIdentity"]
        await older.start("master")
        async with asyncio.timeout(LIMIT_S):
            assert await older.running["master"].wait() == UNUSABLE_EXIT
        said = older.logs()
        assert f"are upcall {NEXT}'s, and this is upcall {__version__}" in said
        assert f"expected upcall {NEXT} or newer" in said
        assert (await api.get(LEASE, leader.NAME, namespace))["spec"]["holderIdentity"] == holder
        assert len(after.client.tasks()) == 3
    finally:
        for one in (before, after, older):
            one.end()
        with contextlib.suppress(NotFound):
            await api.delete(WEBHOOK, NAME)
        for each in (await api.list(POD, namespace)).objects:
            with contextlib.suppress(NotFound):
                await api.merge(POD, each["metadata"]["name"], {"metadata": {"finalizers": None}}, namespace)
