"""A service's whole life with its master, in virtual time."""

import asyncio
from typing import Any

import msgspec
import pytest
from pydantic import field_validator
from sample_services import Plain, Store

from upcall.protocol import service as wire
from upcall.protocol.errors import NotFound, NotNow
from upcall.service import Declaration, Degraded, Member, ToolFailed, action, decline, replace, restart
from upcall.service.link import Fenced, Link
from upcall.service.state import State
from upcall.testing import Life, SimulatedKind, SimulatedMaster
from upcall.testing.simulated import small_nodes

Live = Any


# -- deploy ---------------------------------------------------------------------------------------------------------


def test_a_serial_deployment_starts_one_after_the_other_then_runs_its_steps(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        assert life.master.launches == ["node-0.1", "node-1.1", "node-2.1"]
        ready = [f"after_ready node-{n}.1" for n in range(3)]
        assert life.code.heard == ["start", *ready, "schema"]

    live(Store, script)


def test_a_plan_that_does_not_fit_waits_and_says_why(live: Live, kind: SimulatedKind) -> None:
    """We place: all have a place before the first starts. Somebody else places: each has its place when it starts, so
    what fits is started, and the plan waits with what that scheduler says of the rest."""

    async def script(life: Life) -> None:
        await life.master.until(lambda: life.plan_state("deploy") == "waiting")
        await asyncio.sleep(100)
        states = [life.master.state(f"web-{n}") for n in range(5)]
        reason = life.master.plans["deploy"].reason
        if kind == "kernel":
            assert states == ["wanted"] * 5
            assert life.master.launches == []
            assert reason.startswith("needs 5 nodes with 0.1 cpus, 64 MiB memory free")
            assert reason.endswith("n0 would do, n1 would do, n2 would do; would fit: 3 of 5")
        else:
            assert states == ["ready"] * 3 + ["pending"] * 2
            assert reason == "0 of 3 nodes will do: 3 with one that it keeps apart from"
        for node in small_nodes(5)[3:]:
            life.master.join(node)
        await life.until_deployed()
        assert sorted(life.master.launches) == [f"web-{n}.1" for n in range(5)], "nothing was started twice"

    live(Plain, script, count=5)


def test_a_step_that_fails_is_tried_again(live: Live) -> None:
    async def script(life: Life) -> None:
        life.code.schema_fails = 3
        await life.until_deployed()
        assert life.code.heard[-1] == "schema"

    live(Store, script)


def test_a_step_that_keeps_failing_fails_the_plan_until_a_person_restarts_it(live: Live) -> None:
    async def script(life: Life) -> None:
        life.code.schema_fails = 10
        await life.master.until(lambda: life.plan_state("deploy") == "failed")
        reason = life.steps()["schema/create keyspace"][1]
        assert reason.startswith("RuntimeError: no quorum yet (sample_services.py:")
        assert reason.endswith(" in create_keyspace) (after 10 attempts)")
        reply = await life.master.act("plan/restart", phase="schema", step="create keyspace")
        assert reply.ok
        await life.until_deployed()

    live(Store, script)


def test_a_person_pauses_and_resumes_the_plan(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.master.until(lambda: "node-0.1" in life.master.launches)
        assert (await life.master.act("plan/pause")).ok
        await asyncio.sleep(60)
        assert life.master.launches == ["node-0.1"]
        assert life.plan_state("deploy") == "paused"
        assert (await life.master.act("plan/resume")).ok
        await life.until_deployed()

    live(Store, script)


def test_a_pause_survives_the_host(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.master.until(lambda: "node-0.1" in life.master.launches)
        await life.master.act("plan/pause", phase="node", step="node-1")
        await life.master.until(lambda: "sdk.deploy" in life.master.memory)
        await life.kill_host()
        life.start_host()
        await asyncio.sleep(60)
        assert life.master.launches == ["node-0.1"]

    live(Store, script)


def test_what_was_done_for_an_earlier_life_of_the_name_is_done_again(live: Live) -> None:
    """Taken back after an uninstall, a service finds its memory, and in it that its plan was over."""

    async def script(life: Life) -> None:
        await life.until_deployed()
        before = life.code.heard.count("schema")
        await life.kill_host()
        life.start_host()
        await life.until_deployed()
        assert life.code.heard.count("schema") == 0, "the same life: nothing is done twice"
        await life.kill_host()
        life.master.install_again()
        life.start_host()
        await life.master.until(lambda: "schema" in life.code.heard)
        await life.until_deployed()
        assert life.code.heard.count("schema") == before == 1

    live(Store, script)


def test_code_of_an_earlier_life_does_nothing_for_the_next_one(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        shown = life.master.plans["deploy"]
        life.master.install_again()
        life.master.change(nodes=4)
        await asyncio.sleep(60)
        assert life.master.plans["deploy"] == shown
        assert "node-3.1" not in life.master.launches

    live(Store, script)


def test_a_stuck_member_can_be_forced(live: Live) -> None:
    async def script(life: Life) -> None:
        life.master.slow("node-0")
        await life.master.until(lambda: "node-0.1" in life.master.launches)
        await asyncio.sleep(100)
        assert life.master.launches == ["node-0.1"]
        await life.master.act("plan/force", phase="node", step="node-0")
        await life.until_deployed()
        assert life.steps()["node/node-0"][0] == "forced"

    live(Store, script)


def test_restarting_a_start_step_asks_like_anybody_else(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await life.master.act("plan/restart", phase="node", step="node-1")
        await life.master.until(lambda: "node-1.2" in life.master.launches)
        await life.until_deployed()
        assert [proposal.kind for proposal in life.master.proposals] == ["restart"]
        assert "may_stop node-1" in life.code.heard

    live(Store, script)


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("plan/pause", {"phase": "nodes"}, "no phase or step 'nodes'"),
        ("plan/pause", {"plan": "recovery"}, "no plan 'recovery' that can be controlled"),
        ("plan/erase", {}, "a plan cannot 'erase'"),
        ("plan/force", {"step": "node-0"}, "needs its phase"),
    ],
)
def test_a_wrong_control_is_one_clear_error(live: Live, name: str, arguments: dict[str, str], complaint: str) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        reply = await life.master.act(name, **arguments)
        assert not reply.ok
        assert complaint in reply.error

    live(Store, script)


# -- the host's own end ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kill_at_call", range(1, 26))
def test_a_host_that_dies_after_any_call_launches_nothing_twice(live: Live, kill_at_call: int) -> None:
    async def script(life: Life) -> None:
        await life.master.until(lambda: len(life.master.calls) >= kill_at_call or life.plan_state("deploy") == "done")
        await life.kill_host()
        life.start_host()
        await life.until_deployed()
        await asyncio.sleep(30)
        assert life.master.launches == ["node-0.1", "node-1.1", "node-2.1"]
        assert life.plan_state("deploy") == "done"

    live(Store, script)


def test_a_new_host_tells_only_what_was_not_told(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await life.kill_host()
        life.start_host()
        life.master.crash("node-1")
        await life.master.until(lambda: "node-1.2" in life.master.launches)
        await life.master.until_ready()
        await asyncio.sleep(5)
        assert [word for word in life.code.heard if not word.startswith("told")] == ["start", "after_ready node-1.2"]

    live(Store, script)


def test_a_broken_stream_is_opened_again_and_nothing_is_lost(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.master.until(lambda: "node-0.1" in life.master.launches)
        life.master.disconnect()
        await life.until_deployed()
        life.master.disconnect()
        stop = life.master.propose("stop", "node-1")
        await life.master.until(lambda: life.master.operations[stop].state == "done")
        assert life.code.heard.count("schema") == 1
        assert len(life.master.launches) == 3

    live(Store, script)


def test_nothing_is_said_on_a_new_stream_before_it_has_its_name(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    class Looks(Store):
        """Has something to say at once on each subscription: how it is, and what it answers."""

        async def health(self) -> tuple[Degraded, ...]:
            return (Degraded("never quite well", key="ill"),)

    async def script(life: Life) -> None:
        await life.until_deployed()
        await life.master.until(lambda: life.master.calls.count("PUT health") == 1)
        life.master.opens_s = 1.0
        stop = life.master.propose("stop", "node-1")
        life.master.disconnect()
        await life.master.until(lambda: life.master.operations[stop].state == "done")
        await life.master.until(lambda: life.master.calls.count("PUT health") > 1)
        assert "not the current stream" not in caplog.text

    live(Looks, script)


def test_a_master_that_is_away_is_waited_for(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.master.until(lambda: "node-0.1" in life.master.launches)
        life.master.away = True
        life.master.disconnect()
        await asyncio.sleep(120)
        life.master.away = False
        await life.until_deployed()
        assert len(life.master.launches) == 3

    live(Store, script)


def test_a_host_that_was_fenced_off_can_write_nothing(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        older = Link(life.master, "store")  # whatever stream it had is not the current one
        with pytest.raises(Fenced, match="not the current stream"):
            await State(older).set("jobs", ["mine"])
        with pytest.raises(Fenced):
            await older.show("members", msgspec.json.encode(wire.Declare(members={})))
        assert "jobs" not in life.master.memory

    live(Store, script)


# -- being asked ----------------------------------------------------------------------------------------------------


def test_a_drain_is_deferred_with_its_reason_and_goes_on_when_the_risk_is_over(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.at_risk = {"node-0", "node-1"}
        stop = life.master.propose("stop", "node-1")
        await life.master.until(lambda: len(life.master.answers) >= 3)
        answer = life.master.answers[-1]
        assert (answer.verdict, answer.reason) == ("defer", "2 ranges have no quorum without it")
        assert life.master.operations[stop].state == "open"
        life.code.at_risk = set()
        await life.master.until(lambda: life.master.operations[stop].state == "done")
        assert life.master.state("node-1") == "held"

    live(Store, script)


def test_a_deferral_never_lapses_while_the_expert_defers(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.at_risk = {"node-0"}
        stop = life.master.propose("stop", "node-1")
        await life.master.until(lambda: life.master.answers)
        for _ in range(100):
            await asyncio.sleep(0.7)
            assert life.master.operations[stop].answer == "defer"
        assert 14 <= len(life.master.answers) <= 22, "about one renewal every 4 s"

    live(Store, script)


def test_a_long_deferral_is_asked_again_as_soon_as_a_member_changed(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.slow("web-0")
        life.master.crash("web-0")
        await life.master.until(lambda: life.master.state("web-0") == "running")
        stop = life.master.propose("stop", "web-1")
        await life.master.until(lambda: life.master.operations[stop].answer == "defer")
        began_s = asyncio.get_running_loop().time()
        await asyncio.sleep(2)
        life.master.make_ready("web-0")
        await life.master.until(lambda: life.master.operations[stop].state == "done")
        assert asyncio.get_running_loop().time() - began_s < 4.5

    live(Plain, script)


def test_two_drains_go_one_after_the_other(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        first = life.master.propose("restart", "web-0")
        second = life.master.propose("restart", "web-1")
        await life.master.until(lambda: life.master.operations[second].state == "done")
        assert life.master.operations[first].state == "done"
        reasons = [answer.reason for answer in life.master.answers if answer.operation == second]
        assert "after restart of web-0" in reasons
        assert life.master.launches[3:] == ["web-0.2", "web-1.2"]

    live(Plain, script)


def test_an_answer_about_an_older_world_is_asked_anew(live: Live) -> None:
    class Slow(Store):
        async def may_stop(self, member: Member, why: wire.Operation) -> Any:
            await asyncio.sleep(3)
            return await super().may_stop(member, why)

    async def script(life: Life) -> None:
        await life.until_deployed()
        stop = life.master.propose("stop", "node-1")
        await asyncio.sleep(1)
        life.master.crash("node-0")
        await life.master.until(lambda: life.master.operations[stop].state == "done")
        assert life.code.heard.count("may_stop node-1") == 2

    live(Slow, script)


def test_a_hung_expert_does_not_hold_up_the_plan_or_the_actions(live: Live) -> None:
    class Hung(Store):
        async def may_stop(self, member: Member, why: wire.Operation) -> Any:
            await asyncio.sleep(1e6)

    async def script(life: Life) -> None:
        await life.master.until(lambda: "node-0.1" in life.master.launches)
        stop = life.master.propose("stop", "node-0")
        await life.until_deployed()
        assert (await life.master.act("submit", name="etl")).ok
        assert life.master.operations[stop].answer == ""

    live(Hung, script)


def test_a_declined_uninstall_stays_and_an_accepted_one_is_shown_as_a_plan(live: Live) -> None:
    class Careful(Store):
        may_go = False

        async def may_uninstall(self, why: wire.Operation) -> Any:
            return await super().may_uninstall(why) if self.may_go else decline("there is data of the last hour")

    async def script(life: Life) -> None:
        await life.until_deployed()
        first = life.master.propose("uninstall")
        await life.master.until(lambda: life.master.operations[first].state == "declined")
        life.code.may_go = True
        second = life.master.propose("uninstall")
        await life.master.until(lambda: "uninstall" in life.master.plans)
        await life.master.until(lambda: life.master.operations[second].state == "done")
        assert life.master.cluster.alive() == []

    live(Careful, script)


def test_an_uninstall_during_a_deploy_starts_nothing_more(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.master.until(lambda: "node-0.1" in life.master.launches)
        operation = life.master.propose("uninstall")
        await life.master.until(lambda: life.master.operations[operation].state == "done")
        await asyncio.sleep(60)
        assert life.master.launches == ["node-0.1"]

    live(Store, script)


# -- recovery -------------------------------------------------------------------------------------------------------


def test_a_crash_is_shown_as_recovery_and_leaves_the_deployment_done(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.cluster.crashing.add("store.node-2")
        life.master.crash("node-2")
        await life.master.until(lambda: life.plan_state("recovery") == "running")
        pause = {"members/loss of node-2": ("running", "ended with code 1; is started again")}
        await life.master.until(lambda: life.steps("recovery") == pause)
        life.master.cluster.crashing.clear()
        await life.master.until(lambda: life.plan_state("recovery") == "done")
        assert life.plan_state("deploy") == "done"

    live(Store, script)


def test_a_lost_member_is_waited_for_by_default(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.silence(life.master.node_of("node-2"))
        lost = await life.master.until_proposed("lost", "node-2")
        await life.master.until(lambda: life.master.operations[lost].answer == "wait")
        assert life.steps("recovery")["members/loss of node-2"][0] == "waiting"

    live(Store, script)


def test_before_replace_is_over_before_a_loss_is_answered_by_replace(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.loss = replace("its disk is gone")
        address, node = life.master.members["node-2"].address, life.master.node_of("node-2")
        life.master.silence(node)
        lost = await life.master.until_proposed("lost", "node-2")
        await life.master.until(lambda: life.master.operations[lost].state == "done")
        told = [word for word in life.code.heard if "node-2" in word]
        await life.master.until(lambda: "after_ready node-2.2" in life.code.heard)
        assert f"before_replace node-2 at {address}" in told
        verdicts = [answer.verdict for answer in life.master.answers if answer.operation == lost]
        assert verdicts[0] == "wait"
        assert verdicts[-1] == "replace"
        assert life.master.members["node-2"].place == 2
        assert life.master.node_of("node-2") != node

    live(Store, script, cluster={"nodes": 4, "prove_s": 20})


def test_a_planned_replacement_waits_for_leave(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        address = life.master.members["node-1"].address
        operation = life.master.propose("replace", "node-1")
        await life.master.until(lambda: life.master.operations[operation].state == "done")
        assert f"before_replace node-1 at {address}" in life.code.heard
        assert life.master.calls.count(f"POST confirm/{operation}") == 1

    live(Store, script)


def test_a_hook_that_fails_is_called_again_and_the_removal_waits(live: Live) -> None:
    class Refusing(Store):
        refusals = 3

        async def before_replace(self, member: Member) -> None:
            if self.refusals:
                self.refusals -= 1
                raise RuntimeError("data is still being moved")
            await super().before_replace(member)

    async def script(life: Life) -> None:
        await life.until_deployed()
        operation = life.master.propose("replace", "node-1")
        await asyncio.sleep(3)
        assert life.code.refusals == 1
        assert life.master.operations[operation].state == "preparing"
        await life.master.until(lambda: life.master.operations[operation].state == "done")

    live(Refusing, script, cluster={"raises": True})


def test_a_lost_member_may_be_started_again_with_its_volumes(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.loss = restart()
        life.master.crash("node-2")
        lost = await life.master.until_proposed("lost", "node-2")
        await life.master.until(lambda: life.master.operations[lost].state == "done")
        assert life.master.members["node-2"].place == 1

    live(Store, script)


def test_an_answer_that_the_master_refuses_does_not_end_the_service(live: Live, kind: SimulatedKind) -> None:
    class Refusing(SimulatedMaster):
        async def _answered(self, answers: wire.Answers) -> wire.Accepted:
            raise NotFound("no operation op-1")

    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.propose("stop", "node-1")
        await asyncio.sleep(30)
        assert life.code.heard.count("start") == 1
        assert (await life.master.act("submit", name="etl")).ok

    live(Store, script, cluster={"master": Refusing("store", kind)})


def test_what_began_and_ended_is_told(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        operation = life.master.propose("restart", "node-1")
        await life.master.until(lambda: life.master.operations[operation].state == "done")
        await asyncio.sleep(1)
        told = [word for word in life.code.heard if word.startswith("told")]
        assert told == ["told begun restart", "told done restart"]

    live(Store, script)


# -- options, actions, tools ----------------------------------------------------------------------------------------


def test_new_options_are_a_new_declaration(live: Live) -> None:
    class Sized(Plain):
        def task(self, member: Member) -> Declaration:
            return msgspec.structs.replace(super().task(member), command=("serve", str(self.options.data)))

    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.change(data=True)
        await life.master.until(lambda: life.master.declared.members["web-0"].declaration.command[1] == "True")  # type: ignore[union-attr]

    live(Sized, script)


def test_options_that_only_code_can_refuse_are_declined_and_change_nothing(live: Live) -> None:
    class Odd(Plain):
        class Options(Plain.Options):
            @field_validator("count")
            @classmethod
            def _is_odd(cls, count: int) -> int:
                if count % 2 == 0:
                    raise ValueError("no majority of an even number")
                return count

        options: Options

    async def script(life: Life) -> None:
        await life.until_deployed()
        before = life.master.declared
        asked = life.master.change(count=4)
        await life.master.until(lambda: life.master.operations[asked].state == "declined")
        operation = life.master.world.ledger.operation(asked)
        assert operation is not None
        assert "count: no majority of an even number" in operation.outcome
        assert life.master.declared == before

    live(Odd, script)


def test_an_action_may_change_what_the_service_wants(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        reply = await life.master.act("submit", name="etl", retries="5")
        assert reply == wire.ActionReply(ok=True, result={"job": "etl", "retries": 5})
        await life.master.until_ready("etl")
        assert "job/etl" in life.steps()
        await life.kill_host()
        life.start_host()
        await asyncio.sleep(10)
        assert life.code.jobs == ["etl"]
        assert life.master.launches.count("etl.1") == 1

    live(Store, script)


@pytest.mark.parametrize(
    ("arguments", "complaint"), [({}, "name is missing"), ({"name": "a", "retries": "many"}, "retries")]
)
def test_a_wrong_action_is_one_clear_error(live: Live, arguments: dict[str, Any], complaint: str) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        reply = await life.master.act("submit", **arguments)
        assert not reply.ok
        assert complaint in reply.error

    live(Store, script)


def test_an_action_that_is_late_or_raises_is_answered_so(live: Live) -> None:
    class Acting(Plain):
        @action(timeout_s=2)
        async def sleep(self) -> None:
            await asyncio.sleep(60)

        @action
        async def explode(self) -> None:
            raise NotNow("the quorum is forming", expected="a minute of patience")

    async def script(life: Life) -> None:
        await life.until_deployed()
        assert (await life.master.act("sleep")).error == "sleep did not end within its 2 s"
        assert (await life.master.act("explode")).error == "the quorum is forming; expected a minute of patience"
        assert "no action 'burn'; expected explode or sleep" in (await life.master.act("burn")).error

    live(Acting, script)


def test_a_tool_runs_beside_the_member_and_its_failure_says_what_it_said(live: Live) -> None:
    class Tooled(Plain):
        @action
        async def status(self, code: int) -> str:
            result = await self.members["web-1"].run(["nodetool", "status", str(code)], timeout_s=5)
            return result.output

    def tool(asked: wire.RunTool) -> wire.ToolResult:
        code = int(asked.command[-1])
        return wire.ToolResult(code=code, output="UN 3", error="stack trace\nconnection refused\n" if code else "")

    async def script(life: Life) -> None:
        life.master.tool = tool
        await life.until_deployed()
        assert (await life.master.act("status", code=0)).result == "UN 3"
        assert life.master.tools[0].member == "web-1"
        assert (await life.master.act("status", code=2)).error == "nodetool ended with 2: connection refused; at web-1"
        result = await life.code.members["web-0"].run(["nodetool", "1"], codes=())
        assert result.code == 1
        with pytest.raises(ToolFailed):
            await life.code.members["web-0"].run(["nodetool", "1"], codes=(0, 3))

    live(Tooled, script)


def test_the_code_of_a_service_may_fail_to_say_what_it_wants_and_the_plan_says_so(live: Live) -> None:
    class Moody(Plain):
        broken = True

        def task(self, member: Member) -> Declaration:
            if self.broken:
                raise ValueError("no lock file for this version")
            return super().task(member)

    async def script(life: Life) -> None:
        await life.master.until(lambda: life.plan_state("deploy") == "failed")
        assert life.master.plans["deploy"].reason.startswith("ValueError: no lock file for this version (")
        life.code.broken = False
        await life.until_deployed()

    live(Moody, script, cluster={"raises": True})


def test_blocking_work_runs_in_the_services_own_threads(live: Live) -> None:
    import threading

    class Blocking(Plain):
        @action
        async def where(self) -> str:
            return await self.blocking(lambda: threading.current_thread().name)

    async def script(life: Life) -> None:
        await life.until_deployed()
        assert (await life.master.act("where")).result.startswith("blocking-blocking")

    live(Blocking, script)


def test_a_service_of_no_members_is_deployed_at_once(live: Live) -> None:
    class Empty(Plain):
        def pods(self) -> list[Any]:
            return []

    async def script(life: Life) -> None:
        await life.until_deployed()

    live(Empty, script)
