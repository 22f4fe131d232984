"""A place, and the data in it, is given up only when there is another."""

import pytest
from answering import accept_all, held_next

from upcall.operations import inputs as given
from upcall.operations.records import Operation, Policy
from upcall.operations.views import MemberView, PendingSet
from upcall.protocol.declaration import Declaration, Resources
from upcall.testing.simulated import SimulatedKind, Timing
from upcall.testing.simulated.cluster import small_nodes
from upcall.testing.world import World

POLICY = Policy(answer_s=10, replace_after_s=60)


@pytest.fixture
def full() -> World:
    """As many members as nodes, and no two on one node, where we place."""
    return full_world("kernel")


def full_world(kind: SimulatedKind, **timing: float) -> World:
    world = World(kind=kind, node_count=3, timing=Timing(**timing))  # type: ignore[arg-type]
    world.install("log", ("b0", "b1", "b2"), minimum=2, policy=POLICY)
    world.advance(10)
    return world


def member(world: World, name: str) -> MemberView:
    return next(view for view in world.ledger.members("log") if view.name == name)


def operation(world: World, kind: str) -> Operation:
    return [each for each in world.ledger.operations() if each.kind == kind][-1]


def remove_node(world: World, node: str, **more: object) -> str:
    proposal = given.Propose(kind="maintenance", asked_by="ann", node=node, remove=True, **more)  # type: ignore[arg-type]
    return world.send(proposal).operation


def test_a_member_that_is_proven_dead_keeps_its_place_while_nothing_fits_and_returns_to_it(kind: SimulatedKind) -> None:
    world = full_world(kind, prove_s=5)
    node = world.substrate.node_of("log.b1")
    world.observe(world.substrate.silence(node, world.now_s, dies=True))
    world.advance(200)
    assert member(world, "b1").place == 1
    world.observe(world.substrate.recover(node, world.now_s))
    world.advance(20)
    assert (member(world, "b1").status, member(world, "b1").place) == ("ready", 1)


def test_why_says_what_a_replacement_lacks(full: World) -> None:
    node = full.substrate.node_of("log.b1")
    drain = remove_node(full, node)
    full.advance(100)
    why = full.ledger.why(full.ledger.children(drain)[0].id)
    assert why is not None
    assert why.waits_for == "a place"
    assert f"{node} is kept free for its maintenance" in why.reason
    assert full.alerts, "a person is told, once"


@pytest.mark.parametrize("force", [False, True])
def test_a_node_is_not_removed_while_its_members_fit_nowhere_and_they_run_on(full: World, force: bool) -> None:
    node = full.substrate.node_of("log.b1")
    drain = remove_node(full, node, force=force, reason="it smokes", window_s=30, on_deadline="force")
    full.advance(600)
    assert member(full, "b1").status == "ready"
    assert full.ledger.operation(drain).state == "open"  # type: ignore[union-attr]
    full.observe(full.substrate.join(small_nodes(4)[3], full.now_s))
    full.advance(60)
    assert (member(full, "b1").status, member(full, "b1").node) == ("ready", "n3")
    assert full.ledger.operation(drain).state == "done"  # type: ignore[union-attr]


def test_nobody_is_asked_about_a_move_that_cannot_be(full: World) -> None:
    node = full.substrate.node_of("log.b1")
    remove_node(full, node)
    (pending,) = full.ledger.pending("log").operations
    assert not pending.asked
    full.observe(full.substrate.join(small_nodes(4)[3], full.now_s))
    (pending,) = full.ledger.pending("log").operations
    assert pending.asked


def test_a_place_that_is_not_needed_any_more_is_free_again(full: World) -> None:
    full.observe(full.substrate.join(small_nodes(4)[3], full.now_s))
    wish = full.send(given.Propose(kind="replace", asked_by="ann", service="log", members=("b1",), reason="disk"))
    assert "log.b1" in held_next(full)
    full.send(given.Cancel(operation=wish.operation, who="ann"))
    assert held_next(full) == {}


def test_a_place_on_a_node_that_falls_silent_is_looked_for_anew(full: World) -> None:
    for number in (3, 4):
        full.observe(full.substrate.join(small_nodes(5)[number], full.now_s))
    full.send(given.Propose(kind="replace", asked_by="ann", service="log", members=("b1",), reason="disk"))
    first, _ = held_next(full)["log.b1"]
    full.observe(full.substrate.silence(first, full.now_s))
    full.advance(20)
    full.send(given.Force(operation=operation(full, "replace").id, who="ann", why="now"))
    full.advance(20)
    assert (member(full, "b1").status, member(full, "b1").place) == ("ready", 2)
    assert member(full, "b1").node != first


def test_a_death_of_the_master_between_the_place_and_the_begin_costs_nothing(full: World) -> None:
    full.observe(full.substrate.join(small_nodes(4)[3], full.now_s))
    wish = full.send(given.Propose(kind="replace", asked_by="ann", service="log", members=("b1",), reason="disk"))
    full.die()
    full.boot()
    full.send(given.Force(operation=wish.operation, who="ann", why="now"))
    full.advance(20)
    assert (member(full, "b1").status, member(full, "b1").place, member(full, "b1").node) == ("ready", 2, "n3")
    assert full.substrate.violations == []


def test_two_members_of_one_service_on_a_node_that_is_removed_leave_it_one_after_the_other() -> None:
    world = World(kind="kernel", node_count=3)
    for name in ("b0", "b1"):
        world.declarations[f"log.{name}"] = Declaration(command=("run",), resources=Resources(memory_mib=512))
    world.host("log", accept_all)
    world.install("log", ("b0", "b1"), minimum=1, policy=POLICY)
    world.advance(10)
    node = world.substrate.node_of("log.b0")
    assert world.substrate.node_of("log.b1") == node
    drain = remove_node(world, node)
    world.advance(120)
    assert world.ledger.operation(drain).state == "done"  # type: ignore[union-attr]
    assert {view.status for view in world.ledger.members("log")} == {"ready"}


def says(world: World, answer: given.Answer) -> None:
    """What the service says of each loss that it is asked about while ``b1``'s node is away."""
    node = world.substrate.node_of("log.b1")

    def script(pending: PendingSet) -> dict[str, given.Answer]:
        away = world.ledger.book.node_state(node) == "silent"
        return {one.operation.id: answer for one in pending.operations if one.asked and away}

    world.host("log", script)


ANSWERS = [
    given.Answer(verdict="replace", retry_after_s=3600),
    given.Answer(verdict="wait", retry_after_s=3600),
    given.Answer(verdict="defer", reason="the only copy is there", retry_after_s=3600),
]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.verdict)
def test_what_was_said_of_a_dead_node_is_void_when_it_is_back_and_its_member_returns_to_its_data(
    answer: given.Answer,
) -> None:
    world = full_world("kernel", prove_s=5)
    says(world, answer)
    node = world.substrate.node_of("log.b1")
    world.observe(world.substrate.silence(node, world.now_s, dies=True))
    world.advance(200)
    assert world.ledger.book.answer(operation(world, "lost")) is not None
    assert member(world, "b1").place == 1
    world.observe(world.substrate.recover(node, world.now_s))
    world.advance(30)
    b1 = member(world, "b1")
    assert (b1.status, b1.place, b1.node) == ("ready", 1, node)
    assert held_next(world) == {}
    assert world.substrate.violations == []


def test_an_answer_that_was_on_its_way_when_the_node_came_back_is_refused() -> None:
    world = full_world("kernel", prove_s=5)
    says(world, ANSWERS[1])
    node = world.substrate.node_of("log.b1")
    world.observe(world.substrate.silence(node, world.now_s, dies=True))
    world.advance(200)
    epoch = world.ledger.pending("log").epoch
    loss = operation(world, "lost").id
    world.observe(world.substrate.recover(node, world.now_s))
    outcome = world.send(given.Answers(service="log", epoch=epoch, answers={loss: ANSWERS[0]}))
    assert outcome.refused is not None
    assert outcome.refused.code == "stale"


@pytest.mark.parametrize("ready", [True, False])
def test_once_it_was_launched_elsewhere_a_member_stays_there_and_what_is_left_behind_never_runs(
    kind: SimulatedKind, ready: bool
) -> None:
    world = full_world(kind, prove_s=5)
    says(world, ANSWERS[0])
    node = world.substrate.node_of("log.b1")
    world.substrate.slow.add("log.b1")
    world.observe(world.substrate.silence(node, world.now_s, dies=True))
    world.advance(30)
    world.observe(world.substrate.join(small_nodes(4)[3], world.now_s))
    world.advance(10)
    assert (member(world, "b1").place, member(world, "b1").status) == (2, "launching")
    if ready:
        world.observe(world.substrate.make_ready("log.b1", world.now_s))
    world.observe(world.substrate.recover(node, world.now_s))
    world.advance(30)
    world.observe(world.substrate.make_ready("log.b1", world.now_s))
    b1 = member(world, "b1")
    assert (b1.status, b1.place, b1.node, b1.incarnation) == ("ready", 2, "n3", 2)
    assert world.substrate.violations == []
