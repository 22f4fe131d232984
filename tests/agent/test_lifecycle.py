"""The table of one task's life, as a whole."""

from typing import get_args

import pytest

from upcall.agent.lifecycle import RUNS, TABLE, Effect, Event, State, step
from upcall.substrate.interface import TaskState


def walk(*events: Event) -> list[str]:
    state: State = "placed"
    seen: list[str] = []
    for event in events:
        decided = step(state, event)
        if decided is None:
            seen.append("-")
            continue
        state = decided.state
        seen.append(" ".join([state, *decided.effects]))
    return seen


def test_a_life_without_trouble() -> None:
    assert walk("launch", "fetched", "started", "passed", "failed", "passed", "end", "grace_over", "exited") == [
        "fetching fetch",
        "starting start",
        "running await_ready",
        "ready watch_health",
        "unready",
        "ready watch_health",
        "ending terminate",
        "ending kill",
        "ended settle",
    ]


def test_what_is_late_is_said_and_not_ended() -> None:
    assert walk("launch", "fetched", "started", "late", "late", "passed", "late", "failed")[2:] == [
        "running await_ready",
        "unready",
        "-",
        "ready watch_health",
        "-",
        "unready",
    ]


def test_only_the_masters_wish_ends_what_runs() -> None:
    for state in ("running", "ready", "unready"):
        ways = {event for event, decided in TABLE[state].items() if decided.state == "ending"}
        assert ways == {"end"}


def test_a_start_that_meets_the_wish_to_end_is_terminated() -> None:
    assert walk("launch", "fetched", "end", "started", "exited")[2:] == [
        "ending cancel",
        "ending terminate",
        "ended settle",
    ]


def test_late_answers_mean_nothing() -> None:
    assert walk("launch", "fetched", "started", "end", "passed", "late", "end")[4:] == ["-", "-", "-"]


def test_every_state_is_known_to_the_substrate() -> None:
    assert set(TABLE) == set(get_args(State))
    assert set(TABLE) <= set(get_args(TaskState))


def test_every_state_is_reached_and_leads_to_the_end() -> None:
    reached, ahead = {"placed"}, ["placed"]
    while ahead:
        for following in TABLE[ahead.pop()].values():  # type: ignore[index]
            if following.state not in reached:
                reached.add(following.state)
                ahead.append(following.state)
    assert reached == set(TABLE)
    for state in TABLE:
        assert state == "ended" or "ended" in following_of(state), f"{state} has no way to its end"


def following_of(state: State) -> set[str]:
    found: set[str] = set()
    ahead: list[State] = [state]
    while ahead:
        for following in TABLE[ahead.pop()].values():
            if following.state not in found:
                found.add(following.state)
                ahead.append(following.state)
    return found


@pytest.mark.parametrize("state", sorted(RUNS))
def test_whatever_runs_may_exit_at_any_moment(state: State) -> None:
    decided = step(state, "exited")
    assert decided is not None
    assert decided.state == "ended"


@pytest.mark.parametrize("state", sorted(set(get_args(State)) - {"ended", "ending"}))
def test_a_wish_to_end_is_heard_in_every_state(state: State) -> None:
    decided = step(state, "end")
    assert decided is not None
    assert decided.state in ("ending", "ended")


def test_only_known_events_and_effects() -> None:
    assert {event for row in TABLE.values() for event in row} == set(get_args(Event))
    assert {effect for row in TABLE.values() for one in row.values() for effect in one.effects} == set(get_args(Effect))
