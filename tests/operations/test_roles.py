"""A member is founding, joining or replacing, and a place number does not say which."""

import pytest

from upcall.operations import inputs as given
from upcall.testing.simulated import SimulatedKind
from upcall.testing.world import World


@pytest.fixture
def world(kind: SimulatedKind) -> World:
    made = World(kind=kind, node_count=6)
    made.install("log", ("b0", "b1", "b2"))
    return made


def roles(world: World) -> dict[str, tuple[str, bool]]:
    return {view.name: (view.role, view.taken_back) for view in world.ledger.members("log")}


def declare(world: World, *members: str) -> None:
    declared = tuple(given.MemberDeclaration(name=name) for name in members)
    world.send(given.DeclareMembers(service="log", members=declared))


def uninstall(world: World) -> None:
    world.send(given.Propose(kind="uninstall", asked_by="ann", service="log", force=True, reason="away"))
    world.advance(10)


def test_who_is_declared_before_anybody_has_data_is_founding(world: World) -> None:
    assert roles(world) == dict.fromkeys(("b0", "b1", "b2"), ("founding", False))
    world.advance(10)
    declare(world, "b0", "b1", "b2")
    assert roles(world) == dict.fromkeys(("b0", "b1", "b2"), ("founding", False))


def test_who_comes_to_others_that_have_data_is_joining(world: World) -> None:
    world.advance(10)
    declare(world, "b0", "b1", "b2", "b3")
    assert roles(world)["b3"] == ("joining", False)


def test_reinstalled_over_kept_volumes_with_more_members_the_new_ones_join(world: World) -> None:
    """Whatever the order in which they are declared."""
    world.advance(10)
    uninstall(world)
    world.send(given.DeclareService(name="log"))
    declare(world, "b3", "b4", "b0", "b1", "b2")
    assert roles(world) == {
        "b0": ("founding", True),
        "b1": ("founding", True),
        "b2": ("founding", True),
        "b3": ("joining", False),
        "b4": ("joining", False),
    }


def test_reinstalled_over_kept_volumes_with_fewer_members_the_service_is_told_who_is_left_out(world: World) -> None:
    world.advance(10)
    assert world.ledger.left_behind("log") == []
    uninstall(world)
    world.send(given.DeclareService(name="log"))
    assert world.ledger.left_behind("log") == ["b0", "b1", "b2"]
    declare(world, "b0", "b1")
    assert world.ledger.left_behind("log") == ["b2"]
    world.advance(90_000)
    assert world.ledger.left_behind("log", world.wall_s) == []


def test_the_service_is_told_of_whom_nothing_is_kept_although_others_have_kept_theirs(world: World) -> None:
    world.advance(10)
    uninstall(world)
    assert world.ledger.lost_behind("log") == []
    world.send(given.GiveUpVolumes(service="log", member="b1"))
    world.send(given.DeclareService(name="log"))
    assert (world.ledger.left_behind("log"), world.ledger.lost_behind("log")) == (["b0", "b2"], ["b1"])
    world.advance(90_000)
    assert world.ledger.lost_behind("log", world.wall_s) == [], "nothing is left of that life"


def test_what_lies_on_a_node_that_is_gone_for_good_is_not_taken_back(world: World) -> None:
    world.advance(10)
    node = next(view.node for view in world.ledger.members("log") if view.name == "b1")
    uninstall(world)
    world.observe(world.substrate.remove(node, world.now_s))
    world.send(given.DeclareService(name="log"))
    bound = world.substrate.capabilities.volumes_bound_to_node
    assert world.ledger.lost_behind("log") == (["b1"] if bound else [])
    world.boot()
    assert world.ledger.lost_behind("log") == (["b1"] if bound else []), "a master that starts afterwards knows it too"
    declare(world, "b0", "b1", "b2")
    assert roles(world)["b1"] == (("joining", False) if bound else ("founding", True))


def test_what_another_package_or_a_fresh_start_does_not_take_back_is_not_left_behind(world: World) -> None:
    world.advance(10)
    uninstall(world)
    world.send(given.DeclareService(name="log", fresh=True))
    assert world.ledger.left_behind("log") == []


def test_reinstalled_after_the_grace_all_are_founding(world: World) -> None:
    world.advance(10)
    uninstall(world)
    world.advance(90_000)
    world.send(given.DeclareService(name="log"))
    declare(world, "b0", "b1", "b2", "b3")
    assert roles(world) == dict.fromkeys(("b0", "b1", "b2", "b3"), ("founding", False))


def test_who_was_at_another_place_before_is_replacing(world: World) -> None:
    world.advance(10)
    world.send(given.Propose(kind="replace", asked_by="ann", service="log", members=("b1",), force=True, reason="disk"))
    world.advance(20)
    assert roles(world)["b1"] == ("replacing", False)
