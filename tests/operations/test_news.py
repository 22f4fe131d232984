"""What happened is a fact with fields; its words are made in one place."""

import ast
import types
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

import upcall
from upcall.operations import inputs as given
from upcall.operations import news, wording
from upcall.operations.records import Operation, Policy, Target
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
        answer = given.Answer(verdict=verdict, reason="a copy is behind")
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


# -- a program reads all that a person reads ------------------------------------------------------------------------


def others(of: Any) -> list[Any]:
    """Values of a field of this type, each different."""
    origin, args = typing.get_origin(of), typing.get_args(of)
    if origin is typing.Literal:
        return list(args)
    if origin in (typing.Union, types.UnionType):
        return [value for each in args for value in others(each)]
    if origin is tuple:
        return [()]
    if isinstance(of, type) and issubclass(of, msgspec.Struct):
        return varied(of)
    found: dict[Any, list[Any]] = {
        str: ["this", "that"], int: [3, 7], float: [5.0, 60.0], bool: [True, False], type(None): [None]
    }  # fmt: skip
    return found[of]


def varied(of: type[msgspec.Struct]) -> list[Any]:
    """One, and for each of its fields others that differ from it in that one alone."""
    if of is Target:
        return [Target(service="s", members=("m",), incarnations=(2,))]
    known = typing.get_type_hints(of)
    first = of(**{name: others(known[name])[0] for name in of.__struct_fields__})
    alone = [
        replace(first, **{name: value})
        for name in of.__struct_fields__
        if name != "operation" or known[name] is not Operation
        for value in others(known[name])[1:]
    ]
    return [first, *alone]


@pytest.mark.parametrize("fact", kinds_of_news(), ids=lambda fact: fact.__name__)
def test_each_field_of_a_fact_and_whatever_its_words_tell_apart_is_read_in_its_data_too(fact: type[news.News]) -> None:
    def read(one: news.News) -> dict[str, Any]:
        return {"subject": one.subject, **one.data}

    first, *alone = varied(fact)
    for one in alone:
        assert read(one) != read(first), f"{wording.line(one)}: {one} is read as {first}"
    # Of the operation only what is said of it: the rest of it is read where it is (GET /v1/operations/{id}).
    for operation in varied(Operation) if isinstance(first, news.OfOperation) else ():
        one = replace(first, operation=operation)
        assert wording.line(one) == wording.line(first) or read(one) != read(first), wording.line(one)
