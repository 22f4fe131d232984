"""Since when something is so, as a person is told: the master dies, the machine sleeps, and it is so."""

from collections.abc import Callable

import pytest

from upcall.operations import inputs as given
from upcall.operations.records import Operation
from upcall.operations.words import span
from upcall.testing.simulated import SimulatedKind
from upcall.testing.world import World


def waiting_stop(kind: SimulatedKind) -> tuple[World, Operation]:
    """A drain that nobody has agreed to for ten minutes."""
    made = World(kind=kind)
    made.install("s", ["a", "b", "c"], minimum=2)
    made.advance(10)
    outcome = made.send(given.Propose(kind="restart", service="s", members=("a",), asked_by="ann"))
    assert outcome.refused is None, outcome.refused
    made.advance(600)
    found = made.ledger.operation(outcome.operation)
    assert found is not None
    assert found.state == "open"
    return made, found


def since_s(made: World, operation: Operation) -> float:
    why = made.ledger.why(operation.id, made.now_s, made.wall_s)
    assert why is not None
    assert f", since {span(why.since_s)}" in why.brief()
    return why.since_s


def starts_again(made: World) -> None:
    made.die()
    made.boot()


@pytest.mark.parametrize("what", [starts_again, lambda made: made.sleep(60)], ids=["the master died", "it slept"])
def test_since_when_an_operation_waits_does_not_begin_anew(kind: SimulatedKind, what: Callable[[World], None]) -> None:
    made, operation = waiting_stop(kind)
    before_s = since_s(made, operation)
    assert before_s >= 600
    what(made)
    made.advance(60)
    assert since_s(made, operation) >= before_s + 60


def test_a_wall_clock_that_was_set_back_makes_it_no_shorter(kind: SimulatedKind) -> None:
    made, operation = waiting_stop(kind)
    why = made.ledger.why(operation.id, made.now_s, made.wall_s - 86_400)
    assert why is not None
    assert why.since_s >= 600
