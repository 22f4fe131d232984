"""What a cluster does to a service, and what the service and the ledger make of it together.

Each of these is lived on every kind of cluster. Where the promise itself differs, the test says both.
"""

import asyncio
from typing import Any

import pytest
from sample_services import Plain, Store

from upcall.operations import inputs as given
from upcall.service import Service, action, replace
from upcall.testing import Life, SimulatedKind
from upcall.testing.simulated import small_nodes

Live = Any
DEPLOYED = ["node-0.1", "node-1.1", "node-2.1"]


# -- deployment -----------------------------------------------------------------------------------------------------


def test_a_serial_deployment_ends_with_its_schema(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        assert life.master.launches == DEPLOYED
        assert life.code.heard.count("schema") == 1

    live(Store, script)


@pytest.mark.parametrize("after_s", [0.0, 0.7, 1.5, 3.6, 4.2, 7.3, 10.9, 12.0])
def test_a_host_that_dies_at_any_time_launches_nothing_twice(live: Live, after_s: float) -> None:
    async def script(life: Life) -> None:
        await asyncio.sleep(after_s)
        await life.kill_host()
        await asyncio.sleep(3)
        life.start_host()
        await life.until_deployed()
        await asyncio.sleep(30)
        assert life.master.launches == DEPLOYED

    live(Store, script)


def test_a_serial_plan_goes_as_far_as_there_is_room_and_on_when_there_is_more(live: Live, kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.master.until(lambda: life.plan_state("deploy") == "waiting")
        await asyncio.sleep(60)
        states = [state for state, _ in life.steps().values()]
        if kind == "kernel":
            assert life.master.launches == []
            assert states == ["waiting", "pending", "pending", "pending"]
        else:
            assert states == ["done", "done", "waiting", "pending"]
            assert life.steps()["node/node-2"][1] == "0 of 2 nodes will do: 2 with one that it keeps apart from"
        life.master.join(small_nodes(3)[2])
        await life.until_deployed()
        assert life.master.launches == DEPLOYED

    live(Store, script, cluster={"nodes": 2})


def test_a_plan_that_waits_for_room_survives_its_host_and_its_master(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.master.until(lambda: life.plan_state("deploy") == "waiting")
        await life.kill_host()
        life.start_host()
        life.master.die()
        await asyncio.sleep(60)
        assert life.plan_state("deploy") == "waiting"
        life.master.join(small_nodes(3)[2])
        await life.until_deployed()
        assert sorted(set(life.master.launches)) == ["web-0.1", "web-1.1", "web-2.1"]

    live(Plain, script, cluster={"nodes": 2})


def test_an_uninstall_ends_all_members(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        operation = life.master.propose("uninstall")
        await life.master.until(lambda: life.master.operations[operation].state == "done")
        assert life.master.cluster.alive() == []

    live(Store, script)


@pytest.mark.parametrize(("service", "said"), [(Plain, "released"), (Store, "released; volumes are kept for 1d")])
def test_only_of_a_member_that_has_volumes_it_is_said_that_they_are_kept(
    live: Live, service: type[Service], said: str
) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        uninstall = life.master.propose("uninstall")
        await life.master.until(lambda: life.master.operations[uninstall].state == "done")
        told = [event.text for event in life.master.world.journal.newest(1000) if event.text.startswith("released")]
        assert set(told) == {said}

    live(service, script)


def test_an_uninstall_ends_what_waits_for_a_place_too(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.master.until(lambda: life.plan_state("deploy") == "waiting")
        operation = life.master.propose("uninstall")
        await life.master.until(lambda: life.master.operations[operation].state == "done")
        life.master.join(small_nodes(3)[2])
        await asyncio.sleep(60)
        assert life.master.cluster.alive() == []

    live(Plain, script, cluster={"nodes": 2})


def test_a_master_that_died_and_came_back_finds_the_same_service(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.master.until(lambda: "node-1.1" in life.master.launches)
        life.master.die()
        await life.until_deployed()
        await asyncio.sleep(10)
        assert sorted(set(life.master.launches)) == DEPLOYED
        assert [str(task) for task in life.master.cluster.alive()] == [f"store.{task}" for task in DEPLOYED]

    live(Store, script)


# -- maintenance ----------------------------------------------------------------------------------------------------


def test_a_drain_is_deferred_then_accepted_then_held_and_given_back(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.at_risk = {"node-0", "node-1", "node-2"}
        node = life.master.node_of("node-1")
        drain = life.master.drain(node)
        await asyncio.sleep(20)
        assert {answer.verdict for answer in life.master.answers} == {"defer"}
        assert life.master.operations[drain].state == "open"
        life.code.at_risk = set()
        await life.master.until(lambda: life.master.operations[drain].state == "done")
        assert life.master.state("node-1") == "held"
        assert life.master.members["node-1"].reason == (
            f"the drain of {node} ({drain}); `upcall node undrain {node}` gives it back"
        )
        await asyncio.sleep(60)
        assert life.master.state("node-1") == "held"
        life.master.undrain(node)
        await life.master.until(lambda: life.master.state("node-1") == "ready")
        assert life.master.launches == [*DEPLOYED, "node-1.2"]

    live(Store, script)


def test_a_second_drain_waits_for_the_first_node_to_come_back(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        first_node, second_node = life.master.node_of("web-0"), life.master.node_of("web-1")
        first = life.master.drain(first_node)
        await life.master.until(lambda: life.master.operations[first].state == "done")
        second = life.master.drain(second_node)
        await asyncio.sleep(60)
        assert life.master.operations[second].state == "open"
        assert life.master.answers[-1].reason == "web-0 is not ready"
        life.master.undrain(first_node)
        await life.master.until(lambda: life.master.operations[second].state == "done")
        assert life.master.state("web-0") == "ready"

    live(Plain, script)


def test_restarts_of_all_members_at_once_go_one_by_one(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        restarts = [life.master.propose("restart", f"web-{n}") for n in range(3)]
        least = 3
        while not all(life.master.operations[op].state == "done" for op in restarts):
            await asyncio.sleep(0.25)
            least = min(least, len(life.master.world.ready("plain")))
        assert least == 2
        assert sorted(life.master.launches[3:]) == ["web-0.2", "web-1.2", "web-2.2"]

    live(Plain, script)


# -- addresses ------------------------------------------------------------------------------------------------------


def test_every_incarnation_has_an_address_of_its_own_and_the_code_sees_the_newest(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        seen = [life.code.members["node-1"].address]
        for round_ in range(3):
            if round_ == 1:
                life.master.crash("node-1")
            else:
                life.master.propose("restart", "node-1")
            newest = f"after_ready node-1.{round_ + 2}"
            await life.master.until(lambda newest=newest: newest in life.code.heard)  # type: ignore[misc]
            seen.append(life.code.members["node-1"].address)
        assert len(set(seen)) == 4
        assert seen[-1] == life.master.members["node-1"].address

    live(Store, script)


# -- losses ---------------------------------------------------------------------------------------------------------


def test_a_crash_comes_back_by_itself_and_is_shown_as_recovery(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.crash("node-1")
        await life.master.until(lambda: life.plan_state("recovery") != "done")
        await life.master.until(
            lambda: life.plan_state("recovery") == "done" and life.master.state("node-1") == "ready"
        )
        assert life.master.launches[3:] == ["node-1.2"]
        assert life.plan_state("deploy") == "done"

    live(Store, script)


def test_a_node_lost_for_good_is_replaced_elsewhere_once_its_death_is_proven(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.loss = replace("its machine is gone")
        lost_node = life.master.node_of("node-1")
        life.master.silence(lost_node)
        await life.master.until(lambda: "node-1.2" in life.master.launches)
        await life.master.until(lambda: life.master.state("node-1") == "ready")
        assert life.master.node_of("node-1") != lost_node
        assert life.master.members["node-1"].place == 2, "an empty volume: it is another member's copy now"
        assert any(word.startswith("before_replace node-1") for word in life.code.heard)
        await life.master.until(lambda: life.plan_state("recovery") == "done")

    live(Store, script, cluster={"nodes": 4, "prove_s": 5.0})


def test_nobody_starts_a_member_elsewhere_while_its_silent_node_may_still_run_it(live: Live) -> None:
    """Neither we nor the other scheduler: what is on the node goes on, and the master cannot know."""

    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.loss = replace("its machine is gone")
        node = life.master.node_of("node-1")
        life.master.silence(node, dies=False)
        await asyncio.sleep(3000)
        assert life.master.launches == DEPLOYED
        assert life.master.state("node-1") == "lost"
        life.master.recover(node)
        await life.master.until(lambda: life.plan_state("recovery") == "done")
        assert life.master.launches == DEPLOYED, "taken as it is"

    live(Store, script, cluster={"nodes": 4})


def test_a_persons_word_is_as_good_as_proof(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        node = life.master.node_of("node-1")
        life.master.silence(node)
        await life.master.until_proposed("lost", "node-1")
        await asyncio.sleep(60)
        life.master.send(given.AssumeDead(service="store", member="node-1", who="ann", why="I pulled its plug"))
        await life.master.until(lambda: life.master.state("node-1") == "ready")
        assert life.master.node_of("node-1") != node
        life.master.recover(node)
        await asyncio.sleep(60)
        assert sorted(str(task) for task in life.master.cluster.alive()) == [
            "store.node-0.1",
            "store.node-1.2",
            "store.node-2.1",
        ]

    live(Store, script, cluster={"nodes": 4})


def test_without_an_expert_a_dead_node_is_waited_for_only_where_its_volumes_are_on_it(
    live: Live, kind: SimulatedKind
) -> None:
    """Ours: the volumes are on that machine, so it is waited for, and then replaced. Theirs: the volumes follow the
    task, so once it is proven dead it is simply started again."""

    async def script(life: Life) -> None:
        await life.until_deployed()
        node = life.master.node_of("web-1")
        life.master.silence(node)
        await asyncio.sleep(60)
        if kind == "kernel":
            assert len(life.master.launches) == 3
            assert life.plan_state("recovery") == "waiting"
        else:
            assert life.master.state("web-1") == "ready"
            assert life.master.members["web-1"].place == 1
        await asyncio.sleep(700)
        assert life.master.state("web-1") == "ready"
        assert life.master.node_of("web-1") != node
        assert life.master.launches[3:] == ["web-1.2"]

    live(Plain, script, data=True, cluster={"nodes": 4, "prove_s": 5.0})


def test_a_replacement_without_room_says_what_it_waits_for_and_takes_the_first_place(
    live: Live, kind: SimulatedKind
) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.loss = replace("its machine is gone")
        life.master.silence(life.master.node_of("node-1"))
        await asyncio.sleep(120)
        assert ("node-1.2" in life.master.launches) == (kind != "kernel"), "its own place is given up for another"
        (step,) = life.steps("recovery").values()
        expected = {
            "kernel": "nothing fits elsewhere: needs a node with 0.1 cpus, 10 MiB disk, 64 MiB memory free for node-1: "
            "n0 already has one, n2 already has one, n1 is silent",
            "delegated": "0 of 3 nodes will do: 1 silent, 2 with one that it keeps apart from",
        }["kernel" if kind == "kernel" else "delegated"]
        assert step[0] == "waiting"
        assert expected in step[1]
        life.master.join(small_nodes(4)[3])
        await life.master.until(lambda: life.plan_state("recovery") == "done")
        assert life.master.node_of("node-1") == "n3"
        assert life.master.launches == [*DEPLOYED, "node-1.2"]

    live(Store, script, cluster={"prove_s": 5.0})


def test_a_removed_node_gives_its_member_to_another(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        node = life.master.node_of("node-1")
        life.master.remove(node)
        await life.master.until(
            lambda: life.plan_state("recovery") == "done" and life.master.state("node-1") == "ready"
        )
        assert life.master.node_of("node-1") != node
        assert life.master.launches == [*DEPLOYED, "node-1.2"]

    live(Store, script, cluster={"nodes": 4})


# -- what others do -------------------------------------------------------------------------------------------------


def test_an_eviction_by_somebody_else_is_asked_about_and_held_until_it_is_safe(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.at_risk = {"node-0", "node-2"}
        life.master.disrupt("e1", "node-1", "evict", who="bob", reason="a node goes", deadline_s=300)
        evicted = await life.master.until_proposed("evict", "node-1")
        await asyncio.sleep(60)
        operation = life.master.operations[evicted]
        assert (operation.origin, operation.firmness, operation.answer) == ("foreign", "intercepted", "defer")
        assert life.master.state("node-1") == "ready"
        life.code.at_risk = set()
        await life.master.until(lambda: life.master.operations[evicted].state == "done")
        await life.master.until(lambda: life.master.state("node-1") == "ready")
        assert life.master.launches == [*DEPLOYED, "node-1.2"]

    live(Store, script)


def test_an_eviction_happens_at_its_deadline_whatever_was_answered(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.at_risk = {"node-0", "node-2"}
        life.master.disrupt("e1", "node-1", "evict", who="bob", reason="a node goes", deadline_s=60)
        await asyncio.sleep(59)
        assert life.master.state("node-1") == "ready"
        await life.master.until(lambda: "node-1.2" in life.master.launches)
        await life.master.until(lambda: life.master.state("node-1") == "ready")

    live(Store, script)


def test_a_task_that_somebody_else_ended_comes_back_and_its_service_is_told(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.disrupt("k1", "node-1", "stop", who="bob", reason="deleted by hand")
        await life.master.until(lambda: "after_ready node-1.2" in life.code.heard)
        told = [word for word in life.code.heard if word.startswith("told")]
        assert told, "nothing was told of it"
        assert life.master.launches == [*DEPLOYED, "node-1.2"]

    live(Store, script)


# -- lost and repeated messages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_lost_and_repeated_messages_cost_time_and_nothing_else(live: Live, seed: int) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.crash("node-0")
        await life.master.until(lambda: "after_ready node-0.2" in life.code.heard)
        node = life.master.node_of("node-1")
        drain = life.master.drain(node)
        await life.master.until(lambda: life.master.operations[drain].state == "done")
        life.master.undrain(node)
        await life.master.until(lambda: "after_ready node-1.2" in life.code.heard)
        life.code.loss = replace("its machine is gone")
        life.master.silence(life.master.node_of("node-2"))
        await life.master.until(lambda: "after_ready node-2.2" in life.code.heard)
        assert sorted(life.master.launches) == ["node-0.1", "node-0.2", "node-1.1", "node-1.2", "node-2.1", "node-2.2"]
        assert life.code.heard.count("schema") == 1
        uninstall = life.master.propose("uninstall")
        await life.master.until(lambda: life.master.operations[uninstall].state == "done")
        assert life.master.cluster.alive() == []

    live(Store, script, cluster={"nodes": 4, "prove_s": 5.0, "loss": 0.4, "repeat": 0.4, "seed": seed})


def test_a_job_that_fails_says_so_with_its_cause_and_holds_nobody_up(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await life.master.act("submit", name="sum")
        await life.master.until_ready("sum")
        life.master.crash("sum", code=3)
        await life.master.until(lambda: life.master.state("sum") == "failed")
        await life.master.until(lambda: life.steps()["job/sum"][0] == "failed")
        assert "exit code 3" in life.steps()["job/sum"][1]
        drain = life.master.drain(life.master.node_of("node-1"))
        await life.master.until(lambda: life.master.operations[drain].state == "done")
        assert "sum.2" not in life.master.launches

    live(Store, script)


class Slow(Store):
    """A store with an action that takes its time."""

    @action(timeout_s=3600)
    async def repair(self, ranges: int = 600) -> str:
        """Repairs all ranges."""
        try:
            for done in range(ranges):
                self.progress(f"{done} of {ranges} ranges", done / ranges)
                await asyncio.sleep(5)
        finally:
            self.heard.append("put away")
        return f"{ranges} ranges"


def test_an_action_may_take_most_of_an_hour_and_tells_how_far_it_is(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        reply = await life.master.act("repair")
        assert (reply.ok, reply.result) == (True, "600 ranges")
        assert life.master.progress[0].text == "0 of 600 ranges"
        assert life.master.progress[-1].share == 599 / 600

    live(Slow, script)


def test_a_cancelled_action_ends_as_any_coroutine_does(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        asked = asyncio.create_task(life.master.act("repair"))
        await life.master.until(lambda: life.master.progress)
        life.master.cancel("repair")
        reply = await asked
        assert (reply.ok, reply.cancelled) == (False, True)
        assert life.code.heard[-1] == "put away"

    live(Slow, script)


def test_an_action_shown_again_goes_on_where_it_runs_and_is_not_begun_where_it_is_unknown(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        asked = asyncio.create_task(life.master.act("repair", ranges=3))
        await life.master.until(lambda: life.master.progress)
        life.master.disconnect()
        assert (await asked).ok
        unknown = asyncio.create_task(life.master.act("repair"))
        await life.master.until(lambda: len(life.master.progress) > 4)
        await life.kill_host()
        life.start_host()
        reply = await unknown
        assert not reply.ok
        assert "whether it was done is not known" in reply.error

    live(Slow, script)
