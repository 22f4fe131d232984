import asyncio
import json

import pytest

from upcall.master.streams import QUEUED_MAX, Stream, Streams
from upcall.protocol import service as wire
from upcall.protocol.errors import Stale


async def first_events(stream: Stream, count: int) -> list[dict[str, object]]:
    found = []
    async for chunk in stream.read():
        found.append(json.loads(chunk.removeprefix(b"data: ")))
        if len(found) == count:
            break
    return found


async def test_only_the_newest_whole_set_is_sent() -> None:
    stream = Stream()
    for version in (1, 2, 3):
        stream.send(wire.Members(version=version, members=()))
    hello, members = await first_events(stream, 2)
    assert hello["stream"] == stream.id
    assert members["version"] == 3


async def test_what_happens_once_is_sent_each_time() -> None:
    stream = Stream()
    for number in range(3):
        stream.send(wire.Action(id=str(number), name="do"))
    events = await first_events(stream, 4)
    assert [event["id"] for event in events[1:]] == ["0", "1", "2"]


def test_a_reader_that_does_not_read_is_disconnected() -> None:
    stream = Stream()
    for number in range(QUEUED_MAX + 1):
        stream.send(wire.Action(id=str(number), name="flood"))
    assert stream.closed


def test_the_newest_subscription_fences_the_older_one_off() -> None:
    streams = Streams()
    older = streams.subscribe("log")
    newer = streams.subscribe("log")
    assert older.closed
    streams.check("log", newer.id)
    with pytest.raises(Stale, match="not the current stream of log"):
        streams.check("log", older.id)
    assert not streams.unsubscribe("log", older)
    assert streams.connected("log")


@pytest.mark.parametrize("rounds", range(1, 5))
async def test_a_reader_that_is_ended_in_the_moment_of_news_ends(rounds: int) -> None:
    """Between the news and its reading lie some rounds of the loop; in none of them is the end lost."""
    stream = Stream()

    async def read() -> None:
        async for _ in stream.read():
            pass

    reader = asyncio.create_task(read())
    for _ in range(10):
        await asyncio.sleep(0)
    stream.send(wire.Members(version=1, members=()))
    for _ in range(rounds - 1):
        await asyncio.sleep(0)
    reader.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert reader.cancelled()
