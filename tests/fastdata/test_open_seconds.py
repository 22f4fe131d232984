"""What is open goes back to the tasks, holds the position while only the log has it, and is put aside once."""

from __future__ import annotations

from upcall.fastdata.open_seconds import PUT_ASIDE_S, OpenSeconds
from upcall.fastdata.windows import OpenSecond


def second(number: int, *offsets: int, partition: int = 0) -> OpenSecond:
    return OpenSecond("run", 0, number, partition, tuple((offset, b"frame") for offset in offsets), 0)


def test_open_frames_are_needed_until_their_second_is_complete() -> None:
    opened = OpenSeconds()
    half = second(7, 40, 41)
    opened.now_open([0, 1], [half], 0.0)
    assert opened.all() == (half,)
    assert (opened.needed(0), opened.needed(1)) == ([40, 41], [])
    opened.now_open([0], [], 1.0)
    assert opened.all() == ()
    assert opened.needed(0) == []


def test_a_micro_batch_says_nothing_of_partitions_that_it_has_not_read() -> None:
    opened = OpenSeconds()
    opened.now_open([0, 1], [second(7, 40), second(7, 50, partition=1)], 0.0)
    opened.now_open([1], [], 1.0)
    assert opened.all() == (second(7, 40),)


def test_what_gets_no_frame_for_long_is_put_aside_once_and_needed_no_more() -> None:
    opened = OpenSeconds()
    half = second(7, 40)
    opened.now_open([0], [half], 0.0)
    assert opened.put_aside(PUT_ASIDE_S - 1) == []
    assert opened.put_aside(PUT_ASIDE_S) == [half]
    assert opened.needed(0) == []
    assert opened.all() == (half,)
    assert opened.put_aside(2 * PUT_ASIDE_S) == []


def test_a_frame_that_comes_begins_the_waiting_anew() -> None:
    opened = OpenSeconds()
    opened.now_open([0], [second(7, 40)], 0.0)
    more = second(7, 40, 44)
    opened.now_open([0], [more], PUT_ASIDE_S - 1)
    assert opened.put_aside(PUT_ASIDE_S) == []
    assert opened.put_aside(2 * PUT_ASIDE_S - 1) == [more]


def test_a_frame_that_comes_after_its_second_was_put_aside_is_needed_from_the_log() -> None:
    opened = OpenSeconds()
    opened.take_up(second(7, 40))
    assert opened.needed(0) == []
    opened.now_open([0], [second(7, 40, 90)], 0.0)
    assert opened.needed(0) == [90]
