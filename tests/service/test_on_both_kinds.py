"""The SDK with the real ledger, on a cluster that we place on and on one that somebody else places on."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from sample_services import Life, Plain, Store
from world_master import WorldMaster

from upcall.operations import inputs as given
from upcall.service import Service, replace
from upcall.service.testing import run
from upcall.substrate.simulated import Timing

KINDS = ("kernel", "delegated")
Script = Callable[[Life, WorldMaster], Coroutine[Any, Any, None]]


def lived(
    service: type[Service], kind: Any, script: Script, *, nodes: int = 3, prove_s: float | None = None, **options: Any
) -> None:
    """The script with a running service on a world of this kind."""

    async def main() -> None:
        master = WorldMaster(service.package, kind, options, node_count=nodes, timing=Timing(prove_s=prove_s))
        life = Life(service, master)  # type: ignore[arg-type]
        world = asyncio.create_task(master.live())
        life.start_host()
        try:
            played = asyncio.create_task(script(life, master))
            done, _ = await asyncio.wait([played, world], timeout=7200, return_when=asyncio.FIRST_COMPLETED)
            assert done, "the script never ended"
            for task in done:
                task.result()
        finally:
            await life.kill_host()
            world.cancel()
            with suppress(asyncio.CancelledError):
                await world
        assert master.world.substrate.violations == []

    run(main())


both = pytest.mark.parametrize("kind", KINDS)


@both
def test_a_serial_deployment_ends_with_its_schema(kind: str) -> None:
    async def script(life: Life, master: WorldMaster) -> None:
        await life.until_deployed()
        assert master.launches == ["node-0.1", "node-1.1", "node-2.1"]
        assert life.code.heard.count("schema") == 1

    lived(Store, kind, script)


@both
@pytest.mark.parametrize("after_s", [0.0, 0.7, 1.5, 3.6, 4.2, 7.3, 10.9, 12.0])
def test_a_host_that_dies_at_any_time_launches_nothing_twice(kind: str, after_s: float) -> None:
    async def script(life: Life, master: WorldMaster) -> None:
        await asyncio.sleep(after_s)
        await life.kill_host()
        await asyncio.sleep(3)
        life.start_host()
        await life.until_deployed()
        await asyncio.sleep(30)
        assert master.launches == ["node-0.1", "node-1.1", "node-2.1"]

    lived(Store, kind, script)


@both
def test_a_drain_is_deferred_then_accepted_then_held_and_given_back(kind: str) -> None:
    async def script(life: Life, master: WorldMaster) -> None:
        await life.until_deployed()
        life.code.at_risk = {"node-0", "node-1", "node-2"}
        node = master.node_of("node-1")
        drain = master.drain(node)
        await asyncio.sleep(20)
        assert {answer.verdict for answer in master.answers} == {"defer"}
        assert master.operation(drain) == "open"
        life.code.at_risk = set()
        await master.until(lambda: master.operation(drain) == "done")
        assert master.state("node-1") == "held"
        await asyncio.sleep(60)
        assert master.state("node-1") == "held"
        master.send(given.Undrain(node=node, who="a person"))
        await master.until(lambda: master.state("node-1") == "ready")
        assert master.launches == ["node-0.1", "node-1.1", "node-2.1", "node-1.2"]

    lived(Store, kind, script)


@both
def test_a_second_drain_waits_for_the_first_node_to_come_back(kind: str) -> None:
    async def script(life: Life, master: WorldMaster) -> None:
        await life.until_deployed()
        first_node, second_node = master.node_of("web-0"), master.node_of("web-1")
        first = master.drain(first_node)
        await master.until(lambda: master.operation(first) == "done")
        second = master.drain(second_node)
        await asyncio.sleep(60)
        assert master.operation(second) == "open"
        assert master.answers[-1].reason == "web-0 is not ready"
        master.send(given.Undrain(node=first_node, who="a person"))
        await master.until(lambda: master.operation(second) == "done")
        assert master.state("web-0") == "ready"

    lived(Plain, kind, script)


@both
def test_restarts_of_all_members_at_once_go_one_by_one(kind: str) -> None:
    async def script(life: Life, master: WorldMaster) -> None:
        await life.until_deployed()
        restarts = [master.propose("restart", f"web-{n}") for n in range(3)]
        least = 3
        while not all(master.operation(op) == "done" for op in restarts):
            await asyncio.sleep(0.25)
            least = min(least, len(master.world.ready("plain")))
        assert least == 2
        assert sorted(master.launches[3:]) == ["web-0.2", "web-1.2", "web-2.2"]

    lived(Plain, kind, script)


@both
def test_a_crash_comes_back_by_itself_and_is_shown_as_recovery(kind: str) -> None:
    async def script(life: Life, master: WorldMaster) -> None:
        await life.until_deployed()
        master.crash("node-1")
        await master.until(lambda: life.plan_state("recovery") != "done")
        await master.until(lambda: life.plan_state("recovery") == "done" and master.state("node-1") == "ready")
        assert master.launches[3:] == ["node-1.2"]
        assert life.plan_state("deploy") == "done"

    lived(Store, kind, script)


def test_a_node_lost_for_good_is_replaced_elsewhere_once_its_death_is_proven() -> None:
    async def script(life: Life, master: WorldMaster) -> None:
        await life.until_deployed()
        life.code.loss = replace("its machine is gone")
        lost_node = master.node_of("node-1")
        master.silence(lost_node)
        await master.until(lambda: "node-1.2" in master.launches)
        await master.until(lambda: master.state("node-1") == "ready")
        assert master.node_of("node-1") != lost_node
        assert any(word.startswith("before_replace node-1") for word in life.code.heard)
        await master.until(lambda: life.plan_state("recovery") == "done")

    lived(Store, "kernel", script, nodes=4, prove_s=5.0)


@both
def test_an_uninstall_ends_all_members(kind: str) -> None:
    async def script(life: Life, master: WorldMaster) -> None:
        await life.until_deployed()
        operation = master.propose("uninstall")
        await master.until(lambda: master.operation(operation) in ("done", "forgotten"))
        assert master.world.substrate.alive() == []

    lived(Store, kind, script)


def test_a_plan_that_does_not_fit_starts_nothing_and_says_what_is_missing() -> None:
    async def script(life: Life, master: WorldMaster) -> None:
        await master.until(lambda: life.plan_state("deploy") == "waiting")
        await asyncio.sleep(60)
        assert master.launches == []
        assert master.plans["deploy"].reason == master.world.unplaced[-1].reason

    lived(Plain, "kernel", script, nodes=2)


@both
def test_a_master_that_died_and_came_back_finds_the_same_service(kind: str) -> None:
    async def script(life: Life, master: WorldMaster) -> None:
        await master.until(lambda: "node-1.1" in master.launches)
        master.world.die()
        master.world.boot()
        master._queue.put_nowait(None)
        await life.until_deployed()
        await asyncio.sleep(10)
        assert sorted(set(master.launches)) == ["node-0.1", "node-1.1", "node-2.1"]
        assert [str(task) for task in master.world.substrate.alive()] == [f"store.node-{n}.1" for n in range(3)]

    lived(Store, kind, script)
