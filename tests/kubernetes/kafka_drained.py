"""A Kafka of three brokers in pods under load, while each of its nodes is drained by ``kubectl``."""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path

from evicting import LIMIT_S, drain
from installed import Installed
from lab.control_plane import ControlPlane

LOAD = Path(__file__).with_name("kafka_load.py")
A_SECOND = 50
BROKERS = ("broker-0", "broker-1", "broker-2")


async def settings(upcall: Installed) -> dict[str, object]:
    said = await upcall.upcall("endpoints", "kafka", "--passwords", "-o", "json")
    (found,) = [one for one in json.loads(said) if one["name"] == "client"]
    return {
        "bootstrap.servers": ",".join(found["addresses"]),
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": found["user"],
        "sasl.password": found["password"],
        "log_level": 2,
    }


async def serves_while_each_of_its_nodes_is_drained(upcall: Installed, plane: ControlPlane, tmp_path: Path) -> None:
    began_s = time.monotonic()
    async with asyncio.timeout(LIMIT_S):
        while "kafka" not in await upcall.upcall("catalog", "list"):  # noqa: ASYNC110 - its host registers it
            await asyncio.sleep(1)
    await upcall.upcall("install", "kafka", "--no-wait")
    on = {}
    for name in BROKERS:
        broker = await upcall.task(f"kafka.{name}", lambda one: one.state == "ready", "it is ready")
        on[broker.node] = f"kafka.{name}"
    print(f"ready after {time.monotonic() - began_s:.1f} s")
    assert len(on) == 3
    await upcall.upcall("service", "do", "kafka", "create-topic", "name=orders", "partitions=6")

    given = tmp_path / "client.json"
    given.write_text(json.dumps(await settings(upcall)))
    load = await asyncio.create_subprocess_exec(
        *upcall.before, sys.executable, str(LOAD), str(given), "orders", str(A_SECOND),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert load.stdout is not None
    assert await load.stdout.readline() == b"begins\n"
    try:
        await asyncio.sleep(5)
        for node, member in sorted(on.items()):
            before_s = time.monotonic()
            draining = await drain(plane, node, "--delete-emptydir-data")
            async with asyncio.timeout(LIMIT_S):
                said, _ = await draining.communicate()
            assert draining.returncode == 0, said.decode()
            drained_s = time.monotonic() - before_s
            process = await asyncio.create_subprocess_exec(*plane.kubectl("uncordon", node))
            assert await process.wait() == 0
            back = await upcall.task(member, lambda one: one.state == "ready" and one.incarnation > 1, "it is back")
            assert back.node == node
            back_s = time.monotonic() - before_s
            print(f"{node}: drained in {drained_s:.1f} s, {member} back {back_s:.1f} s after it began")
    finally:
        load.send_signal(signal.SIGTERM)
    async with asyncio.timeout(LIMIT_S):
        out, _ = await load.communicate()
    found = json.loads(out.splitlines()[-1])
    print(found)
    assert (found["failed"], found["lost"], found["twice"]) == (0, 0, 0), found
    assert found["sent"] > 5 * A_SECOND
    evictions = [one for one in upcall.client.operations(ended=True) if one.kind == "evict"]
    assert [one.state for one in evictions] == ["done"] * 3
