"""Aircraft and ingest over a real connection: nothing is lost, nothing stored twice, and what is wrong is said."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from memory_log import Disk, MemoryLog
from practice import START_US, practice_flight, practice_run

from upcall.fastdata import link, receiving
from upcall.fastdata.aircraft import Aircraft, Settings
from upcall.fastdata.frames import Frame, decode, encode, inspect
from upcall.fastdata.generator import Generator
from upcall.fastdata.link import FrameKey, Message, MessageType
from upcall.fastdata.receiving import Ingest, LogFailed
from upcall.fastdata.runs import Run

HOST = f"127.83.{os.getpid() % 250}.{os.getppid() % 250 + 1}"
FLIGHT = practice_flight()
RUN = practice_run(FLIGHT, blocks=4)
TOKEN = "let me in"
PATIENCE_S = 180.0


async def until(holds: Callable[[], bool]) -> None:
    """Waits for a condition, with patience for slow machines."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


class Clock:
    """The aircraft's wall clock, set by the test: it is so many seconds after the start."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def __call__(self) -> int:
        return START_US + int(self.seconds * 1e6)


class Running:
    """An ingest that serves until its context ends, or is killed."""

    def __init__(self, log: MemoryLog) -> None:
        self.said: list[dict[str, Any]] = []
        self.log = log
        self.ingest = Ingest(log, TOKEN, self.said.append)
        self.stopping = asyncio.Event()
        self.port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None

    async def start(self, port: int = 0) -> int:
        self.task = asyncio.create_task(self.ingest.serve(HOST, port, self.stopping, self.port.set_result))
        return await asyncio.wait_for(asyncio.shield(self.port), PATIENCE_S)

    async def end(self) -> None:
        self.stopping.set()
        assert self.task is not None
        await asyncio.wait_for(self.task, PATIENCE_S)

    def events(self) -> set[object]:
        return {said["event"] for said in self.said}


@contextlib.asynccontextmanager
async def running(log: MemoryLog, port: int = 0) -> AsyncIterator[Running]:
    ingest = Running(log)
    await ingest.start(port)
    try:
        yield ingest
    finally:
        if ingest.task is not None and not ingest.task.done():
            await ingest.end()


def an_aircraft(port: int, clock: Clock, run: Run = RUN, **changes: Any) -> Aircraft:
    given: dict[str, Any] = {"addresses": ((HOST, port),), "token": TOKEN, "grace_s": PATIENCE_S, **changes}
    settings = Settings(**given)
    return Aircraft(run, FLIGHT, settings, clock)


def assert_whole(disk: Disk, run: Run, samples: int, *, first_sample: int = 0) -> None:
    """Every reading of the schedule stands in the log once, in order, with the right bits."""
    generator = Generator(run, FLIGHT)
    for block in run.block_numbers:
        partition = disk.partitions[block % len(disk.partitions)]
        frames = [decode(frame) for frame in partition if inspect(frame).run_id == run.run_id]
        frames = [frame for frame in frames if frame.block == block]
        at = first_sample
        for frame in frames:
            assert frame.first_sample == at
            assert np.array_equal(frame.counts, generator.generate(block, at, frame.samples))
            at += frame.samples
        assert at == first_sample + samples


async def test_all_readings_arrive_once_and_are_forgotten() -> None:
    disk = Disk()
    async with running(MemoryLog(disk)) as ingest:
        aircraft = an_aircraft(ingest.port.result(), Clock(5.0), stop_after_s=5)
        said: list[dict[str, object]] = []
        await asyncio.wait_for(aircraft.fly(said.append), PATIENCE_S)
        assert len(aircraft.backlog) == 0
        last = said[-1]
        assert last["event"] == "ended"
        assert last["acked_readings"] == last["produced_readings"] == 5 * 128 * 4_000
        assert last["dropped_readings"] == 0
    assert_whole(disk, RUN, 5 * 128)
    assert disk.runs == [RUN]
    assert min(disk.due_us) == START_US
    assert max(disk.due_us) >= START_US + 4_000_000
    assert ingest.said[-1]["event"] == "ended"


async def test_the_run_stands_in_the_log_before_its_first_frame() -> None:
    disk = Disk()
    log = MemoryLog(disk)
    frames_when_announced: list[int] = []
    log.announcing = lambda: frames_when_announced.append(len(disk.frames()))
    async with running(log) as ingest:
        aircraft = an_aircraft(ingest.port.result(), Clock(1.0), stop_after_s=1)
        await asyncio.wait_for(aircraft.fly(lambda said: None), PATIENCE_S)
    assert frames_when_announced == [0]


async def test_nothing_is_lost_or_stored_twice_when_ingest_dies_again_and_again() -> None:
    """Each dies with frames that it took and that were not stored, and with frames that were stored, which it never
    heard; each next one learns from the log alone."""
    disk = Disk()
    clock = Clock(1.0)
    first = Running(MemoryLog(disk, answers=3, unreported=5))
    port = await first.start()
    aircraft = an_aircraft(port, clock, stop_after_s=8)
    flying = asyncio.create_task(aircraft.fly(lambda said: None))
    ingest = first
    for turn, answers in enumerate((3, 7, 1, 0, 20)):
        clock.seconds = 1.0 + turn
        stored_before = len(disk.frames())
        await until(lambda ingest=ingest: ingest.log.answers == ingest.log.unreported == 0)  # type: ignore[misc]
        assert ingest.task is not None
        ingest.task.cancel()
        await asyncio.gather(ingest.task, return_exceptions=True)
        assert len(disk.frames()) >= stored_before
        ingest = Running(MemoryLog(disk, answers=answers, unreported=turn))
        await ingest.start(port)
    clock.seconds = 9.0
    await until(lambda: ingest.log.answers == ingest.log.unreported == 0)
    assert ingest.task is not None
    ingest.task.cancel()
    await asyncio.gather(ingest.task, return_exceptions=True)
    async with running(MemoryLog(disk), port) as last:
        await asyncio.wait_for(flying, PATIENCE_S)
        assert "recovered" in last.events()
        assert "announced" not in last.events()
    assert aircraft.backlog.dropped_readings == 0
    assert_whole(disk, RUN, 8 * 128)
    assert disk.runs == [RUN]


async def test_the_aircraft_flies_on_without_ingest_and_drops_only_what_its_buffer_cannot_hold() -> None:
    disk = Disk()
    clock = Clock(30.0)
    async with running(MemoryLog(disk)) as nobody:
        port = nobody.port.result()
    aircraft = an_aircraft(port, clock, stop_after_s=30, buffer_s=10)
    flying = asyncio.create_task(aircraft.fly(lambda said: None))
    await until(lambda: aircraft.sampler.second == 30)
    assert not aircraft.connected
    assert aircraft.status()["buffered_s"] == 10.0
    async with running(MemoryLog(disk), port) as ingest:
        await asyncio.wait_for(flying, PATIENCE_S)
        assert ingest.ingest.counts["missing_samples"] == 20 * 128 * 4
    assert aircraft.backlog.dropped_readings == 20 * 128 * 4_000
    assert_whole(disk, RUN, 10 * 128, first_sample=20 * 128)


async def test_the_end_of_the_flight_begins_a_new_run() -> None:
    disk = Disk()
    run = practice_run(FLIGHT, blocks=1, begin_s=1_198, seconds=2)
    async with running(MemoryLog(disk)) as ingest:
        aircraft = an_aircraft(ingest.port.result(), Clock(3.0), run, stop_after_s=3)
        await asyncio.wait_for(aircraft.fly(lambda said: None), PATIENCE_S)
    assert disk.runs == [run, run.next_loop()]
    assert_whole(disk, run, 256)
    assert_whole(disk, run.next_loop(), 128)


async def test_near_the_end_of_retention_nothing_is_taken_and_the_reason_is_said(monkeypatch: Any) -> None:
    monkeypatch.setattr(receiving, "LOOK_S", 0.02)
    monkeypatch.setattr(receiving, "STATUS_S", 0.02)
    disk = Disk()
    log = MemoryLog(disk)
    log.danger = "the oldest unread reading is 500 s old"
    async with running(log) as ingest:
        await until(lambda: bool(ingest.ingest.holding))
        aircraft = an_aircraft(ingest.port.result(), Clock(2.0), stop_after_s=2)
        flying = asyncio.create_task(aircraft.fly(lambda said: None))
        await until(lambda: aircraft.holding == log.danger)
        assert disk.frames() == []
        assert aircraft.backlog.acknowledged_frames == 0
        log.danger = ""
        await asyncio.wait_for(flying, PATIENCE_S)
        assert {"holding", "going-on"} <= ingest.events()
    assert_whole(disk, RUN, 256)


async def test_a_log_that_breaks_its_promise_ends_ingest_with_an_error() -> None:
    ingest = Running(MemoryLog(Disk()))
    await ingest.start()
    ingest.log.failed("a message went missing")
    assert ingest.task is not None
    with pytest.raises(LogFailed, match="went missing"):
        await asyncio.wait_for(ingest.task, PATIENCE_S)


async def test_a_signal_to_end_stores_and_acknowledges_what_was_taken() -> None:
    disk = Disk()
    ingest = Running(MemoryLog(disk))
    port = await ingest.start()
    clock = Clock(3.0)
    aircraft = an_aircraft(port, clock)
    flying = asyncio.create_task(aircraft.fly(lambda said: None))
    await until(lambda: ingest.ingest.counts["frames"] > 0)
    await ingest.end()
    taken = ingest.ingest.counts["frames"]
    assert len(disk.frames()) == ingest.ingest.counts["stored"] == taken
    await until(lambda: aircraft.backlog.acknowledged_frames == taken)
    flying.cancel()
    await asyncio.gather(flying, return_exceptions=True)


# A bare connection, to say what no aircraft would


class Peer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def dial(cls, port: int, token: str = TOKEN, protocol: int = link.PROTOCOL) -> "Peer":
        peer = cls(*await asyncio.open_connection(HOST, port))
        peer.writer.write(link.json_message(MessageType.HELLO, protocol=protocol, token=token))
        return peer

    async def next(self, *kinds: MessageType) -> Message:
        async with asyncio.timeout(PATIENCE_S):
            while (message := await link.receive(self.reader)).type not in kinds:
                pass
            return message

    def announce(self, run: Run = RUN, ordinal: int = 0) -> None:
        self.writer.write(link.json_message(MessageType.RUN, ordinal=ordinal, run=json.loads(run.to_json())))

    async def acked(self) -> list[FrameKey]:
        return link.acks_in(await self.next(MessageType.ACK))

    async def refused(self) -> str:
        return str(link.said_in(await self.next(MessageType.REFUSED))["reason"])


def a_frame(first: int = 0, samples: int = 32, block: int = 0, run: Run = RUN) -> bytes:
    return encode(Frame(run.run_id, block, first, 128, Generator(run, FLIGHT).generate(block, first, samples)))


async def test_frames_that_cannot_be_read_are_set_aside_and_the_stream_goes_on() -> None:
    disk = Disk()
    async with running(MemoryLog(disk)) as ingest:
        peer = await Peer.dial(ingest.port.result())
        peer.announce()
        damaged = bytearray(a_frame(0))
        damaged[100] ^= 1
        newer = bytearray(a_frame(32))
        newer[4], newer[5] = 2, 2 ^ 0xFF
        elsewhere = a_frame(64, block=1)
        sent = [
            (0, bytes(damaged)),
            (32, bytes(newer)),
            (64, elsewhere),
            (96, b""),
            (128, a_frame(128)),
            (160, a_frame(160)),
        ]
        for first, frame in sent:
            peer.writer.write(link.frame_message(FrameKey(0, 0, first), frame))
        acked: list[FrameKey] = []
        while len(acked) < len(sent):
            acked += await peer.acked()
        assert sorted(key.first_sample for key in acked) == [0, 32, 64, 96, 128, 160]
        assert [inspect(frame).first_sample for frame in disk.frames()] == [128, 160]
        assert [frame for frame, _reason in disk.aside] == [bytes(damaged), bytes(newer), elsewhere, b""]
        reasons = [reason for _frame, reason in disk.aside]
        assert "checksum" in reasons[0]
        assert "version 2" in reasons[1]
        assert "envelope" in reasons[2]
        assert (ingest.ingest.counts["corrupt"], ingest.ingest.counts["future"]) == (3, 1)
        peer.writer.close()


async def test_a_repeat_of_what_is_under_way_is_acknowledged_only_when_it_is_stored() -> None:
    disk = Disk()
    log = MemoryLog(disk)
    log.gate.clear()
    async with running(log) as ingest:
        port = ingest.port.result()
        for _connection in range(2):
            peer = await Peer.dial(port)
            peer.announce()
            peer.writer.write(link.frame_message(FrameKey(0, 0, 0), a_frame(0)))
        await until(lambda: ingest.ingest.counts["repeats"] == 1)
        assert ingest.ingest.counts["acked"] == 0
        log.gate.set()
        assert await peer.acked() == [FrameKey(0, 0, 0)]
        assert len(disk.frames()) == 1
        peer.writer.write(link.frame_message(FrameKey(0, 0, 0), a_frame(0)))
        assert await peer.acked() == [FrameKey(0, 0, 0)]
        assert len(disk.frames()) == 1
        peer.writer.close()


async def test_an_overlap_is_cut_to_what_is_new() -> None:
    disk = Disk()
    async with running(MemoryLog(disk)) as ingest:
        peer = await Peer.dial(ingest.port.result())
        peer.announce()
        peer.writer.write(link.frame_message(FrameKey(0, 0, 0), a_frame(0, 48)))
        peer.writer.write(link.frame_message(FrameKey(0, 0, 32), a_frame(32, 96)))
        acked = await peer.acked()
        while len(acked) < 2:
            acked += await peer.acked()
        assert {key.first_sample for key in acked} == {0, 32}
        peer.writer.close()
    frames = [decode(frame) for frame in disk.frames()]
    assert [(frame.first_sample, frame.samples) for frame in frames] == [(0, 48), (48, 80)]
    assert np.array_equal(np.concatenate([f.counts for f in frames]), Generator(RUN, FLIGHT).generate(0, 0, 128))


async def test_who_may_not_send_is_refused_with_the_reason() -> None:
    async with running(MemoryLog(Disk())) as ingest:
        port = ingest.port.result()
        assert "token" in await (await Peer.dial(port, token="guess")).refused()
        assert "protocol 9" in await (await Peer.dial(port, protocol=9)).refused()
        silent = Peer(*await asyncio.open_connection(HOST, port))
        silent.writer.write(link.frame_message(FrameKey(0, 0, 0), b"x"))
        assert "HELLO is expected" in await silent.refused()
        assert ingest.ingest.counts["refused"] == 3


async def test_what_is_not_the_protocol_ends_the_connection_with_the_reason() -> None:
    async with running(MemoryLog(Disk())) as ingest:
        port = ingest.port.result()
        wrong: list[tuple[bytes, str]] = [
            (b"\xff\xff\xff\xff\x05", "a message of 4294967295 bytes"),
            (b"\x01\x00\x00\x00\x63", "unknown type 99"),
            (link.frame_message(FrameKey(0, 0, 0), b"x"), "was not announced"),
            (b"\x02\x00\x00\x00\x05x", "shorter than its envelope"),
            (link.json_message(MessageType.WELCOME), "unexpected WELCOME"),
            (link.json_message(MessageType.RUN, ordinal=0, run={"seed": 1}), "not the record of a run"),
            (link.json_message(MessageType.RUN, ordinal=-1, run=json.loads(RUN.to_json())), "ordinal -1"),
            (b"\x02\x00\x00\x00\x04x", "holds no JSON object"),
        ]
        for data, says in wrong:
            peer = await Peer.dial(port)
            await peer.next(MessageType.WELCOME)
            peer.writer.write(data)
            assert says in await peer.refused()
        assert ingest.ingest.counts["malformed"] == len(wrong)


async def test_an_aircraft_with_the_wrong_token_keeps_everything() -> None:
    async with running(MemoryLog(Disk())) as ingest:
        aircraft = an_aircraft(ingest.port.result(), Clock(2.0), token="guess")
        said: list[dict[str, object]] = []
        flying = asyncio.create_task(aircraft.fly(said.append))
        await until(lambda: any("token" in str(each.get("why")) for each in said))
        await until(lambda: aircraft.sampler.second == 2)
        assert aircraft.backlog.readings == 2 * 128 * 4_000
        flying.cancel()
        await asyncio.gather(flying, return_exceptions=True)
