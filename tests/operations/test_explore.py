"""Every reachable state of small worlds: the promises hold in each, and none is a dead end.

The usual run takes seconds; ``UPCALL_EXPLORE=1`` walks the bigger worlds (minutes).
"""

import os
import subprocess
import sys

import pytest

from upcall.operations import ends, execution, guard, looping, members, minimum, people, places, steps, superseding
from upcall.operations.checking import explore as explorer
from upcall.operations.checking.explore import Unfinished, explore
from upcall.operations.checking.small_changes import UPDATE
from upcall.operations.checking.small_world import Broken, Budget
from upcall.operations.checking.worlds import BIG, RESTART, SMALL, drain, member
from upcall.operations.effects import Refused
from upcall.operations.table import KINDS


@pytest.mark.parametrize("name", SMALL)
def test_small_world_keeps_its_promises_and_has_no_dead_end(name: str) -> None:
    found = explore(SMALL[name])
    assert found.transitions > found.states > 10
    assert (found.deaths > 0) == (SMALL[name].deaths > 0)


@pytest.mark.skipif(not os.environ.get("UPCALL_EXPLORE"), reason="minutes; UPCALL_EXPLORE=1 walks the bigger worlds")
@pytest.mark.parametrize("name", BIG)
def test_bigger_world_keeps_its_promises_and_has_no_dead_end(name: str) -> None:
    assert explore(BIG[name]).states > 1000


def test_every_kind_that_people_propose_and_that_ends_tasks_is_in_a_world_of_the_ordinary_run() -> None:
    walked = {getattr(wish, "kind", "") for budget in SMALL.values() for wish in budget.wishes}
    ending = {kind for kind, row in KINDS.items() if row.by_people and row.shape != "plan"}
    assert ending - walked == {"move"}, "a move is a removal that gives back elsewhere, as a replacement is"
    for what in (
        "deaths",
        "failures",
        "deferrals",
        "declines",
        "forces",
        "cancels",
        "silences",
        "leaves",
        "broken",
        "lasting",
    ):
        assert any(getattr(budget, what) for budget in SMALL.values()), what
    assert {"update", "scale_out", "grow", "shrink", "finalize"} <= walked
    assert any(budget.bad for budget in SMALL.values())
    assert any(not budget.returns for budget in SMALL.values())
    assert any(not budget.spare for budget in SMALL.values())


def test_the_explorer_finds_a_place_that_is_given_up_before_there_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "held", lambda book, member, same_node=False: True)
    with pytest.raises(Broken, match="a place is given up before there is another"):
        explore(SMALL["as many members as nodes, one node away and back"])


# -- it can fail ----------------------------------------------------------------------------------------------------


def test_the_explorer_finds_a_ledger_without_a_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "objection", lambda book, operation: "")
    with pytest.raises(Broken, match="leaves 1 of 2"):
        explore(Budget(wishes=(drain("n0"), drain("n1")), deaths=0, deferrals=0))


def test_the_explorer_finds_a_set_of_nodes_that_goes_below_the_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it would, if what is held on one of its nodes did not count on another."""
    monkeypatch.setattr(minimum, "_taken_with", lambda book, operation, member: member.node in ("n0", "n1"))
    with pytest.raises(Broken, match="leaves 1 of 2"):
        explore(SMALL["a drain of two nodes"])


def test_where_the_minimum_lets_a_set_go_it_goes_and_comes_back() -> None:
    explore(SMALL["a drain of two nodes, proceed, a death"], minimum=1)


def test_the_explorer_finds_an_end_that_looks_at_the_minimum_at_its_begin_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ends, "waits_for_others", lambda *_: "")
    with pytest.raises(Broken, match="leaves 1 of 2"):
        explore(SMALL["a stop that hands over first, a failing task"])


def test_the_explorer_finds_a_cure_that_waits_behind_an_end_that_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Budget(wishes=(RESTART,), deaths=0, deferrals=0, failures=1, lasting=True, hands_over=True)
    explore(world)
    monkeypatch.setattr(ends, "held", lambda *_: "")
    with pytest.raises(Broken, match=r"a dead end.*one at a time"):
        explore(world)


def test_the_explorer_finds_a_stop_without_a_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Refused(code="conflict", message="no", where="member")
    monkeypatch.setattr(people, "give_back", lambda book, item: refused)
    with pytest.raises(Broken, match="a dead end"):
        explore(Budget(wishes=(member("stop", "b0"),), deaths=0, deferrals=0))


def test_the_explorer_finds_a_wish_that_waits_behind_what_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Budget(wishes=(member("replace", "b0"),), broken="b0", deaths=0, deferrals=0, failures=1)
    monkeypatch.setattr(superseding, "gives_way", lambda *_: False)
    explore(world)  # Bringing back fails in time, so the wish begins at last.
    monkeypatch.setattr(looping, "TRIES_MAX", 10**9)
    monkeypatch.setattr(execution, "_start_deadline_s", lambda book, operation, member: book.now_s + 40)
    with pytest.raises(Broken, match=r"a dead end.*waits for op-"):
        explore(world)


def test_the_explorer_finds_a_cure_that_waits_behind_what_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looping, "loops", lambda *_: False)
    monkeypatch.setattr(looping, "TRIES_MAX", 10**9)
    monkeypatch.setattr(execution, "_start_deadline_s", lambda book, operation, member: book.now_s + 40)
    with pytest.raises(Broken, match=r"a dead end.*one at a time"):
        explore(SMALL["what is broken, and the cure of another"])


def test_the_explorer_finds_a_member_that_gets_what_is_new_before_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Budget(wishes=(UPDATE,), deaths=0, deferrals=0, failures=1)
    monkeypatch.setattr(members, "is_step", lambda book, operation: True)
    with pytest.raises(Broken, match="before its turn"):
        explore(world)


def test_the_explorer_finds_a_canary_that_the_next_good_revision_does_not_heal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "_is_its_turn", lambda book, by: False)
    with pytest.raises(Broken, match="a dead end"):
        explore(SMALL["an update and another instead of it"])


def test_the_explorer_finds_a_change_beside_the_point_of_no_return(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "another_change", lambda book, given: None)
    with pytest.raises(Broken, match="a change beside the point of no return"):
        explore(SMALL["the point of no return, and an update instead of it"])


def test_a_world_beyond_the_bound_is_not_called_explored() -> None:
    budget = Budget(wishes=(RESTART,), deaths=0, deferrals=0)
    states = explore(budget).states
    assert explore(budget, states_max=states).states == states
    with pytest.raises(Unfinished, match=f"more than {states - 1} states"):
        explore(budget, states_max=states - 1)


# -- by hand --------------------------------------------------------------------------------------------------------


def test_by_hand_it_prints_what_it_walked() -> None:
    world = "a scale-in, a death"
    found = explore(SMALL[world])
    program = [sys.executable, "-m", "upcall.operations.checking.explore"]
    done = subprocess.run([*program, world], capture_output=True, text=True, timeout=120, check=True)
    walked = f"{found.states} states, {found.transitions} transitions, {found.deaths} deaths"
    assert done.stdout == f"{world} ... {walked}: all promises hold\n"
    wrong = subprocess.run([*program, "three drains"], capture_output=True, text=True, timeout=120)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("no world 'three drains'; known are:")


def test_by_hand_it_walks_all_worlds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    walked: list[Budget] = []

    def walk(budget: Budget) -> explorer.Explored:
        walked.append(budget)
        return explorer.Explored()

    monkeypatch.setattr(explorer, "explore", walk)
    explorer.main([])
    assert walked == [*SMALL.values(), *BIG.values()]
    assert len(capsys.readouterr().out.splitlines()) == len(SMALL) + len(BIG)
