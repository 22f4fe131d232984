"""`upcall up --on kubernetes`: the control plane's own pods run in a real cluster, and all that a person
does reaches them through its API server."""

import asyncio
import base64
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from evicting import LIMIT_S, drain, read_until
from lab import hosts
from lab.control_plane import ControlPlane
from lab.running import RunningNodes
from laptop import IMAGE, Laptop, leader, pids
from laptop_fixtures import SMALL, laptop, plane, running

from upcall.cluster.folder import Cluster, DataFolder, write_private
from upcall.kubernetes.control_plane.leading import LEADS
from upcall.kubernetes.installing.objects import NAME, definitions
from upcall.kubernetes.settings import FILE, Settings
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import (
    CLAIM,
    DEFINITION,
    DEPLOYMENT,
    LEASE,
    NAMESPACE,
    POD,
    SECRET,
    Object,
)
from upcall.substrate.kubernetes.evictions.objects import DEFINED

__all__ = ["laptop", "plane", "running"]
WHY_NOT = hosts.missing()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


async def test_a_service_lives_under_a_control_plane_in_the_cluster(
    laptop: Laptop, plane: ControlPlane, api: Api, namespace: str, running: RunningNodes, tmp_path: Path
) -> None:
    said = await laptop.up()
    assert "is up on kubernetes: 3 nodes" in said
    assert not list(laptop.data.rglob("*.token")), "no secret lies on the disk of who uses it"

    busy = tmp_path / "busy"
    await laptop.upcall("install", str(SMALL), "--set", f"busy={busy}")
    first = await laptop.task("small.part-0", lambda one: one["state"] == "ready", "it is ready")
    await laptop.task("small.part-1", lambda one: one["state"] == "ready", "it is ready")
    assert first["address"] == f"part-0.small.{namespace}.svc"
    await laptop.until_said("it begins:", "logs", "small.part-0")
    await laptop.upcall("secret", "set", "mine", "--file", str(_file(tmp_path, "of mine")))
    kept = (await api.get(SECRET, "upcall-secrets", namespace))["data"]
    assert base64.b64decode(kept["values.mine"]) == b"of mine"

    granted = await laptop.upcall("access", "grant", "anna", "--role", "viewer")
    assert f"kubectl -n {namespace} port-forward POD 5050" in " ".join(granted.split())

    # Somebody who never heard of us drains its node: asked, told why not, and `why` says the same.
    busy.touch()
    draining = await drain(plane, first["node"], "--delete-emptydir-data")
    await read_until(draining, "deferred by small: 6 parts would have a single copy (progress 0.25)")
    await laptop.until_said("6 parts would have a single copy", "why")
    busy.unlink()
    async with asyncio.timeout(LIMIT_S):
        rest, _ = await draining.communicate()
    assert draining.returncode == 0, rest.decode()
    moved = await laptop.task("small.part-0", lambda one: one["state"] == "ready" and one["incarnation"] > 1, "back")
    assert moved["node"] != first["node"]

    # Who leads is gone, from one moment to the next: another leads, and pods follow it.
    was = await leader(api, namespace)
    await api.delete(POD, was["metadata"]["name"], namespace, grace_s=0)
    now = await leader(api, namespace, was["metadata"]["uid"])
    assert now["metadata"]["name"] != was["metadata"]["name"]
    await laptop.until_said("it begins:", "logs", "small.part-0")
    again = await laptop.task("small.part-0", lambda one: one["state"] == "ready", "it is ready still")
    assert again["incarnation"] == moved["incarnation"], "the task is none the wiser"
    assert "mine" in await laptop.upcall("secret", "list")
    assert "anna" in await laptop.upcall("access", "list"), "and who was granted what"

    # Down: services end first, data stays; and up again, with all of it.
    await laptop.upcall("down")
    async with asyncio.timeout(LIMIT_S):
        while (await api.list(POD, namespace)).objects:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    assert len((await api.list(CLAIM, namespace)).objects) == 2
    with pytest.raises(NotFound):
        await api.get(DEPLOYMENT, NAME, namespace)
    await laptop.upcall("up", "--on", "kubernetes")
    back = await laptop.task("small.part-0", lambda one: one["state"] == "ready", "it is ready again")
    assert back["incarnation"] > moved["incarnation"]
    lives = running.claim(namespace, "data.small.part-0.1") / "data" / "lives"
    assert len(lives.read_text()) == back["incarnation"], "each of its lives found what those before it left"
    await laptop.upcall("down")
    assert not running.failures


async def test_a_leader_that_is_stopped_is_left_by_all_and_stands_by_when_it_goes_on(
    laptop: Laptop, api: Api, namespace: str, running: RunningNodes, record_property: Callable[[str, object], None]
) -> None:
    await laptop.up()
    await laptop.upcall("install", str(SMALL), "--set", "count=1")
    before = await laptop.task("small.part-0", lambda one: one["state"] == "ready", "it is ready")
    was = await leader(api, namespace)
    container = running.containers[was["metadata"]["uid"]]
    below = pids(container)
    master = next(pid for pid in below if b"upcall.master" in Path(f"/proc/{pid}/cmdline").read_bytes())

    os.kill(master, signal.SIGSTOP)
    stopped_s = time.monotonic()
    now = await leader(api, namespace, was["metadata"]["uid"])
    record_property("failover_s_in_the_cluster", round(time.monotonic() - stopped_s, 1))
    await laptop.until_said("it begins:", "logs", "small.part-0")
    assert len((await api.list(POD, namespace, labels=f"{LEADS}=true")).objects) == 1
    await laptop.upcall("scale", "small", "2")
    await laptop.task("small.part-1", lambda one: one["state"] == "ready", "one more is ready")

    # It goes on, finds another, and ends; its container begins anew, and stands by.
    os.kill(master, signal.SIGCONT)
    async with asyncio.timeout(LIMIT_S):
        while container.restarts == 0 or not container.ready:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert (await leader(api, namespace))["metadata"]["uid"] == now["metadata"]["uid"]
    again = await laptop.task("small.part-0", lambda one: one["state"] == "ready", "it is ready still")
    assert again["incarnation"] == before["incarnation"]
    await laptop.upcall("down")


def _file(folder: Path, text: str) -> Path:
    path = folder / "value"
    path.write_text(text)
    path.chmod(0o600)
    return path


async def test_an_image_that_cannot_be_pulled_is_said_in_the_clusters_words(
    laptop: Laptop, api: Api, namespace: str, running: RunningNodes
) -> None:
    running.pulls = lambda image: f"{image}: not found"
    said = await laptop.upcall("up", "--on", "kubernetes", "--namespace", namespace, "--image", IMAGE, code=1)
    assert f"image {IMAGE} cannot be had: {IMAGE}: not found" in said
    assert "`upcall down` takes away what is there" in said
    # Nobody leads there who could shut services down; none was ever begun.
    await laptop.upcall("down")
    with pytest.raises(NotFound):
        await api.get(DEPLOYMENT, NAME, namespace)


async def test_each_right_that_is_missing_is_named_and_nothing_is_done(
    laptop: Laptop, plane: ControlPlane, api: Api, namespace: str
) -> None:
    stranger = Laptop(laptop.data, plane.user("stranger", "stranger"), namespace, laptop.running)
    said = await stranger.upcall("up", "--on", "kubernetes", "--namespace", namespace, "--image", IMAGE, code=1)
    for words in (
        f"create, patch, get deployments.apps in {namespace}",
        "create, patch clusterroles.rbac.authorization.k8s.io",
        "create, patch, get customresourcedefinitions.apiextensions.k8s.io",
        f"create pods/portforward in {namespace}",
    ):
        assert words in said
    assert not stranger.data.exists() or not list(stranger.data.glob("*.json"))
    with pytest.raises(NotFound):
        await api.get(DEPLOYMENT, NAME, namespace)
    unsaid = await laptop.upcall("up", "--on", "kubernetes", "--namespace", namespace, code=1)
    assert "it is not said what pods run" in unsaid


async def test_kinds_of_a_newer_upcall_are_left_alone(laptop: Laptop, api: Api, namespace: str) -> None:
    name = "records.upcall.dev"
    for kind, one in definitions():
        await api.apply(kind, one, force=True)
    await api.merge(DEFINITION, name, {"metadata": {"annotations": {DEFINED: "7"}}})
    try:
        said = await laptop.upcall("up", "--on", "kubernetes", "--namespace", namespace, "--image", IMAGE, code=1)
        assert f"kind {name} is as version 7 of it says" in said
        assert "nothing was touched" in said
        with pytest.raises(NotFound):
            await api.get(DEPLOYMENT, NAME, namespace)
    finally:
        await api.merge(DEFINITION, name, {"metadata": {"annotations": {DEFINED: "1"}}})


async def test_a_folder_of_another_cluster_is_refused(laptop: Laptop, api: Api, namespace: str) -> None:
    """And a master that somebody else runs for this namespace is not joined by one of ours."""
    lease: Object = {
        "metadata": {"name": "upcall-master"},
        "spec": {"holderIdentity": "elsewhere_1", "leaseDurationSeconds": 11},
    }

    async def renew() -> None:
        number = 0
        while True:
            number += 1
            await api.apply(
                LEASE, lease | {"spec": lease["spec"] | {"leaseTransitions": number}}, namespace, force=True
            )
            await asyncio.sleep(1)

    renewing = asyncio.create_task(renew())
    try:
        said = await laptop.upcall("up", "--on", "kubernetes", "--namespace", namespace, "--image", IMAGE, code=1)
        assert f"another control plane leads in namespace {namespace}: elsewhere_1" in said
    finally:
        renewing.cancel()
    made = {"metadata": {"name": "upcall-cluster"}, "data": {"cluster": base64.b64encode(b"upcall-other").decode()}}
    await api.create(SECRET, made, namespace)
    folder = DataFolder(laptop.data)
    folder.make_private()
    settings = Settings(kubeconfig=laptop.kubeconfig, context="test", namespace=namespace, image=IMAGE)
    write_private(folder.root / FILE, msgspec.json.encode(settings))
    ours = Cluster(cluster="upcall-mine", prefix="127.0.0", url="https://localhost:5050", control_plane="kubernetes")
    folder.save_cluster(ours)
    said = await laptop.upcall("up", "--on", "kubernetes", code=1)
    assert f"cluster upcall-other is in namespace {namespace}, and this data folder is of upcall-mine" in said


async def test_a_namespace_that_is_being_deleted_is_said_to_be(laptop: Laptop, api: Api, namespace: str) -> None:
    await api.merge(NAMESPACE, namespace, {"metadata": {"finalizers": ["example.invalid/stays"]}})
    await api.delete(NAMESPACE, namespace)
    try:
        said = await laptop.upcall("up", "--on", "kubernetes", "--namespace", namespace, "--image", IMAGE, code=1)
        assert f"namespace {namespace} is being deleted" in said
    finally:
        await api.merge(NAMESPACE, namespace, {"metadata": {"finalizers": None}})
