"""Seconds are put together once, whatever way their frames arrive, and their statistics are exact."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upcall.fastdata.frames import Frame, encode
from upcall.fastdata.packing import Packing
from upcall.fastdata.sensors import SENSORS_PER_BLOCK, TABLE, block_slice
from upcall.fastdata.windows import PASSED_BY_MAX, REFUSED_BYTES_MAX, Assembler, OpenSecond, Window, statistics

RUN = "AIB232E-s1-64hz-test"
RATE = 64


def counts_of(second: int, block: int, rate_hz: int = RATE) -> np.ndarray:
    rng = np.random.default_rng(1_000 * second + block)
    return rng.integers(-2_000, 2_000, (rate_hz, SENSORS_PER_BLOCK)).astype(np.int16)


def message(second: int, block: int = 0, begin: int = 0, end: int = RATE, run_id: str = RUN) -> bytes:
    counts = counts_of(second, block)[begin:end]
    return encode(Frame(run_id, block, second * RATE + begin, RATE, counts), Packing.RAW)


def no_score(counts: np.ndarray, block: int) -> bytes:
    return b""


def assembler(opened: list[OpenSecond] | None = None, until: dict[tuple[str, int], int] | None = None) -> Assembler:
    return Assembler(3, opened or [], until or {}, no_score)


def expected(second: int, block: int = 0) -> bytes:
    return statistics(counts_of(second, block), block).tobytes()


def test_statistics_are_the_exact_values_rounded_once() -> None:
    counts = counts_of(5, 7)
    counts[:, 0] = 32_767
    counts[:, 1] = -32_768
    values = statistics(counts, 7)
    sensors = block_slice(7)
    for column in (0, 1, 2, 500, 999):
        said = [int(count) for count in counts[:, column]]
        scale = Fraction(float(TABLE.scale[sensors][column]))
        offset = Fraction(float(TABLE.offset[sensors][column]))
        mean = Fraction(sum(said), len(said))
        variance = Fraction(sum(c * c for c in said), len(said)) - mean * mean
        assert values[0, column] == pytest.approx(float(offset + scale * mean), rel=1e-6, abs=1e-6)
        assert values[1, column] == np.float32(float(offset + scale * min(said)))
        assert values[2, column] == np.float32(float(offset + scale * max(said)))
        assert values[3, column] == pytest.approx(float(scale) * math.sqrt(variance), rel=1e-6)
    assert values[3, 0] == 0


def test_statistics_do_not_depend_on_the_order_of_samples() -> None:
    counts = counts_of(1, 2)
    shuffled = np.random.default_rng(1).permutation(counts, axis=0)
    assert statistics(counts, 2).tobytes() == statistics(shuffled, 2).tobytes()


def test_statistics_of_the_fastest_rate_do_not_overflow() -> None:
    counts = np.full((8_192, SENSORS_PER_BLOCK), -32_768, np.int16)
    counts[::2] = 32_767
    deviation = statistics(counts, 0)[3]
    assert deviation == pytest.approx(TABLE.scale[:SENSORS_PER_BLOCK] * 32_767.5, rel=1e-6)


def test_whole_second_becomes_a_window_at_once() -> None:
    at = assembler()
    [window] = at.add(40, message(9, block=4))
    assert window == Window(RUN, 4, 9, RATE, RATE, 9 * RATE, 10 * RATE - 1, 3, 40, 40, expected(9, 4), b"")
    assert at.still_open() == []
    assert at.tally.next_offset == 41


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(1, RATE - 1), unique=True, max_size=5).map(sorted),
    batches=st.lists(st.integers(1, 3), min_size=1, max_size=8),
    repeat=st.booleans(),
)
def test_second_split_over_frames_and_micro_batches_merges_to_the_right_row(
    cuts: list[int], batches: list[int], repeat: bool
) -> None:
    edges = [0, *cuts, RATE]
    log = [
        message(second, begin=begin, end=end)
        for second in (0, 1)
        for begin, end in pairwise(edges)
        for _ in range(2 if repeat else 1)
    ]
    windows: list[Window] = []
    opened: list[OpenSecond] = []
    until: dict[tuple[str, int], int] = {}
    offset = 0
    sizes = iter(batches * len(log))
    while offset < len(log):
        at = assembler(opened, until)
        for _ in range(next(sizes)):
            if offset < len(log):
                windows += at.add(offset, log[offset])
                offset += 1
        opened = at.still_open()
        until = {w.key: w.second for w in windows}
    assert [w.second for w in windows] == [0, 1]
    assert [w.count for w in windows] == [RATE, RATE]
    assert [w.values for w in windows] == [expected(0), expected(1)]
    assert opened == []


def test_reading_again_from_the_first_open_frame_changes_nothing() -> None:
    """A restart: the open second is lost, its frames are not."""
    log = [message(0), message(1, end=30), message(1, begin=30), message(2)]
    before = assembler()
    first = [w for offset in (0, 1) for w in before.add(offset, log[offset])]
    [opened] = before.still_open()
    again = assembler(until={w.key: w.second for w in first})
    rest = [w for offset in range(opened.first_offset, 4) for w in again.add(offset, log[offset])]
    assert [w.second for w in first + rest] == [0, 1, 2]
    assert rest[0].values == expected(1)


def test_stored_second_is_never_written_again_by_a_part_of_it() -> None:
    at = assembler(until={(RUN, 0): 5})
    assert list(at.add(1, message(5, begin=32))) == []
    assert at.still_open() == []
    assert at.tally.behind == 1


def test_later_second_closes_one_that_misses_samples_and_its_count_says_so() -> None:
    at = assembler()
    assert list(at.add(0, message(3, begin=0, end=16))) == []
    assert list(at.add(1, message(3, begin=40, end=50))) == []
    [short] = at.add(2, message(4, end=10))
    assert (short.count, short.first_sample, short.last_sample) == (26, 3 * RATE, 3 * RATE + 49)
    seen = np.r_[0:16, 40:50]
    assert short.values == statistics(counts_of(3, 0)[seen], 0).tobytes()
    assert at.tally.short == 1
    assert list(at.add(3, message(3, begin=16, end=40))) == []
    assert at.tally.behind == 1


def test_repeats_of_an_open_second_are_not_kept_twice() -> None:
    at = assembler()
    for offset in range(50):
        assert list(at.add(offset, message(0, end=32))) == []
    [opened] = at.still_open()
    assert len(opened.frames) == 1


def test_corrupt_and_future_frames_are_counted_and_set_aside_and_the_stream_goes_on() -> None:
    at = assembler()
    broken = bytearray(message(0))
    broken[100] ^= 1
    future = bytearray(message(0))
    future[4], future[5] = 9, 9 ^ 0xFF
    small = encode(Frame(RUN, 0, 0, RATE, np.zeros((4, 10), np.int16)))
    far = encode(Frame(RUN, 77, 0, RATE, np.zeros((4, SENSORS_PER_BLOCK), np.int16)))
    for offset, data in enumerate((bytes(broken), bytes(future), b"hello", small, far)):
        assert list(at.add(offset, data)) == []
    assert len(list(at.add(5, message(0)))) == 1
    assert (at.tally.corrupt, at.tally.future, at.tally.frames) == (4, 1, 6)
    assert [r.offset for r in at.refused] == [0, 1, 2, 3, 4]
    assert "checksum" in at.refused[0].reason
    assert "version 9" in at.refused[1].reason
    assert "a block has 1000" in at.refused[3].reason
    assert all(len(r.data) <= REFUSED_BYTES_MAX for r in at.refused)


def test_ended_run_does_not_hold_its_open_second_for_ever() -> None:
    at = assembler()
    assert list(at.add(0, message(0, block=4, end=10, run_id="old"))) == []
    offset = 1
    windows: list[Window] = []
    for second in range(PASSED_BY_MAX + 1):
        [opened] = at.still_open()
        until = {w.key: w.second for w in windows}
        at = assembler([opened], until)  # its age survives the micro-batches
        windows += at.add(offset, message(second, run_id="new"))
        offset += 1
    assert [(w.run_id, w.count) for w in windows if w.run_id == "old"] == [("old", 10)]
    assert at.still_open() == []


def test_messages_that_were_counted_before_a_restart_are_not_counted_again() -> None:
    at = Assembler(3, [], {}, no_score, count_from=2)
    for offset in range(4):
        list(at.add(offset, message(offset)))
    assert (at.tally.frames, at.tally.readings, at.tally.next_offset) == (2, 2 * RATE * SENSORS_PER_BLOCK, 4)
