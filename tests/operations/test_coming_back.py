"""What does not come back: nothing waits behind it, its service is asked in time, and a person is told once."""

from collections.abc import Callable
from typing import Literal

import pytest
from answering import accept_all

from upcall.operations import inputs as given
from upcall.operations.effects import Launch
from upcall.operations.news import Moved
from upcall.operations.records import Operation, Policy
from upcall.operations.views import PendingSet
from upcall.testing.simulated import SimulatedKind, Timing, small_nodes
from upcall.testing.world import World

HOURS = 3600.0


def looping(kind: SimulatedKind, *, policy: Policy | None = None) -> World:
    """``s.a`` of three has been ending again and again for a minute, on a node of its own among four."""
    made = World(kind=kind, node_count=4)
    made.install("s", ["a", "b", "c"], minimum=2, policy=policy)
    made.advance(10)
    made.substrate.crashing.add("s.a")
    made.observe(made.substrate.crash("s.a", made.now_s))
    made.advance(60)
    return made


def wish(made: World, kind: str, **more: object) -> str:
    asked = given.Propose(kind=kind, service="s", members=("a",), asked_by="ann", **more)  # type: ignore[arg-type]
    outcome = made.send(asked)
    assert outcome.refused is None, outcome.refused
    return outcome.operation


def losses(made: World) -> list[Operation]:
    return [o for o in made.ledger.operations() if o.kind == "lost"]


def test_bringing_back_fails_at_its_start_deadline_whatever_lies_between(kind: SimulatedKind) -> None:
    made = World(kind=kind, timing=Timing(crash_s=100))
    made.install("s", ["a", "b", "c"], minimum=2)
    made.advance(10)
    made.substrate.crashing.add("s.a")
    made.observe(made.substrate.crash("s.a", made.now_s))
    first = losses(made)[0]
    made.advance(295)
    assert made.ledger.operation(first.id).state == "executing"  # type: ignore[union-attr]
    made.advance(10)
    assert made.ledger.operation(first.id).state == "failed", "each launch had moved its deadline"  # type: ignore[union-attr]


def test_time_without_a_place_counts_for_the_operation_that_brings_back_and_not_against_the_member(
    kind: SimulatedKind,
) -> None:
    made = World(kind=kind, node_count=4)
    made.install("s", ["a", "b", "c"], minimum=2)
    made.advance(10)
    op = wish(made, "replace", force=True, reason="a new disk")
    for node in [n.name for n in small_nodes(4)]:
        made.send(given.Propose(kind="maintenance", node=node, asked_by="ann"))
    made.advance(2 * HOURS)
    assert not [o for o in made.ledger.operations() if o.class_ == "cure"], made.ledger.operation(op)


def test_what_ends_five_times_has_failed_and_its_service_is_asked_what_next(kind: SimulatedKind) -> None:
    made = looping(kind, policy=Policy(answer_s=1000))
    first, second = losses(made)
    assert (first.state, second.state) == ("failed", "open")
    assert "5 times" in first.outcome
    pending = made.ledger.pending("s")
    assert [one.operation.id for one in pending.operations if one.asked] == [second.id]


@pytest.mark.parametrize("on_lost", ["restart", "ask"])
def test_what_would_return_without_its_data_is_tried_once_and_its_service_is_asked_at_once(
    kind: SimulatedKind, on_lost: Literal["restart", "ask"]
) -> None:
    made = World(kind=kind, node_count=4)
    made.install("s", ["a", "b", "c"], minimum=2, policy=Policy(on_lost=on_lost, answer_s=1000))
    made.advance(10)
    asked: list[bool] = []

    def says(pending: PendingSet) -> dict[str, given.Answer]:
        member = made.ledger.book.members["s.a"]
        without = member.over and member.without_data
        found = [one.operation.id for one in pending.operations if one.asked and one.operation.kind == "lost"]
        asked.extend([without] * len(found))
        return dict.fromkeys(found, given.Answer(verdict="renew" if without else "restart"))

    made.host("s", says)
    before = made.now_s
    made.observe(made.substrate.crash("s.a", made.now_s, code=137))
    made.advance(2)
    made.observe(made.substrate.crash("s.a", made.now_s, code=None, not_started=True, without_data=True))
    made.advance(20)
    assert asked == ([True] if on_lost == "restart" else [False, True])
    first, second = losses(made)
    assert (first.state, second.state, second.choice) == ("failed", "done", "renew")
    (member,) = [one for one in made.ledger.members("s") if one.name == "a"]
    assert (member.place, member.observed, member.without_data) == (2, "ready", False)
    assert made.now_s - before < 30, "nothing waited for more ends"


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        (given.Answer(verdict="replace", retry_after_s=600), 2),
        (given.Answer(verdict="wait", retry_after_s=600, reason="one copy is missing"), 1),
        (given.Answer(verdict="defer", retry_after_s=600, reason="one copy is missing"), 1),
    ],
)
def test_what_its_service_then_says_is_done(kind: SimulatedKind, answer: given.Answer, place: int) -> None:
    made = looping(kind, policy=Policy(answer_s=1000))

    def says(pending: PendingSet) -> dict[str, given.Answer]:
        return {one.operation.id: answer for one in pending.operations if one.asked and one.operation.kind == "lost"}

    made.host("s", says)
    before = made.ledger.book.members["s.a"].incarnation
    made.advance(120)
    member = made.ledger.book.members["s.a"]
    assert member.place == place
    if place == 1:
        assert member.incarnation == before, "it said to wait"
        why = made.ledger.why(losses(made)[-1].id)
        assert why is not None
        assert "one copy is missing" in why.reason


@pytest.mark.parametrize("wanted", ["replace", "move", "scale_in", "stop", "uninstall"])
def test_no_wish_waits_behind_it(kind: SimulatedKind, wanted: str) -> None:
    made = looping(kind)
    asked = given.Propose(
        kind=wanted,  # type: ignore[arg-type]
        service="s",
        members=() if wanted == "uninstall" else ("a",),
        asked_by="ann",
        force=True,
        reason="it does not come back",
    )
    made.substrate.crashing.clear()
    op = made.send(asked).operation
    made.advance(10)
    assert made.ledger.operation(op).state == "done"  # type: ignore[union-attr]
    assert not [o for o in losses(made) if o.live]


def test_a_wish_that_its_service_accepts_does_not_wait_either(kind: SimulatedKind) -> None:
    made = looping(kind)
    op = wish(made, "replace")
    made.advance(130)
    for _ in range(400):
        brings = losses(made)[-1]
        if brings.state == "executing":
            break
        made.advance(1)
    assert brings.state == "executing"
    pending = made.ledger.pending("s")
    assert op in [one.operation.id for one in pending.operations if one.asked], "it is asked about meanwhile"
    made.send(given.Answers(service="s", epoch=pending.epoch, answers={op: given.Answer(verdict="accept")}))
    assert made.ledger.operation(brings.id).state == "withdrawn"  # type: ignore[union-attr]
    made.advance(10)
    assert made.ledger.operation(op).state == "done"  # type: ignore[union-attr]
    assert made.ledger.book.members["s.a"].place == 2


def test_a_restart_that_a_person_forces_supersedes_a_start_that_hangs(kind: SimulatedKind) -> None:
    made = World(kind=kind)
    made.install("s", ["a", "b", "c"], minimum=2)
    made.advance(10)
    made.substrate.slow.add("s.a")
    made.observe(made.substrate.crash("s.a", made.now_s))
    made.advance(10)
    made.substrate.slow.clear()
    unforced = wish(made, "restart")
    assert made.ledger.why(unforced).waits_for == losses(made)[0].id, "the same again is no reason"  # type: ignore[union-attr]
    op = wish(made, "restart", force=True, reason="it hangs")
    assert losses(made)[0].state == "withdrawn"
    made.advance(10)
    assert made.ledger.operation(op).state == "done"  # type: ignore[union-attr]
    assert made.ready("s") == ["a", "b", "c"]


def test_a_restart_that_brings_a_newer_declaration_does_not_wait_for_one_that_hangs(kind: SimulatedKind) -> None:
    made = World(kind=kind)
    made.install("s", ["a", "b", "c"], minimum=2)
    made.advance(10)
    made.substrate.slow.add("s.a")
    made.observe(made.substrate.crash("s.a", made.now_s))
    made.advance(10)
    made.substrate.slow.clear()
    (hangs,) = losses(made)
    op = wish(made, "restart")
    it_accepts(made)
    assert made.ledger.operation(hangs.id).state == "executing", "the same again is no reason"  # type: ignore[union-attr]
    made.send(given.DeclareMembers(service="s", members=(given.MemberDeclaration(name="a", generation=2),)))
    assert made.ledger.operation(hangs.id).state == "executing", "a declaration touches nothing that runs"  # type: ignore[union-attr]
    made.advance(1)
    it_accepts(made)
    assert made.ledger.operation(hangs.id).state == "withdrawn"  # type: ignore[union-attr]
    made.advance(10)
    assert made.ledger.operation(op).state == "done"  # type: ignore[union-attr]
    assert made.ledger.book.members["s.a"].launched == 2
    assert made.ready("s") == ["a", "b", "c"]


def it_accepts(made: World) -> None:
    pending = made.ledger.pending("s")
    made.send(given.Answers(service="s", epoch=pending.epoch, answers=accept_all(pending)))


def test_a_person_does_not_wait_for_the_pause_of_a_crash_loop(kind: SimulatedKind) -> None:
    made = looping(kind)
    made.advance(2 * HOURS)
    made.substrate.crashing.clear()
    while not made.ledger.book.members["s.a"].over:
        made.advance(1)
    assert wish(made, "restart") == losses(made)[-1].id
    made.advance(5)
    assert made.ready("s") == ["a", "b", "c"]


def test_a_drain_of_its_node_is_done(kind: SimulatedKind) -> None:
    made = looping(kind)
    node = next(m.node for m in made.ledger.members("s") if m.name == "a")
    asked = given.Propose(
        kind="maintenance", node=node, asked_by="ann", force=True, reason="smoke", window_s=60, on_deadline="force"
    )
    drain = made.send(asked).operation
    made.advance(10)
    assert made.ledger.operation(drain).state == "done"  # type: ignore[union-attr]


@pytest.mark.parametrize("falls", ["sick", "late"])
def test_the_cure_of_another_member_begins_when_its_answer_time_is_over(kind: SimulatedKind, falls: str) -> None:
    made = looping(kind)
    made.observe(made.substrate.sicken("s.b", made.now_s))
    made.advance(31)
    cure = next(o for o in made.ledger.operations() if o.class_ == "cure")
    assert cure.state != "open", made.ledger.why(cure.id)
    made.advance(20)
    assert made.ledger.operation(cure.id).state == "done"  # type: ignore[union-attr]


def test_six_hours_of_it_tell_a_person_once_and_fill_no_history(kind: SimulatedKind) -> None:
    made = looping(kind)
    made.advance(6 * HOURS)
    told = [alert for alert in made.alerts if "s.a ended" in alert.text]
    assert len(told) == len(made.alerts) == 1
    assert "it crashes" in told[0].text
    assert len(made.ledger.operations()) <= 25
    assert len([e for e in made.log if isinstance(e, Launch) and e.member == "a"]) <= 120
    assert len(made.news) <= 1000
    made.substrate.crashing.clear()
    made.advance(700)
    assert made.ready("s") == ["a", "b", "c"]


def test_what_never_becomes_ready_tells_a_person_once(kind: SimulatedKind) -> None:
    made = World(kind=kind)
    made.install("s", ["a", "b", "c"], minimum=2)
    made.advance(10)
    made.substrate.slow.add("s.a")
    made.observe(made.substrate.crash("s.a", made.now_s))
    made.advance(6 * HOURS)
    assert len(made.alerts) == 1, [alert.text for alert in made.alerts]
    assert len(made.ledger.operations()) <= 100


def test_an_acceptance_does_not_outlive_its_time_by_a_sleep(kind: SimulatedKind) -> None:
    made = World(kind=kind)
    made.install("s", ["a", "b", "c"], minimum=2)
    made.advance(10)
    made.observe(made.substrate.sicken("s.c", made.now_s))
    op = wish(made, "restart")
    pending = made.ledger.pending("s")
    made.send(given.Answers(service="s", epoch=pending.epoch, answers={op: given.Answer(verdict="accept", valid_s=60)}))
    made.sleep(3600)
    made.observe(made.substrate.heal("s.c", made.now_s))
    assert made.ledger.operation(op).state == "open"  # type: ignore[union-attr]
    assert [one.asked for one in made.ledger.pending("s").operations] == [True], "it is asked again"


def _dies_at_every_write(kind: SimulatedKind, act: Callable[[World], str]) -> None:
    for writes in range(12):
        made = looping(kind)
        made.die_after = writes
        op = act(made)
        made.advance(600)
        if not op:  # The master died before it had written anything down.
            op = act(made)
            made.advance(600)
        assert made.ledger.operation(op).state == "done", (writes, made.ledger.why(op))  # type: ignore[union-attr]
        assert made.substrate.violations == []


def test_superseding_survives_a_death_of_the_master_at_every_write(kind: SimulatedKind) -> None:
    def replaced(made: World) -> str:
        asked = given.Propose(
            kind="replace", service="s", members=("a",), asked_by="ann", force=True, reason="again", key="k"
        )
        return made.send(asked).operation or next((o.id for o in made.ledger.operations() if o.kind == "replace"), "")

    _dies_at_every_write(kind, replaced)


def test_a_start_that_tells_progress_is_not_late_and_one_that_stops_telling_is(kind: SimulatedKind) -> None:
    made = World(kind=kind, timing=Timing(ready_s=10 * HOURS))
    made.install("s", ["a", "b"], minimum=0)
    made.advance(10)

    def cured(name: str) -> bool:
        return any(o.class_ == "cure" and o.target.members == (name,) for o in made.ledger.operations())

    for progress in range(1, 5):
        made.advance(150)
        told = given.TaskObserved(service="s", member="a", incarnation=1, state="running", progress=progress)
        made.send(told)
    assert cured("b")
    assert not cured("a")
    made.advance(200)
    made.send(told)
    made.advance(140)
    assert cured("a"), "the same telling again is no progress"


# -- anew where it is -----------------------------------------------------------------------------------------------


def test_a_member_that_does_not_come_back_is_renewed_at_its_place_with_empty_volumes(kind: SimulatedKind) -> None:
    """As many nodes as members that keep apart: there is no other place, and none is needed."""
    made = World(kind=kind, node_count=3)
    made.install("s", ["a", "b", "c"], minimum=2, policy=Policy(answer_s=1000))
    made.advance(10)
    node = made.substrate.node_of("s.a")
    made.substrate.crashing.add("s.a")
    made.observe(made.substrate.crash("s.a", made.now_s))
    made.advance(60)

    def says(pending: PendingSet) -> dict[str, given.Answer]:
        made.substrate.crashing.clear()  # What was broken were its data.
        renew = given.Answer(verdict="renew", retry_after_s=600, reason="all of it is elsewhere too")
        return {one.operation.id: renew for one in pending.operations if one.asked and one.operation.kind == "lost"}

    made.host("s", says)
    made.advance(40)
    assert made.ready("s") == ["a", "b", "c"]
    member = made.ledger.book.members["s.a"]
    assert (member.place, losses(made)[-1].choice, losses(made)[-1].state) == (2, "renew", "done")
    assert made.substrate.node_of("s.a") == node or kind != "kernel"
    assert made.substrate.violations == []


def test_renewing_survives_a_death_of_the_master_at_every_write() -> None:
    for writes in range(14):
        made = looping("kernel", policy=Policy(answer_s=1000))
        node = next(m.node for m in made.ledger.members("s") if m.name == "a")
        made.substrate.crashing.clear()
        made.die_after = writes

        def says(pending: PendingSet) -> dict[str, given.Answer]:
            renew = given.Answer(verdict="renew", retry_after_s=600)
            return {one.operation.id: renew for one in pending.operations if one.asked and one.operation.kind == "lost"}

        made.host("s", says)
        made.advance(200)
        assert made.ready("s") == ["a", "b", "c"], writes
        assert made.ledger.book.members["s.a"].place in (1, 2)
        assert made.substrate.node_of("s.a") == node
        assert made.substrate.violations == []


# -- what is well for a moment ---------------------------------------------------------------------------------------


def flaps(made: World, *, times: int, well_s: float, unwell_s: float) -> list[Operation]:
    """``s.a`` is well and unwell in turn; gives its cures."""
    for _ in range(times):
        made.observe(made.substrate.sicken("s.a", made.now_s))
        made.advance(unwell_s)
        if made.ledger.book.members["s.a"].incarnation != 1:
            break
        made.observe(made.substrate.heal("s.a", made.now_s))
        made.advance(well_s)
    return [o for o in made.ledger.operations() if o.class_ == "cure"]


def test_a_member_that_flaps_while_its_service_is_silent_is_cured_in_the_end(kind: SimulatedKind) -> None:
    made = World(kind=kind)
    made.install("s", ["a", "b", "c"], minimum=2)
    made.advance(10)
    cures = flaps(made, times=20, well_s=10, unwell_s=5)
    assert [cure.state for cure in cures] == ["withdrawn", "withdrawn", "done"], [cure.outcome for cure in cures]
    assert "the answer time is over" in next(
        one.outcome for one in made.news if isinstance(one, Moved) and one.word == "may begin"
    )
    made.advance(10)
    assert made.ready("s") == ["a", "b", "c"]


def test_a_member_that_was_well_for_a_while_has_all_of_its_patience_again(kind: SimulatedKind) -> None:
    made = World(kind=kind)
    made.install("s", ["a", "b", "c"], minimum=2)
    made.advance(10)
    cures = flaps(made, times=20, well_s=61, unwell_s=5)
    assert {cure.state for cure in cures} == {"withdrawn"}


def test_the_cure_of_a_member_that_flaps_is_held_by_the_guard_as_any_other(kind: SimulatedKind) -> None:
    made = World(kind=kind)
    made.install("s", ["a", "b", "c"], minimum=2)
    made.advance(10)
    made.substrate.slow.add("s.b")
    forced = given.Propose(kind="restart", service="s", members=("b",), asked_by="ann", force=True, reason="a disk")
    restart = made.send(forced).operation
    cures = flaps(made, times=4, well_s=10, unwell_s=5)
    assert {cure.state for cure in cures} == {"withdrawn"}
    made.observe(made.substrate.sicken("s.a", made.now_s))
    cure = next(o for o in made.ledger.operations() if o.class_ == "cure" and o.live)
    why = made.ledger.why(cure.id)
    assert why is not None
    assert f"the answer time is over, but {restart}" in why.reason
    made.substrate.slow.clear()
    made.observe(made.substrate.make_ready("s.b", made.now_s))
    made.advance(10)
    assert made.ledger.operation(cure.id).state == "done"  # type: ignore[union-attr]
