"""What may be asked for, what is refused, removals in two phases, and that everything is bounded."""

import pytest

from upcall.operations import book, proposals
from upcall.operations import inputs as given
from upcall.operations.effects import Outcome
from upcall.operations.records import MemberRecord, Policy
from upcall.operations.table import CHANGES, Kind
from upcall.testing.simulated import SimulatedKind
from upcall.testing.world import World


@pytest.fixture
def made(kind: SimulatedKind) -> World:
    world = World(kind=kind, node_count=4)
    world.send(given.HostSubscribed(service="kafka"))
    world.install("kafka", ("b0", "b1", "b2"), minimum=2)
    world.advance(5)
    return world


def propose(world: World, kind: Kind, *members: str, **more: object) -> Outcome:
    return world.send(
        given.Propose(kind=kind, asked_by="ann", reason="because", service="kafka", members=members, **more)  # type: ignore[arg-type]
    )


def accept(world: World, operation: str) -> Outcome:
    epoch = world.ledger.pending("kafka").epoch
    return world.send(given.Answers(service="kafka", epoch=epoch, answers={operation: given.Answer(verdict="accept")}))


def test_the_same_key_is_the_same_operation(made: World) -> None:
    first = propose(made, "restart", "b1", key="k")
    again = propose(made, "restart", "b2", key="k")
    assert first.operation == again.operation
    assert not again.changes


def test_the_same_wish_is_the_same_operation(made: World) -> None:
    assert propose(made, "restart", "b1").operation == propose(made, "restart", "b1").operation


def test_a_refusal_ends_what_is_voluntary(made: World) -> None:
    operation = propose(made, "restart", "b1").operation
    epoch = made.ledger.pending("kafka").epoch
    no = given.Answer(verdict="decline", reason="rebuilding")
    made.send(given.Answers(service="kafka", epoch=epoch, answers={operation: no}))
    found = made.ledger.operation(operation)
    assert found is not None
    assert (found.state, found.outcome) == ("declined", "declined by kafka: rebuilding")


def test_what_the_system_has_against_it_is_not_told_as_its_service_s_word(made: World) -> None:
    operation = propose(made, "restart", "b1").operation
    epoch = made.ledger.pending("kafka").epoch
    no = given.Answer(verdict="decline", reason="no place", by_system=True)
    made.send(given.Answers(service="kafka", epoch=epoch, answers={operation: no}))
    found = made.ledger.operation(operation)
    assert found is not None
    assert (found.state, found.outcome) == ("declined", "declined by the system: no place")


def test_a_paused_operation_waits_for_a_person(made: World) -> None:
    operation = propose(made, "restart", "b1").operation
    made.send(given.Pause(operation=operation, who="bob", why="demo"))
    accept(made, operation)
    why = made.ledger.why(operation)
    assert why is not None
    assert (why.waits_for, why.reason) == ("a person", "paused by bob: demo; resume lets it go on")
    made.send(given.Pause(operation=operation, who="bob", on="resume"))
    assert made.ledger.operation(operation).state == "executing"  # type: ignore[union-attr]


def test_a_paused_operation_does_not_begin_when_its_window_ends(made: World) -> None:
    node = made.substrate.node_of("kafka.b1")
    made.send(given.Propose(kind="maintenance", asked_by="ann", node=node, window_s=20, on_deadline="force"))
    drain, stop = made.ledger.operations()
    made.send(given.Pause(operation=stop.id, who="bob", why="rush hour"))
    assert made.send(given.Pause(operation=stop.id, who="eve")).changes == []
    made.advance(60)
    found = made.ledger.operation(stop.id)
    assert found is not None
    assert (found.state, found.paused.who if found.paused else "", found.alerted) == ("open", "bob", False)
    made.send(given.Pause(operation=stop.id, who="bob", on="resume"))
    made.advance(10)
    assert made.ledger.operation(drain.id).state == "done"  # type: ignore[union-attr]
    begun = made.send(given.Pause(operation=stop.id, who="bob"))
    assert begun.refused is not None
    assert begun.refused.code == "conflict"


def test_to_force_a_paused_operation_lets_it_begin(made: World) -> None:
    operation = propose(made, "restart", "b1").operation
    made.send(given.Pause(operation=operation, who="bob"))
    made.send(given.Force(operation=operation, who="ann", why="it must be now"))
    assert made.ledger.operation(operation).state == "executing"  # type: ignore[union-attr]


def test_nobody_waits_behind_a_paused_operation_in_the_static_order(kind: SimulatedKind) -> None:
    made = World(kind=kind, node_count=4)
    policy = Policy(silence="proceed", order=("b0", "b1", "b2"), answer_s=10)
    made.install("web", ("b0", "b1", "b2"), minimum=1, policy=policy)
    made.advance(5)
    for member in ("b0", "b1"):
        node = made.substrate.node_of(f"web.{member}")
        made.send(given.Propose(kind="maintenance", asked_by="ann", node=node, window_s=600))
    first, second = (o for o in made.ledger.operations() if o.kind == "stop")
    made.send(given.Pause(operation=first.id, who="bob"))
    made.advance(30)
    assert made.ledger.operation(first.id).state == "open"  # type: ignore[union-attr]
    assert made.ledger.operation(second.id).state == "done"  # type: ignore[union-attr]


def test_replace_gives_the_place_up_and_comes_up_elsewhere(made: World, kind: SimulatedKind) -> None:
    """Where somebody else places, its volumes are given up just the same; which node it gets is theirs to say."""
    before = made.substrate.node_of("kafka.b1")
    accept(made, propose(made, "replace", "b1").operation)
    made.advance(10)
    view = made.ledger.members("kafka")[1]
    assert (view.status, view.place, view.incarnation) == ("ready", 2, 2)
    assert kind != "kernel" or made.substrate.node_of("kafka.b1") != before


def test_a_removal_waits_until_the_member_has_left(kind: SimulatedKind) -> None:
    made = World(kind=kind, node_count=4)
    made.install("kafka", ("b0", "b1", "b2"), minimum=1, policy=Policy(leaves=True, leave_s=100))
    made.advance(5)
    operation = propose(made, "scale_in", "b2").operation
    accept(made, operation)
    made.advance(50)
    assert made.ledger.operation(operation).state == "preparing"  # type: ignore[union-attr]
    assert made.substrate.running("kafka.b2"), "it still runs while its data moves"
    made.send(given.Confirm(service="kafka", operation=operation))
    made.advance(5)
    assert made.ledger.operation(operation).state == "done"  # type: ignore[union-attr]
    assert [view.name for view in made.ledger.members("kafka")] == ["b0", "b1"]


def test_a_removal_that_does_not_come_about_has_failed_and_the_member_stays(kind: SimulatedKind) -> None:
    made = World(kind=kind, node_count=4)
    made.install("kafka", ("b0", "b1", "b2"), minimum=1, policy=Policy(leaves=True, leave_s=100))
    made.advance(5)
    operation = propose(made, "scale_in", "b2").operation
    accept(made, operation)
    made.advance(101)
    assert made.ledger.operation(operation).state == "failed"  # type: ignore[union-attr]
    assert made.ready("kafka") == ["b0", "b1", "b2"]


def test_a_node_that_is_removed_is_vacated(made: World) -> None:
    node = made.substrate.node_of("kafka.b1")
    made.send(given.Propose(kind="maintenance", asked_by="ann", node=node, remove=True, window_s=600))
    vacate = made.ledger.operations()[-1]
    assert (vacate.kind, vacate.class_) == ("vacate", "windowed")
    accept(made, vacate.id)
    made.advance(10)
    assert made.ready("kafka") == ["b0", "b1", "b2"]
    assert made.substrate.node_of("kafka.b1") != node
    assert made.ledger.operations()[0].state == "done"


def test_a_member_that_keeps_dying_is_vacated_once() -> None:
    """It has ended already when its vacate begins, and the pause of its crash loop is not over: it waits for its launch
    elsewhere, and nothing more is proposed meanwhile."""
    made = World(kind="kernel", node_count=4)
    made.install("kafka", ("b0", "b1", "b2"), minimum=0)
    made.advance(20)
    node = made.substrate.node_of("kafka.b0")
    drain = given.Propose(
        kind="maintenance", asked_by="ann", node=node, remove=True, window_s=60, on_deadline="proceed"
    )
    made.send(drain)
    made.observe(made.substrate.crash("kafka.b0", made.now_s))
    made.sleep(3600)
    made.observe(made.substrate.crash("kafka.b0", made.now_s))
    made.send(given.Propose(kind="shutdown", asked_by="ann"))
    made.send(given.Up(who="ann"))
    made.advance(120)
    assert [o.state for o in made.ledger.operations() if o.kind == "vacate"] == ["done"]
    assert made.ready("kafka") == ["b0", "b1", "b2"]
    assert made.substrate.node_of("kafka.b0") != node


def test_a_plan_begins_when_it_is_accepted_and_ends_when_its_service_says_so(made: World) -> None:
    update = propose(made, "update", revision=2).operation
    accept(made, update)
    child = propose(made, "restart", "b0", parent=update).operation
    assert made.ledger.operation(child).class_ == "voluntary"  # type: ignore[union-attr]
    accept(made, child)
    made.advance(10)
    made.send(given.Confirm(service="kafka", operation=update))
    assert [o.state for o in made.ledger.operations()] == ["done", "done"]


def test_a_silent_service_without_data_is_drained_one_at_a_time_in_its_order(kind: SimulatedKind) -> None:
    made = World(kind=kind, node_count=3)
    policy = Policy(answer_s=10, order=("w1", "w0"))
    made.install("web", ("w0", "w1", "w2"), minimum=1, stateful=False, policy=policy)
    made.advance(5)
    for node in ("n0", "n1"):
        made.send(given.Propose(kind="maintenance", asked_by="ann", node=node, window_s=3600))
    made.advance(10.5)
    taken = [o.target.members[0] for o in made.ledger.operations() if o.kind == "stop" and o.state != "open"]
    assert taken == [made.ledger.operations()[-1].target.members[0]] == ["w1"]
    made.advance(30)
    assert made.ready("web") == ["w2"]


def test_a_flood_is_refused_and_no_other_service_notices(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "OPEN_MAX", 40)
    made.install("other", ("o0",), minimum=1)
    made.advance(5)
    shown = made.ledger.pending("other")
    for n in range(40):
        assert propose(made, "rebalance", impact=str(n)).refused is None
    refused = propose(made, "rebalance").refused
    assert refused is not None
    assert refused.code == "conflict"
    assert made.ledger.pending("other") == shown


def test_history_is_bounded_and_keeps_what_something_derives_from(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upcall.operations.compaction.OPERATIONS_KEPT_MAX", 20)
    made.send(given.Propose(kind="maintenance", asked_by="ann", node="n1", window_s=600))
    drain, stop = made.ledger.operations()
    accept(made, stop.id)
    made.advance(5)
    for _ in range(60):
        made.send(given.Cancel(operation=propose(made, "rebalance").operation, who="ann"))
    kept = {o.id for o in made.ledger.operations()}
    assert len(kept) <= 20
    assert {drain.id, stop.id} <= kept, "the drain still holds b1"
    made.advance(1000)
    assert [view.status for view in made.ledger.members("kafka")] == ["ready", "held", "ready"]
    assert int(propose(made, "rebalance").operation.removeprefix("op-")) == 63, "numbers are never used twice"


def test_an_install_after_the_grace_gets_fresh_volumes_and_fresh_numbers(made: World) -> None:
    propose(made, "uninstall", force=True)
    made.advance(5)
    made.advance(90_000)
    made.install("kafka", ("b0",), minimum=0)
    made.advance(5)
    record = next(r for r in made.ledger.records() if isinstance(r, MemberRecord) and r.key == "kafka.b0")
    assert (record.incarnation, record.place) == (2, 2)
    view = next(m for m in made.ledger.members("kafka") if m.name == "b0")
    assert (view.first_place, view.starts) == (2, 1)
    assert not made.ledger.replaces("kafka", "b0", 2), "a service's beginning replaces nobody"
    assert made.ledger.replaces("kafka", "b0", 3)


def test_words_of_others_are_cut(made: World) -> None:
    operation = propose(made, "restart", "b1").operation
    epoch = made.ledger.pending("kafka").epoch
    long = given.Answer(verdict="defer", reason="x" * 10_000)
    made.send(given.Answers(service="kafka", epoch=epoch, answers={operation: long}))
    answer = made.ledger.pending("kafka").operations[0].answer
    assert answer is not None
    assert len(answer.reason) == book.REASON_CHARS_MAX


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (given.Propose(kind="restart", asked_by="ann", service="kafka", members=()), "invalid"),
        (given.Propose(kind="restart", asked_by="ann", service="kafka", members=("b0", "b1")), "invalid"),
        (given.Propose(kind="maintenance", asked_by="ann", node="n99"), "not_found"),
        (given.Propose(kind="maintenance", asked_by="ann", node="n1", window_s=-1), "invalid"),
        (given.Propose(kind="restart", asked_by="ann", service="none", members=("b0",)), "not_found"),
        (given.Propose(kind="restart", asked_by="ann", service="kafka", members=("b0",), parent="op-9"), "not_found"),
        (given.Force(operation="op-9", who="ann", why="x"), "not_found"),
        (given.Cancel(operation="op-9", who="ann"), "not_found"),
        (given.Undrain(node="n1", who="ann"), "not_found"),
        (given.DeclareService(name="Big"), "invalid"),
        (given.DeclareService(name="kafka", minimum=-1), "invalid"),
        (given.DeclareMembers(service="kafka", members=(given.MemberDeclaration(name="b.1"),)), "invalid"),
        (given.DeclareMembers(service="none", members=()), "not_found"),
        (given.WithdrawMembers(service="kafka", members=("b0",)), "conflict"),
        (given.AssumeDead(service="kafka", member="b0", who="ann", why="x"), "conflict"),
        (given.Confirm(service="kafka", operation="op-9"), "not_found"),
    ],
    ids=str,
)
def test_bad_input_is_one_clear_error_with_nothing_half_done(made: World, item: given.Input, code: str) -> None:
    before = made.ledger.records()
    outcome = made.send(item)
    assert outcome.refused is not None
    assert outcome.refused.code == code
    assert outcome.refused.message
    assert not outcome.changes
    assert made.ledger.records() == before


@pytest.mark.parametrize(
    "policy",
    [
        {"at_most": 0},
        {"at_most": 1001},
        {"answer_s": 0},
        {"answer_s": -1},
        {"answer_s": float("nan")},
        {"answer_s": float("inf")},
        {"replace_after_s": 0},
        {"leave_s": -1},
        {"stuck_after_s": float("inf")},
        {"keep_volumes_s": -1},
        {"keep_volumes_s": float("nan")},
    ],
)
def test_a_policy_that_never_waits_or_waits_for_ever_is_refused(made: World, policy: dict[str, float]) -> None:
    before = made.ledger.records()
    outcome = made.send(given.DeclareService(name="kafka", minimum=2, policy=Policy(**policy)))  # type: ignore[arg-type]
    assert outcome.refused is not None
    assert outcome.refused.where == f"policy.{next(iter(policy))}"
    assert made.ledger.records() == before


def test_a_member_that_a_plans_stop_holds_can_be_given_back(made: World) -> None:
    """The plan above it is no drain: it is never lifted, so its end must not hold the member for ever."""
    plan = propose(made, "update", revision=2).operation
    accept(made, plan)
    stop = propose(made, "stop", "b1", parent=plan).operation
    accept(made, stop)
    made.advance(5)
    made.send(given.Confirm(service="kafka", operation=plan))
    assert made.ledger.members("kafka")[1].status == "held"
    outcome = made.send(given.GiveBack(service="kafka", member="b1", who="ann"))
    assert outcome.operation == stop
    made.advance(5)
    assert made.ready("kafka") == ["b0", "b1", "b2"]


def test_a_change_without_a_revision_is_refused_with_who_asks_for_one(made: World) -> None:
    for kind in CHANGES:
        refused = propose(made, kind).refused
        assert refused is not None
        assert f"{kind} without a revision changes nothing" in refused.message
        assert "upcall update" in refused.expected
    assert made.ledger.operations() == []


def test_one_change_at_a_time_whatever_it_is_called(made: World) -> None:
    first = propose(made, "grow", revision=2).operation
    refused = propose(made, "scale_out", revision=3).refused
    assert refused is not None
    assert f"{first} (grow to revision 2), asked by ann, is open" in refused.message
    second = propose(made, "shrink", revision=3, instead=True).operation
    accept(made, second)
    states = {operation.kind: operation.state for operation in made.ledger.operations()}
    assert states == {"grow": "withdrawn", "shrink": "executing"}


def test_a_key_whose_operation_came_to_nothing_can_be_wished_again(kind: SimulatedKind) -> None:
    world = World(kind=kind)
    world.install("store", ["a", "b"])
    world.advance(10)
    wish = given.Propose(kind="restart", service="store", members=("a",), asked_by="ann", key="store/k")
    first = world.send(wish).operation
    assert world.send(wish).operation == first
    world.send(given.Cancel(operation=first, who="ann"))
    second = world.send(wish).operation
    assert second != first
    world.die()
    world.boot()
    assert world.send(wish).operation == second


@pytest.mark.parametrize(("stateful", "said"), [(True, "; volumes are kept"), (False, "")])
def test_a_shutdown_speaks_of_volumes_where_there_are_some(kind: SimulatedKind, stateful: bool, said: str) -> None:
    made = World(kind=kind, node_count=3)
    made.install("web", ("w0",), minimum=0, stateful=stateful)
    made.advance(5)
    made.send(given.Propose(kind="shutdown", asked_by="ann"))
    made.advance(60)
    (down,) = made.ledger.operations()
    assert (down.state, down.outcome) == ("done", f"everything has ended{said}")
