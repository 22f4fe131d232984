"""What a task's own connections come from: real tasks that connect, where the kernel lets us give them an address."""

import asyncio
import socket
import sys

import pytest
from agent_node import Master, Node

pytestmark = pytest.mark.root

CONNECT = """
import socket, sys
port = int(sys.argv[1])

def source(family, address, *bound):
    with socket.socket(family) as ours:
        if bound:
            ours.bind(bound)
        ours.connect((address, port))
        print(ours.getsockname()[0], flush=True)

source(socket.AF_INET, "127.0.0.1")
source(socket.AF_INET6, "::ffff:127.0.0.1")
source(socket.AF_INET, "127.0.0.1", "127.0.0.7", 0)
"""


async def sources(node: Node, master: Master, port: int) -> list[str]:
    """Of a task's connections by IPv4, by a socket of both families, and by one that it bound itself."""
    await node.launch("db.main.1", sys.executable, "-c", CONNECT, str(port))
    ended = await master.state("db.main.1", "ended")
    assert ended.exit is not None
    assert ended.exit.code == 0, node.output("db.main.1", "stderr")
    return node.output("db.main.1").splitlines()


async def test_connections_come_from_the_members_address(node: Node, master: Master) -> None:
    features = (await master.registered(1)).features
    with socket.create_server(("127.0.0.1", 0)) as server:
        seen = asyncio.create_task(asyncio.to_thread(accepted, server, 3))
        told = await sources(node, master, server.getsockname()[1])
        assert await seen == [name.removeprefix("::ffff:") for name in told], "both sides see the same"
    if "no-own-addresses" in features:
        assert told == ["127.0.0.1", "::ffff:127.0.0.1", "127.0.0.7"]
        pytest.skip("not root, or a kernel that gives no address to what runs in a group: seen to be said, and so")
    assert "own-addresses" in features
    assert told == [node.address, f"::ffff:{node.address}", "127.0.0.7"]


def accepted(server: socket.socket, count: int) -> list[str]:
    server.settimeout(600.0)
    return [str(server.accept()[1][0]) for _ in range(count)]
