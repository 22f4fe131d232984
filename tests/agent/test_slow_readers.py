"""A reader of a log that is slower than the log: bounded everywhere, and told honestly what he missed."""

import asyncio
from pathlib import Path

import pytest

from upcall.agent import logs
from upcall.agent.tail import Tail
from upcall.agent.watching import Watching
from upcall.keeper.logs import RotatingLog
from upcall.protocol import agent as wire
from upcall.protocol import read_before
from upcall.protocol.errors import Conflict
from upcall.substrate.connections import Agents


def test_a_tail_that_reads_in_parts_misses_nothing_that_is_kept(tmp_path: Path) -> None:
    log = RotatingLog(str(tmp_path / "stdout"), max_bytes=100, files=8)
    tail = Tail(tmp_path / "stdout")
    log.write(b"begin;")
    seen = tail.read(7)
    for number in range(60):
        log.write(b"%03d;" % number)
        if number % 4 == 0:
            seen += tail.read(7)
    while part := tail.read(7):
        assert len(part) <= 7
        seen += part
    assert seen == b"begin;" + b"".join(b"%03d;" % number for number in range(60))
    assert not tail.skipped


def test_what_was_rotated_away_is_said(tmp_path: Path) -> None:
    log = RotatingLog(str(tmp_path / "stdout"), max_bytes=20, files=2)
    tail = Tail(tmp_path / "stdout")
    log.write(b"first;")
    assert tail.read(100) == b"first;"
    for number in range(30):
        log.write(b"%03d;" % number)
    assert tail.read(100).endswith(b"029;")
    assert tail.skipped


async def test_nothing_is_read_for_a_reader_who_takes_nothing(tmp_path: Path) -> None:
    log = RotatingLog(str(tmp_path / "stdout"), max_bytes=1 << 20, files=4)
    log.write(b"before\n")
    room, said, begun, full = asyncio.Semaphore(2), list[str](), asyncio.Event(), asyncio.Event()

    async def say(text: str) -> None:
        if room.locked():
            full.set()
        await room.acquire()
        said.append(text)
        begun.set()

    ended = asyncio.Event()
    watching = Watching()
    reading = asyncio.create_task(logs.read(tmp_path, logs.Asked("stdout", 10, follow=True), watching, ended, say))
    try:
        await begun.wait()
        for _ in range(40):
            log.write(b"x" * (64 << 10))
        await full.wait()
        assert len(said) == 2
        ended.set()
        for _ in range(200):
            room.release()
        await reading
    finally:
        reading.cancel()
        watching.close()
    assert sum(map(len, said)) == len("before\n") + 40 * (64 << 10)


class Flood:
    """An agent that answers as fast as it may, or faster."""

    def __init__(self) -> None:
        self.agents = Agents()
        self.connection = self.agents.connect("node-1", "boot")

    async def request(self) -> str:
        asked = await self.connection.queue.get()
        assert isinstance(asked, wire.ReadLog)
        return asked.request

    def says(self, request: str, text: str) -> None:
        self.agents.reply(wire.Reply(request=request, output=text, last=False))


async def test_the_master_asks_for_more_only_when_its_reader_took_what_came() -> None:
    flood = Flood()
    stream = flood.agents.read_log("a.b.1", "node-1", "stdout", 10, follow=True)
    first = asyncio.ensure_future(anext(stream))
    request = await flood.request()
    for number in range(wire.LOG_PARTS_AHEAD):
        flood.says(request, f"{number}")
    assert await first == "0"
    assert flood.connection.queue.empty()
    assert await anext(stream) == "1"
    assert await flood.connection.queue.get() == wire.Taken(request=request)
    await stream.aclose()  # type: ignore[attr-defined]
    assert await flood.connection.queue.get() == wire.StopReading(request=request)


async def test_an_agent_that_sends_more_than_there_is_room_for_ends_the_reading_and_holds_no_memory() -> None:
    flood = Flood()
    stream = flood.agents.read_log("a.b.1", "node-1", "stdout", 10, follow=True)
    first = asyncio.ensure_future(anext(stream))
    request = await flood.request()
    for _ in range(10_000):
        flood.says(request, "x" * 1000)
    with pytest.raises(Conflict, match="more of the log than there was room for"):
        await first


async def test_a_reader_is_told_when_the_agent_goes() -> None:
    flood = Flood()
    stream = flood.agents.read_log("a.b.1", "node-1", "stdout", 10, follow=True)
    first = asyncio.ensure_future(anext(stream))
    flood.says(await flood.request(), "x")
    assert await first == "x"
    flood.agents.disconnect(flood.connection)
    with pytest.raises(Conflict, match="agent of node-1 is disconnected"):
        await anext(stream)


@pytest.mark.parametrize("stream", ["stdout", "both"])
def test_who_has_read_before_gets_what_came_after_and_goes_on_from_there(tmp_path: Path, stream: str) -> None:
    log = RotatingLog(str(tmp_path / "stdout"), max_bytes=1000, files=8)
    log.write(b"".join(b"line %d\n" % number for number in range(12)))
    said: list[str] = []

    async def say(text: str) -> None:
        if not said:
            log.write(b"line 12\n")
        said.append(text)

    async def reading() -> None:
        ended, watching = asyncio.Event(), Watching()
        ended.set()
        asked = logs.Asked(stream, 100, follow=True, after=read_before.mark(["line 6", "line 7"]))
        try:
            await logs.read(tmp_path, asked, watching, ended, say)
        finally:
            watching.close()

    asyncio.run(reading())
    assert "".join(said).split("\n") == [f"line {number}" for number in range(8, 13)] + [""]
