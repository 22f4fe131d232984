"""A thousand nodes and five thousand members: what taking over costs, what each change costs, and memory.

    python -m benchmarks.kubernetes.scale      writes its figures as JSON

The master is the real one, with its ledger, its records in a played API server and the core of the substrate; nobody
listens at its doors. What the API server would list and tell are objects as it sends them (:mod:`simulated`), from JSON
on. **Taking over** is all that a new leader does once it has the Lease (which may take eleven seconds before): it reads
the records, lists the cluster, and hears of every member; it is over when all of that is durable.

Beside it stands a small master, of a hundredth of the members: what one change costs may not depend on how much else
there is, and that holds in one run, on any machine.
"""

import asyncio
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import msgspec
import psutil

from benchmarks.kubernetes.simulated import Simulated
from benchmarks.turn_master import Size, on_record
from upcall.cluster.folder import Cluster, DataFolder, write_private
from upcall.kubernetes.machines import KubernetesMachines
from upcall.kubernetes.records.store import KubernetesStore
from upcall.kubernetes.settings import FILE, Settings
from upcall.master.app import make
from upcall.master.driver import Driver
from upcall.substrate.kubernetes.objects import KINDS
from upcall.substrate.kubernetes.requests import Event
from upcall.substrate.kubernetes.substrate import KubernetesSubstrate
from upcall.testing.kubernetes.records import KeptObjects

LARGE: Final = Size(500, 10)
LARGE_NODES: Final = 1000
SMALL: Final = Size(5, 10)
SMALL_NODES: Final = 10
BATCHES: Final = 9
TURNS: Final = 50
NODE_SAYS_S: Final = 300.0
"""So often a kubelet writes its node's status where nothing changes; its Lease nobody watches."""
CHUNK: Final = 500
NAMESPACE: Final = "scale"
KUBECONFIG: Final = {
    "clusters": [{"name": "played", "cluster": {"server": "http://127.0.0.1:9"}}],
    "users": [{"name": "played", "user": {"token": "none"}}],
    "contexts": [{"name": "played", "context": {"cluster": "played", "user": "played"}}],
    "current-context": "played",
}


class Unheard(KubernetesMachines):
    """Who has the machines, without anybody at the other end: what it asks of the API server is counted alone."""

    sent = 0

    def start(self) -> None:
        pass

    def send(self, send: Any) -> None:
        self.sent += 1


def kept(size: Size, nodes: int) -> KeptObjects:
    """The records of such a cluster, as an earlier leader left them."""
    objects = KeptObjects()
    store = KubernetesStore(objects.connect, NAMESPACE)
    changes = on_record(size, lambda at, number: f"node-{(at * size.members_each + number) % nodes}")
    for first in range(0, len(changes), CHUNK):
        store.commit(changes[first : first + CHUNK])
    store.close()
    return objects


@contextmanager
def folder_of() -> Iterator[DataFolder]:
    with tempfile.TemporaryDirectory() as name:
        folder = DataFolder(Path(name))
        folder.root.mkdir(exist_ok=True)
        (folder.root / "config").write_text(json.dumps(KUBECONFIG))
        settings = Settings(kubeconfig=str(folder.root / "config"), namespace=NAMESPACE, image="played")
        write_private(folder.root / FILE, msgspec.json.encode(settings))
        yield folder


def core_of(driver: Driver) -> KubernetesSubstrate:
    assert isinstance(driver.substrate, KubernetesSubstrate)
    return driver.substrate


def hear(driver: Driver, event: Event) -> None:
    driver.post(lambda tx: tx.substrate(core_of(driver).heard(event, tx.now_s)))


async def take_over(objects: KeptObjects, cluster: Simulated, stack: AsyncExitStack) -> tuple[Driver, float]:
    """A master that leads, knows its cluster, and has written down what it found; after how many seconds."""
    folder = stack.enter_context(folder_of())
    began = time.monotonic()
    store = await asyncio.to_thread(KubernetesStore, objects.connect, NAMESPACE)
    with patch("upcall.master.stores.opened", lambda *_: store):
        made = make(folder, Cluster(cluster="scale", prefix="127.1.1", url="http://127.1.1.1:5050"), Unheard)
    await stack.enter_async_context(made.app.router.lifespan_context(made.app))
    for kind in KINDS:
        hear(made.core, cluster.listed(kind))
    await made.core.durable()
    took_s = time.monotonic() - began
    ledger = made.core.state.ledger
    states = [member.observed for name in made.core.state.services for member in ledger.members(name)]
    assert states == ["ready"] * len(cluster.members), f"{states[:3]} ..., {len(states)}"
    return made.core, took_s


async def batch(driver: Driver, tell: Callable[[int], Event]) -> float:
    """Microseconds of one turn; decoding is part of it."""
    gc.collect()
    gc.disable()
    found = []
    for number in range(TURNS):
        began = time.thread_time()
        hear(driver, tell(number))
        found.append((time.thread_time() - began) * 1e6)
        await driver.durable()  # its commit is none of the turn's own time
    gc.enable()
    return sorted(found)[TURNS // 2]


async def figures() -> dict[str, Any]:
    objects, few_objects = kept(LARGE, LARGE_NODES), kept(SMALL, SMALL_NODES)
    large, small = Simulated(LARGE, LARGE_NODES), Simulated(SMALL, SMALL_NODES)
    gc.collect()
    process = psutil.Process()
    before, cpu_before = process.memory_info().rss, time.process_time()
    found: dict[str, Any] = {"nodes": LARGE_NODES, "members": len(large.members)}
    async with AsyncExitStack() as stack:
        driver, took_s = await take_over(objects, large, stack)
        found |= {"takeover_s": round(took_s, 2), "takeover_cpu_s": round(time.process_time() - cpu_before, 2)}
        found["memory_mib"] = round((process.memory_info().rss - before) / 2**20)
        few, _ = await take_over(few_objects, small, stack)
        for name in ("pod", "node", "silence"):
            taken: tuple[list[float], list[float]] = ([], [])
            for _ in range(BATCHES):
                for who, of, into in zip((few, driver), (small, large), taken, strict=True):
                    into.append(await batch(who, getattr(of, name)))
            few_us, many_us = min(taken[0]), min(taken[1])
            found |= {f"{name}_few_us": round(few_us, 1), f"{name}_us": round(many_us, 1)}
            found[f"{name}_ratio"] = round(many_us / few_us, 2)
    found["idle_core_percent"] = round(100 * found["node_us"] / 1e6 * LARGE_NODES / NODE_SAYS_S, 2)
    return {f"scale_{name}": value for name, value in found.items()}


if __name__ == "__main__":
    json.dump(asyncio.run(figures()), sys.stdout)
