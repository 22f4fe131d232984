"""A pool of three nodes is upgraded by ``kubectl drain``, node by node and unattended, with a Kafka of three under
load: once with the consent of its own code, once with that of readiness (what a PodDisruptionBudget of one and the
probe that known operators ship come to). Same brokers, same load, same nodes, in one run.

A node is drained, worked on, and uncordoned; then it is the next one's turn, whose drain waits by itself for as long as
the broker before it is missed. Over is it when all brokers are ready again.
"""

import asyncio
import functools
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))

from benchmarks.availability.events import package
from evicting import LIMIT_S, drain, says
from installed import Installed, installed
from kafka_drained import BROKERS, LOAD, settings
from lab import hosts
from lab.control_plane import ControlPlane
from lab.running import RunningNodes, running_nodes
from leaving import left

from upcall.artifacts.cache import default_root
from upcall.protocol.operator import TaskView
from upcall.substrate.kubernetes.client.api import Api

A_SECOND = 250
DEADLINE_S = 5
STEADY_S = 5.0
WORKED_ON_S = 5.0
WAYS = ("upcalls", "readiness")
OURS = os.environ.get("UPCALL_DRAINED_BY", "upcalls")
"""Played in the place of our own consent: what must turn the figures red."""
PARTITIONS = 12


@pytest.fixture
async def running(api: Api, tmp_path: Path) -> AsyncIterator[RunningNodes]:
    if why_not := hosts.missing():
        pytest.skip(why_not)
    async with running_nodes(api, 3, tmp_path / "machines", UPCALL_CACHE=str(default_root())) as nodes:
        yield nodes


@pytest.fixture
async def upcall(
    tmp_path: Path, plane: ControlPlane, api: Api, namespace: str, running: RunningNodes
) -> AsyncIterator[Installed]:
    """Storage is on the nodes: a broker comes back where its volume is."""
    async with installed(tmp_path / "data", plane.kubeconfig(), namespace, running.hosts.before(), local=True) as one:
        yield one
    await left(api, namespace)


@asynccontextmanager
async def load(upcall: Installed, topic: str, given: Path) -> AsyncIterator[dict[str, Any]]:
    """Writes meanwhile; what became of them is in the result afterwards."""
    command = (sys.executable, str(LOAD), str(given), topic, str(A_SECOND), str(DEADLINE_S))
    process = await asyncio.create_subprocess_exec(*upcall.before, *command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"begins\n"
    found: dict[str, Any] = {}
    try:
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT_S):
            out, _ = await process.communicate()
        found |= json.loads(out.splitlines()[-1])


async def upgraded(upcall: Installed, plane: ControlPlane) -> float:
    """Each node in turn; gives the seconds."""
    began_s = time.monotonic()
    on = {(await ready(upcall, name)).node: name for name in BROKERS}
    assert len(on) == 3
    for node, name in sorted(on.items()):
        incarnation = (await ready(upcall, name)).incarnation
        draining = await drain(plane, node, "--delete-emptydir-data")
        async with asyncio.timeout(LIMIT_S):
            said, _ = await draining.communicate()
        assert draining.returncode == 0, said.decode()
        await asyncio.sleep(WORKED_ON_S)
        await says(*plane.kubectl("uncordon", node))
        on[node] = f"{name} {incarnation}"
    for gone in on.values():
        name, before = gone.split()
        await upcall.task(f"kafka.{name}", functools.partial(_is_later, int(before)), "it is back")
    return time.monotonic() - began_s


def _is_later(than: int, one: TaskView) -> bool:
    return one.state == "ready" and one.incarnation > than


async def ready(upcall: Installed, name: str) -> TaskView:
    return await upcall.task(f"kafka.{name}", lambda one: one.state == "ready", "it is ready")


async def test_drain(
    upcall: Installed, plane: ControlPlane, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    own = await asyncio.to_thread(package, tmp_path)
    await upcall.upcall("install", str(own), "--name", "kafka", "--set", "brokers=3", "--no-wait")
    for name in BROKERS:
        await ready(upcall, name)
    took_s: dict[str, float] = {}
    given = tmp_path / "client.json"
    given.write_text(json.dumps(await settings(upcall)))
    for way in WAYS:
        played = OURS if way == "upcalls" else way
        await upcall.upcall("service", "do", "kafka", "create-topic", f"name={way}", f"partitions={PARTITIONS}")
        if played != "upcalls":
            await upcall.upcall("update", "kafka", "--set", f"way={played}")
        async with load(upcall, way, given) as found:
            await asyncio.sleep(STEADY_S)
            took_s[way] = await upgraded(upcall, plane)
            await asyncio.sleep(STEADY_S)
        record_property(f"drain_s_{way}", round(took_s[way], 1))
        record_property("drain_failed_requests" + ("" if way == "upcalls" else f"_{way}"), found["failed"])
        for name in ("sent", "lost", "twice", "slowest_s"):
            record_property(f"drain_{name}_{way}", found[name])
        if way == "upcalls" and OURS != "upcalls":
            await upcall.upcall("update", "kafka", "--set", "way=readiness")
    record_property("drain_duration_ratio", round(took_s["upcalls"] / took_s["readiness"], 2))
