"""Members come and leave: places for all or the reason, load that is spread, data that is moved and confirmed before
anything ends, and a way back as long as nothing has. In virtual time, on both kinds of cluster; every host and every
master may die in the middle."""

import asyncio
from typing import Any

from sample_services import Plain

from upcall.operations import inputs as given
from upcall.service import Declaration, Invalid, Member, Operation, Pod, Verdict, Volume, accept, decline, hopeless
from upcall.testing import Life, SimulatedKind

Live = Any


class Shelves(Plain):
    """Members with data, whose expert moves it: 10 steps of 10 s each."""

    steps = 10
    step_s = 10.0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.heard: list[str] = []
        self.pause_s = 0.0
        """More than a step takes."""

    def pods(self) -> list[Pod]:
        return [Pod("web", count=self.options.count)]

    def task(self, member: Member) -> Declaration:
        return Declaration(command=("serve", member.name), volumes=(Volume(name="data", size_mib=10),))

    async def may_scale_in(self, member: Member, why: Operation) -> Verdict:
        self.heard.append(f"may_scale_in {member} {','.join(why.leaving)}".strip())
        return accept()

    async def leave(self, member: Member | None, why: Operation) -> None:
        self.heard.append(f"leave {member}")
        try:
            await self.moved()
        except asyncio.CancelledError:
            self.heard.append(f"cancelled {member}")
            raise
        self.heard.append(f"left {member}")

    async def stay(self, member: Member, why: Operation) -> None:
        await asyncio.sleep(5)
        self.heard.append(f"stay {member}")

    async def spread(self, came: tuple[Member, ...], why: Operation) -> None:
        self.heard.append(f"spread {','.join(map(str, came))}")
        await self.moved()
        self.heard.append("spread out")

    async def moved(self) -> None:
        for step in range(self.steps):
            self.progress(f"{34 * step} of {34 * self.steps} MiB", step / self.steps)
            await asyncio.sleep(self.step_s + self.pause_s)


class Slow(Shelves):
    """Longer than a hook may take without a word."""

    step_s = 100.0


def state_of(life: Life, operation: str) -> str:
    return life.master.operations[operation].state


async def over(life: Life, operation: str, state: str = "done") -> None:
    ends = ("done", "failed", "declined", "withdrawn")
    await life.master.until(lambda: state_of(life, operation) in ends, within_s=20_000)
    assert state_of(life, operation) == state, f"{life.master.why(operation)} {life.master.plans.get('update')}"


async def leaves(life: Life, member: str = "web-2") -> str:
    """Until it does; gives the removal."""
    found = await life.master.until_proposed("scale_in", member)
    await life.master.until(lambda: state_of(life, found) == "preparing")
    return found


# -- out --------------------------------------------------------------------------------------------------------------


def test_new_members_start_together_unless_the_pod_says_one_by_one(live: Live) -> None:
    class OneByOne(Plain):
        def pods(self) -> list[Pod]:
            return [Pod("web", count=self.options.count, joins="one by one")]

    async def script(life: Life, *, both: bool) -> None:
        await life.until_deployed()
        life.master.slow("web-3", "web-4")
        update = life.master.change(count=5)
        await life.master.until(lambda: "web-3.1" in life.master.launches)
        await asyncio.sleep(60)
        assert ("web-4.1" in life.master.launches) == both
        life.master.make_ready("web-3")
        life.master.make_ready("web-4")
        await life.master.until(lambda: "web-4.1" in life.master.launches)
        life.master.make_ready("web-4")
        await over(life, update)

    live(Plain, lambda life: script(life, both=True), cluster={"nodes": 5})
    live(OneByOne, lambda life: script(life, both=False), cluster={"nodes": 5})


def test_load_is_spread_onto_those_that_came_and_its_progress_is_shown(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(count=4)
        await life.master.until(lambda: "spread web-3" in life.code.heard)
        await asyncio.sleep(35)
        assert life.steps("update")["spread/load"] == ("running", "102 of 340 MiB (30 %)")
        assert "102 of 340 MiB (30 %)" in life.master.why(update).account()
        await over(life, update)
        assert life.code.heard == ["spread web-3", "spread out"]

    live(Shelves, script, cluster={"nodes": 4})


def test_what_takes_long_is_not_late_while_it_makes_progress(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await over(life, life.master.change(count=4))
        await over(life, life.master.change(count=3))
        assert [each for each in life.code.heard if "web-3" in each] == [
            "spread web-3", "may_scale_in web-3 web-3", "may_scale_in web-3", "leave web-3", "left web-3",
        ]  # fmt: skip

    live(Slow, script, cluster={"nodes": 4})


def test_a_cancelled_update_stops_the_spreading_and_the_new_members_stay(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(count=4)
        await life.master.until(lambda: "spread web-3" in life.code.heard)
        life.master.control(update, "cancel")
        await asyncio.sleep(600)
        assert "spread out" not in life.code.heard
        assert life.master.state("web-3") == "ready"

    live(Shelves, script, cluster={"nodes": 4})


def test_an_update_that_brings_more_members_than_fit_is_declined_before_anything_began(
    live: Live, kind: SimulatedKind
) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        found = await life.master.preview(count=5, data=True)
        update = life.master.change(count=5, data=True)
        if kind == "kernel":
            assert found.answer.startswith("decline: no place for web-3, web-4: ")
            assert found.unasked, "that is the system's own word"
            await over(life, update, "declined")
            assert (life.code.options.count, life.master.launches[3:]) == (3, [])
            assert list(life.master.members) == ["web-0", "web-1", "web-2"]
        else:  # who places there says it when a task is launched
            assert found.answer == "accept"
            await life.master.until(lambda: life.plan_state("update"))
            await life.master.until(lambda: "0 of 3 nodes will do" in life.steps("update")["new web/web-3"][1])
            assert state_of(life, update) == "executing"

    live(Plain, script)


# -- in ---------------------------------------------------------------------------------------------------------------


def test_a_member_leaves_in_two_phases_and_its_progress_is_shown(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(count=2)
        removal = await leaves(life)
        await asyncio.sleep(35)
        assert life.master.state("web-2") == "ready"
        assert "web-2" in life.code.heard[-1]
        assert "the member leaves; 102 of 340 MiB (30 %)" in life.master.why(removal).account()
        assert life.steps("update")["leave/web-2"] == ("waiting", f"{removal}: 102 of 340 MiB (30 %)")
        await over(life, update)
        assert list(life.master.members) == ["web-0", "web-1"]
        assert life.code.heard[-1] == "left web-2"
        assert not life.master.world.alerts

    live(Shelves, script)


def test_those_who_leave_are_asked_about_as_a_whole_and_refused_with_numbers_before_anything_began(live: Live) -> None:
    class Replicated(Shelves):
        async def may_scale_in(self, member: Member, why: Operation) -> Verdict:
            left = self.options.count - len(why.leaving)
            if left < 2:
                return hopeless(f"{left} copies would be left of 12 partitions that have 2", would_help="fewer copies")
            return decline("the only copy of 3 partitions is there") if member.name == "web-0" else accept()

    async def script(life: Life) -> None:
        await life.until_deployed()
        refused = "decline: web-2 would leave: 1 copies would be left of 12 partitions that have 2 (would help: fewer"
        found = await life.master.preview(count=1)
        assert (found.answer.startswith(refused), found.unasked) == (True, False)
        await over(life, life.master.change(count=1), "declined")
        assert life.code.options.count == 3
        assert not life.code.heard
        await over(life, life.master.change(count=2))

    live(Replicated, script)


def test_to_cancel_the_update_while_a_member_leaves_puts_everything_back(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(count=2)
        removal = await leaves(life)
        await asyncio.sleep(35)
        life.master.control(update, "cancel")
        await life.master.until(lambda: state_of(life, removal) == "withdrawn")
        assert "web-2 stays" in life.master.why(removal).account()
        await life.master.until(lambda: any("stays: what was begun" in note.text for note in life.master.notes))
        assert life.code.heard[-3:] == ["leave web-2", "cancelled web-2", "stay web-2"]
        await asyncio.sleep(600)
        assert life.master.state("web-2") == "ready"
        assert "web-2" in life.master.declared.members, "it is a member like the others"  # type: ignore[union-attr]
        assert life.master.declared.policy.minimum == 2  # type: ignore[union-attr]
        assert life.code.heard[-1] == "stay web-2"
        before = life.master.launches
        await over(life, life.master.rollback())
        assert life.master.launches == before, "it was never away"
        assert not life.master.memory["sdk.leaving"].value

    live(Shelves, script)


def test_to_cancel_the_removal_alone_ends_the_update_with_who_did_it(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(count=1)
        removal = await leaves(life)
        life.master.control(removal, "cancel")
        await over(life, update, "failed")
        await life.master.until(lambda: life.plan_state("update") == "failed")
        assert "the scale_in of web-2 was withdrawn: cancelled by a person" in life.master.plans["update"].reason
        assert [op.id for op in life.master.operations.values() if op.kind == "scale_in"] == [removal], "asked once"
        await life.master.until(lambda: life.code.heard[-1] == "stay web-2")
        await asyncio.sleep(300)
        assert list(life.master.members) == ["web-0", "web-1", "web-2"]
        await over(life, life.master.change(count=2))
        assert list(life.master.members) == ["web-0", "web-1"]

    live(Shelves, script)


def test_a_host_that_dies_while_a_member_leaves_is_followed_by_one_that_goes_on(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(count=2)
        await leaves(life)
        for _ in range(3):
            await asyncio.sleep(35)
            await life.kill_host()
            life.start_host()
        await over(life, update)
        assert list(life.master.members) == ["web-0", "web-1"]
        assert "stay web-2" not in life.code.heard

    live(Shelves, script)


def test_a_cancel_while_the_host_is_dead_is_carried_out_by_the_next_one(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(count=2)
        await leaves(life)
        await asyncio.sleep(35)
        await life.kill_host()
        life.master.control(update, "cancel")
        await asyncio.sleep(60)
        life.start_host()
        await life.master.until(lambda: life.code.heard == ["stay web-2"])
        await life.kill_host()
        life.start_host()
        await asyncio.sleep(120)
        assert life.code.heard == [], "it returned once"
        assert life.master.state("web-2") == "ready"

    live(Shelves, script)


def test_a_master_that_dies_while_a_member_leaves_changes_nothing(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(count=2)
        await leaves(life)
        for _ in range(4):
            await asyncio.sleep(17)
            life.master.die()
        await over(life, update)
        assert life.code.heard.count("leave web-2") == 1
        assert list(life.master.members) == ["web-0", "web-1"]

    live(Shelves, script)


def test_who_dies_while_it_leaves_is_started_again_for_its_data_is_still_to_be_moved(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(count=2)
        await leaves(life)
        await asyncio.sleep(15)
        life.master.crash("web-2")
        await life.master.until(lambda: "web-2.2" in life.master.launches)
        await life.master.until_ready("web-2")
        await over(life, update)
        assert life.code.heard.count("leave web-2") == 1
        assert list(life.master.members) == ["web-0", "web-1"]

    live(Shelves, script)


def test_a_shutdown_while_a_member_leaves_is_no_end_of_it(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(count=2)
        await leaves(life)
        await asyncio.sleep(35)
        life.master.propose("shutdown")
        await asyncio.sleep(60)
        await life.kill_host()
        life.master.send(given.Up(who="a person"))
        life.start_host()
        await life.master.until_ready("web-0", "web-1")
        await over(life, update)
        assert list(life.master.members) == ["web-0", "web-1"]
        assert life.code.heard[-1] == "left web-2"

    live(Shelves, script)


def test_a_removal_that_makes_no_progress_is_told_with_its_last_words_and_goes_on(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(count=2)
        removal = await leaves(life)
        await asyncio.sleep(35)
        life.code.pause_s = 100.0
        await life.master.until(lambda: life.master.world.alerts)
        [alert] = life.master.world.alerts
        assert alert.operation == removal
        assert "136 of 340 MiB (40 %)" in alert.text
        assert "no progress for 40 s" in alert.text
        life.code.pause_s = 0.0
        await over(life, update)
        assert len(life.master.world.alerts) == 1

    live(Shelves, script)


def test_who_leaves_and_is_wanted_again_meanwhile_leaves_at_the_next_time_only_after_it_has_stayed(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.change(count=2)
        await leaves(life)
        await asyncio.sleep(35)
        await over(life, life.master.rollback())
        await life.master.until(lambda: life.code.heard[-1] == "stay web-2")
        await over(life, life.master.change(count=2))
        story = [each for each in life.code.heard if "web-2" in each and "may" not in each]
        assert story[:3] == ["leave web-2", "cancelled web-2", "stay web-2"]
        assert story[-2:] == ["leave web-2", "left web-2"]

    live(Shelves, script)


def test_who_comes_again_within_the_grace_is_told_that_its_volumes_are_of_before(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await over(life, life.master.change(count=2))
        await over(life, life.master.change(count=3))
        assert life.code.members["web-2"].taken_back
        assert not life.code.members["web-1"].taken_back

    live(Shelves, script)


def test_a_service_that_writes_nothing_and_has_no_data_scales_out_and_in(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await over(life, life.master.change(count=4))
        await over(life, life.master.change(count=2))
        assert list(life.master.members) == ["web-0", "web-1"]

    live(Plain, script, cluster={"nodes": 4})


def test_a_service_with_data_and_no_expert_for_it_says_so_before_anything_begins(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        assert "has no leave() that moves it away" in (await life.master.preview(count=2)).answer
        await over(life, life.master.change(count=2), "declined")

    live(Plain, script, data=True)


# -- rebalance --------------------------------------------------------------------------------------------------------


def test_a_person_may_have_the_load_spread_anew_and_sees_how_far_it_is(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        rebalance = life.master.propose("rebalance")
        assert life.master.propose("rebalance") == rebalance, "the same wish is the same operation"
        await life.master.until(lambda: life.code.heard == ["spread "])
        await asyncio.sleep(35)
        assert life.plan_state("rebalance") == "running"
        assert life.master.plans["rebalance"].reason == "102 of 340 MiB (30 %)"
        assert "102 of 340 MiB (30 %)" in life.master.why(rebalance).account()
        await over(life, rebalance)
        await life.master.until(lambda: "rebalance" not in life.master.plans)

    live(Shelves, script)


def test_a_rebalance_that_is_cancelled_is_stopped(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        rebalance = life.master.propose("rebalance")
        await life.master.until(lambda: life.code.heard)
        life.master.control(rebalance, "cancel")
        await asyncio.sleep(600)
        assert life.code.heard == ["spread "]

    live(Shelves, script)


def test_a_rebalance_survives_every_death_of_its_host_and_of_the_master(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        rebalance = life.master.propose("rebalance")
        for _ in range(3):
            await asyncio.sleep(35)
            await life.kill_host()
            life.master.die()
            life.start_host()
        await over(life, rebalance)

    live(Shelves, script)


def test_a_rebalance_waits_for_a_change_and_is_declined_by_who_cannot_spread(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(count=4)
        await life.master.until(lambda: "spread web-3" in life.code.heard)
        rebalance = life.master.propose("rebalance")
        await asyncio.sleep(20)
        assert f"after {update} (update)" in life.master.why(rebalance).account()
        await over(life, rebalance)

    async def alone(life: Life) -> None:
        await life.until_deployed()
        await over(life, life.master.propose("rebalance"), "declined")

    live(Shelves, script, cluster={"nodes": 4})
    live(Plain, alone)


def test_a_spreading_that_cannot_be_right_fails_the_rebalance_in_its_words(live: Live) -> None:
    class Full(Shelves):
        async def spread(self, came: tuple[Member, ...], why: Operation) -> None:
            raise Invalid("340 MiB do not fit on 3 members")

    async def script(life: Life) -> None:
        await life.until_deployed()
        rebalance = life.master.propose("rebalance")
        await over(life, rebalance, "failed")
        assert "340 MiB do not fit" in life.master.why(rebalance).account()

    live(Full, script)


def test_who_left_is_no_data_of_before_that_a_smaller_service_leaves_out(live: Live) -> None:
    class Whole(Shelves):
        def pods(self) -> list[Pod]:
            return [self.takes_back_all(Pod("web", count=self.options.count), "count")]

    async def script(life: Life) -> None:
        await life.until_deployed()
        await over(life, life.master.change(count=2))
        await asyncio.sleep(10)
        assert [pod.count for pod in life.code.pods()] == [2]
        await over(life, life.master.change(count=3))

    live(Whole, script)
