"""The control plane's own image is exchanged over services that run, in real containers: by ``upcall up --on kubernetes
--image`` of a newer release. Its replicas are exchanged one after the other, services' pods stay, and our part in them,
of the older release, and the newer master understand each other."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from evicting import LIMIT_S
from laptop import Laptop, leader, left_clean
from realnodes.cluster import RealNodes
from realnodes.packaged import packaged
from realnodes.volumes import NAME as STORAGE_CLASS
from test_control_plane_in_containers import SMALL, reaches_the_api_server

from upcall import __version__
from upcall.kubernetes.control_plane.leading import LEADS
from upcall.kubernetes.installing.objects import LABELS, NAME, wish_of
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.kinds import CLAIM, DEPLOYMENT, POD
from upcall.substrate.kubernetes.names import MEMBER

sys.path.insert(0, str(Path(__file__).parents[2] / "integration"))
from other_release import installed

NEXT = "7.10.0"
MEMBERS = ("part-0", "part-1")
UP_S = 1800.0
pytestmark = pytest.mark.long


async def test_the_next_release_takes_over_with_its_image_and_no_pod_of_a_service_is_touched(
    real: RealNodes, api: Api, namespace: str, image: str, tmp_path: Path
) -> None:
    (tmp_path / "releases").mkdir()
    release = await asyncio.to_thread(installed, tmp_path / "releases" / NEXT, NEXT)
    data, kubeconfig = tmp_path / "data", real.plane.kubeconfig()
    old = Laptop(data, kubeconfig, namespace)
    new = Laptop(data, kubeconfig, namespace, python=str(release.python))
    up = ("up", "--on", "kubernetes", "--namespace", namespace)
    async with left_clean(old, api):
        words = (*up, "--image", image, "--storage-class", STORAGE_CLASS, "--volumes-bound-to-node")
        coming = asyncio.create_task(old.said(*words))
        await reaches_the_api_server(real, api, namespace)
        await coming
        await until_up(old, *words)  # which leaves what was said beside it
        await old.upcall("install", str(SMALL), "--set", "count=2")
        for member in MEMBERS:
            await old.task(f"small.{member}", lambda one: one["state"] == "ready", "it is ready")
        before = await pods_of(api, namespace)
        assert sorted(before) == sorted(MEMBERS)

        # Whoever carries the newer release says nothing but its image.
        newer = await asyncio.to_thread(packaged, real, "kafka", tag="2", python=str(release.python))
        was = await leader(api, namespace)
        began_s = time.monotonic()
        async with leads_again(api, namespace) as gaps:
            said = await until_up(new, *up, "--image", newer)
        print(f"\nexchanged after {time.monotonic() - began_s:.1f} s; without a leader for {gaps} s: {said}")
        assert (await leader(api, namespace, was["metadata"]["uid"]))["spec"]["containers"][0]["image"] == newer
        own = (
            await api.list(POD, namespace, labels=",".join(f"{key}={value}" for key, value in LABELS.items()))
        ).objects
        assert {one["spec"]["containers"][0]["image"] for one in own} == {newer}
        stands = wish_of(namespace, await api.get(DEPLOYMENT, NAME, namespace))
        assert (stands.storage_class, stands.volumes_bound_to_node) == (STORAGE_CLASS, "true")

        # The members' pods are those that were there, and are understood.
        assert await pods_of(api, namespace) == before
        for member in MEMBERS:
            found = await new.task(f"small.{member}", lambda one: one["state"] == "ready", "it is ready still")
            assert found["incarnation"] == 1
            await new.until_said("it begins:", "logs", f"small.{member}")
            await new.until_said("x", "service", "do", "small", "lives", f"member={member}")

        # What is made from now on is of the newer image, beside those.
        await new.upcall("scale", "small", "3")
        await new.task("small.part-2", lambda one: one["state"] == "ready", "it works on")
        await new.upcall("task", "restart", "small.part-0")
        await new.task("small.part-0", lambda one: one["state"] == "ready" and one["incarnation"] == 2, "it is back")
        images = {
            one["metadata"]["labels"][MEMBER]: one["spec"]["containers"][0]["image"]
            for one in await members(api, namespace)
        }
        assert images == {"part-0": newer, "part-1": image, "part-2": newer}
        claims = {one["spec"]["storageClassName"] for one in (await api.list(CLAIM, namespace)).objects}
        assert claims == {STORAGE_CLASS}

        # The older release does not take it back, and says so before it writes anything.
        refused = await old.upcall(*up, "--image", image, code=1)
        assert NEXT in refused
        assert __version__ in refused
        assert wish_of(namespace, await api.get(DEPLOYMENT, NAME, namespace)).image == newer
        await new.upcall("down")


async def until_up(laptop: Laptop, *words: str) -> str:
    """It gives up after some minutes, which are few on idle cycles; said again, it goes on."""
    async with asyncio.timeout(UP_S):
        while True:
            code, text = await laptop.said(*words)
            if code == 0:
                return text
            assert "does not come up" in text, text


async def members(api: Api, namespace: str) -> list[Any]:
    return list((await api.list(POD, namespace, labels=MEMBER)).objects)


async def pods_of(api: Api, namespace: str) -> dict[str, str]:
    """Member -> the uid of its pod."""
    return {one["metadata"]["labels"][MEMBER]: one["metadata"]["uid"] for one in await members(api, namespace)}


@contextlib.asynccontextmanager
async def leads_again(api: Api, namespace: str) -> AsyncIterator[list[float]]:
    """How long nobody led that may answer, each time that it was so meanwhile; to be read, and no promise."""
    gaps: list[float] = []

    async def watch() -> None:
        since_s = 0.0
        while True:
            found = (await api.list(POD, namespace, labels=f"{LEADS}=true")).objects
            led = any(not one["metadata"].get("deletionTimestamp") for one in found)
            if led and since_s:
                gaps.append(round(time.monotonic() - since_s, 1))
            since_s = 0.0 if led else since_s or time.monotonic()
            await asyncio.sleep(0.2)

    watching = asyncio.create_task(watch())
    try:
        yield gaps
        async with asyncio.timeout(LIMIT_S):
            await leader(api, namespace)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
