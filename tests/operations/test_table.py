"""The table is the one source: the documentation is drawn from it, and nothing in it contradicts itself."""

import itertools
from pathlib import Path

import msgspec
import pytest

from upcall.operations.checking.checker import check
from upcall.operations.checking.diagram import in_document
from upcall.operations.news import Moved, News, Proposed
from upcall.operations.records import Operation, Target
from upcall.operations.table import (
    CHANGES,
    CLASSES,
    KINDS,
    LIVE,
    RANK,
    TRANSITIONS,
    Kind,
    State,
    Word,
    next_state,
    reachable,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"


def test_the_documentation_is_current() -> None:
    text = DOCUMENT.read_text()
    assert text == in_document(text), "docs/operations.md is older than the table: write in_document() into it"


def test_every_kind_of_the_interface_has_its_row() -> None:
    voluntary = {"restart", "move", "replace", "update", "upgrade", "finalize", "scale_in", "shrink", "rebalance"}
    others = {
        "uninstall",
        "stop",
        "vacate",
        "maintenance",
        "preempt",
        "reclaim",
        "lost",
        "scale_out",
        "grow",
        "shutdown",
    }
    assert voluntary | others <= set(KINDS)
    assert {row.class_ for row in KINDS.values()} | {"cure"} == set(CLASSES) == set(RANK)


@pytest.mark.parametrize("kind", KINDS)
def test_one_word_leads_to_one_state(kind: Kind) -> None:
    for class_ in CLASSES:
        mine = [t for t in TRANSITIONS if t.applies(kind, class_)]
        for one, other in itertools.combinations(mine, 2):
            assert (one.state, one.word) != (other.state, other.word), f"{one} and {other}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_live_state_can_be_left_and_every_operation_can_end(kind: Kind) -> None:
    class_ = KINDS[kind].class_
    front, known = ["open"], {"open"}
    while front:
        for state in reachable(kind, class_, front.pop()):  # type: ignore[arg-type]
            if state not in known:
                known.add(state)
                front.append(state)
    for state in known & LIVE:  # type: ignore[assignment]
        assert reachable(kind, class_, state), f"{kind} can never leave {state}"
    assert "done" in known


@pytest.mark.parametrize("kind", ["stop", "restart", "uninstall", "replace"])
def test_what_is_executing_cannot_be_cancelled(kind: Kind) -> None:
    assert next_state(kind, KINDS[kind].class_, "executing", "cancel") is None


def test_every_change_goes_by_the_same_rules_whatever_it_is_called() -> None:
    """So what is explored, and played, of an update holds for the others."""
    assert {msgspec.structs.replace(KINDS[kind], meaning="") for kind in CHANGES} == {
        msgspec.structs.replace(KINDS["update"], meaning="")
    }
    for transition in TRANSITIONS:
        assert len({transition.applies(kind, "voluntary") for kind in CHANGES}) == 1


def test_a_decline_ends_only_what_is_voluntary() -> None:
    assert next_state("restart", "voluntary", "open", "decline") == "declined"
    assert next_state("restart", "cure", "open", "decline") is None
    assert next_state("stop", "windowed", "open", "decline") is None


def stop(state: State) -> Operation:
    target = Target(service="log", members=("b1",), incarnations=(1,))
    return Operation(id="op-1", kind="stop", class_="windowed", target=target, reason="", asked_by="ann", state=state)


def moved(before: State, word: Word, state: State) -> Moved:
    return Moved(operation=stop(state), before=before, word=word)


BEGUN = (Proposed(operation=stop("open")), moved("open", "may begin", "executing"))


def test_the_checker_accepts_what_the_table_allows() -> None:
    assert check([*BEGUN, moved("executing", "incarnation over", "done")]) == []


@pytest.mark.parametrize(
    ("one", "objection"),
    [
        (moved("executing", "cancel", "withdrawn"), "not in the table"),
        (moved("executing", "may begin", "done"), "not in the table"),
        (moved("open", "may begin", "executing"), "but it was executing"),
        (Proposed(operation=stop("open")), "comes into being"),
    ],
)
def test_the_checker_names_what_contradicts_the_table(one: News, objection: str) -> None:
    found = check([*BEGUN, one])
    assert len(found) == 1
    assert objection in found[0]
