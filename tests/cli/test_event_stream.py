"""Who waits is told: at once when something happens, and asks nothing meanwhile."""

import threading
import time

from fake_master import TOKEN, FakeMaster
from upcall.cli.event_stream import EventStream
from upcall.client.blocking import Client

FAR_S = 60.0
"""Longer than anything takes here: a wait that lasts so long has failed."""


def stream_of(master: FakeMaster) -> EventStream:
    return EventStream(Client(master.socket, TOKEN), settle_s=0.0)


def test_what_happens_ends_the_wait(master: FakeMaster) -> None:
    with stream_of(master) as event_stream:
        assert event_stream.wait(FAR_S), "the stream is open: what happened before it is looked at"
        master.happens("service", "one", "it is ready")
        assert event_stream.wait(FAR_S)


def test_nothing_is_asked_while_nothing_happens(master: FakeMaster) -> None:
    with stream_of(master) as event_stream:
        assert event_stream.wait(FAR_S)
        while event_stream.wait(0.2):
            pass
        calls = len(master.calls)
        assert not event_stream.wait(0.5)
        assert len(master.calls) == calls
        assert master.streams == 1


def test_a_master_that_is_away_for_a_moment_is_listened_to_again(master: FakeMaster) -> None:
    master.not_now = 3
    with stream_of(master) as event_stream:
        assert event_stream.wait(FAR_S)
        until = time.monotonic() + FAR_S
        while not master.streams:
            assert time.monotonic() < until
            event_stream.wait(0.2)
        while event_stream.wait(0.2):
            pass
        master.happens("service", "one", "it is ready")
        assert event_stream.wait(FAR_S)


def test_after_the_wait_nobody_listens(master: FakeMaster) -> None:
    def listeners() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "events"]

    before = set(listeners())
    with stream_of(master) as event_stream:
        assert event_stream.wait(FAR_S)
        (mine,) = set(listeners()) - before
    mine.join(FAR_S)
    assert not mine.is_alive()
