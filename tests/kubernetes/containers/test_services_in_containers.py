"""Services in real containers, made of the image of a package, by a master outside the cluster."""

import asyncio
from pathlib import Path

from evicting import LIMIT_S, drain, read_until, says
from installed import Installed
from kafka_drained import serves_while_each_of_its_nodes_is_drained
from realnodes.cluster import RealNodes
from realnodes.volumes import folder_of

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.kinds import CLAIM, POD

SMALL = Path(__file__).parents[1] / "small.py"
PYTHON = ("sh", "-c", 'exec /usr/bin/python3.[0-9]* -c "$0"')
"""Of the image, whichever it is."""
KILL = """
import os, pathlib, signal
for each in pathlib.Path("/proc").glob("[0-9]*"):
    if (each / "cmdline").read_bytes().split(b"\\0")[2:3] == [b"program.py"]:
        os.kill(int(each.name), signal.SIGKILL)
"""


async def test_a_service_lives_in_containers(
    upcall: Installed, real: RealNodes, api: Api, namespace: str, tmp_path: Path
) -> None:
    busy = tmp_path / "busy"
    await upcall.upcall("install", str(SMALL), "--set", f"busy={busy}")
    first = await upcall.task("small.part-0", lambda one: one.state == "ready", "it is ready")
    other = await upcall.task("small.part-1", lambda one: one.state == "ready", "it is ready")
    assert first.node != other.node
    assert first.address == f"part-0.small.{namespace}.svc", "it is known by a name"

    async def volume(member: str) -> Path:
        claim = await api.get(CLAIM, f"data.small.{member}.1", namespace)
        return folder_of(real.folder, claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"], claim)

    data = await volume("part-0") / "data"
    assert (data / "prepared").read_text() == "once"

    # What a person asks for.
    await upcall.until_said("it begins:", "logs", "small.part-0")
    logs = real.plane.kubectl("-n", namespace, "logs", "small.part-0.p1")
    assert "it begins:" in await says(*logs)
    await upcall.task("small.part-0", lambda one: one.memory_used_mib > 1, "its figures are known")
    assert "x" in await upcall.upcall("service", "do", "small", "lives", "member=part-0")

    # Its process dies: the ledger brings it back, with its volume.
    kill = real.plane.kubectl("-n", namespace, "exec", "small.part-1.p1", "--", *PYTHON, KILL)
    await says(*kill)
    await upcall.task("small.part-1", lambda one: one.state == "ready" and one.incarnation == 2, "it is back")
    assert (await volume("part-1") / "data" / "lives").read_text() == "xx"

    # Somebody who never heard of us drains its node: asked, told why not, agreed, done.
    busy.touch()
    draining = await drain(real.plane, first.node, "--delete-emptydir-data")
    await read_until(draining, "deferred by small: 6 parts would have a single copy (progress 0.25)")
    busy.unlink()
    async with asyncio.timeout(LIMIT_S):
        rest, _ = await draining.communicate()
    assert draining.returncode == 0, rest.decode()
    await says(*real.plane.kubectl("uncordon", first.node))
    back = await upcall.task("small.part-0", lambda one: one.state == "ready" and one.incarnation > 1, "it is back")
    assert back.node == first.node, "its volume is there"
    assert (data / "lives").read_text() == "xx"

    await upcall.upcall("uninstall", "small")
    async with asyncio.timeout(LIMIT_S):
        while (await api.list(POD, namespace)).objects:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def test_kafka_serves_while_each_of_its_nodes_is_drained(
    upcall: Installed, real: RealNodes, tmp_path: Path
) -> None:
    await serves_while_each_of_its_nodes_is_drained(upcall, real.plane, tmp_path)
