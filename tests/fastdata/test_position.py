"""Where to read on, so that nothing is lost and nothing counts twice."""

from __future__ import annotations

from upcall.fastdata.position import Position, start
from upcall.fastdata.windows import Tally


def test_position_stays_at_the_first_frame_of_what_is_not_stored() -> None:
    position = Position(2, resume_offset=10, read_until=12)
    tally = Tally(2, frames=8, readings=80, packed_bytes=800, next_offset=20)
    moved = position.advanced(tally, [18, 19, 17])
    assert (moved.resume_offset, moved.read_until) == (17, 20)
    assert (moved.frames, moved.readings, moved.packed_bytes) == (8, 80, 800)


def test_position_follows_the_log_when_nothing_is_open() -> None:
    moved = Position(2, 10, 12, frames=5).advanced(Tally(2, frames=8, next_offset=20), [])
    assert (moved.resume_offset, moved.read_until, moved.frames) == (20, 20, 13)


def test_new_reader_begins_with_the_log() -> None:
    begun = start([], {0: (5, 9), 1: (0, 0)})
    assert {p: (at.resume_offset, at.read_until) for p, at in begun.positions.items()} == {0: (5, 5), 1: (0, 0)}
    assert not begun.lost
    assert not begun.restarted


def test_reader_goes_on_where_the_store_says() -> None:
    begun = start([Position(0, 17, 20, frames=8)], {0: (3, 40)})
    assert begun.positions[0] == Position(0, 17, 20, frames=8)


def test_messages_that_retention_took_unread_are_counted_as_lost() -> None:
    begun = start([Position(0, 17, 20)], {0: (30, 40)})
    assert begun.lost == {0: 10}
    assert (begun.positions[0].resume_offset, begun.positions[0].read_until) == (30, 30)


def test_messages_that_retention_took_after_they_were_read_are_not_lost_twice() -> None:
    begun = start([Position(0, 17, 20)], {0: (19, 40)})
    assert begun.lost == {0: 0}
    assert (begun.positions[0].resume_offset, begun.positions[0].read_until) == (19, 20)


def test_log_that_was_made_anew_is_read_from_its_beginning() -> None:
    begun = start([Position(0, 17, 20, frames=8)], {0: (0, 4)})
    assert begun.restarted == (0,)
    assert begun.positions[0] == Position(0, 0, 0, frames=8)
