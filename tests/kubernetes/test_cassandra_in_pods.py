"""A real Cassandra of three in pods that run: its members have names, the ring says IP addresses, and what a stop
would take from its token ranges is known all the same."""

import asyncio

import pytest
from evicting import LIMIT_S
from installed import Installed
from lab import hosts
from lab.running import RunningNodes
from pods_fixtures import running, upcall

NODES = ("node-0", "node-1", "node-2")
__all__ = ["running", "upcall"]
WHY_NOT = hosts.missing()
pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]


async def test_a_second_node_of_three_waits_until_the_first_is_back(upcall: Installed, running: RunningNodes) -> None:
    async with asyncio.timeout(LIMIT_S):
        while "cassandra" not in await upcall.upcall("catalog", "list"):  # noqa: ASYNC110 - its host registers it
            await asyncio.sleep(1)
    await upcall.upcall("install", "cassandra", "--no-wait", "--set", "memory_mib=576", "--set", "disk_mib=512")
    on = {}
    for name in NODES:
        on[name] = (await upcall.task(f"cassandra.{name}", lambda one: one.state == "ready", "it is ready")).node
    assert len(set(on.values())) == 3
    # A ring that has only just come together may be too slow for it: asked again it is the same keyspace.
    await upcall.until_said("shop", "service", "do", "cassandra", "create-keyspace", "name=shop", "replication=3")
    async with asyncio.timeout(LIMIT_S):
        while "the ring sees it down" in await upcall.upcall("why"):  # noqa: ASYNC110 - it gossips first
            await asyncio.sleep(1)

    # Alone each may go; while one is away no range can spare another.
    await upcall.upcall("node", "drain", on["node-0"])
    await upcall.upcall("node", "drain", on["node-1"], "--no-wait")
    await upcall.until_said("token ranges would lose their quorum", "why")
    second = await upcall.task("cassandra.node-1", lambda one: True, "it is there")
    assert second.state == "ready"

    # It comes back behind the same name at another address, and the second one may go.
    await upcall.upcall("node", "undrain", on["node-0"])
    await upcall.task("cassandra.node-0", lambda one: one.state == "ready" and one.incarnation > 1, "it is back")
    await upcall.task("cassandra.node-1", lambda one: one.state != "ready", "it may go")
    await upcall.upcall("node", "undrain", on["node-1"])
    await upcall.task("cassandra.node-1", lambda one: one.state == "ready" and one.incarnation > 1, "it is back")
    assert not running.failures
