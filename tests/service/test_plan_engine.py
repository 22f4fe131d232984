"""The plan engine: inputs in, effects out."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.protocol.errors import NotFound
from upcall.protocol.service import Member
from upcall.service.plan_inputs import Control, Keep, Observed, ProposeRestart, RunStep, StartMember, StepEnded
from upcall.service.plans import Plan
from upcall.service.steps import Do, Phase, Restart, Start


async def work() -> None: ...


SERIAL = (Phase("node", Start("n-0"), Start("n-1")), Phase("schema", Do("keyspace", work, attempts=3)))
PARALLEL = (Phase("node", Start("n-0"), Start("n-1"), strategy="parallel"),)


def members(**states: str) -> dict[str, Member]:
    """``members(n_0="ready")``."""
    found = {}
    for key, state in states.items():
        name = key.replace("_", "-")
        started = state not in ("wanted",)
        found[name] = Member(name=name, state=state, node="node-1", incarnation=int(started), starts=int(started))
    return found


def seen(at_s: float = 0.0, *, unplaced: str = "", settling: tuple[str, ...] = (), **states: str) -> Observed:
    return Observed(members(**states), at_s, unplaced, frozenset(settling))


def step(plan: Plan, given: Any) -> tuple[Plan, list[Any]]:
    after, effects = plan.handle(given)
    return after, list(effects)


def started(effects: list[Any]) -> list[str]:
    return [effect.member for effect in effects if isinstance(effect, StartMember)]


def states(plan: Plan) -> Mapping[str, str]:
    return {path: it.state for path, it in plan.steps.items()}


# -- starting -------------------------------------------------------------------------------------------------------


def test_nothing_starts_before_every_member_is_declared() -> None:
    plan, effects = step(Plan("deploy", SERIAL), seen(n_0="wanted"))
    assert started(effects) == []
    assert states(plan)["node/n-0"] == "waiting"


def test_nothing_starts_before_every_member_has_a_place_and_the_step_says_why() -> None:
    plan, effects = step(Plan("deploy", SERIAL), seen(n_0="wanted", n_1="wanted", unplaced="needs 3 nodes with 2 GiB"))
    assert started(effects) == []
    assert plan.view().phases[0].steps[0].reason == "needs 3 nodes with 2 GiB"
    assert plan.view().state == "waiting"
    assert plan.view().reason == "needs 3 nodes with 2 GiB"


def test_a_serial_phase_starts_one_member_after_the_other() -> None:
    plan, effects = step(Plan("deploy", SERIAL), seen(n_0="wanted", n_1="wanted"))
    assert started(effects) == ["n-0"]
    assert states(plan) == {"node/n-0": "running", "node/n-1": "pending", "schema/keyspace": "pending"}
    plan, effects = step(plan, seen(1, n_0="starting", n_1="wanted"))
    assert started(effects) == ["n-0"]
    plan, effects = step(plan, seen(2, n_0="ready", n_1="wanted"))
    assert started(effects) == ["n-0", "n-1"]
    assert states(plan)["node/n-0"] == "done"


def test_a_parallel_phase_starts_all_at_once() -> None:
    _plan, effects = step(Plan("deploy", PARALLEL), seen(n_0="wanted", n_1="wanted"))
    assert started(effects) == ["n-0", "n-1"]


def test_initialised_members_that_are_all_down_start_together_even_in_a_serial_plan() -> None:
    _plan, effects = step(Plan("deploy", SERIAL), seen(n_0="ended", n_1="ended"))
    assert started(effects) == ["n-0", "n-1"]


def test_a_member_is_not_done_before_its_after_ready_returned() -> None:
    plan, _ = step(Plan("deploy", PARALLEL), seen(n_0="ready", n_1="ready", settling=("n-1",)))
    assert states(plan) == {"node/n-0": "done", "node/n-1": "running"}
    plan, _ = step(plan, seen(n_0="ready", n_1="ready"))
    assert plan.over


def test_done_is_for_good() -> None:
    plan, _ = step(Plan("deploy", PARALLEL), seen(n_0="ready", n_1="ready"))
    plan, _ = step(plan, seen(5, n_0="lost", n_1="ended"))
    assert plan.view().state == "done"


def test_a_job_that_finished_is_done() -> None:
    plan, _ = step(Plan("deploy", (Phase("job", Start("n-0")),)), seen(n_0="finished"))
    assert plan.over


def test_a_job_that_failed_says_so_with_its_cause() -> None:
    failed = msgspec.structs.replace(members(n_0="failed")["n-0"], reason="exit code 3")
    plan, _ = step(Plan("deploy", (Phase("job", Start("n-0")),)), Observed({"n-0": failed}, 0.0))
    assert (plan.view().state, plan.view().reason) == ("failed", "n-0: exit code 3")


def test_a_held_member_says_so() -> None:
    plan, _ = step(Plan("deploy", PARALLEL), seen(n_0="held", n_1="ready"))
    assert plan.steps["node/n-0"].state == "waiting"
    assert "drain" in plan.steps["node/n-0"].reason


def test_a_mark_of_an_earlier_life_of_the_name_does_not_count() -> None:
    plan = Plan("deploy", PARALLEL, marks={"node/n-0": "done", "node/n-1": "done"})
    plan, effects = step(plan, seen(n_0="wanted", n_1="wanted"))
    assert started(effects) == ["n-0", "n-1"]
    assert states(plan)["node/n-0"] == "running"


def test_what_came_after_an_earlier_life_does_not_count_either() -> None:
    plan = Plan("deploy", SERIAL, marks={"node/n-0": "done", "node/n-1": "done", "schema/keyspace": "done"})
    plan, effects = step(plan, seen(n_0="wanted", n_1="wanted"))
    assert started(effects) == ["n-0"]
    assert states(plan) == {"node/n-0": "running", "node/n-1": "pending", "schema/keyspace": "pending"}


def test_a_long_reason_is_told_by_one_step_for_all() -> None:
    plan, _ = step(Plan("deploy", PARALLEL), seen(n_0="wanted", n_1="wanted", unplaced="needs 3 nodes"))
    assert [it.reason for it in plan.steps.values()] == ["needs 3 nodes", "waits for its place, with the others"]


def test_a_plan_that_grew_does_only_what_is_new() -> None:
    plan, _ = step(Plan("deploy", PARALLEL), seen(n_0="ready", n_1="ready"))
    wider = (Phase("node", Start("n-0"), Start("n-1"), Start("n-2"), strategy="parallel"),)
    plan, effects = step(plan.with_phases(wider), seen(n_0="ready", n_1="ready", n_2="wanted"))
    assert states(plan) == {"node/n-0": "done", "node/n-1": "done", "node/n-2": "running"}
    assert "n-2" in started(effects)


# -- coroutines -----------------------------------------------------------------------------------------------------


def ready(at_s: float = 0.0) -> Observed:
    return seen(at_s, n_0="ready", n_1="ready")


def test_a_coroutine_runs_when_its_turn_comes_and_only_once() -> None:
    plan, effects = step(Plan("deploy", SERIAL), ready())
    assert RunStep("schema/keyspace", 1) in effects
    plan, effects = step(plan, ready(1))
    assert not any(isinstance(effect, RunStep) for effect in effects)
    plan, effects = step(plan, StepEnded("schema/keyspace", 1, 2))
    assert plan.over
    assert Keep({"node/n-0": "done", "node/n-1": "done", "schema/keyspace": "done"}, ()) in effects


def test_a_coroutine_that_raises_is_tried_again_ever_more_slowly_and_then_fails() -> None:
    plan, _ = step(Plan("deploy", SERIAL), ready())
    at_s = 0.0
    for attempt, pause_s in ((1, 1.0), (2, 2.0)):
        plan, effects = step(plan, StepEnded("schema/keyspace", attempt, at_s, "no quorum"))
        assert states(plan)["schema/keyspace"] == "waiting"
        assert plan.deadline_s == at_s + pause_s
        at_s += pause_s
        plan, effects = step(plan, ready(at_s))
        assert RunStep("schema/keyspace", attempt + 1) in effects
    plan, _ = step(plan, StepEnded("schema/keyspace", 3, at_s, "no quorum"))
    assert plan.view().state == "failed"
    assert plan.view().reason == "no quorum (after 3 attempts)"
    assert plan.deadline_s is None
    plan, effects = step(plan, ready(at_s + 1000))
    assert not any(isinstance(effect, RunStep) for effect in effects)


def test_a_step_that_gave_up_says_why_and_counts_no_attempts() -> None:
    plan, _ = step(Plan("deploy", (Phase("schema", Do("keyspace", work, attempts=3)),)), seen())
    plan, effects = step(plan, StepEnded("schema/keyspace", 1, 1.0, error="no such thing", gave_up=True))
    assert (plan.view().state, plan.view().reason) == ("failed", "no such thing")
    assert effects == []


def test_a_failed_step_runs_anew_when_a_person_restarts_it() -> None:
    plan, _ = step(Plan("deploy", SERIAL), ready())
    plan = replace(plan, attempts={"schema/keyspace": replace(plan.attempts["schema/keyspace"], number=3)})
    plan, _ = step(plan, StepEnded("schema/keyspace", 3, 1, "no quorum"))
    plan, effects = step(plan, Control("restart", "schema/keyspace", 2))
    assert RunStep("schema/keyspace", 1) in effects


def test_the_end_of_an_attempt_that_was_overtaken_is_ignored() -> None:
    plan, _ = step(Plan("deploy", SERIAL), ready())
    plan, _ = step(plan, Control("force", "schema/keyspace", 1))
    plan, effects = step(plan, StepEnded("schema/keyspace", 1, 2, "too late"))
    assert effects == []
    assert states(plan)["schema/keyspace"] == "forced"


def test_a_host_that_starts_again_needs_nothing_but_the_marks() -> None:
    plan, effects = step(Plan("deploy", SERIAL), ready())
    (keep,) = [effect for effect in effects if isinstance(effect, Keep)]
    reborn, effects = step(Plan("deploy", SERIAL, marks=keep.marks), ready(9))
    assert states(reborn) == states(plan)
    assert RunStep("schema/keyspace", 1) in effects  # it may have run already: at least once


# -- a person -------------------------------------------------------------------------------------------------------


def test_a_paused_plan_begins_nothing_and_what_has_begun_goes_on() -> None:
    plan, _ = step(Plan("deploy", SERIAL), seen(n_0="wanted", n_1="wanted"))
    plan, effects = step(plan, Control("pause", "", 1))
    assert Keep({}, ("",)) in effects
    plan, effects = step(plan, seen(2, n_0="ready", n_1="wanted"))
    assert started(effects) == ["n-0"]
    assert states(plan) == {"node/n-0": "done", "node/n-1": "paused", "schema/keyspace": "paused"}
    assert plan.view().state == "paused"
    plan, effects = step(plan, Control("resume", "", 3))
    assert started(effects) == ["n-0", "n-1"]


def test_a_phase_or_a_step_can_be_paused_alone() -> None:
    plan, _ = step(Plan("deploy", SERIAL), seen(n_0="wanted", n_1="wanted"))
    plan, _ = step(plan, Control("pause", "schema", 1))
    plan, effects = step(plan, ready(2))
    assert not any(isinstance(effect, RunStep) for effect in effects)
    assert states(plan)["schema/keyspace"] == "paused"


def test_resuming_the_plan_resumes_its_parts() -> None:
    plan, _ = step(Plan("deploy", SERIAL), seen(n_0="wanted", n_1="wanted"))
    for path in ("", "schema", "node/n-1"):
        plan, _ = step(plan, Control("pause", path, 1))
    plan, _ = step(plan, Control("resume", "", 2))
    assert plan.paused == frozenset()


def test_a_forced_step_counts_as_done() -> None:
    plan, _ = step(Plan("deploy", SERIAL), seen(n_0="starting", n_1="wanted"))
    plan, effects = step(plan, Control("force", "node/n-0", 1))
    assert states(plan)["node/n-0"] == "forced"
    assert "n-1" in started(effects)


def test_restarting_the_step_of_a_running_member_is_a_proposal_until_the_next_incarnation_is_ready() -> None:
    plan, _ = step(Plan("deploy", PARALLEL), ready())
    plan, effects = step(plan, Control("restart", "node/n-0", 1))
    proposals = [effect for effect in effects if isinstance(effect, ProposeRestart)]
    assert [(proposal.member, proposal.key) for proposal in proposals] == [("n-0", "deploy/node/n-0/1")]
    assert states(plan)["node/n-0"] == "running"
    reborn = Plan("deploy", PARALLEL, marks=plan.marks)
    reborn, effects = step(reborn, ready(2))
    assert [effect.key for effect in effects if isinstance(effect, ProposeRestart)] == ["deploy/node/n-0/1"]
    newer = {**members(n_0="ready", n_1="ready"), "n-0": Member(name="n-0", state="ready", incarnation=2, starts=2)}
    reborn, effects = step(reborn, Observed(newer, 3))
    assert reborn.over
    assert not any(isinstance(effect, ProposeRestart) for effect in effects)


@pytest.mark.parametrize("path", ["nodes", "node/n-7", "n-0"])
def test_controlling_what_is_not_there_names_what_is(path: str) -> None:
    with pytest.raises(NotFound, match="node/n-0, node/n-1, schema/keyspace"):
        Plan("deploy", SERIAL).handle(Control("pause", path, 0))


# -- invariants -----------------------------------------------------------------------------------------------------

_STATES = st.sampled_from(["wanted", "starting", "running", "ready", "ended", "lost", "held", "unready"])
_INPUTS = st.one_of(
    st.builds(lambda a, b, why: ("see", a, b, why), _STATES, _STATES, st.sampled_from(["", "needs a node"])),
    st.builds(
        lambda verb, path: ("control", verb, path),
        st.sampled_from(["pause", "resume", "force", "restart"]),
        st.sampled_from(["", "node", "schema", "node/n-0", "schema/keyspace"]),
    ),
    st.builds(lambda error: ("end", error), st.sampled_from(["", "no quorum"])),
)


@given(st.lists(_INPUTS, max_size=30))
def test_whatever_happens_order_is_kept_and_nothing_runs_twice(inputs: list[tuple[Any, ...]]) -> None:
    plan = Plan("deploy", SERIAL)
    running = 0
    for at_s, given_input in enumerate(inputs):
        match given_input:
            case ("see", first, second, why):
                plan, effects = step(plan, seen(float(at_s), n_0=first, n_1=second, unplaced=why))
            case ("control", verb, path):
                if verb == "restart" and running and path in ("", "schema", "schema/keyspace"):
                    running = 0  # a person asked for it
                plan, effects = step(plan, Control(verb, path, float(at_s)))
            case _:
                attempt = plan.attempts.get("schema/keyspace")
                if attempt is None or not attempt.running:
                    continue
                running = 0
                plan, effects = step(plan, StepEnded("schema/keyspace", attempt.number, float(at_s), given_input[1]))
        runs = [effect for effect in effects if isinstance(effect, RunStep)]
        running += len(runs)
        if plan.steps.get("schema/keyspace") and plan.steps["schema/keyspace"].state == "forced":
            running = 0
        assert running <= 1
        for run_step in runs:  # everything before it is over
            assert all(plan.marks.get(path) in ("done", "forced") for path in ("node/n-0", "node/n-1")), run_step
        fresh = [name for name in started(effects) if plan.world.members[name].incarnation == 0]
        if fresh:
            assert plan.world.unplaced == ""
        if "n-1" in fresh:
            assert plan.marks.get("node/n-0") in ("done", "forced")
        assert not (plan.over and plan.view().state != "done")


# -- changing -------------------------------------------------------------------------------------------------------


def test_nobody_is_taken_down_for_a_size_that_has_no_place() -> None:
    behind = Member(
        name="n-0", state="ready", node="node-1", incarnation=1, starts=1, declared_generation=2, target_generation=1,
        revision=2,
    )  # fmt: skip
    world = Observed({"n-0": behind}, 0.0, "needs a node with 9 GiB", revision=2)
    plan, effects = step(Plan("update", (Phase("canary", Restart("n-0")),)), world)
    assert [each for each in effects if isinstance(each, ProposeRestart)] == []
    assert (plan.steps["canary/n-0"].state, plan.steps["canary/n-0"].reason) == ("waiting", "needs a node with 9 GiB")
    plan, effects = step(plan, replace(world, unplaced=""))
    assert [each.member for each in effects if isinstance(each, ProposeRestart)] == ["n-0"]
