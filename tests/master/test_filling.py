"""A task that writes more than it may: people see it everywhere, and no operation follows from it."""

import asyncio
import time
from pathlib import Path

import aiohttp
from served_master import Server
from served_master import register as agent_register
from test_service_door import MEMBER, PACKAGE, Stranger
from test_turns import becomes, hear, install, master, register

from upcall.local.machines import LocalMachines
from upcall.master.app import Master
from upcall.master.metrics import exposition
from upcall.protocol import agent as wire

BOUND_MIB = 1024


def measured(made: Master, used_mib: int) -> None:
    """As the agents' door takes it in."""
    machines = made.machines
    assert isinstance(machines, LocalMachines)
    full = used_mib >= 0.9 * BOUND_MIB
    filling = (wire.DiskUse(volume="data", used_mib=used_mib, bound_mib=BOUND_MIB),) if full else ()
    usage = wire.TaskUsage(task="s.m.1", cpu_s=1.0, memory_mib=1.0, disk_mib=used_mib, filling=filling)
    machines.agents.note_usage(wire.Usage(tasks=(usage,)), made.core.monotonic())
    hear(made.core, "node-1", wire.Usage(tasks=(usage,)))


async def test_a_full_volume_is_told_once_at_each_mark_and_nothing_is_asked_or_ended(tmp_path: Path) -> None:
    async with master(tmp_path) as made:
        core = made.core
        register(core, "node-1")
        install(core, "s")
        becomes(core, "node-1", "ready")
        for used_mib in (100, 950, 951, 1200, 1300, 1000, 100, 1100):
            measured(made, used_mib)
        await core.durable()
        events = [event for event in core.journal.newest(100, detail=True) if event.kind in ("disk", "alert")]
        assert [event.text.partition(";")[0] for event in events] == [
            "volume data holds 950 MiB of 1,024",
            "volume data holds 1,200 MiB of 1,024",
            "volume data has room again",
            "volume data holds 1,100 MiB of 1,024",
        ]
        assert [event.data.get("alert", False) for event in events] == [False, True, False, True]
        assert core.state.ledger.operations() == [], "no restart makes a volume emptier"
        (task,) = made.views.tasks("s")
        assert (task.state, task.reason, task.filling) == (
            "ready",
            "volume data holds 1,100 MiB of 1,024",
            ["volume data holds 1,100 MiB of 1,024"],
        )
        figures = exposition(made.views).decode()
        assert 'upcall_task_disks_filling{member="m",service="s"} 1.0' in figures
        assert 'upcall_task_disk_bytes{member="m",service="s"} 1.1534336e+09' in figures


async def test_what_was_told_of_a_member_stays_while_it_is_away(tmp_path: Path) -> None:
    async with master(tmp_path) as made:
        core = made.core
        register(core, "node-1")
        install(core, "s")
        becomes(core, "node-1", "ready")
        measured(made, 2000)
        assert set(core.filling) == {"s.m"}
        hear(core, "node-1", wire.Usage(tasks=()))
        assert set(core.filling) == {"s.m"}
        await core.durable()
        assert not [event for event in core.journal.newest(100, detail=True) if "room again" in event.text]


async def test_an_agent_tells_it_through_its_door(tmp_path: Path) -> None:
    server = await asyncio.to_thread(Server, tmp_path / "data")
    headers = {"Authorization": f"Bearer {server.tokens['agent-node-1']}"}
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{server.url}/v1/agent", headers=headers) as agent,
        ):

            async def say(message: wire.FromAgent) -> None:
                await agent.send_str(wire.encode(message).decode())

            await say(agent_register("node-1"))
            expert = await asyncio.to_thread(declare, server)
            while (heard := await agent.receive_json(timeout=60))["type"] != "launch":
                pass
            ready = wire.TaskStatus(task=heard["task"], state="ready", generation=1, fence=heard["fence"])
            await say(wire.Status(number=1, status=ready))
            over = wire.DiskUse(volume="", used_mib=2100, bound_mib=2048)
            usage = wire.TaskUsage(task=heard["task"], cpu_s=1.0, memory_mib=1.0, disk_mib=2100, filling=(over,))
            await say(wire.Usage(tasks=(usage,)))
            while (heard := await agent.receive_json(timeout=60))["type"] != "ack":
                pass
            (found,) = await asyncio.to_thread(told, server)
            assert found == "its sandbox holds 2,100 MiB of 2,048"
            expert.events.close()
    finally:
        await asyncio.to_thread(server.stop)


def declare(server: Server) -> Stranger:
    assert server.call("PUT", "/v1/packages/log/1", PACKAGE, principal="host").status == 200
    assert server.call("POST", "/v1/services", {"package": "log", "name": "log"}).status == 200
    expert = Stranger(server)
    status, said = expert.call("PUT", "members", {"members": {"m-0": MEMBER}, "policy": {"minimum": 0}})
    assert status == 200, said
    return expert


def told(server: Server) -> list[str]:
    """What is told of the only task, once something is; the service says it too, and an alert does."""
    end = time.monotonic() + 180
    while not (found := server.call("GET", "/v1/tasks?service=log").json()[0]["filling"]):
        assert time.monotonic() < end
        time.sleep(0.02)
    alerts = [each for each in server.call("GET", "/v1/events").json() if each["kind"] == "alert"]
    assert [each["subject"] for each in alerts] == ["log.m-0"]
    return list(found)
