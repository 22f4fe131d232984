"""One maintenance of several nodes: asked as one set, lifted as one or node by node, and below the minimum never."""

import msgspec
from test_drains import below, member, state, world_of

from upcall.operations import inputs as given
from upcall.operations.records import Operation
from upcall.testing.simulated import SimulatedKind
from upcall.testing.world import World


def drain(world: World, *nodes: str, **more: object) -> str:
    return world.send(given.Propose(kind="maintenance", asked_by="ann", nodes=nodes, **more)).operation  # type: ignore[arg-type]


def nodes_of(world: World, *names: str) -> list[str]:
    return [world.substrate.node_of(f"s.{name}") for name in names]


def test_all_of_a_set_go_together_and_come_back_by_one_undrain(kind: SimulatedKind) -> None:
    world = world_of(kind, "a", "b", "c", "d", nodes=4, minimum=2)
    first, second = nodes_of(world, "a", "b")
    operation = drain(world, first, second)
    world.advance(10)
    assert state(world, operation) == "done"
    assert [member(world, name).status for name in "abcd"] == ["held", "held", "ready", "ready"]
    world.send(given.Undrain(nodes=(second, first), who="ann"))
    world.advance(30)
    assert state(world, operation) == "lifted"
    assert [member(world, name).status for name in "abcd"] == ["ready"] * 4


def test_a_set_goes_as_far_as_the_minimum_lets_it_whatever_the_service_accepts(kind: SimulatedKind) -> None:
    """``proceed`` goes over its answer, and a set is no way around the guard."""
    world = world_of(kind, "a", "b", "c", minimum=2)
    operation = drain(world, *nodes_of(world, "a", "b", "c"), window_s=5.0, on_deadline="proceed")
    world.advance(120)
    assert state(world, operation) == "open"
    assert len(world.ready("s")) == 2
    why = [world.ledger.why(o.id) for o in below(world, operation) if o.live]
    assert all(each is not None and each.waits_for == "the guard" for each in why)
    assert len(why) == 2


def test_what_is_on_one_node_of_a_set_goes_with_it() -> None:
    """No waiting brings back what the same node holds; with another node of the set it is the minimum that decides."""
    world = world_of("kernel", "a", "b", "c", "d", nodes=2, minimum=3, together=True)
    assert len(set(nodes_of(world, "a", "b", "c", "d"))) == 1
    operation = drain(world, "n0", "n1")
    world.advance(30)
    assert state(world, operation) == "done"


def test_what_may_go_goes_and_what_its_service_puts_off_waits_with_its_reason() -> None:
    """Another service has its only copy there."""
    world = world_of("kernel", "a", "b", nodes=2)
    later = given.Answer(verdict="defer", reason="the only copy is there", retry_after_s=5.0)
    world.host("only", lambda pending: {one.operation.id: later for one in pending.operations if one.asked})
    world.install("only", ["copy"], minimum=0)
    world.advance(10)
    operation = drain(world, "n0", "n1", zone="a")
    world.advance(20)
    assert state(world, operation) == "open"
    assert {member(world, name).status for name in "ab"} == {"held"}
    why = world.ledger.why(operation)
    assert why is not None
    (waits,) = [each for each in below(world, operation) if each.live]
    assert waits.id in why.waits_for
    reason = world.ledger.why(waits.id)
    assert reason is not None
    assert "the only copy is there" in reason.reason


def test_one_of_its_nodes_is_given_back_while_it_goes_on_for_the_others(kind: SimulatedKind) -> None:
    world = world_of(kind, "a", "b", "c", minimum=2)
    first, second = nodes_of(world, "a", "b")
    operation = drain(world, first, second)
    world.advance(10)
    held = next(name for name in "ab" if member(world, name).status == "held")
    waits = next(name for name in "ab" if name != held)
    assert state(world, operation) == "open"
    world.send(given.Undrain(node=nodes_of(world, held)[0] or {"a": first, "b": second}[held], who="ann"))
    world.advance(30)
    assert member(world, held).status == "ready"
    assert (state(world, operation), member(world, waits).status) == ("done", "held")
    world.send(given.Undrain(node={"a": first, "b": second}[waits], who="ann"))
    world.advance(30)
    assert state(world, operation) == "lifted"
    assert len(world.ready("s")) == 3


def test_what_had_not_begun_on_the_node_that_is_given_back_is_withdrawn() -> None:
    world = world_of("kernel", "a", "b", "c", minimum=3)
    first, second = nodes_of(world, "a", "b")
    operation = drain(world, first, second)
    world.advance(5)
    world.send(given.Undrain(node=second, who="ann", why="not this one"))
    world.advance(5)
    assert [o.state for o in below(world, operation)] == ["open", "withdrawn"]
    assert f"{second} is given back by {operation}" in below(world, operation)[1].outcome


def test_a_part_that_was_given_back_is_given_back_for_the_next_master_too() -> None:
    world = world_of("kernel", "a", "b", "c", minimum=1)
    first, second = nodes_of(world, "a", "b")
    operation = drain(world, first, second)
    world.advance(10)
    world.send(given.Undrain(node=first, who="ann"))
    world.die()
    world.boot()
    world.advance(60)
    assert (member(world, "a").status, member(world, "b").status) == ("ready", "held")
    found = world.ledger.operation(operation)
    assert found is not None
    assert (found.nodes, found.given_back) == ((second,), (first,))
    assert world.ledger.maintenance(first) is None


def test_nothing_of_a_set_begins_when_one_of_its_nodes_is_anothers_or_unknown() -> None:
    world = world_of("kernel", "a", "b", "c")
    mine = drain(world, "n0")
    refused = world.send(given.Propose(kind="maintenance", asked_by="bob", nodes=("n1", "n0"))).refused
    assert refused is not None
    assert (refused.code, mine in refused.message, "ann" in refused.message) == ("conflict", True, True)
    assert "ask for n1 alone" in refused.expected
    refused = world.send(given.Propose(kind="maintenance", asked_by="bob", nodes=("n1", "n7"))).refused
    assert refused is not None
    assert refused.code == "not_found"
    assert world.ledger.maintenance("n1") is None


def test_nodes_of_two_maintenances_are_not_undrained_as_one() -> None:
    world = world_of("kernel", "a", "b", "c")
    first = drain(world, "n0")
    drain(world, "n1", "n2")
    refused = world.send(given.Undrain(nodes=("n0", "n1"), who="ann")).refused
    assert refused is not None
    assert "n1 is not in maintenance with n0" in refused.message
    assert state(world, first) != "lifted"


def test_the_rest_of_a_set_becomes_a_removal_once_it_is_one_node() -> None:
    world = world_of("kernel", "a", "b", nodes=4, minimum=0)
    first, second = nodes_of(world, "a", "b")
    operation = drain(world, first, second)
    world.advance(10)
    refused = world.send(given.Propose(kind="maintenance", asked_by="ann", node=first, remove=True)).refused
    assert refused is not None
    assert f"with {second}" in refused.message
    world.send(given.Undrain(node=second, who="ann"))
    assert drain(world, first, remove=True) == operation
    world.advance(60)
    assert member(world, "a").status == "ready"
    assert world.substrate.node_of("s.a") != first
    assert world.substrate.node_of("s.b") == second


def test_a_drain_on_record_from_before_there_were_sets_is_read_as_one_of_its_node() -> None:
    old = (
        b'{"type":"operation","id":"op-3","kind":"maintenance","class":"windowed","target":{"node":"n1"},'
        b'"reason":"maintenance","asked_by":"ann","state":"done","version":3}'
    )
    read = msgspec.json.decode(old, type=Operation)
    assert (read.nodes, read.words()) == (("n1",), "maintenance of node n1")
    assert b"given_back" not in msgspec.json.encode(read)


def test_a_single_drain_is_written_as_ever() -> None:
    world = world_of("kernel", "a")
    found = world.ledger.operation(drain(world, "n0"))
    assert found is not None
    assert (found.target.node, found.target.nodes) == ("n0", ())
