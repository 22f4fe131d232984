"""What a drain moves, what it holds, and that what stands in effect holds for what comes later."""

from collections.abc import Sequence

from answering import accept_all

from upcall.operations import inputs as given
from upcall.operations.records import Operation, Policy
from upcall.operations.views import MemberView
from upcall.protocol.declaration import Declaration, Resources
from upcall.testing.simulated import SimulatedKind
from upcall.testing.simulated.cluster import small_nodes
from upcall.testing.world import World


def world_of(
    kind: SimulatedKind,
    *members: str,
    nodes: int = 3,
    portable: Sequence[str] = (),
    minimum: int = 0,
    start: Sequence[str] | None = None,
    together: bool = False,
) -> World:
    """``together``: nothing keeps two members off one node, so all come to the first."""
    world = World(kind=kind, node_count=nodes)
    if together:
        loose = Declaration(command=("run",), resources=Resources(memory_mib=512))
        world.declarations.update({f"s.{member}": loose for member in members})
    world.host("s", accept_all)
    world.send(given.DeclareService(name="s", minimum=minimum, policy=Policy(answer_s=10)))
    declared = tuple(given.MemberDeclaration(name=name, portable=name in portable) for name in members)
    world.send(given.DeclareMembers(service="s", members=declared))
    world.send(given.StartMembers(service="s", members=tuple(members if start is None else start)))
    world.advance(10)
    return world


def drain(world: World, node: str, **more: object) -> str:
    return world.send(given.Propose(kind="maintenance", asked_by="ann", node=node, **more)).operation  # type: ignore[arg-type]


def state(world: World, operation: str) -> str:
    found = world.ledger.operation(operation)
    assert found is not None
    return found.state


def member(world: World, name: str) -> MemberView:
    return next(view for view in world.ledger.members("s") if view.name == name)


def below(world: World, operation: str) -> list[Operation]:
    return world.ledger.children(operation)


# -- what can move is moved -----------------------------------------------------------------------------------------


def test_a_drain_moves_what_nothing_binds_and_holds_the_rest(kind: SimulatedKind) -> None:
    world = world_of(kind, "web", "store", portable=["web"], together=True)
    node = world.substrate.node_of("s.web")
    for name in ("web", "store"):
        if world.substrate.node_of(f"s.{name}") != node:
            drain(world, world.substrate.node_of(f"s.{name}"))
    operation = drain(world, node)
    world.advance(60)
    assert state(world, operation) == "done"
    assert member(world, "web").status == "ready"
    assert world.substrate.node_of("s.web") != node
    assert member(world, "store").status == "held"


def test_what_finds_no_room_is_held_and_says_so() -> None:
    world = world_of("kernel", "a", "b", "c", portable=["a", "b", "c"])
    node = world.substrate.node_of("s.b")
    operation = drain(world, node)
    world.advance(30)
    assert state(world, operation) == "done"
    assert member(world, "b").status == "held"
    vacate, stop = below(world, operation)
    assert (vacate.kind, vacate.state, stop.kind) == ("vacate", "withdrawn", "stop")
    assert "nothing fits elsewhere" in stop.reason


def test_undrain_brings_back_only_what_was_held() -> None:
    world = world_of("kernel", "web", "store", portable=["web"], together=True)
    node = world.substrate.node_of("s.web")
    assert world.substrate.node_of("s.store") == node
    drain(world, node)
    world.advance(60)
    elsewhere = world.substrate.node_of("s.web")
    world.send(given.Undrain(node=node, who="ann"))
    world.advance(30)
    assert (member(world, "store").status, world.substrate.node_of("s.store")) == ("ready", node)
    assert world.substrate.node_of("s.web") == elsewhere
    assert member(world, "web").incarnation == 2


def test_two_that_one_drain_moves_are_not_taken_in_the_same_instant() -> None:
    """Accepted together: the second follows when the first is ready elsewhere."""
    world = world_of("kernel", "master", "worker", portable=["master", "worker"], together=True)
    node = world.substrate.node_of("s.master")
    away: list[int] = []
    operation = drain(world, node)
    for _ in range(120):
        world.advance(0.5)
        away.append(sum(view.status != "ready" for view in world.ledger.members("s")))
    assert state(world, operation) == "done"
    assert max(away) == 1


# -- what stands in effect ------------------------------------------------------------------------------------------


def test_nothing_starts_on_a_node_whose_drain_is_done_until_it_is_lifted() -> None:
    world = world_of("kernel", "a", "b", "c", start=["a"])
    node = world.substrate.places()["s.b"]
    operation = drain(world, node)
    assert state(world, operation) == "done"
    world.send(given.StartMembers(service="s", members=("b",)))
    world.advance(30)
    assert (member(world, "b").status, member(world, "b").incarnation) == ("held", 0)
    assert f"its place is on {node}, where {operation} lets nothing start" in member(world, "b").reason
    world.send(given.Undrain(node=node, who="ann"))
    world.advance(10)
    assert (member(world, "b").status, member(world, "b").node) == ("ready", node)


def test_a_place_that_was_never_used_is_exchanged_for_another_on_a_drained_node() -> None:
    """And its member is what it was: founding, not a replacement."""
    world = world_of("kernel", "a", "b", "c", nodes=4, start=["a"])
    node = world.substrate.places()["s.b"]
    drain(world, node)
    world.send(given.StartMembers(service="s", members=("b",)))
    world.advance(30)
    assert member(world, "b").status == "ready"
    assert member(world, "b").node != node
    assert member(world, "b").role == "founding"


def test_a_master_that_starts_again_starts_nothing_on_a_drained_node() -> None:
    world = world_of("kernel", "a", "b", "c", start=["a"])
    node = world.substrate.places()["s.b"]
    drain(world, node)
    world.send(given.StartMembers(service="s", members=("b",)))
    world.die()
    world.boot()
    world.advance(30)
    assert member(world, "b").incarnation == 0


def test_a_member_that_a_person_starts_on_a_drained_node_waits_for_the_drain() -> None:
    world = world_of("kernel", "a", "b", "c")
    node = world.substrate.node_of("s.b")
    world.send(given.Propose(kind="stop", asked_by="ann", service="s", members=("b",), force=True, reason="look at it"))
    world.advance(10)
    operation = drain(world, node)
    assert state(world, operation) == "done"
    world.send(given.GiveBack(service="s", member="b", who="ann"))
    world.advance(30)
    assert (member(world, "b").status, member(world, "b").incarnation) == ("held", 1)
    world.send(given.Undrain(node=node, who="ann"))
    world.advance(10)
    assert member(world, "b").status == "ready"


def test_a_node_is_not_removed_while_a_place_there_was_never_used_and_none_is_elsewhere() -> None:
    world = world_of("kernel", "a", "b", "c", start=["a"])
    node = world.substrate.places()["s.b"]
    operation = drain(world, node, remove=True)
    world.advance(60)
    assert state(world, operation) == "open"
    world.observe(world.substrate.join(small_nodes(4)[3], world.now_s))
    world.advance(10)
    assert state(world, operation) == "done"
    assert world.substrate.places()["s.b"] == "n3"


# -- a drain that becomes a removal ---------------------------------------------------------------------------------


def test_a_drain_becomes_a_removal_and_what_it_held_comes_up_elsewhere(kind: SimulatedKind) -> None:
    world = world_of(kind, "a", "b", "c", nodes=4)
    node = world.substrate.node_of("s.b")
    operation = drain(world, node)
    world.advance(20)
    assert state(world, operation) == "done"
    assert drain(world, node, remove=True) == operation
    world.advance(60)
    assert state(world, operation) == "done"
    assert member(world, "b").status == "ready"
    assert world.substrate.node_of("s.b") != node


def test_a_drain_that_has_not_begun_becomes_a_removal_and_what_it_asked_is_withdrawn() -> None:
    world = world_of("kernel", "a", "b", "c", nodes=4, minimum=3)
    node = world.substrate.node_of("s.b")
    operation = drain(world, node)
    world.advance(5)
    (stop,) = below(world, operation)
    assert (stop.kind, stop.state) == ("stop", "open")
    drain(world, node, remove=True)
    assert [(each.kind, each.state) for each in below(world, operation)] == [("stop", "withdrawn"), ("vacate", "open")]


def test_a_death_of_the_master_within_that_costs_nothing() -> None:
    for after in range(12):
        world = world_of("kernel", "a", "b", "c", nodes=4)
        node = world.substrate.node_of("s.b")
        operation = drain(world, node)
        world.advance(20)
        world.die_after = after
        drain(world, node, remove=True)
        world.die_after = None
        if not world.ledger.operation(operation).removes_node:  # type: ignore[union-attr]
            drain(world, node, remove=True)
        world.advance(60)
        assert state(world, operation) == "done", after
        assert member(world, "b").status == "ready", after


def test_a_drained_node_that_is_lost_gives_its_members_back_elsewhere(kind: SimulatedKind) -> None:
    world = world_of(kind, "a", "b", "c", nodes=4)
    node = world.substrate.node_of("s.b")
    drain(world, node)
    world.advance(20)
    world.observe(world.substrate.remove(node, world.now_s))
    world.advance(120)
    assert member(world, "b").status == "ready"


# -- the guard ------------------------------------------------------------------------------------------------------


def test_what_the_same_drain_took_does_not_count_against_the_rest_of_it() -> None:
    world = world_of("kernel", "a", "b", minimum=1, together=True)
    node = world.substrate.node_of("s.a")
    assert world.substrate.node_of("s.b") == node
    operation = drain(world, node)
    world.advance(60)
    assert state(world, operation) == "done"


def test_what_another_drain_took_does() -> None:
    world = world_of("kernel", "a", "b", "c", minimum=2)
    first, second = world.substrate.node_of("s.a"), world.substrate.node_of("s.b")
    drain(world, first)
    world.advance(30)
    operation = drain(world, second)
    world.advance(120)
    assert state(world, operation) == "open"
    assert member(world, "b").status == "ready"
