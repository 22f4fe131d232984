"""Server-sent events from bytes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.protocol import service as wire
from upcall.protocol.errors import Invalid, TooLarge
from upcall.service import sse

STREAM = (
    b'data: {"type":"subscribed","stream":"s1","wire":1}\r\n\r\n'
    b": a comment\n\n"
    b'id: 7\nevent: x\ndata: {"type":"heartbeat"}\n\n'
    b'data: {"type":"members",\ndata: "version":3,"members":[]}\n\n'
    b'data: {"type":"of the future","version":9}\n\n'
)
EVENTS = [wire.Subscribed(stream="s1", wire=1), wire.Heartbeat(), wire.Members(version=3, members=())]


@given(st.lists(st.integers(1, len(STREAM)), max_size=10))
def test_however_the_bytes_are_cut_the_events_are_the_same(cuts: list[int]) -> None:
    parser = sse.EventParser()
    edges = [0, *sorted(set(cuts)), len(STREAM)]
    found = [event for a, b in pairwise(edges) for event in parser.feed(STREAM[a:b])]
    assert found == EVENTS


def test_an_event_that_is_none_is_an_error() -> None:
    with pytest.raises(Invalid, match="an event that is none"):
        sse.EventParser().feed(b"data: {nonsense\n\n")
    with pytest.raises(Invalid, match="an event that is none"):
        sse.EventParser().feed(b'data: {"type":"members","version":"x","members":[]}\n\n')


def test_an_event_without_an_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "EVENT_BYTES_MAX", 1000)
    parser = sse.EventParser()
    for _ in range(9):
        parser.feed(b"data: " + b"x" * 100 + b"\n")
    with pytest.raises(TooLarge):
        parser.feed(b"data: " + b"x" * 200 + b"\n")


def test_every_event_of_the_stream_is_heard() -> None:
    assert sse.decode(b'{"type": "cancel_action", "id": "act-1"}') == wire.CancelAction(id="act-1")
