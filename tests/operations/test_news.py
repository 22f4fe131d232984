"""What happened is a fact with fields; its words are made in one place."""

import ast
from pathlib import Path
from typing import Any

import msgspec
import pytest

import upcall
from upcall.operations import inputs as given
from upcall.operations import news, wording
from upcall.operations.records import Policy
from upcall.protocol.operator import EVENT_KINDS
from upcall.testing.simulated import SimulatedKind
from upcall.testing.world import World


def kinds_of_news(of: type[news.News] = news.News) -> list[type[news.News]]:
    below = [found for each in of.__subclasses__() for found in kinds_of_news(each)]
    return below or [of]


def test_every_fact_is_filed_under_a_kind_that_readers_can_ask_for() -> None:
    assert {one.kind for one in kinds_of_news()} <= set(EVENT_KINDS)


def test_every_fact_is_of_a_struct_of_its_own() -> None:
    tags = [one.__struct_config__.tag for one in kinds_of_news()]
    assert len(set(tags)) == len(tags)


@pytest.fixture
def drained(kind: SimulatedKind) -> World:
    """A drain that is accepted, a crash, a forced restart, a node that falls silent."""
    world = World(kind=kind)
    world.send(given.HostSubscribed(service="log"))
    world.install("log", ["b0", "b1", "b2"], minimum=2, policy=Policy(replace_after_s=60))
    world.advance(10)
    world.send(given.Propose(kind="maintenance", node=world.substrate.node_of("log.b1"), asked_by="ann", window_s=600))
    stop = next(one.id for one in world.ledger.operations() if one.kind == "stop")
    for verdict in ("defer", "accept"):
        answer = given.Answer(verdict=verdict, reason="a copy is behind")  # type: ignore[arg-type]
        world.send(given.Answers(service="log", epoch=world.ledger.pending("log").epoch, answers={stop: answer}))
    world.advance(10)
    world.observe(world.substrate.crash("log.b0", world.now_s))
    world.advance(10)
    restart = world.send(given.Propose(kind="restart", service="log", members=("b0",), asked_by="ann")).operation
    world.send(given.Force(operation=restart, who="ann", why="it leaks"))
    world.observe(world.substrate.silence(world.substrate.node_of("log.b2"), world.now_s, dies=True))
    world.advance(300)
    return world


def test_whatever_happens_has_words_a_subject_and_data_that_the_journal_takes(drained: World) -> None:
    assert len({type(one) for one in drained.news}) >= 12
    for one in drained.news:
        assert one.subject
        assert wording.line(one, "n1")
        data: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(one.data))
        assert all(not isinstance(value, dict) for value in data.values()), data


def test_an_operation_s_course_is_read_by_its_fields(drained: World) -> None:
    stop = next(one.operation.id for one in drained.news if isinstance(one, news.Answered))
    course = [one for one in drained.news if isinstance(one, news.Moved) and one.subject == stop]
    assert [(one.before, one.word, one.operation.state) for one in course] == [
        ("open", "may begin", "executing"),
        ("executing", "incarnation over", "done"),
    ]
    ended = next(one for one in drained.news if isinstance(one, news.TaskEnded) and one.by == stop)
    assert (ended.member, ended.how) == ("b1", course[-1].outcome)


# -- and stays one --------------------------------------------------------------------------------------------------

SENTENCES = {"text", "reason", "outcome", "how", "ended_how", "why", "waits_for", "account", "brief", "sentence"}
"""Fields that hold what a person reads."""
TAKES_APART = {"startswith", "endswith", "removeprefix", "removesuffix", "partition", "rpartition", "split", "find"}


def taken_apart(source: str) -> list[str]:
    """Calls that look into a field that holds a sentence."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr=how, value=ast.Attribute(attr=field))):
                if how in TAKES_APART and field in SENTENCES:
                    found.append(ast.unparse(node))
    return found


def test_nobody_takes_a_sentence_apart() -> None:
    root = Path(upcall.__file__).parent
    assert taken_apart("event.text.removeprefix(name)"), "it would be found"
    found = {
        f"{file.relative_to(root)}: {call}" for file in root.rglob("*.py") for call in taken_apart(file.read_text())
    }
    assert found == set()
