"""A member takes volumes back that were set aside: an operation like any other, which its service is asked about."""

import pytest

from upcall.operations import inputs as given
from upcall.operations.records import Operation
from upcall.operations.views import MemberView
from upcall.testing.simulated import SimulatedKind
from upcall.testing.world import World


@pytest.fixture
def world(kind: SimulatedKind) -> World:
    made = World(kind=kind, node_count=4)
    made.install("log", ("b0", "b1", "b2"))
    made.advance(10)
    return made


def member(world: World, name: str = "b1") -> MemberView:
    return next(view for view in world.ledger.members("log") if view.name == name)


def take_back(world: World, takes: int = 1, *, force: bool = False, name: str = "b1") -> given.Propose:
    return given.Propose(
        kind="replace", asked_by="ann", service="log", members=(name,), reason="it has all", takes=takes, force=force
    )


def only(world: World) -> Operation:
    return next(operation for operation in reversed(world.ledger.operations()) if operation.kind == "replace")


def test_its_service_is_asked_and_nothing_happens_before_it_agrees(world: World) -> None:
    world.send(take_back(world))
    world.advance(30)
    assert only(world).state == "open"
    assert (member(world).incarnation, member(world).taken_back) == (1, False)


def test_once_it_may_the_member_comes_up_at_its_next_place_with_the_volumes(world: World) -> None:
    world.send(take_back(world, force=True))
    world.advance(30)
    assert only(world).state == "done"
    assert only(world).impact == "the member comes up with the volumes that it takes back; what it has now is set aside"
    assert (member(world).place, member(world).taken_back, member(world).observed) == (2, True, "ready")
    assert world.ledger.book.members["log.b1"].took == 1


def test_the_next_replacement_begins_empty_again(world: World) -> None:
    world.send(take_back(world, force=True))
    world.advance(30)
    plain = given.Propose(kind="replace", asked_by="ann", service="log", members=("b1",), reason="disk", force=True)
    world.send(plain)
    world.advance(30)
    assert (member(world).place, member(world).taken_back) == (3, False)


def test_who_wants_the_member_with_other_volumes_is_told_whose_wish_stands(world: World) -> None:
    world.send(take_back(world))
    first = only(world).id
    assert world.send(take_back(world)).operation == first, "the same wish is the same operation"
    for other in (take_back(world, 7), take_back(world, 0)):
        refused = world.send(other).refused
        assert refused is not None
        assert refused.code == "conflict"
        assert first in refused.message


def test_a_member_that_never_ran_takes_nothing_back(world: World) -> None:
    world.send(given.DeclareMembers(service="log", members=(given.MemberDeclaration(name="b9"),)))
    refused = world.send(take_back(world, name="b9")).refused
    assert refused is not None
    assert refused.message == "log.b9 was never launched"


def test_a_member_that_is_held_by_a_stop_takes_back_and_runs(world: World) -> None:
    stop = given.Propose(kind="stop", asked_by="ann", service="log", members=("b1",), reason="off", force=True)
    world.send(stop)
    world.advance(30)
    assert member(world).status == "held"
    world.send(take_back(world, force=True))
    world.advance(30)
    assert (member(world).taken_back, member(world).observed) == (True, "ready")
