"""The records of a master on a real API server: what every store promises, and who leads."""

import asyncio
import hashlib
import time
import uuid
from collections.abc import Iterator

import pytest
from lab.control_plane import ControlPlane
from promises import Anew, Opened, Promises

from upcall.kubernetes.records.objects import PACKED_BYTES_MAX
from upcall.kubernetes.records.store import KubernetesStore
from upcall.store.interface import Append, Put, Store
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.kinds import NAMESPACE
from upcall.substrate.kubernetes.client.login import from_kubeconfig


@pytest.fixture
def anew(plane: ControlPlane) -> Iterator[Anew]:
    stores: list[Store] = []
    login = from_kubeconfig((plane.kubeconfig(),))
    names: list[str] = []

    async def make(name: str) -> None:
        async with Connection(login) as connection:
            await Api(connection).create(NAMESPACE, {"metadata": {"name": name}})

    async def drop() -> None:
        async with Connection(login) as connection:
            for name in names:
                await Api(connection).delete(NAMESPACE, name)

    def one() -> Opened:
        name = f"records-{uuid.uuid4().hex[:8]}"
        asyncio.run(make(name))
        names.append(name)

        def opened() -> Store:
            store = KubernetesStore(lambda: Connection(login), name)
            stores.append(store)
            return store

        return opened

    yield one
    for store in stores:
        store.close()
    asyncio.run(drop())


@pytest.fixture
def opened(anew: Anew) -> Opened:
    return anew()


class TestKubernetes(Promises):
    bounds = (PACKED_BYTES_MAX + 1000,)


def test_the_largest_value_is_taken_twice(opened: Opened) -> None:
    """Once as what stands, once as what stood before: together they are below what etcd takes."""
    store = opened()
    for number in range(2):
        value = bytes([number]) + hashed(PACKED_BYTES_MAX - 2000)
        version = store.put("k", "a", value)
        assert opened().get("k", "a") is not None
        store = opened()
        assert store.get("k", "a").version == version  # type: ignore[union-attr]


def hashed(size: int) -> bytes:
    return hashlib.shake_128(b"").digest(size)


def test_how_fast_it_writes(opened: Opened) -> None:
    """No promise: a figure for the page."""
    store = opened()
    figures = {}
    shapes: dict[str, list[Put | None]] = {
        "one record": [Put("k", "a", b"x" * 300)],
        "one record and its event": [Put("k", "a", b"x" * 300), None],
        "ten records and an event": [*(Put("k", f"{n}", b"x" * 300) for n in range(10)), None],
    }
    for name, changes in shapes.items():
        took = []
        for _ in range(30):
            sequence = store.events_bounds("c")[1] + 1
            made = [one if one is not None else Append("c", sequence, b"y" * 200) for one in changes]
            began = time.monotonic()
            store.commit(made)
            took.append(time.monotonic() - began)
        took.sort()
        figures[name] = f"{took[len(took) // 2] * 1000:.1f} ms (slowest {took[-1] * 1000:.1f})"
    print("\n", figures)
