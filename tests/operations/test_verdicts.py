"""One vocabulary from an expert's code to the record, and a word that does not fit the question is refused."""

from typing import get_args

import pytest
from msgspec.structs import fields

from upcall.operations import inputs as given
from upcall.operations.effects import Outcome
from upcall.operations.records import AFTER_A_LOSS, BEFORE, Choice, Policy, Verdict
from upcall.protocol import service as wire
from upcall.service import consent, questions
from upcall.testing.simulated import SimulatedKind
from upcall.testing.world import World


def test_an_expert_the_wire_and_the_ledger_say_the_same_words() -> None:
    on_the_wire = next(get_args(field.type) for field in fields(wire.Answer) if field.name == "verdict")
    assert set(get_args(consent.Word)) == set(on_the_wire) == set(get_args(Verdict))
    assert (questions.BEFORE, questions.AFTER_A_LOSS) == (BEFORE, AFTER_A_LOSS)
    assert set(get_args(Choice)) - {""} <= set(AFTER_A_LOSS)


@pytest.fixture
def world(kind: SimulatedKind) -> World:
    world = World(kind=kind)
    world.install("log", ["b0", "b1", "b2"], minimum=2, policy=Policy(on_lost="wait"))
    world.advance(5)
    world.send(given.Propose(kind="stop", asked_by="ann", reason="", service="log", members=("b0",)))
    world.observe(world.substrate.crash("log.b1", world.now_s))
    return world


def answer(world: World, kind: str, verdict: Verdict) -> Outcome:
    asked = next(one.id for one in world.ledger.operations() if one.kind == kind)
    answers = {asked: given.Answer(verdict=verdict, reason="so it is")}
    return world.send(given.Answers(service="log", epoch=world.ledger.pending("log").epoch, answers=answers))


@pytest.mark.parametrize("verdict", get_args(Verdict))
@pytest.mark.parametrize("kind_asked", ["stop", "lost"])
def test_a_verdict_that_does_not_fit_the_question_is_refused_with_those_that_do(
    world: World, kind_asked: str, verdict: Verdict
) -> None:
    fitting = AFTER_A_LOSS if kind_asked == "lost" else BEFORE
    outcome = answer(world, kind_asked, verdict)
    if verdict in fitting:
        assert outcome.refused is None
        return
    assert outcome.refused is not None
    assert (outcome.refused.code, outcome.refused.expected) == ("invalid", ", ".join(fitting))
    assert f"{verdict} is no answer to a {kind_asked}" in outcome.refused.message
    assert not outcome.changes, "nothing is recorded, least of all a deferral"


def test_what_a_service_answers_is_shown_back_in_its_own_word(world: World) -> None:
    answer(world, "lost", "wait")
    given_back = {one.operation.kind: one.answer for one in world.ledger.pending("log").operations}
    assert given_back["lost"] is not None
    assert given_back["lost"].verdict == "wait"
