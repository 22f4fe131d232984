"""What a real cluster refuses of members, and what is said of it: one reason each, that names what, where and why."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from driving import SETTINGS, Driven, driving, wanted
from lab.nodes import PlayedNodes

from upcall.protocol.declaration import Volume
from upcall.substrate.kubernetes import names
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import Forbidden, NotFound
from upcall.substrate.kubernetes.client.kinds import CLAIM, CONFIG_MAP, NAMESPACE, NODE, POD, Kind
from upcall.substrate.kubernetes.manifest import Settings

QUOTA = Kind("", "v1", "ResourceQuota", "resourcequotas")
DATA = (Volume(name="data", size_mib=16),)
TASK = wanted().task


def launched(driven: Driven, volumes: tuple[Volume, ...] = ()) -> None:
    driven.take(lambda now_s: driven.core.launch(wanted(volumes=volumes), now_s))


async def until_said(driven: Driven, *words: str) -> str:
    def says() -> bool:
        return bool(driven.states(TASK)) and all(one in driven.last(TASK).reason for one in words)

    await driven.until(says, f"{words} of it")
    assert driven.last(TASK).state == "pending"
    return driven.last(TASK).reason


async def filled(api: Api, namespace: str, what: str) -> None:
    """A quota of nothing, once the API server holds anybody to it."""
    await api.create(QUOTA, {"metadata": {"name": "small"}, "spec": {"hard": {what: "0"}}}, namespace)
    async with asyncio.timeout(120):
        while not ((await api.get(QUOTA, "small", namespace)).get("status") or {}).get("hard"):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_a_volume_without_a_storage_class_says_that_the_cluster_has_no_default_one(driven: Driven) -> None:
    launched(driven, DATA)
    said = await until_said(driven, "volume data of it has no storage class", "no default one")
    assert "is-default-class" in said


async def test_a_storage_class_that_there_is_not_is_named(
    api: Api, namespace: str, nodes: PlayedNodes, disruptions: None
) -> None:
    other = Settings(image=SETTINGS.image, master_url=SETTINGS.master_url, storage_class="quick")
    async with driving(Driven(api, namespace, other)) as one:
        launched(one, DATA)
        await until_said(one, "PersistentVolumeClaim", "volume data of it waits for one of storage class quick")


async def test_a_claim_that_waits_for_a_storage_class_gets_the_one_that_is_named_then(
    api: Api, namespace: str, nodes: PlayedNodes, disruptions: None
) -> None:
    """By the next control plane; an API server lets nobody change a class but from none to one."""
    async with driving(Driven(api, namespace)) as first:
        launched(first, DATA)
        await until_said(first, "volume data of it has no storage class")
    (before,) = (await api.list(CLAIM, namespace)).objects
    named = Settings(image=SETTINGS.image, master_url=SETTINGS.master_url, storage_class="quick")
    async with driving(Driven(api, namespace, named)) as second:
        launched(second, DATA)
        await until_said(second, "volume data of it waits for one of storage class quick")
    (after,) = (await api.list(CLAIM, namespace)).objects
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["storageClassName"] == "quick"


@pytest.mark.parametrize(
    ("what", "volumes"), [("pods", ()), ("persistentvolumeclaims", DATA), ("services", ())], ids=lambda one: str(one)
)
async def test_a_quota_that_is_full_is_the_reason_whatever_it_counts(
    driven: Driven, api: Api, namespace: str, what: str, volumes: tuple[Volume, ...]
) -> None:
    await filled(api, namespace, what)
    launched(driven, volumes)
    await until_said(driven, what, "exceeded quota: small")
    # Mended, it goes on by itself.
    await api.delete(QUOTA, "small", namespace)
    await driven.until(
        lambda: driven.states(TASK)[-1:] == ["ready"] or "storage class" in driven.last(TASK).reason, "it goes on"
    )


@pytest.fixture
async def two(api: Api, namespace: str, nodes: PlayedNodes, disruptions: None) -> AsyncIterator[tuple[Driven, Driven]]:
    """Of two control planes, each in a namespace of its own."""
    other = f"{namespace}-b"
    await api.create(NAMESPACE, {"metadata": {"name": other}})
    async with driving(Driven(api, namespace)) as first, driving(Driven(api, other)) as second:
        yield first, second
    await api.delete(NAMESPACE, other)


async def test_of_two_control_planes_each_opens_only_the_nodes_that_it_has_closed(
    two: tuple[Driven, Driven], api: Api, nodes: PlayedNodes
) -> None:
    first, second = two
    node = min(nodes.alive)

    async def closed() -> tuple[bool, int]:
        found = await api.get(NODE, node)
        marks = [key for key in found["metadata"].get("annotations", {}) if key.endswith(names.CLOSED)]
        return bool(found["spec"].get("unschedulable")), len(marks)

    async def until(wanted: tuple[bool, int]) -> None:
        try:
            async with asyncio.timeout(120):
                while await closed() != wanted:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"{await closed()}, and not {wanted}") from None

    first.take(lambda now_s: first.core.cordon(node, now_s, closed=True))
    await until((True, 1))
    versions = []
    for _ in range(3):
        await asyncio.sleep(1)
        versions.append(await closed())
    assert versions == [(True, 1)] * 3, "the other one leaves it alone"
    second.take(lambda now_s: second.core.cordon(node, now_s, closed=True))
    await until((True, 2))
    first.take(lambda now_s: first.core.cordon(node, now_s, closed=False))
    await until((True, 1))
    second.take(lambda now_s: second.core.cordon(node, now_s, closed=False))
    await until((False, 0))


async def test_in_a_namespace_that_is_being_deleted_nothing_is_made_and_that_is_the_reason(
    driven: Driven, api: Api, namespace: str
) -> None:
    await api.merge(NAMESPACE, namespace, {"metadata": {"finalizers": ["example.invalid/stays"]}})
    await api.delete(NAMESPACE, namespace)
    try:
        launched(driven)
        await until_said(driven, "forbidden", f"namespace {namespace}", "being terminated")
        with pytest.raises(Forbidden):
            await api.create(CONFIG_MAP, {"metadata": {"name": "one"}}, namespace)
        assert not (await api.list(POD, namespace)).objects
    finally:
        with contextlib.suppress(NotFound):
            await api.merge(NAMESPACE, namespace, {"metadata": {"finalizers": None}})
