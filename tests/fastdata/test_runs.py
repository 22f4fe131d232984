"""A run's identity, its seconds, and the wall clock."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from practice import START_US, practice_flight, practice_run

from upcall.fastdata.runs import RATES_HZ, Run

FLIGHT = practice_flight()
RUN = practice_run(FLIGHT)


@given(rate_hz=st.sampled_from(RATES_HZ), elapsed_us=st.integers(-10, 1_200_000_010))
def test_what_is_due_agrees_with_when_it_is_due(rate_hz: int, elapsed_us: int) -> None:
    run = practice_run(FLIGHT, rate_hz=rate_hz)
    now_us = START_US + elapsed_us
    due = run.samples_due(now_us)
    assert 0 <= due <= run.samples
    if due > 0:
        assert run.due_us(due - 1) <= now_us
    if due < run.samples:
        assert run.due_us(due) > now_us
    assert run.seconds_due(now_us) == due // rate_hz


def test_seconds_are_those_of_the_run() -> None:
    assert [RUN.second_of(sample) for sample in (0, 127, 128, 128 * 60)] == [0, 0, 1, 60]
    assert RUN.due_us(128 * 60) == START_US + 60_000_000
    assert RUN.samples == 1_200 * 128
    assert practice_run(FLIGHT, begin_s=100, seconds=50).flight_second(3) == 103


def test_runs_that_differ_in_anything_have_different_names() -> None:
    changes: list[dict[str, object]] = [
        {},
        {"seed": 8},
        {"rate_hz": 256},
        {"start_us": START_US + 1},
        {"begin_s": 1, "seconds": 1_199},
        {"seconds": 10},
        {"blocks": 4},
        {"noise": "heavy"},
        {"faults": "none"},
        {"loop": 1},
        {"flight_digest": "other"},
    ]
    names = {practice_run(FLIGHT, **change).run_id for change in changes}
    assert len(names) == len(changes)
    assert all(len(name) <= 80 and name.isascii() for name in names)
    assert RUN.run_id.startswith("TEST1-s7-128hz-1700000000000000-")


def test_the_record_comes_back_and_names_itself() -> None:
    assert Run.from_json(RUN.to_json()) == RUN
    assert json.loads(RUN.to_json())["run_id"] == RUN.run_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        RUN.to_json().replace('"seed": 7', '"seed": 8'),
        RUN.to_json().replace('"seed": 7', '"seed": "7"'),
        RUN.to_json().replace('"seed": 7', '"seed": true'),
        RUN.to_json().replace('"seed": 7', '"sead": 7'),
        RUN.to_json().replace('"version": 1', '"version": 2'),
    ],
)
def test_a_record_that_is_none_is_one_clear_error(text: str) -> None:
    with pytest.raises(ValueError, match="not the record of a run"):
        Run.from_json(text)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rate_hz": 100}, "100 Hz: one of 64, 128"),
        ({"blocks": 0}, "0 blocks: 1 to 20"),
        ({"blocks": 21}, "21 blocks"),
        ({"seed": -1}, "seed -1"),
        ({"seconds": 0}, "nothing of the flight is left"),
        ({"noise": "loud"}, "normal, heavy"),
        ({"faults": "many"}, "none, steady, dense"),
        ({"flight": "no spaces"}, "1 to 16 letters"),
    ],
)
def test_a_value_out_of_range_is_one_clear_error(change: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        practice_run(FLIGHT, **change)


def test_the_next_loop_is_a_new_run_that_begins_when_this_one_ends() -> None:
    first = practice_run(FLIGHT, begin_s=1_000, seconds=200)
    second = first.next_loop()
    assert second.run_id != first.run_id
    assert second.start_us == first.start_us + 200_000_000
    assert (second.begin_s, second.seconds, second.loop) == (0, 1_200, 1)
    assert second.next_loop().seconds == 1_200


@pytest.mark.parametrize(
    ("blocks", "numbers"), [(1, (0,)), (2, (0, 10)), (5, (0, 1, 2, 10, 11)), (20, tuple(range(20)))]
)
def test_a_smaller_aircraft_still_has_two_wings(blocks: int, numbers: tuple[int, ...]) -> None:
    run = practice_run(FLIGHT, blocks=blocks)
    assert run.block_numbers == numbers
    assert run.sensors == blocks * 1_000
