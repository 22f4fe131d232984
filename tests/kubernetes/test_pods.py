"""A service that really runs in pods: on a real control plane, a real master, and our part in each pod."""

import asyncio
import contextlib
import json
import os
import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from evicting import LIMIT_S, drain, read_until
from installed import Installed, installed
from lab import hosts
from lab.control_plane import ControlPlane
from lab.running import RunningNodes, running_nodes
from objects import pod

from upcall.protocol.agent import Register, decode_to_agent, encode
from upcall.protocol.versions import WIRE
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import CONFIG_MAP, POD, SERVICE_ACCOUNT, WEBHOOK, Object
from upcall.substrate.kubernetes.evictions.objects import NAME
from upcall.substrate.kubernetes.manifest import TRUST

SMALL = Path(__file__).with_name("small.py")
WHY_NOT = hosts.missing()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


@pytest.fixture
async def running(api: Api, tmp_path: Path) -> AsyncIterator[RunningNodes]:
    async with running_nodes(api, 3, tmp_path / "machines") as nodes:
        yield nodes


@pytest.fixture
async def upcall(
    tmp_path: Path, plane: ControlPlane, api: Api, namespace: str, running: RunningNodes
) -> AsyncIterator[Installed]:
    async with installed(tmp_path / "data", plane.kubeconfig(), namespace) as one:
        yield one
    with contextlib.suppress(NotFound):
        await api.delete(WEBHOOK, NAME)
    for each in (await api.list(POD, namespace)).objects:
        with contextlib.suppress(NotFound):
            await api.merge(POD, each["metadata"]["name"], {"metadata": {"finalizers": None}}, namespace)


async def test_a_service_lives_in_pods(
    upcall: Installed, plane: ControlPlane, api: Api, namespace: str, running: RunningNodes, tmp_path: Path
) -> None:
    busy = tmp_path / "busy"
    await upcall.upcall("install", str(SMALL), "--set", f"busy={busy}")
    before = {}
    for member in ("small.part-0", "small.part-1"):
        before[member] = await upcall.task(member, lambda one: one.state == "ready", "it is ready")
    first = before["small.part-0"]
    assert first.address == f"part-0.small.{namespace}.svc", "it is known by a name"
    volume = running.claim(namespace, "data.small.part-0.1") / "data"
    assert (volume / "prepared").read_text() == "once"

    # What a person asks for.
    await upcall.until_said("it begins:", "logs", "small.part-0")
    async with asyncio.timeout(LIMIT_S):
        while "it begins:" not in running.container("small.part-0.p1").output():  # noqa: ASYNC110 - kubectl logs has it
            await asyncio.sleep(0.1)
    figures = await upcall.task("small.part-0", lambda one: one.memory_used_mib > 1, "its figures are known")
    assert figures.state == "ready"
    assert "x" in await upcall.upcall("service", "do", "small", "lives", "member=part-0")

    # The master dies, and is away for a while: the task is none the wiser, and is heard of again.
    await upcall.kill("master")
    await asyncio.sleep(3)
    await upcall.start("master")
    again = await upcall.task("small.part-0", lambda one: one.state == "ready", "it is ready still")
    assert again.incarnation == 1
    assert (volume / "lives").read_text() == "x"
    await upcall.until_said("it begins:", "logs", "small.part-0")

    # A check fails, in the check's own words; and is well again, before its service lets anybody restart it.
    busy.touch()
    (volume / "ill").touch()
    ill = await upcall.task("small.part-0", lambda one: one.state == "unready" and "500" in one.reason, "it says why")
    assert "answered with status 500" in ill.reason
    (volume / "ill").unlink()
    await upcall.task("small.part-0", lambda one: one.state == "ready", "it is well again")
    busy.unlink()

    # Its process dies: the ledger brings it back, with its volume.
    record = next(
        (running.container("small.part-1.p1").folder).glob("volumes/sandbox/nodes/pod/tasks/*/running.json"), None
    )
    assert record is not None
    os.kill(json.loads(record.read_text())["task"]["pid"], signal.SIGKILL)
    back = await upcall.task("small.part-1", lambda one: one.state == "ready" and one.incarnation == 2, "it is back")
    assert back.state == "ready"
    assert (running.claim(namespace, "data.small.part-1.1") / "data" / "lives").read_text() == "xx"
    assert (running.claim(namespace, "data.small.part-1.1") / "data" / "prepared").read_text() == "once"

    # Somebody who never heard of us drains its node: asked, told why not, agreed, done.
    busy.touch()
    node = first.node
    draining = await drain(plane, node, "--delete-emptydir-data")
    await read_until(draining, "deferred by small: 6 parts would have a single copy (progress 0.25)")
    busy.unlink()
    async with asyncio.timeout(LIMIT_S):
        rest, _ = await draining.communicate()
    assert draining.returncode == 0, rest.decode()
    moved = await upcall.task("small.part-0", lambda one: one.state == "ready" and one.incarnation > 1, "it is back")
    assert moved.node != node
    assert len((volume / "lives").read_text()) == moved.incarnation, "each of its lives found what those before it left"

    await upcall.upcall("uninstall", "small")
    async with asyncio.timeout(LIMIT_S):
        while (await api.list(POD, namespace)).objects:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    assert not running.failures


async def token(api: Api, namespace: str, audience: str, pod: Object | None) -> str:
    """As a kubelet asks for one."""
    spec: Object = {"audiences": [audience], "expirationSeconds": 600}
    if pod is not None:
        meta = pod["metadata"]
        spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
    made = await api.create(SERVICE_ACCOUNT, {"spec": spec}, namespace, name="default", part="token")
    return str(made["status"]["token"])


async def test_a_launch_is_told_to_the_very_pod_and_to_nobody_else(
    upcall: Installed, api: Api, namespace: str, running: RunningNodes
) -> None:
    await upcall.upcall("install", str(SMALL), "--set", "count=1")
    await upcall.task("small.part-0", lambda one: one.state == "ready", "it is ready")
    ours = running.named("small.part-0.p1")
    assert ours is not None
    stranger = await api.create(POD, pod("stranger"), namespace)
    good = await token(api, namespace, "upcall", ours)
    refused = {
        "nothing": "",
        "no token": "Bearer x",
        "one of nobody": f"Bearer {await token(api, namespace, 'upcall', None)}",
        "one for the API server": f"Bearer {await token(api, namespace, 'https://kubernetes.default.svc', ours)}",
        "one of a pod that is not ours": f"Bearer {await token(api, namespace, 'upcall', stranger)}",
        "one that nobody signed": f"Bearer {good.rpartition('.')[0]}.{'A' * 342}",
    }
    trust = ssl.create_default_context(cadata=(await api.get(CONFIG_MAP, TRUST, namespace))["data"]["ca.crt"])
    url = f"{upcall.pods.url}/v1/pod"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
        for words, authorization in refused.items():
            headers = {"Authorization": authorization} if authorization else {}
            with pytest.raises(aiohttp.WSServerHandshakeError) as error:
                await session.ws_connect(url, headers=headers)
            assert error.value.status == 403, words
            async with session.get(f"{url}/blobs/{'0' * 64}", headers=headers) as said:
                assert said.status in (401, 403), words
        async with session.ws_connect(url, headers={"Authorization": f"Bearer {good}"}) as socket:
            register = Register(node="n", wire=WIRE, boot="b", cpus=0, memory_mib=0, disk_mib=0, attributes={})
            await socket.send_str(encode(register).decode())
            heard = [decode_to_agent((await socket.receive()).data) for _ in range(2)]
        async with session.ws_connect(url, headers={"Authorization": f"Bearer {good}"}) as socket:
            await socket.send_bytes(encode(register))
            closed = await socket.receive()
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1008)
            assert "a binary message cannot be read" in str(closed.extra)
    assert [type(one).__name__ for one in heard] == ["Registered", "Launch"]
    # Whoever had that pod's token took its place for a moment: our part is there again, and the task never noticed.
    await upcall.until_said("it begins:", "logs", "small.part-0")
    assert (await upcall.task("small.part-0", lambda one: one.state == "ready", "it is ready")).incarnation == 1
