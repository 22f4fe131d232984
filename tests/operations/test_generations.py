"""An incarnation keeps the generation that it was launched with; a new declaration is what the next one gets."""

from typing import Literal

import pytest

from upcall.operations import effects as fx
from upcall.operations import inputs as given
from upcall.operations.news import OtherGeneration
from upcall.operations.records import MemberRecord
from upcall.testing.simulated import SimulatedKind
from upcall.testing.world import World


@pytest.fixture
def world(kind: SimulatedKind) -> World:
    made = World(kind=kind, node_count=3)
    declare(made, 1)
    made.send(given.StartMembers(service="log", members=("b0",)))
    made.advance(10)
    return made


def declare(world: World, generation: int, restart: Literal["always", "never"] = "always") -> None:
    if not world.ledger.services():
        world.send(given.DeclareService(name="log"))
    declared = given.MemberDeclaration(name="b0", generation=generation, restart=restart)
    world.send(given.DeclareMembers(service="log", members=(declared,)))


def record(world: World) -> MemberRecord:
    return next(r for r in world.ledger.records() if isinstance(r, MemberRecord))


def launches(world: World) -> list[tuple[int, int]]:
    return [(e.incarnation, e.generation) for e in world.log if isinstance(e, fx.Launch)]


def test_a_new_declaration_touches_nothing_that_runs(world: World) -> None:
    declare(world, 2)
    (view,) = world.ledger.members("log")
    assert (view.generation, view.wanted_generation, view.status) == (1, 2, "ready")
    assert launches(world) == [(1, 1)]


def test_a_master_that_starts_again_wants_what_runs_as_it_runs(world: World) -> None:
    declare(world, 2)
    world.die()
    world.boot()
    world.advance(10)
    assert launches(world) == [(1, 1), (1, 1)], "said again, and the same"
    assert [task.generation for task in world.ledger.wanted()] == [1]


def test_the_next_incarnation_gets_the_newest(world: World) -> None:
    declare(world, 2)
    world.send(given.Propose(kind="restart", asked_by="ann", service="log", members=("b0",), force=True, reason="now"))
    world.advance(10)
    assert launches(world)[-1] == (2, 2)
    (view,) = world.ledger.members("log")
    assert (view.generation, view.wanted_generation) == (2, 2)


def test_what_is_observed_is_compared_with_the_record_and_believed(world: World) -> None:
    node = world.ledger.members("log")[0].node
    seen = given.TaskObserved(service="log", member="b0", incarnation=1, state="ready", node=node, generation=7)
    world.send(seen)
    assert record(world).launched == 7
    assert [one for one in world.news if isinstance(one, OtherGeneration) and one.runs == 7]


# -- what is at its end ---------------------------------------------------------------------------------------------


def job(kind: SimulatedKind) -> World:
    made = World(kind=kind, node_count=1)
    declare(made, 1, "never")
    made.send(given.StartMembers(service="log", members=("b0",)))
    made.advance(10)
    made.observe(made.substrate.crash("log.b0", made.now_s, code=0))
    made.advance(1)
    return made


def test_a_job_at_its_end_gives_its_room_back(kind: SimulatedKind) -> None:
    made = job(kind)
    assert [(v.name, v.status) for v in made.ledger.members("log")] == [("b0", "finished")]
    assert [(e.member, e.stays) for e in made.log if isinstance(e, fx.Release)] == [("b0", True)]
    declare(made, 1, "never")
    made.die()
    made.boot()
    assert made.substrate.places() == {} or kind == "kernel"
    assert [e.places for e in made.log if isinstance(e, fx.Reserve)] == [{"b0": 1}], "nothing is reserved for it again"


def test_a_job_that_is_declared_anew_runs_anew(kind: SimulatedKind) -> None:
    made = job(kind)
    declare(made, 2, "never")
    made.advance(10)
    (view,) = made.ledger.members("log")
    assert (view.status, view.incarnation, view.generation) == ("ready", 2, 2)


def test_a_job_at_its_end_may_be_withdrawn_and_leaves_no_member_behind(kind: SimulatedKind) -> None:
    made = job(kind)
    outcome = made.send(given.WithdrawMembers(service="log", members=("b0",)))
    assert outcome.refused is None
    assert made.ledger.members("log") == []


# -- another life of the name ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "fresh", "place", "taken_back"),
    [("store", False, 1, True), ("store", True, 2, False), ("other", False, 2, False)],
)
def test_volumes_are_taken_back_by_the_same_package_and_unless_a_person_wants_a_fresh_start(
    kind: SimulatedKind, package: str, fresh: bool, place: int, taken_back: bool
) -> None:
    made = World(kind=kind, node_count=3)
    made.send(given.DeclareService(name="log", package="store"))
    declare(made, 1)
    made.send(given.StartMembers(service="log", members=("b0",)))
    made.advance(10)
    made.send(given.Propose(kind="uninstall", asked_by="ann", service="log", force=True, reason="away"))
    made.advance(10)
    assert made.ledger.left_by("log") == "store"
    made.send(given.DeclareService(name="log", package=package, fresh=fresh))
    made.die()
    made.boot()
    declare(made, 1)
    (view,) = made.ledger.members("log")
    assert (view.place, view.taken_back, view.role) == (place, taken_back, "founding")


def test_how_an_earlier_life_ended_is_not_told_of_a_member_that_is_declared_anew(kind: SimulatedKind) -> None:
    made = World(kind=kind, node_count=3)
    made.send(given.DeclareService(name="log", package="store"))
    declare(made, 1)
    made.send(given.StartMembers(service="log", members=("b0",)))
    made.advance(10)
    made.send(given.Propose(kind="uninstall", asked_by="ann", service="log", force=True, reason="away"))
    made.advance(10)
    made.send(given.DeclareService(name="log", package="store"))
    declare(made, 1)
    (view,) = made.ledger.members("log")
    assert (view.ended_how, view.reason) == ("", "")
