"""A change of a running service: a member keeps what it has until its turn in the update has come.

The service of these tests declares its three members under a revision, and restarts them below the update, as the SDK
does.
"""

from collections.abc import Iterable

import pytest

from upcall.operations import effects as fx
from upcall.operations import inputs as given
from upcall.operations.effects import Outcome
from upcall.operations.records import Operation
from upcall.operations.table import Kind
from upcall.operations.views import MemberView, PendingSet
from upcall.testing.simulated import SimulatedKind
from upcall.testing.world import World

MEMBERS = ("b0", "b1", "b2")


def accepts(pending: PendingSet) -> dict[str, given.Answer]:
    asked = [one.operation for one in pending.operations if one.asked]
    return {o.id: given.Answer(verdict="restart" if o.kind == "lost" else "accept") for o in asked}


@pytest.fixture
def world(kind: SimulatedKind) -> World:
    made = World(kind=kind, node_count=4)
    made.host("log", accepts)
    made.send(given.DeclareService(name="log", minimum=2))
    declare(made, revision=1, generation=1)
    made.send(given.StartMembers(service="log", members=MEMBERS))
    made.advance(10)
    return made


def declare(
    world: World, *, revision: int, generation: int, same_as: int = 0, members: Iterable[str] = MEMBERS
) -> Outcome:
    declared = tuple(given.MemberDeclaration(name=name, generation=generation, same_as=same_as) for name in members)
    return world.send(given.DeclareMembers(service="log", revision=revision, members=declared))


def propose(world: World, kind: Kind, *members: str, **more: object) -> Outcome:
    return world.send(
        given.Propose(kind=kind, asked_by="ann", reason="because", service="log", members=members, **more)  # type: ignore[arg-type]
    )


def update(world: World, revision: int = 2, generation: int = 2, *, same_as: int = 0, instead: bool = False) -> str:
    """Asked for, accepted, and declared."""
    operation = propose(world, "update", revision=revision, instead=instead).operation
    world.answer()
    declare(world, revision=revision, generation=generation, same_as=same_as)
    return operation


def step(world: World, member: str, parent: str) -> Outcome:
    outcome = propose(world, "restart", member, parent=parent, scope="log")
    world.answer()
    return outcome


def found(world: World, operation: str) -> Operation:
    known = world.ledger.operation(operation)
    assert known is not None
    return known


def member(world: World, name: str) -> MemberView:
    return next(view for view in world.ledger.members("log") if view.name == name)


def runs(world: World) -> dict[str, int]:
    """Member -> the generation that it was launched with."""
    return {view.name: view.generation for view in world.ledger.members("log")}


def targets(world: World) -> dict[str, int]:
    return {view.name: view.target for view in world.ledger.members("log")}


def all_at(generation: int) -> dict[str, int]:
    return dict.fromkeys(MEMBERS, generation)


# -- whose turn it is -----------------------------------------------------------------------------------------------


def test_a_member_that_crashes_before_its_turn_comes_back_with_what_it_had(world: World) -> None:
    update(world)
    world.observe(world.substrate.crash("log.b1", world.now_s))
    world.advance(10)
    assert (member(world, "b1").incarnation, runs(world)) == (2, all_at(1))


def test_a_step_below_the_update_brings_the_newest_and_the_rest_keeps_what_it_has(world: World) -> None:
    operation = update(world)
    step(world, "b0", operation)
    world.advance(10)
    assert runs(world) == {"b0": 2, "b1": 1, "b2": 1}
    assert targets(world) == {"b0": 2, "b1": 1, "b2": 1}


def test_a_restart_that_a_person_wants_in_the_middle_brings_what_the_member_had(world: World) -> None:
    update(world)
    propose(world, "restart", "b1")
    world.answer()
    world.advance(10)
    assert (member(world, "b1").incarnation, runs(world)) == (2, all_at(1))


def test_without_a_change_a_new_declaration_is_what_the_next_incarnation_gets(world: World) -> None:
    declare(world, revision=1, generation=2)
    assert targets(world) == all_at(2)


def test_what_is_declared_again_under_the_same_revision_does_not_end_the_wait_for_its_turn(world: World) -> None:
    update(world)
    declare(world, revision=2, generation=3)
    assert targets(world) == all_at(1)


def test_a_member_that_was_never_launched_starts_with_the_newest(world: World) -> None:
    propose(world, "update", revision=2)
    world.answer()
    declare(world, revision=2, generation=1, members=("b3",))
    declare(world, revision=2, generation=2, members=("b3",))
    world.send(given.StartMembers(service="log", members=("b3",)))
    world.advance(10)
    assert runs(world)["b3"] == 2


def test_a_declaration_that_says_what_a_member_is_meant_to_run_anyhow_needs_no_restart(world: World) -> None:
    update(world)
    update(world, 3, 3, same_as=1, instead=True)
    assert targets(world) == all_at(3)
    assert runs(world) == all_at(1)


def test_what_was_applied_while_it_runs_is_taken_over_without_a_restart(world: World) -> None:
    update(world)
    world.send(given.Retarget(service="log", members=("b1",)))
    assert targets(world) == {"b0": 1, "b1": 2, "b2": 1}
    world.observe(world.substrate.crash("log.b1", world.now_s))
    world.advance(10)
    assert runs(world) == {"b0": 1, "b1": 2, "b2": 1}


def test_a_master_that_dies_in_the_middle_of_a_step_knows_whose_turn_it_was(world: World) -> None:
    operation = update(world)
    step(world, "b0", operation)
    world.die()
    world.boot()
    world.advance(10)
    assert runs(world) == {"b0": 2, "b1": 1, "b2": 1}


def test_a_member_that_is_down_when_its_turn_comes_is_brought_back_with_the_newest(world: World) -> None:
    operation = update(world)
    world.substrate.crashing.add("log.b0")
    world.observe(world.substrate.crash("log.b0", world.now_s))
    world.advance(20)
    while not world.ledger.book.members["log.b0"].over:
        world.advance(0.5)
    world.substrate.crashing.discard("log.b0")
    outcome = step(world, "b0", operation)
    assert outcome.refused is None
    assert targets(world)["b0"] == 2
    world.advance(10)
    assert (member(world, "b0").status, runs(world)["b0"]) == ("ready", 2)


def test_a_member_that_crashes_while_its_step_waits_comes_back_with_the_newest(world: World) -> None:
    operation = update(world)
    world.scripts["log"] = lambda pending: {}
    waits = step(world, "b0", operation).operation
    world.scripts["log"] = accepts
    world.observe(world.substrate.crash("log.b0", world.now_s))
    world.advance(10)
    assert found(world, waits).state == "withdrawn"
    assert (member(world, "b0").status, runs(world)["b0"]) == ("ready", 2)


# -- one at a time --------------------------------------------------------------------------------------------------


def test_the_second_change_is_told_whose_stands(world: World) -> None:
    first = update(world)
    refused = propose(world, "update", revision=3).refused
    assert refused is not None
    assert (refused.code, first in refused.message, "revision 2" in refused.message) == ("conflict", True, True)
    assert f"upcall operation cancel {first}" in refused.expected


def test_a_change_that_is_wanted_instead_withdraws_the_one_before_with_its_open_steps(world: World) -> None:
    first = update(world)
    world.scripts["log"] = lambda pending: {}
    waits = step(world, "b0", first).operation
    second = propose(world, "update", revision=3, instead=True).operation
    assert (found(world, first).state, found(world, waits).state) == ("withdrawn", "withdrawn")
    assert second in found(world, first).outcome
    assert found(world, second).state == "open"


def test_a_change_without_a_revision_changes_nothing_and_is_refused(world: World) -> None:
    refused = propose(world, "update").refused
    assert refused is not None
    assert refused.where == "revision"


# -- it goes no further ---------------------------------------------------------------------------------------------


def canary_loops(world: World) -> str:
    """It ends again and again, with what the update brought."""
    operation = update(world)
    world.substrate.crashing.add("log.b0")
    step(world, "b0", operation)
    world.advance(30)
    return operation


def test_a_canary_that_fails_ends_the_update_and_the_rest_was_never_touched(world: World) -> None:
    operation = canary_loops(world)
    world.send(given.PlanFailed(service="log", operation=operation, reason="b0 is not ready: it crashes"))
    world.send(given.PlanFailed(service="log", operation=operation, reason="said twice"))
    assert (found(world, operation).state, found(world, operation).outcome) == ("failed", "b0 is not ready: it crashes")
    assert targets(world) == {"b0": 2, "b1": 1, "b2": 1}
    assert [view.incarnation for view in world.ledger.members("log")][1:] == [1, 1]


@pytest.mark.parametrize("down", [True, False], ids=["while it is down", "while it starts"])
def test_the_next_good_revision_heals_a_canary_that_crashes_again_and_again(world: World, down: bool) -> None:
    failed = canary_loops(world)
    world.send(given.PlanFailed(service="log", operation=failed, reason="no"))
    good = propose(world, "update", revision=3).operation
    world.answer()
    declare(world, revision=3, generation=3, same_as=1)
    assert targets(world) == {"b0": 2, "b1": 3, "b2": 3}
    for _ in range(2000):
        if world.ledger.book.members["log.b0"].over is down:
            break
        world.advance(0.1)
    world.substrate.crashing.discard("log.b0")
    step(world, "b0", good)
    world.advance(10)
    assert (member(world, "b0").status, runs(world)) == ("ready", {"b0": 3, "b1": 1, "b2": 1})
    world.send(given.Confirm(service="log", operation=good))
    assert found(world, good).state == "done"


def test_a_step_of_a_change_that_went_no_further_does_not_bring_what_came_after_it(world: World) -> None:
    """It brings its member back with what that had been given; the turn in the next one is the next one's step."""
    failed = canary_loops(world)
    world.send(given.PlanFailed(service="log", operation=failed, reason="no"))
    propose(world, "update", revision=3)
    world.answer()
    declare(world, revision=3, generation=3)
    world.advance(600)
    assert runs(world) == {"b0": 2, "b1": 1, "b2": 1}


def test_cancel_ends_an_update_that_has_begun_and_what_has_begun_below_it_goes_on(world: World) -> None:
    operation = update(world)
    begun = step(world, "b0", operation).operation
    world.scripts["log"] = lambda pending: {}
    waits = step(world, "b1", operation).operation
    world.send(given.Cancel(operation=operation, who="ann", why="too slow"))
    assert [found(world, o).state for o in (operation, begun, waits)] == ["withdrawn", "executing", "withdrawn"]
    world.advance(10)
    assert found(world, begun).state == "done"
    assert member(world, "b0").status == "ready"


def test_a_pause_holds_the_steps_that_have_not_begun_and_is_shown(world: World) -> None:
    operation = update(world)
    shown = sum(isinstance(effect, fx.Show) for effect in world.log)
    world.send(given.Pause(operation=operation, who="ann", why="lunch"))
    assert sum(isinstance(effect, fx.Show) for effect in world.log) == shown + 1
    waits = step(world, "b0", operation).operation
    world.advance(30)
    why = world.ledger.why(waits, world.now_s, world.wall_s)
    assert why is not None
    assert (found(world, waits).state, why.waits_for) == ("open", "a person")
    assert "paused by ann: lunch" in why.reason
    world.send(given.Pause(operation=operation, who="ann", on="resume"))
    world.advance(10)
    assert (found(world, waits).state, runs(world)["b0"]) == ("done", 2)


def test_who_forces_an_update_goes_over_the_answer_to_it_and_its_steps_are_asked_about(world: World) -> None:
    world.scripts["log"] = lambda pending: {}
    operation = propose(world, "update", revision=2, force=True).operation
    assert found(world, operation).state == "executing"
    declare(world, revision=2, generation=2)
    waits = step(world, "b0", operation).operation
    world.advance(30)
    assert (found(world, waits).state, found(world, waits).forced) == ("open", None)


# -- in the middle of it --------------------------------------------------------------------------------------------


def test_a_member_that_a_drain_holds_takes_its_turn_without_a_restart(world: World) -> None:
    operation = update(world)
    node = member(world, "b1").node
    world.send(given.Propose(kind="maintenance", asked_by="ann", node=node, window_s=600))
    world.advance(10)
    assert member(world, "b1").status == "held"
    world.send(given.Retarget(service="log", members=("b1",)))
    world.send(given.Undrain(node=node, who="ann"))
    world.advance(10)
    assert (member(world, "b1").status, runs(world)["b1"]) == ("ready", 2)
    assert found(world, operation).state == "executing"


def test_a_shutdown_in_the_middle_leaves_the_update_as_it_is_and_it_goes_on_after_up(world: World) -> None:
    operation = update(world)
    step(world, "b0", operation)
    world.advance(10)
    propose_shutdown = given.Propose(kind="shutdown", asked_by="ann")
    world.send(propose_shutdown)
    world.advance(60)
    assert found(world, operation).state == "executing"
    world.send(given.Up(who="ann"))
    world.advance(10)
    assert runs(world) == {"b0": 2, "b1": 1, "b2": 1}
    step(world, "b1", operation)
    world.advance(10)
    assert runs(world) == {"b0": 2, "b1": 2, "b2": 1}


def test_an_uninstall_takes_the_place_of_an_update(world: World) -> None:
    operation = update(world)
    propose(world, "uninstall")
    world.answer()
    world.advance(30)
    assert found(world, operation).state == "withdrawn"
    assert world.ledger.members("log") == []


def test_what_is_replaced_before_its_turn_comes_up_elsewhere_with_what_it_had(world: World) -> None:
    update(world)
    propose(world, "replace", "b1")
    world.answer()
    world.advance(30)
    view = member(world, "b1")
    assert (view.status, view.place, view.generation) == ("ready", 2, 1)


# -- what a service may ask for -------------------------------------------------------------------------------------


def test_a_step_lies_below_a_plan_that_has_begun(world: World) -> None:
    world.scripts["log"] = lambda pending: {}
    too_early = propose(world, "update", revision=2).operation
    refused = step(world, "b0", too_early).refused
    assert refused is not None
    assert "has not begun" in refused.message
    restart = propose(world, "restart", "b1").operation
    refused = step(world, "b0", restart).refused
    assert refused is not None
    assert "has no steps" in refused.message
