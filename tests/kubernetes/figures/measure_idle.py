"""What a control plane in the cluster takes while nothing happens: its calls of the API server, and its memory.

**A call** is any request that the API server has from an account of our namespace: of both replicas and of our parts in
members' pods, whatever it is for. The renewal of a Lease is one, and each watch is one whenever it is taken up. They
are read from the API server's own audit log.

**Memory** is the proportional set size of one replica's three processes. Here they share the pages of Python and its
libraries with other processes of this machine; what one would take that shares them with nobody is told beside it, as
an upper bound.
"""

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from lab import hosts, memory
from lab.audit import Audit, by_what
from lab.control_plane import ControlPlane, control_plane
from lab.network import networked, way_out
from lab.running import Container, RunningNodes
from laptop import Laptop, leader, pids

from upcall.kubernetes.installing.objects import NAME
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import DEPLOYMENT, POD, WEBHOOK

CALM = Path(__file__).parents[1] / "calm.py"
SECONDS = float(os.environ.get("SECONDS_MEASURED", "600"))
"""A watch is taken up anew after some tens of minutes: of a shorter time the figure is a matter of luck."""
SETTLE_S = 30.0


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return Audit(tmp_path_factory.mktemp("audit"))


@pytest.fixture(scope="module")
def plane(parts: Path, audit: Audit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    if why_not := hosts.missing():
        pytest.skip(why_not)
    folder = tmp_path_factory.mktemp("plane")
    with control_plane(folder, kube_apiserver=(*way_out(folder), *audit.settings())) as running:
        yield running


@pytest.fixture
async def running(api: Api, plane: ControlPlane, tmp_path: Path) -> AsyncIterator[RunningNodes]:
    pki = plane.authority.folder
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pki / "api.crt", pki / "api.key")
    async with networked(api, 3, tmp_path / "machines", plane.folder, tls) as nodes:
        yield nodes


@pytest.fixture
async def laptop(
    api: Api, plane: ControlPlane, namespace: str, running: RunningNodes, tmp_path: Path
) -> AsyncIterator[Laptop]:
    yield Laptop(tmp_path / "data", plane.kubeconfig(), namespace, running)
    for one in (await api.list(WEBHOOK)).objects:
        await api.delete(WEBHOOK, one["metadata"]["name"])
    with contextlib.suppress(NotFound):
        await api.delete(DEPLOYMENT, NAME, namespace)
    for each in (await api.list(POD, namespace)).objects:
        await api.merge(POD, each["metadata"]["name"], {"metadata": {"finalizers": None}}, namespace)


async def test_idle(
    laptop: Laptop,
    api: Api,
    namespace: str,
    running: RunningNodes,
    audit: Audit,
    record_property: Callable[[str, object], None],
) -> None:
    await laptop.up()
    await laptop.upcall("install", str(CALM))
    for number in (0, 1):
        await laptop.task(f"calm.part-{number}", lambda one: one["state"] == "ready", "it is ready")
    leads = (await leader(api, namespace))["metadata"]["uid"]
    replicas = {uid: one for uid, one in running.containers.items() if one.pod["metadata"]["name"].startswith(NAME)}
    assert len(replicas) == 2
    await asyncio.sleep(SETTLE_S)
    before, began_s = audit.requests().keys(), time.monotonic()
    await asyncio.sleep(SECONDS)
    minutes = (time.monotonic() - began_s) / 60
    after = audit.requests()
    ours = f"system:serviceaccount:{namespace}:"
    new = [one for number, one in after.items() if number not in before and one["user"]["username"].startswith(ours)]
    assert (await leader(api, namespace))["metadata"]["uid"] == leads, "nobody else led meanwhile"
    made = [what for what in by_what(new) if what.startswith(("create pods", "delete pods"))]
    assert not made, f"it was not idle: {made}"

    record_property("idle_minutes", round(minutes, 1))
    record_property("api_calls_per_minute_idle", round(len(new) / minutes, 2))
    for what, count in sorted(by_what(new).items()):
        record_property(f"api_calls_idle {what}", count)
    of_leader = _pids(replicas[leads])
    of_other = _pids(next(one for uid, one in replicas.items() if uid != leads))
    record_property("control_plane_memory_mib", round(memory.shared_mib(of_leader)))
    record_property("control_plane_memory_alone_mib", round(memory.alone_mib(of_leader)))
    record_property("stand_by_memory_mib", round(memory.shared_mib(of_other)))
    await laptop.upcall("down")


def _pids(container: Container) -> list[int]:
    found = pids(container)
    assert found
    return found
