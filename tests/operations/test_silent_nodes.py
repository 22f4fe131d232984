"""What has begun, is to begin or is lost on a node that falls silent ends, by a proof that is asked for or a person's
word; and no silence of a service gives its data up."""

import pytest

from upcall.operations import inputs as given
from upcall.operations.effects import ProveDeath
from upcall.operations.records import Operation, Policy
from upcall.operations.views import PendingSet
from upcall.testing.simulated import SimulatedKind, Timing
from upcall.testing.world import World

PROVED = Timing(prove_s=5, asked=True)
"""Only what somebody asks for is proven."""
WISHES = ["restart", "stop", "scale_in", "replace", "uninstall", "drain", "remove", "shutdown"]


def service(kind: SimulatedKind, *, timing: Timing = PROVED, policy: Policy | None = None) -> World:
    made = World(kind=kind, node_count=4, timing=timing)
    made.install("s", ["a", "b", "c"], minimum=1, policy=policy or Policy(replace_after_s=100))
    made.advance(10)
    made.host("s", wait_for_it)
    return made


def wait_for_it(pending: PendingSet) -> dict[str, given.Answer]:
    """As the SDK's default does: the policy is agreed to."""
    wait = given.Answer(verdict="wait", retry_after_s=3600)
    return {one.operation.id: wait for one in pending.operations if one.asked and one.operation.kind == "lost"}


def wish(made: World, what: str, *, force: bool = True) -> Operation:
    node = made.ledger.book.members["s.a"].node
    if what in ("drain", "remove"):
        item = given.Propose(
            kind="maintenance", node=node, asked_by="ann", remove=what == "remove", force=force, reason="x"
        )
    elif what == "shutdown":
        item = given.Propose(kind="shutdown", asked_by="ann")
    else:
        members = () if what == "uninstall" else ("a",)
        item = given.Propose(kind=what, service="s", members=members, asked_by="ann", force=force, reason="x")  # type: ignore[arg-type]
    outcome = made.send(item)
    assert outcome.refused is None, outcome.refused
    found = made.ledger.operation(outcome.operation)
    assert found is not None
    return found


def over(made: World, operation: Operation) -> bool:
    found = made.ledger.operation(operation.id)
    return found is not None and (not found.live or found.state == "done")


@pytest.mark.parametrize("what", WISHES)
def test_what_has_begun_on_a_node_that_then_dies_ends_by_a_proof_that_is_asked_for(
    kind: SimulatedKind, what: str
) -> None:
    made = service(kind)
    node = made.substrate.node_of("s.a")
    made.substrate.silence(node, made.now_s, dies=True)
    operation = wish(made, what)
    made.advance(700)
    assert over(made, operation), made.ledger.why(operation.id)
    assert [e for e in made.log if isinstance(e, ProveDeath)] != []
    live = [o.id for o in made.ledger.operations() if o.live]
    assert live == [], [made.ledger.why(o) for o in live]


@pytest.mark.parametrize("what", WISHES)
def test_what_is_to_begin_on_a_node_that_is_dead_ends_too(kind: SimulatedKind, what: str) -> None:
    made = service(kind)
    node = made.substrate.node_of("s.a")
    made.observe(made.substrate.silence(node, made.now_s, dies=True))
    made.advance(30)
    operation = wish(made, what)
    made.advance(1000)
    assert over(made, operation), made.ledger.why(operation.id)
    if what in ("restart", "replace", "remove"):
        assert made.ready("s") == ["a", "b", "c"], made.ledger.members("s")


@pytest.mark.parametrize("what", WISHES)
def test_where_nothing_can_be_proven_a_persons_word_ends_what_has_begun(kind: SimulatedKind, what: str) -> None:
    made = service(kind, timing=Timing())
    node = made.substrate.node_of("s.a")
    made.substrate.silence(node, made.now_s, dies=True)
    operation = wish(made, what)
    made.advance(700)
    assert not over(made, operation)
    told = [alert.text for alert in made.alerts]
    assert any("s.a.1" in text for text in told) or what == "shutdown", told
    refused = made.send(given.AssumeDead(service="s", member="a", who="ann", why=" ")).refused
    assert refused is not None
    assert refused.where == "why"
    made.send(given.AssumeDead(service="s", member="a", who="ann", why="I pulled the plug"))
    made.advance(700)
    assert over(made, operation), made.ledger.why(operation.id)
    again = made.send(given.AssumeDead(service="s", member="a", who="ann", why="again")).refused
    assert again is not None


def test_a_persons_word_about_an_operation_counts_for_all_that_it_waits_for(kind: SimulatedKind) -> None:
    made = service(kind, timing=Timing())
    for name in ("s.a", "s.b"):
        made.substrate.silence(made.substrate.node_of(name), made.now_s, dies=True)
    operation = wish(made, "uninstall")
    made.advance(700)
    assert not over(made, operation)
    made.send(given.AssumeDead(operation=operation.id, who="ann", why="both are off"))
    assert over(made, operation)


def test_what_was_told_to_end_has_its_grace_before_its_node_is_given_up(kind: SimulatedKind) -> None:
    made = service(kind)
    made.substrate.silence(made.substrate.node_of("s.a"), made.now_s)
    wish(made, "stop")
    made.advance(55)
    assert [e for e in made.log if isinstance(e, ProveDeath)] == []
    made.advance(10)
    assert [e for e in made.log if isinstance(e, ProveDeath)] != []


def test_the_proof_for_what_has_begun_waits_for_the_patience_of_what_stands_beside(kind: SimulatedKind) -> None:
    made = World(kind=kind, node_count=1, timing=PROVED)
    made.install("s", ["a"], policy=Policy(replace_after_s=20))
    made.install("memo", ["m"], policy=Policy(replace_after_s=2000))
    made.advance(10)
    made.substrate.silence("n0", made.now_s)
    operation = wish(made, "uninstall")
    made.advance(1900)
    why = made.ledger.why(operation.id)
    assert why is not None
    assert "memo.m.1 beside it" in why.reason
    made.advance(300)
    assert over(made, operation)


# -- the last word --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["dies", "is late", "was never there"])
def test_silence_of_a_service_with_data_never_gives_its_data_up(host: str) -> None:
    made = World(kind="kernel", node_count=4, timing=Timing(prove_s=5))
    made.install("s", ["a", "b", "c"], minimum=1, policy=Policy(replace_after_s=100))
    made.advance(10)
    talks = host != "was never there"

    def says(pending: PendingSet) -> dict[str, given.Answer]:
        only = given.Answer(verdict="defer", retry_after_s=30, reason="the only copy is there")
        asked = [one.operation for one in pending.operations if one.asked and one.operation.kind == "lost"]
        return {operation.id: only for operation in asked} if talks else {}

    if talks:
        made.host("s", says)
    node = made.substrate.node_of("s.a")
    made.observe(made.substrate.silence(node, made.now_s, dies=True))
    made.advance(60)
    talks = False
    if host == "dies":
        made.send(given.HostUnsubscribed(service="s"))
    made.advance(7 * 86400)
    assert made.ledger.book.members["s.a"].place == 1
    loss = next(o for o in made.ledger.operations() if o.kind == "lost")
    assert len([alert for alert in made.alerts if alert.operation == loss.id]) == 1
    why = made.ledger.why(loss.id)
    assert why is not None
    assert ("the only copy is there" if host != "was never there" else "not given up by silence") in why.reason
    made.send(given.Force(operation=loss.id, who="ann", why="the copy is lost, go on"))
    made.advance(10)
    assert made.ledger.book.members["s.a"].place == 2, "a person decides"


def test_what_holds_no_data_is_replaced_in_silence(kind: SimulatedKind) -> None:
    made = World(kind=kind, node_count=4, timing=Timing(prove_s=5))
    made.install("s", ["a", "b", "c"], minimum=1, stateful=False, policy=Policy(replace_after_s=100))
    made.advance(10)
    made.observe(made.substrate.silence(made.substrate.node_of("s.a"), made.now_s, dies=True))
    made.advance(200)
    assert made.ready("s") == ["a", "b", "c"]


def test_after_a_restart_of_the_master_nothing_is_given_up_that_had_been_deferred() -> None:
    made = World(kind="kernel", node_count=4, timing=Timing(prove_s=5))
    made.install("s", ["a", "b", "c"], minimum=1, policy=Policy(replace_after_s=100))
    made.advance(10)
    made.observe(made.substrate.silence(made.substrate.node_of("s.a"), made.now_s, dies=True))
    made.advance(30)
    pending = made.ledger.pending("s")
    only = given.Answer(verdict="defer", retry_after_s=30, reason="the only copy is there")
    made.send(given.Answers(service="s", epoch=pending.epoch, answers={pending.operations[0].operation.id: only}))
    made.die()
    made.boot()
    made.advance(86400)
    assert made.ledger.book.members["s.a"].place == 1
