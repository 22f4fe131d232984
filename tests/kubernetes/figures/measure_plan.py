"""How fast the pods of one large plan are there: from the command until the master has heard of the last that it is
ready. Placing is the real scheduler's; kubelets are played, and take no time of their own."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from installed import LIMIT_S, Installed, installed
from lab.control_plane import ControlPlane
from lab.nodes import PlayedNodes, played_nodes
from leaving import left

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.kinds import POD

MANY = Path(__file__).parents[1] / "many.py"
MEMBERS = 200
NODES = 20


@pytest.fixture
async def nodes(api: Api) -> AsyncIterator[PlayedNodes]:
    async with played_nodes(api, NODES) as playing:
        yield playing


@pytest.fixture
async def upcall(
    tmp_path: Path, plane: ControlPlane, api: Api, namespace: str, nodes: PlayedNodes
) -> AsyncIterator[Installed]:
    async with installed(tmp_path / "data", plane.kubeconfig(), namespace) as one:
        yield one
    await left(api, namespace)


async def test_plan(
    upcall: Installed, api: Api, namespace: str, record_property: Callable[[str, object], None]
) -> None:
    began_s = time.monotonic()
    await upcall.upcall("install", str(MANY), "--set", f"count={MEMBERS}", "--no-wait")
    async with asyncio.timeout(LIMIT_S):
        while True:
            tasks = await asyncio.to_thread(upcall.client.tasks)
            if len(tasks) == MEMBERS and all(one.state == "ready" for one in tasks):
                break
            await asyncio.sleep(0.2)
    took_s = time.monotonic() - began_s
    assert len((await api.list(POD, namespace)).objects) == MEMBERS
    record_property("plan_members", MEMBERS)
    record_property("plan_s", round(took_s, 1))
    record_property("pods_per_s", round(MEMBERS / took_s, 1))
