"""A control plane in real containers, made of the image of a package; the command line reaches it through a port that
the API server, a real kubelet and containerd forward."""

import asyncio
import contextlib
import time
from pathlib import Path

from evicting import LIMIT_S, says
from laptop import Laptop, leader
from realnodes.cluster import RealNodes

from upcall.kubernetes.installing.objects import NAME
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import DEPLOYMENT, POD, WEBHOOK

SMALL = Path(__file__).parents[1] / "small.py"


async def test_a_control_plane_lives_in_containers(
    real: RealNodes, api: Api, namespace: str, image: str, tmp_path: Path
) -> None:
    laptop = Laptop(tmp_path / "data", real.plane.kubeconfig(), namespace)
    try:
        words = ("up", "--on", "kubernetes", "--namespace", namespace, "--image", image)
        coming = asyncio.create_task(laptop.said(*words))
        await reaches_the_api_server(real, api, namespace)
        await coming
        # It may have given up on the pods before; the same goes on, and leaves what was said beside it.
        assert "is up on kubernetes: 3 nodes" in await laptop.upcall(*words)
        await laptop.upcall("install", str(SMALL), "--set", "count=2")
        for member in ("small.part-0", "small.part-1"):
            await laptop.task(member, lambda one: one["state"] == "ready", "it is ready")
        await laptop.until_said("it begins:", "logs", "small.part-0")

        was = await leader(api, namespace)
        gone_s = time.monotonic()
        await api.delete(POD, was["metadata"]["name"], namespace, grace_s=0)
        await leader(api, namespace, was["metadata"]["uid"])
        print(f"\nanother leads after {time.monotonic() - gone_s:.1f} s")
        await laptop.until_said("it begins:", "logs", "small.part-1")
        still = await laptop.task("small.part-0", lambda one: one["state"] == "ready", "it is ready still")
        assert still["incarnation"] == 1
        await laptop.upcall("down")
        async with asyncio.timeout(LIMIT_S):
            while (await api.list(POD, namespace)).objects:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    finally:
        for one in (await api.list(WEBHOOK)).objects:
            await api.delete(WEBHOOK, one["metadata"]["name"])
        with contextlib.suppress(NotFound):
            await api.delete(DEPLOYMENT, NAME, namespace)
        for each in (await api.list(POD, namespace)).objects:
            with contextlib.suppress(NotFound):
                await api.merge(POD, each["metadata"]["name"], {"metadata": {"finalizers": None}}, namespace)


async def reaches_the_api_server(real: RealNodes, api: Api, namespace: str) -> None:
    """These nodes have nobody who would lead the address of its Service there: its own is said to the pods."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            with contextlib.suppress(NotFound):
                await api.get(DEPLOYMENT, NAME, namespace)
                break
            await asyncio.sleep(0.2)
    host, _, port = real.plane.server.removeprefix("https://").rpartition(":")
    words = (f"KUBERNETES_SERVICE_HOST={host}", f"KUBERNETES_SERVICE_PORT={port}")
    await says(*real.plane.kubectl("-n", namespace, "set", "env", f"deployment/{NAME}", *words))
