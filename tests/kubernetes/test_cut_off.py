"""A leader that is cut off from the API server, both ways and one way: another leads, nothing acknowledged is lost, and
what it still sends counts for nothing."""

import asyncio
import dataclasses
import time
from pathlib import Path

import pytest
import yaml
from evicting import LIMIT_S
from installed import Installed
from lab.control_plane import ControlPlane
from lab.nodes import PlayedNodes
from lab.wire import wire

from upcall.kubernetes.records.store import KubernetesStore
from upcall.store.interface import Superseded
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import POD, WEBHOOK
from upcall.substrate.kubernetes.client.login import Login, from_kubeconfig
from upcall.substrate.kubernetes.evictions.objects import NAME

CAREFUL = Path(__file__).with_name("careful.py")


async def opened(login: Login, namespace: str, identity: str) -> KubernetesStore:
    return await asyncio.to_thread(lambda: KubernetesStore(lambda: Connection(login), namespace, identity=identity))


@pytest.mark.parametrize(
    ("there", "back"), [(True, False), (False, True)], ids=["what it asks is lost", "what is answered is lost"]
)
async def test_a_leader_that_is_cut_off_in_one_direction_is_followed_and_acknowledges_nothing_more(
    plane: ControlPlane, namespace: str, there: bool, back: bool
) -> None:
    login = from_kubeconfig((plane.kubeconfig(),))
    async with wire(plane.api_port) as line:
        far = dataclasses.replace(login, server=f"https://127.0.0.1:{line.port}")
        first = await opened(far, namespace, "first")
        version = await asyncio.to_thread(first.put, "k", "a", b"1")
        line.falls_silent(there=there, back=back)
        cut_s = time.monotonic()
        late = asyncio.create_task(asyncio.to_thread(first.put, "k", "a", b"late", version))
        async with asyncio.timeout(LIMIT_S):
            second = await opened(login, namespace, "second")
        print(f"\nanother leads after {time.monotonic() - cut_s:.1f} s")
        (found,) = second.load("k")
        # What had arrived before it took over is there; nobody was told so.
        assert found.value in ((b"1",) if there else (b"1", b"late"))
        assert not late.done()
        assert not first.leads()
        await asyncio.to_thread(second.put, "k", "a", b"2", found.version)
        line.mend()
        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(Superseded):
                await late
        assert [one.value for one in second.load("k")] == [b"2"]
        for store in (second, first):
            await asyncio.to_thread(store.close)


async def test_a_master_that_is_cut_off_is_followed_no_task_ends_and_it_ends_itself_when_it_is_back(
    plane: ControlPlane, api: Api, namespace: str, nodes: PlayedNodes, tmp_path: Path
) -> None:
    async with wire(plane.api_port) as line:
        config = yaml.safe_load(plane.kubeconfig().read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{line.port}"
        far = tmp_path / "far.kubeconfig"
        far.write_text(yaml.safe_dump(config))
        first = Installed(tmp_path / "first", far, namespace, records="kubernetes")
        second = Installed(tmp_path / "second", plane.kubeconfig(), namespace, of=first)
        try:
            await first.start("master")
            await first.until(first.folder.master_socket.exists, "the first leads")
            await first.start("host")
            await second.start("master")
            await second.until(lambda: "standing by" in second.logs(), "the second stands by")
            await first.upcall("install", str(CAREFUL), "--set", "count=2")
            for member in ("careful.part-0", "careful.part-1"):
                await first.task(member, lambda one: one.state == "ready", "it is ready")
            pods = {pod["metadata"]["uid"] for pod in (await api.list(POD, namespace)).objects}

            line.cut()
            cut_s = time.monotonic()
            await second.until(second.folder.master_socket.exists, "the second leads")
            print(f"\nanother master after {time.monotonic() - cut_s:.1f} s")
            await second.start("host")
            await second.upcall("scale", "careful", "3")
            for member in ("careful.part-0", "careful.part-1", "careful.part-2"):
                found = await second.task(member, lambda one: one.state == "ready", "it is ready")
                assert found.incarnation == 1
            assert first.running["master"].returncode is None, "cut off, it gives nothing up"
            line.mend()
            async with asyncio.timeout(LIMIT_S):
                assert await first.running["master"].wait() == 1
            assert "another master has taken over" in first.logs()
            now = {pod["metadata"]["uid"] for pod in (await api.list(POD, namespace)).objects}
            assert pods < now
            assert len(now) == 3
        finally:
            first.end()
            second.end()
            await _cleared(api, namespace)


async def _cleared(api: Api, namespace: str) -> None:
    for kind, name, space in ((WEBHOOK, NAME, ""),):
        try:
            await api.delete(kind, name, space)
        except NotFound:
            continue
    for each in (await api.list(POD, namespace)).objects:
        try:
            await api.merge(POD, each["metadata"]["name"], {"metadata": {"finalizers": None}}, namespace)
        except NotFound:
            continue
