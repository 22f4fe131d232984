"""What the aircraft keeps, forgets and drops."""

from upcall.fastdata import backlog
from upcall.fastdata.backlog import Backlog
from upcall.fastdata.link import FrameKey


def key(first: int, block: int = 0, ordinal: int = 0) -> FrameKey:
    return FrameKey(ordinal, block, first)


def filled(capacity: int = 1_000, frames: int = 5) -> Backlog:
    kept = Backlog(capacity)
    for first in range(frames):
        kept.add(key(first), bytes(10), 100)
    return kept


def test_it_forgets_exactly_what_was_acknowledged() -> None:
    kept = filled()
    kept.acknowledge([key(1), key(3)])
    assert (len(kept), kept.readings, kept.bytes) == (3, 300, 30)
    assert (kept.acknowledged_frames, kept.acknowledged_readings) == (2, 200)
    kept.acknowledge([key(1), key(99)])
    assert kept.acknowledged_frames == 2
    kept.connection_lost()
    assert [kept.next_to_send() for _ in range(4)] == [(key(n), bytes(10)) for n in (0, 2, 4)] + [None]


def test_when_it_is_full_the_oldest_go_and_are_counted() -> None:
    kept = filled(capacity=350)
    assert (len(kept), kept.dropped_frames, kept.dropped_readings) == (3, 2, 200)
    assert kept.next_to_send() == (key(2), bytes(10))
    kept.add(key(9), bytes(10), 300)
    assert (len(kept), kept.dropped_readings, kept.in_flight_bytes) == (1, 500, 0)
    kept.count_dropped(70)
    assert kept.dropped_readings == 570


def test_frames_are_sent_once_a_connection_in_their_order() -> None:
    kept = filled()
    sent = []
    while (following := kept.next_to_send()) is not None:
        sent.append(following[0])
    assert sent == [key(n) for n in range(5)]
    kept.add(key(5), bytes(10), 100)
    assert kept.next_to_send() == (key(5), bytes(10))
    kept.acknowledge([key(0)])
    kept.connection_lost()
    again = []
    while (following := kept.next_to_send()) is not None:
        again.append(following[0])
    assert again == [key(n) for n in range(1, 6)]


def test_no_more_is_under_way_than_is_good() -> None:
    kept = Backlog(10**9)
    for first in range(40):
        kept.add(key(first), bytes(1024 * 1024), 1)
    sent = []
    while (following := kept.next_to_send()) is not None:
        sent.append(following[0])
    assert len(sent) == backlog.IN_FLIGHT_BYTES_MAX // (1024 * 1024)
    assert kept.next_to_send() is None
    kept.acknowledge(sent[:3])
    assert [kept.next_to_send() is not None for _ in range(4)] == [True, True, True, False]


def test_runs_of_which_frames_are_kept() -> None:
    kept = filled()
    kept.add(key(0, ordinal=3), b"", 1)
    assert kept.ordinals() == {0, 3}
