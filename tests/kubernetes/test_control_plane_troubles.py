"""A control plane in a real cluster meets trouble: rights that it lacks, a namespace that is deleted under it, a node
that dies with its leader."""

import asyncio
import time

import pytest
from evicting import LIMIT_S
from lab import hosts
from lab.running import RunningNodes
from laptop import Laptop, leader
from laptop_fixtures import SMALL, laptop, plane, running

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import NAMESPACE, POD, ROLE, Object

__all__ = ["laptop", "plane", "running"]
WHY_NOT = hosts.missing()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


def without(rules: list[Object], resource: str, *verbs: str) -> list[Object]:
    """A role's rules, without these verbs for that."""
    found = []
    for one in rules:
        of_it = [each for each in one["resources"] if each == resource]
        others = [each for each in one["resources"] if each != resource]
        if others:
            found.append(one | {"resources": others})
        if of_it and (left := [verb for verb in one["verbs"] if verb not in verbs]):
            found.append(one | {"resources": of_it, "verbs": left})
    return found


async def test_rights_that_are_taken_from_a_control_plane_are_named_and_so_is_that_they_are_back(
    laptop: Laptop,
    api: Api,
    namespace: str,
) -> None:
    await laptop.up()
    await laptop.upcall("install", str(SMALL), "--set", "count=2")
    await laptop.task("small.part-1", lambda one: one["state"] == "ready", "it is ready")
    role = await api.get(ROLE, "upcall-master", namespace)
    await api.merge(ROLE, "upcall-master", {"rules": without(role["rules"], "pods", "delete")}, namespace)
    await laptop.upcall("scale", "small", "1", "--no-wait")
    await laptop.until_said(f"missing are delete pods in {namespace}", "events")
    await laptop.upcall("up", "--on", "kubernetes")
    await laptop.until_said("may do again all that it does", "events")

    # Where it could keep nothing it ends, and says why.
    await api.merge(ROLE, "upcall-master", {"rules": without(role["rules"], "records", "create", "update")}, namespace)
    was = await leader(api, namespace)
    await api.delete(POD, was["metadata"]["name"], namespace, grace_s=0)
    async with asyncio.timeout(LIMIT_S):
        while "may not keep its records: missing are create, update records.upcall.dev in" not in laptop.outputs():  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    await laptop.upcall("up", "--on", "kubernetes")
    await laptop.task("small.part-0", lambda one: one["state"] == "ready", "it is ready still")
    await laptop.upcall("down")


async def test_down_lets_go_what_only_we_keep_of_a_namespace_that_somebody_deletes(
    laptop: Laptop,
    api: Api,
    namespace: str,
    running: RunningNodes,
) -> None:
    await laptop.up()
    await laptop.upcall("install", str(SMALL), "--set", "count=2")
    await laptop.task("small.part-1", lambda one: one["state"] == "ready", "it is ready")
    await api.delete(NAMESPACE, namespace)
    said = await laptop.upcall("down")
    assert "is being deleted" in " ".join(said.split())
    try:
        async with asyncio.timeout(LIMIT_S):
            while True:
                await api.get(NAMESPACE, namespace)
                await asyncio.sleep(0.2)
    except NotFound:
        pass


async def test_a_node_that_dies_with_the_leader_is_followed_by_another_and_members_elsewhere_run_on(
    laptop: Laptop, api: Api, namespace: str, running: RunningNodes
) -> None:
    await laptop.up()
    await laptop.upcall("install", str(SMALL), "--set", "count=3")
    there = [
        await laptop.task(f"small.part-{number}", lambda one: one["state"] == "ready", "it is ready")
        for number in range(3)
    ]
    was = await leader(api, namespace)
    node = was["spec"]["nodeName"]
    await running.power_cut(node)
    cut_s = time.monotonic()
    now = await leader(api, namespace, was["metadata"]["uid"])
    print(f"\nanother leads {time.monotonic() - cut_s:.1f} s after its node died")
    assert now["spec"]["nodeName"] != node
    await laptop.until_said("it begins:", "logs", next(one["member"] for one in there if one["node"] != node))
    for before in there:
        found = await laptop.task(before["member"], lambda one: True, "it is known")
        assert (found["incarnation"], found["node"]) == (1, before["node"]), "nothing is concluded of a silent node"
        if before["node"] != node:
            await laptop.task(before["member"], lambda one: one["state"] == "ready", "it is ready still")
