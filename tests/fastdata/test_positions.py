"""New or repeat: what ingest knows of each block."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.fastdata.positions import Positions, Verdict


def test_a_frame_is_new_then_under_way_then_stored() -> None:
    positions = Positions()
    assert positions.judge("r", 0, 0, 31).verdict is Verdict.NEW
    assert positions.judge("r", 0, 0, 31).verdict is Verdict.UNDER_WAY
    assert positions.delivered("r", 0, 31) == [0]
    assert positions.judge("r", 0, 0, 31).verdict is Verdict.STORED
    assert positions.stored("r", 0) == 31


def test_blocks_and_runs_are_apart() -> None:
    positions = Positions()
    positions.judge("r", 0, 0, 31)
    assert positions.judge("r", 1, 0, 31).verdict is Verdict.NEW
    assert positions.judge("s", 0, 0, 31).verdict is Verdict.NEW


def test_what_the_log_holds_already_is_a_repeat() -> None:
    positions = Positions()
    positions.recover("r", {0: 127})
    assert positions.judge("r", 0, 96, 127).verdict is Verdict.STORED
    assert positions.judge("r", 0, 128, 159).verdict is Verdict.NEW
    assert positions.judge("r", 1, 0, 31).verdict is Verdict.NEW


def test_only_the_new_part_of_a_frame_is_new() -> None:
    positions = Positions()
    positions.recover("r", {0: 40})
    judged = positions.judge("r", 0, 32, 127)
    assert (judged.verdict, judged.from_sample, judged.missing) == (Verdict.NEW, 41, 0)
    assert positions.delivered("r", 0, 127) == [32]  # acknowledged under the name by which it was sent


def test_dropped_samples_are_counted() -> None:
    positions = Positions()
    positions.judge("r", 0, 0, 31)
    assert positions.judge("r", 0, 128, 159).missing == 96


def test_frames_of_other_lengths_are_acknowledged_when_their_last_sample_is_stored() -> None:
    positions = Positions()
    positions.judge("r", 0, 0, 31)
    positions.judge("r", 0, 32, 63)
    assert positions.judge("r", 0, 0, 47).verdict is Verdict.UNDER_WAY
    assert positions.delivered("r", 0, 31) == [0]
    assert sorted(positions.delivered("r", 0, 63)) == [0, 32]


def test_waiting_does_not_grow_by_repeats() -> None:
    positions = Positions()
    positions.judge("r", 0, 0, 31)
    for _ in range(100):
        positions.judge("r", 0, 0, 31)
    assert positions.delivered("r", 0, 31) == [0]


def test_a_log_that_gives_up_its_order_is_found_out() -> None:
    positions = Positions()
    positions.judge("r", 0, 0, 31)
    positions.judge("r", 0, 32, 63)
    positions.delivered("r", 0, 63)
    with pytest.raises(AssertionError, match="order"):
        positions.delivered("r", 0, 31)


@given(st.data())
def test_every_sample_is_stored_once_whatever_is_repeated(data: st.DataObject) -> None:
    """Frames arrive in order, with any repeats; Kafka confirms at any time; ingest may crash and recover."""
    edges = sorted({0, 128, *data.draw(st.lists(st.integers(1, 127), max_size=6))})
    frames = [(first, after - 1) for first, after in pairwise(edges)]
    log: list[int] = []
    under_way: list[tuple[int, int]] = []
    acknowledged: set[int] = set()
    positions = Positions()
    to_send: list[tuple[int, int]] = []

    def resend() -> list[tuple[int, int]]:
        return [frame for frame in frames if frame[0] not in acknowledged]

    def deliver() -> None:
        first, last = under_way.pop(0)
        log.extend(range(first, last + 1))
        acknowledged.update(positions.delivered("r", 0, last))

    def send() -> None:
        first, last = to_send.pop(0)
        judged = positions.judge("r", 0, first, last)
        if judged.verdict is Verdict.STORED:
            acknowledged.add(first)
        elif judged.verdict is Verdict.NEW:
            assert judged.missing == 0
            under_way.append((judged.from_sample, last))

    for action in data.draw(st.lists(st.sampled_from(["send", "deliver", "reconnect", "crash"]), max_size=40)):
        if action == "crash":
            positions = Positions()
            positions.recover("r", {0: log[-1]} if log else {})
            under_way, to_send = [], resend()
        elif action == "reconnect":
            to_send = resend()
        elif action == "deliver" and under_way:
            deliver()
        elif action == "send" and to_send:
            send()
    to_send = resend()
    while to_send:
        send()
    while under_way:
        deliver()
    assert log == list(range(128))
    assert acknowledged == {first for first, _last in frames}
