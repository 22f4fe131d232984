"""What a service answers where its expert wrote nothing; and how one question becomes one answer."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from sample_services import Plain, Store

from upcall.protocol.service import Member as Seen
from upcall.protocol.service import Operation
from upcall.service import Member, Verdict, accept, defer, replace
from upcall.testing import Scenario, operation


def verdicts(outcome: Any) -> dict[str, tuple[str, str]]:
    return {op: (answer.verdict, answer.reason) for op, answer in outcome.answers.items()}


def test_a_member_may_stop_while_all_others_are_ready() -> None:
    assert Scenario(Plain, operations=[operation("stop", "web-1")]).run().answer.verdict == "accept"


@pytest.mark.parametrize("state", ["wanted", "starting", "running", "unready", "ended", "lost", "held"])
def test_a_member_may_not_stop_while_another_is_not_ready(state: str) -> None:
    answer = Scenario(Plain, members={"web-2": state}, operations=[operation("stop", "web-1")]).run().answer
    assert (answer.verdict, answer.reason) == ("defer", "web-2 is not ready")


def test_a_member_that_is_not_ready_itself_costs_nothing() -> None:
    """Or two sick members would wait for each other for ever."""
    sick = {"web-1": "unready", "web-2": "unready"}
    outcome = Scenario(Plain, members=sick, operations=[operation("restart", "web-1", klass="cure")]).run()
    assert outcome.answer.verdict == "accept"


def test_a_job_beside_the_service_does_not_hold_a_member_up() -> None:
    members = {"etl": "ended"}
    stop = [operation("stop", "node-1")]
    outcome = Scenario(Store, members=members, memory={"jobs": ["etl"]}, operations=stop).run()
    assert outcome.answer.verdict == "accept"


def test_of_several_one_is_accepted_and_the_others_come_after_it() -> None:
    outcome = Scenario(Plain, operations=[operation("stop", "web-0"), operation("restart", "web-1")]).run()
    assert verdicts(outcome) == {
        "stop-web-0": ("accept", ""),
        "restart-web-1": ("defer", "after stop of web-0"),
    }


@pytest.mark.parametrize(("state", "answer"), [("executing", ""), ("preparing", ""), ("open", "accept")])
def test_nothing_is_accepted_while_another_one_is_under_way_or_may_be_at_any_moment(state: str, answer: str) -> None:
    first = operation("restart", "web-0", state=state, answer=answer)
    outcome = Scenario(Plain, operations=[first, operation("stop", "web-1")]).run()
    assert verdicts(outcome)["stop-web-1"] == ("defer", "after restart of web-0")


@pytest.mark.parametrize("kind", ["lost", "restart"])
def test_a_wish_about_a_member_does_not_wait_behind_what_brings_it_back(kind: str) -> None:
    """In a crash loop that would be for ever: a job that cannot start could not be stopped."""
    back = operation(kind, "web-1", state="executing")
    outcome = Scenario(Plain, members={"web-1": "ended"}, operations=[back, operation("stop", "web-1")]).run()
    assert verdicts(outcome)["stop-web-1"] == ("accept", "web-1 is not ready anyway")


def test_a_wish_about_a_member_that_still_runs_waits_for_what_ends_it() -> None:
    begun = operation("restart", "web-1", state="executing")
    outcome = Scenario(Plain, operations=[begun, operation("stop", "web-1")]).run()
    assert verdicts(outcome)["stop-web-1"] == ("defer", "after restart of web-1")


def test_nobody_waits_for_a_member_that_ends_again_and_again_or_does_not_count() -> None:
    back = operation("lost", "web-0", state="executing")
    for times, answer in ((1, "defer"), (3, "accept")):
        sick = Seen(name="web-0", state="ended", incarnation=4, ended_times=times)
        unwell: dict[str, str | Seen] = {"web-0": sick, "web-1": "unready"}
        outcome = Scenario(Plain, members=unwell, operations=[back, operation("stop", "web-1")]).run()
        assert verdicts(outcome)["stop-web-1"][0] == answer
    job = operation("lost", "etl", state="executing")
    asked = [job, operation("stop", "node-1")]
    outcome = Scenario(Store, members={"etl": "ended"}, memory={"jobs": ["etl"]}, operations=asked).run()
    assert outcome.answers["stop-node-1"].verdict == "accept"


def test_a_loss_is_answered_whatever_else_is_under_way() -> None:
    begun = operation("restart", "web-0", state="executing")
    outcome = Scenario(Plain, members={"web-1": "lost"}, operations=[begun, operation("lost", "web-1")]).run()
    assert verdicts(outcome) == {"lost-web-1": ("wait", "web-1 may come back")}


def test_a_process_that_died_on_a_node_that_is_well_is_started_again_there() -> None:
    outcome = Scenario(Plain, members={"web-1": "ended"}, operations=[operation("lost", "web-1")]).run()
    assert outcome.answer.verdict == "restart"


def test_two_losses_are_not_both_replaced_at_once() -> None:
    class Eager(Plain):
        async def on_lost(self, member: Member, why: Operation) -> Verdict:
            return replace()

    lost = {"web-0": "lost", "web-1": "lost"}
    outcome = Scenario(Eager, members=lost, operations=[operation("lost", "web-0"), operation("lost", "web-1")]).run()
    assert [answer.verdict for answer in outcome.answers.values()] == ["replace", "defer"]


def test_an_uninstall_is_accepted_and_what_nobody_knows_is_declined() -> None:
    assert Scenario(Plain, operations=[operation("uninstall")]).run().answer.verdict == "accept"
    answer = Scenario(Plain, operations=[operation("rebalance")]).run().answer
    assert (answer.verdict, answer.reason) == ("decline", "plain 0.1.0 does not know how to rebalance")


def test_an_uninstall_does_not_wait_for_a_member_that_crashes_again_and_again() -> None:
    crashing = operation("lost", "web-0", state="executing")
    outcome = Scenario(Plain, members={"web-0": "ended"}, operations=[crashing, operation("uninstall")]).run()
    assert [answer.verdict for answer in outcome.answers.values()] == ["accept"]


def test_what_is_only_told_is_not_answered() -> None:
    assert Scenario(Plain, operations=[operation("shutdown"), operation("maintenance")]).run().answers == {}


def test_each_kind_comes_to_the_method_that_it_belongs_to() -> None:
    class Telling(Plain):
        async def may_stop(self, member: Member, why: Operation) -> Verdict:
            return defer("may_stop")

        async def may_restart(self, member: Member, why: Operation) -> Verdict:
            return defer("may_restart")

        async def may_replace(self, member: Member, why: Operation) -> Verdict:
            return defer("may_replace")

        async def may_scale_in(self, member: Member, why: Operation) -> Verdict:
            return defer("may_scale_in")

        async def may_uninstall(self, why: Operation) -> Verdict:
            return defer("may_uninstall")

        async def may_change(self, member: Member | None, why: Operation) -> Verdict:
            return defer("may_change")

        async def on_lost(self, member: Member, why: Operation) -> Verdict:
            return defer("on_lost")

    kinds = {
        "stop": "may_stop", "evict": "may_stop", "restart": "may_restart", "preempt": "may_restart",
        "reclaim": "may_restart", "replace": "may_replace", "move": "may_replace", "vacate": "may_replace",
        "scale_in": "may_scale_in", "rebalance": "may_change", "lost": "on_lost",
    }  # fmt: skip
    outcome = Scenario(Telling, operations=[operation(kind, "web-0") for kind in kinds]).run()
    assert {op.removesuffix("-web-0"): answer.reason for op, answer in outcome.answers.items()} == kinds


def test_an_expert_may_answer_for_the_whole_set() -> None:
    class Racks(Plain):
        async def answer_set(self, operations: tuple[Operation, ...]) -> Mapping[str, Verdict]:
            return {op.id: accept() for op in operations if op.member != "web-2"}

    asked = [operation("stop", name) for name in ("web-0", "web-1", "web-2")]
    assert sorted(Scenario(Racks, operations=asked).run().answers) == ["stop-web-0", "stop-web-1"]


def test_an_expert_that_raises_is_silent_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Plain):
        async def may_stop(self, member: Member, why: Operation) -> Verdict:
            raise KeyError(member.name)

    outcome, faults = Scenario(Broken, operations=[operation("stop", "web-0")]).broken()
    assert outcome.answers == {}
    assert [fault.what for fault in faults] == ["stop of web-0"]
    assert "no answer to stop-web-0" in caplog.text


def test_an_expert_that_is_late_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    class Slow(Plain):
        async def may_stop(self, member: Member, why: Operation) -> Verdict:
            await asyncio.sleep(10.5)
            return accept()

    assert Scenario(Slow, operations=[operation("stop", "web-0")]).run(for_s=12).answers == {}
    assert "no answer to stop-web-0 (stop) within 10 s" in caplog.text


def test_one_question_without_an_answer_does_not_keep_the_others_from_theirs() -> None:
    class Half(Plain):
        async def may_stop(self, member: Member, why: Operation) -> Verdict:
            if member.name == "web-0":
                await asyncio.sleep(3600)
            return accept()

    asked = [operation("stop", "web-0"), operation("stop", "web-1")]
    assert Scenario(Half, operations=asked).run(for_s=12).answers["stop-web-1"].verdict == "accept"


def test_the_policy_keeps_all_but_one_and_fails_closed_for_data_only() -> None:
    open_policy = Scenario(Plain).run().declared
    closed = Scenario(Plain, {"data": True}).run().declared
    single = Scenario(Plain, {"count": 1}).run().declared
    assert open_policy is not None
    assert closed is not None
    assert single is not None
    assert (open_policy.policy.minimum, open_policy.policy.silence, open_policy.policy.holds_data) == (
        2,
        "proceed",
        False,
    )
    assert (closed.policy.minimum, closed.policy.silence, closed.policy.holds_data) == (2, "hold", True)
    assert single.policy.minimum == 0
