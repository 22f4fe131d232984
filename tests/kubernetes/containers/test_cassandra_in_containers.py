"""A Cassandra of three as a resource, in real containers, under load: made, asked about by two drains at once, changed
by an edit, and taken away."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from evicting import drain, read_until, says
from installed import Installed
from realnodes.cluster import RealNodes
from realnodes.packaged import packaged
from test_custom_resources import Person, condition

LOAD = Path(__file__).parents[1] / "cassandra_load.py"
NODES = ("node-0", "node-1", "node-2")
LIMIT_S = 1800.0
"""Of three that start one after the other, on idle cycles."""
pytestmark = pytest.mark.long


@pytest.fixture(scope="session")
def image(real: RealNodes) -> str:
    return packaged(real, "cassandra")


async def test_cassandra_is_what_its_resource_says_and_a_second_drain_waits_for_its_ranges(
    upcall: Installed, real: RealNodes, person: Person
) -> None:
    async def is_as_said(revision: int) -> Any:
        return await person.until(
            "cassandra",
            "ring",
            lambda one: condition(one, "Ready")[0] == "True" and one["status"]["revision"] == revision,
            f"revision {revision} is carried out",
            LIMIT_S,
        )

    began_s = time.monotonic()
    options: dict[str, Any] = {"nodes": 3, "memory_mib": 576, "disk_mib": 512}
    await person.apply("Cassandra", "ring", options=options)
    await is_as_said(1)
    print(f"\nready {time.monotonic() - began_s:.1f} s after kubectl apply")
    print(await person.kubectl("get", "cassandras", "-o", "wide"))
    on = {}
    for name in NODES:
        on[name] = (await upcall.task(f"ring.{name}", lambda one: one.state == "ready", "it is ready", LIMIT_S)).node
    assert len(set(on.values())) == 3
    # A ring that has only just come together may be too slow for it: asked again it is the same keyspace.
    await upcall.until_said("fast", "service", "do", "ring", "create-keyspace", "name=fast", "replication=3")
    await until_the_ring_sees_all(upcall)

    async def back(name: str, since: int) -> None:
        found = await upcall.task(
            f"ring.{name}", lambda one: one.state == "ready" and one.incarnation > since, "it is back", LIMIT_S
        )
        assert found.node == on[name], "its volume is there"

    async with loaded(upcall):
        # Alone each may go; while one is away no range can spare another, and whoever drains is told so.
        began_s = time.monotonic()
        first = await drain(real.plane, on["node-0"], "--delete-emptydir-data")
        assert await ended(first) == 0
        print(f"the first drained in {time.monotonic() - began_s:.1f} s")
        second = await drain(real.plane, on["node-1"], "--delete-emptydir-data")
        await read_until(second, "token ranges would lose their quorum", LIMIT_S)

        # The first comes back behind the same name at another address, and the second may go.
        away = {one.member: one for one in upcall.client.tasks()}
        assert away["ring.node-0"].state != "ready"
        asked = [one for one in upcall.client.operations(ended=True) if one.kind == "evict"]
        assert sorted(one.state for one in asked) == ["done", "open"]
        await says(*real.plane.kubectl("uncordon", on["node-0"]))
        await back("node-0", away["ring.node-0"].incarnation - 1)
        print(f"the first is back {time.monotonic() - began_s:.1f} s after its drain began")
        assert await ended(second) == 0
        print(f"the second drained {time.monotonic() - began_s:.1f} s after the first began")
        await says(*real.plane.kubectl("uncordon", on["node-1"]))
        await back("node-1", away["ring.node-1"].incarnation)
        await until_the_ring_sees_all(upcall)
        evictions = [one for one in upcall.client.operations(ended=True) if one.kind == "evict"]
        assert [one.state for one in evictions] == ["done", "done"]

        # An edit that restarts each, one after the other.
        before = {one.member: one.incarnation for one in upcall.client.tasks()}
        began_s = time.monotonic()
        await person.apply("Cassandra", "ring", options=options | {"memory_mib": 592})
        changed = await is_as_said(2)
        print(f"a heap that needs a restart of each: {time.monotonic() - began_s:.1f} s")
        print(await person.kubectl("get", "operations"))
        assert changed["status"]["ready"] == "3/3"
        after = {one.member: one.incarnation for one in upcall.client.tasks()}
        # Where the machine is slow one or the other was cured besides.
        assert all(after[member] > number for member, number in before.items())

    # The service is asked, and the command waits until it is gone.
    began_s = time.monotonic()
    await person.kubectl("delete", "cassandra", "ring", f"--timeout={LIMIT_S:.0f}s", limit_s=LIMIT_S)
    print(f"gone {time.monotonic() - began_s:.1f} s after kubectl delete")
    assert not upcall.client.status().services
    (gone,) = [one for one in upcall.client.operations(ended=True) if one.kind == "uninstall"]
    assert (gone.state, gone.target) == ("done", "ring")


async def ended(process: asyncio.subprocess.Process) -> int | None:
    async with asyncio.timeout(LIMIT_S):
        said, _ = await process.communicate()
    print(said.decode())
    return process.returncode


async def until_the_ring_sees_all(upcall: Installed) -> None:
    async with asyncio.timeout(LIMIT_S):
        while "the ring sees it down" in await upcall.upcall("why"):  # noqa: ASYNC110 - it gossips first
            await asyncio.sleep(1)


@asynccontextmanager
async def loaded(upcall: Installed) -> AsyncIterator[None]:
    """Rows are written and read meanwhile, and none of these requests fails."""
    words = (*upcall.before, sys.executable, str(LOAD), str(upcall.folder.root), "ring")
    load = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    assert load.stdout is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            assert await load.stdout.readline() == b"begins\n"
        yield
        load.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT_S):
            out, _ = await load.communicate()
    finally:
        if load.returncode is None:
            load.kill()
            await load.wait()
    found = json.loads(out.splitlines()[-1])
    print(found)
    assert (found["failed"], found["lost"], found["unread"]) == (0, 0, 0), found
    assert found["written"]
