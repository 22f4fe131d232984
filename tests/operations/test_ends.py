"""The minimum at the moment of an end that came later than its begin."""

import pytest
from answering import accept_all

from upcall.operations import inputs as given
from upcall.operations.records import Policy
from upcall.testing.simulated import SimulatedKind
from upcall.testing.world import World

HANDS_OVER = Policy(answer_s=5, before_stop_s=20)


def begun(kind: SimulatedKind, wish: str = "stop", *, policy: Policy = HANDS_OVER, **more: object) -> tuple[World, str]:
    """Of three of which two must stay one is to end: that has begun, and its service prepares it."""
    made = World(kind=kind, node_count=4)
    made.host("s", accept_all)
    made.install("s", ["a", "b", "c"], minimum=2, policy=policy)
    made.advance(10)
    asked = given.Propose(kind=wish, asked_by="ann", service="s", members=("a",), **more)  # type: ignore[arg-type]
    op = made.send(asked).operation
    made.advance(1)
    found = made.ledger.operation(op)
    assert found is not None
    assert found.begun
    return made, op


def state(made: World, op: str) -> str:
    found = made.ledger.operation(op)
    assert found is not None
    return found.state


def sicken(made: World, name: str = "b") -> None:
    made.observe(made.substrate.sicken(f"s.{name}", made.now_s))


def hand_over(made: World, op: str) -> None:
    assert made.send(given.Confirm(service="s", operation=op)).refused is None


def runs(made: World, name: str = "a") -> bool:
    """Also one that is about to leave."""
    return any(task.member_id == f"s.{name}" for task in made.substrate.alive())


def incarnation(made: World, name: str) -> int:
    return made.ledger.book.members[f"s.{name}"].incarnation


@pytest.mark.parametrize("wish", ["stop", "restart", "replace", "scale_in"])
def test_an_end_that_was_put_off_waits_while_too_few_would_be_left(kind: SimulatedKind, wish: str) -> None:
    made, op = begun(kind, wish)
    made.scripts.clear()  # From now on nobody accepts the cure at once.
    sicken(made)
    hand_over(made, op)
    made.advance(3)
    assert runs(made)
    why = made.ledger.why(op)
    assert why is not None
    assert why.waits_for == "the guard"
    assert "s.a.1: runs on: 2 of 3 ready, 1 afterwards, minimum 2" in why.reason
    made.observe(made.substrate.heal("s.b", made.now_s))
    made.advance(10)
    assert state(made, op) == "done"
    assert len(made.ready("s")) >= 2


@pytest.mark.parametrize("wish", ["restart", "replace"])
def test_what_is_being_ended_as_the_master_dies_is_nobody_elses_doing(kind: SimulatedKind, wish: str) -> None:
    """The next one waits until it is known who runs, and wants all until then. So machines that were told of the end
    see a task leave that is wanted, and cannot know whose word it was."""
    made, op = begun(kind, wish)
    hand_over(made, op)
    assert runs(made)
    made.die()
    made.boot()
    made.advance(60)
    assert [(one.kind, one.state) for one in made.ledger.operations()] == [(wish, "done")]
    assert made.ready("s") == ["a", "b", "c"]


def test_the_time_for_handing_over_does_not_end_what_the_minimum_keeps(kind: SimulatedKind) -> None:
    made, op = begun(kind, policy=Policy(answer_s=600, before_stop_s=20))
    made.scripts.clear()
    sicken(made)
    made.advance(120)
    assert (state(made, op), runs(made)) == ("executing", True)


def test_the_cure_of_the_other_does_not_wait_behind_the_end_that_waits_for_it(kind: SimulatedKind) -> None:
    made, op = begun(kind)
    sicken(made)
    hand_over(made, op)
    made.advance(30)
    assert incarnation(made, "b") == 2, "it was cured"
    assert (state(made, op), made.ready("s")) == ("done", ["b", "c"])


def test_two_ends_that_wait_for_the_same_member_hold_its_cure_up_neither(kind: SimulatedKind) -> None:
    made = World(kind=kind, node_count=4)
    made.host("s", accept_all)
    made.install("s", ["a", "b", "c"], minimum=1, policy=HANDS_OVER)
    made.advance(10)
    wishes = [given.Propose(kind="stop", asked_by="ann", service="s", members=(name,)) for name in "ab"]
    stops = [made.send(wish).operation for wish in wishes]
    made.advance(1)
    sicken(made, "c")
    for stop in stops:
        hand_over(made, stop)
    made.advance(30)
    assert ([state(made, stop) for stop in stops], made.ready("s")) == (["done", "done"], ["c"])


def test_a_person_may_force_an_end_that_the_minimum_keeps(kind: SimulatedKind) -> None:
    made, op = begun(kind, policy=Policy(answer_s=600, before_stop_s=20))
    made.scripts.clear()
    sicken(made)
    hand_over(made, op)
    made.advance(120)
    assert [alert.operation for alert in made.alerts if "waits for the guard" in alert.text] == [op]
    why = made.ledger.why(op)
    assert why is not None
    assert [way.command for way in why.ways] == [f'upcall operation force {op} --reason "..."']
    assert made.send(given.Force(operation=op, who="ann", why="it burns")).refused is None
    made.advance(5)
    assert state(made, op) == "done"


@pytest.mark.parametrize(("on_deadline", "after"), [("hold", "executing"), ("proceed", "executing"), ("force", "done")])
def test_the_end_of_its_window_means_what_it_means_before_the_begin(
    kind: SimulatedKind, on_deadline: str, after: str
) -> None:
    policy = Policy(answer_s=600, before_stop_s=20)
    made, op = begun(kind, policy=policy, window_s=60, on_deadline=on_deadline)
    made.scripts.clear()
    sicken(made)
    hand_over(made, op)
    made.advance(50)
    assert state(made, op) == "executing"
    made.advance(20)
    assert state(made, op) == after


def test_a_removal_whose_member_has_left_waits_too(kind: SimulatedKind) -> None:
    made, op = begun(kind, "scale_in", policy=Policy(answer_s=600, leaves=True))
    made.scripts.clear()
    assert state(made, op) == "preparing"
    sicken(made)
    hand_over(made, op)
    made.advance(20)
    assert (state(made, op), runs(made)) == ("executing", True)
    made.observe(made.substrate.heal("s.b", made.now_s))
    made.advance(20)
    assert (state(made, op), made.ready("s")) == ("done", ["b", "c"])


def test_what_falls_sick_itself_ends_and_waits_for_nobody(kind: SimulatedKind) -> None:
    made, op = begun(kind, policy=Policy(answer_s=600, before_stop_s=20))
    made.scripts.clear()
    sicken(made)
    sicken(made, "a")
    made.advance(5)
    assert state(made, op) == "done"


@pytest.mark.parametrize("wish", ["uninstall", "shutdown"])
def test_neither_an_uninstall_nor_a_shutdown_waits_behind_it(kind: SimulatedKind, wish: str) -> None:
    made, op = begun(kind, policy=Policy(answer_s=600, before_stop_s=20))
    made.substrate.slow.add("s.b")
    made.observe(made.substrate.crash("s.b", made.now_s))
    hand_over(made, op)
    made.advance(10)
    assert state(made, op) == "executing"
    all_of_it = made.send(given.Propose(kind=wish, asked_by="ann", service="s" if wish == "uninstall" else ""))  # type: ignore[arg-type]
    made.advance(60)
    assert state(made, all_of_it.operation) == "done"
    assert made.substrate.alive() == []


def test_a_start_of_the_master_lets_no_end_come_before_its_service_has_prepared_it(kind: SimulatedKind) -> None:
    made, op = begun(kind)
    made.die()
    made.boot()
    made.advance(15)
    assert (state(made, op), runs(made)) == ("executing", True)
    hand_over(made, op)
    made.advance(5)
    assert state(made, op) == "done"


def test_after_a_start_of_the_master_a_service_that_says_nothing_holds_an_end_for_its_time(kind: SimulatedKind) -> None:
    made, op = begun(kind)
    made.die()
    made.boot()
    made.advance(25)
    assert state(made, op) == "done"


def test_what_was_prepared_before_a_start_of_the_master_is_so_after_it_and_meets_the_minimum(
    kind: SimulatedKind,
) -> None:
    made, op = begun(kind, policy=Policy(answer_s=600, before_stop_s=20))
    made.scripts.clear()
    sicken(made)
    hand_over(made, op)
    made.advance(3)
    made.die()
    made.boot()
    made.advance(60)
    assert (state(made, op), runs(made)) == ("executing", True)
    made.observe(made.substrate.heal("s.b", made.now_s))
    made.advance(5)
    assert state(made, op) == "done", "it is not to be prepared once more"


def test_a_death_of_the_master_at_every_write_takes_nobody_below_the_minimum(kind: SimulatedKind) -> None:
    for writes in range(8):
        made, op = begun(kind)
        sicken(made)
        made.die_after = writes
        hand_over(made, op)
        made.advance(60)
        assert (state(made, op), made.ready("s")) == ("done", ["b", "c"]), writes
        assert made.substrate.violations == []
