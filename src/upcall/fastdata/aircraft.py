"""The outside world: an aircraft that flies on, whether anyone listens or not.

It takes readings by the wall clock (open loop: a slow or dead receiver slows nothing down), keeps each frame until it
was acknowledged, then forgets it. Its buffer is bounded; what it had to drop is counted and said, once a second, in
one line of JSON on standard output. If the process was stopped for longer than the buffer is, the readings that it
could not have kept are not taken at all, and count as dropped.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from upcall.fastdata import link, runs
from upcall.fastdata.backlog import Backlog
from upcall.fastdata.flights import Flight, FlightError, load_flight
from upcall.fastdata.link import LinkError, MessageType
from upcall.fastdata.packing import DEFAULT_PACKING, Packing
from upcall.fastdata.runs import MICROS, Run
from upcall.fastdata.sampling import Sampler

WAIT_S: Final = (0.005, 0.25)
"""Bounds of the wait for the next readings: never busy, and never late by more than a short frame after a clock's
jump."""
BUFFER_S_MAX: Final = 3_600
REDIAL_S: Final = (0.1, 1.0)
"""Pause before dialling again: doubled from the first to the second of these."""
DIAL_TIMEOUT_S: Final = 5.0
STATUS_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    addresses: tuple[tuple[str, int], ...]
    token: str
    buffer_s: int = 120
    packing: Packing = DEFAULT_PACKING
    stop_after_s: int = 0
    """Seconds of readings to take, then end once all is acknowledged; 0: fly on."""
    grace_s: float = 5.0
    """After a signal to end: how long to wait for acknowledgements."""

    def __post_init__(self) -> None:
        if not 1 <= self.buffer_s <= BUFFER_S_MAX:
            raise ValueError(f"a buffer of {self.buffer_s} s: 1 to {BUFFER_S_MAX} are possible")


class Aircraft:
    """One aircraft. All state belongs to the event loop; only generating and packing happens beside it."""

    def __init__(
        self,
        run: Run,
        flight: Flight,
        settings: Settings,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        self.settings = settings
        self.sampler = Sampler(run, flight, settings.packing)
        self.backlog = Backlog(settings.buffer_s * self.sampler.readings_a_second)
        self.produced_readings = 0
        self.produced_frames = 0
        self.connected = False
        self.redials = 0
        self.holding = ""
        """Why ingest acknowledges nothing, in its own words."""
        self._now_us = now_us
        self._to_send = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """No more readings; wait for acknowledgements for a while, then end."""
        self._stopping.set()

    async def fly(self, say: Callable[[dict[str, object]], None]) -> None:
        """Until `stop`, or until all seconds asked for are taken and acknowledged."""
        beside = [asyncio.create_task(self._stay_connected(say)), asyncio.create_task(self._say_status(say))]
        try:
            await self._take_readings()
            ends = [asyncio.create_task(self._all_acknowledged()), asyncio.create_task(self._grace_over())]
            beside += ends
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            say(self.status() | {"event": "ended"})

    async def _all_acknowledged(self) -> None:
        while len(self.backlog):
            self._acknowledged.clear()
            await self._acknowledged.wait()

    async def _grace_over(self) -> None:
        await self._stopping.wait()
        await asyncio.sleep(self.settings.grace_s)

    async def _take_readings(self) -> None:
        sampler = self.sampler
        while not self._stopping.is_set() and not 0 < self.settings.stop_after_s <= sampler.seconds_taken:
            due = sampler.run.samples_due(self._now_us())
            self.backlog.count_dropped(sampler.skip(due, self.settings.buffer_s))
            samples = sampler.stretch(due, self.backlog.readings)
            if sampler.position + samples > due:
                due_us = sampler.run.due_us(sampler.position + samples - 1)
                await self._wait((due_us - self._now_us()) / MICROS)
                continue
            for packed in await asyncio.to_thread(sampler.take, samples):
                self.backlog.add(packed.key, packed.frame, packed.readings)
                self.produced_frames += 1
                self.produced_readings += packed.readings
            sampler.advance(samples)
            self._to_send.set()

    async def _wait(self, seconds: float) -> None:
        """Until readings are due, or until there is a wish to stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(max(seconds, WAIT_S[0]), WAIT_S[1])):
                await self._stopping.wait()

    async def _stay_connected(self, say: Callable[[dict[str, object]], None]) -> None:
        pause_s = REDIAL_S[0]
        attempt = 0
        while True:
            host, port = self.settings.addresses[attempt % len(self.settings.addresses)]
            attempt += 1
            try:
                await self._one_connection(host, port)
            except (OSError, LinkError, TimeoutError, asyncio.IncompleteReadError) as error:
                why = str(error) or type(error).__name__
                say({"event": "disconnected", "address": f"{host}:{port}", "why": why})
            if self.connected:
                pause_s = REDIAL_S[0]
            self.connected = False
            self.redials += 1
            self.backlog.connection_lost()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, REDIAL_S[1])

    async def _one_connection(self, host: str, port: int) -> None:
        async with asyncio.timeout(DIAL_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port, limit=link.STREAM_BUFFER_BYTES)
        try:
            writer.write(link.json_message(MessageType.HELLO, protocol=link.PROTOCOL, token=self.settings.token))
            async with asyncio.timeout(link.HELLO_TIMEOUT_S):
                answer = await link.receive(reader)
            if answer.type is not MessageType.WELCOME:
                raise LinkError(f"refused: {link.said_in(answer).get('reason', answer.type.name)}")
            self.connected = True
            self.backlog.connection_lost()  # whatever was sent on an earlier connection is sent again
            both = {asyncio.create_task(self._send(writer)), asyncio.create_task(self._listen(reader))}
            try:
                done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in both:
                    task.cancel()
                await asyncio.gather(*both, return_exceptions=True)
        finally:
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        announced: set[int] = set()
        while True:
            self._to_send.clear()
            while (following := self.backlog.next_to_send()) is not None:
                key, frame = following
                if key.ordinal not in announced:
                    record = json.loads(self.sampler.runs[key.ordinal].to_json())
                    writer.write(link.json_message(MessageType.RUN, ordinal=key.ordinal, run=record))
                    announced.add(key.ordinal)
                writer.write(link.frame_message(key, frame))
                await writer.drain()
            await self._to_send.wait()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while True:
            async with asyncio.timeout(link.SILENCE_S):
                message = await link.receive(reader)
            if message.type is MessageType.ACK:
                self.backlog.acknowledge(link.acks_in(message))
                self._acknowledged.set()
                self._to_send.set()  # there may be room for more
            elif message.type is MessageType.STATUS:
                self.holding = str(link.said_in(message).get("holding", ""))
            else:
                raise LinkError(f"unexpected {message.type.name}")

    def status(self) -> dict[str, object]:
        sampler = self.sampler
        late_samples = max(0, sampler.run.samples_due(self._now_us()) - sampler.position)
        return {
            "event": "status",
            "run_id": sampler.run.run_id,
            "second": sampler.second,
            "flight_second": sampler.run.flight_second(sampler.second),
            "produced_readings": self.produced_readings,
            "produced_frames": self.produced_frames,
            "acked_readings": self.backlog.acknowledged_readings,
            "acked_frames": self.backlog.acknowledged_frames,
            "dropped_readings": self.backlog.dropped_readings,
            "buffered_s": round(self.backlog.readings / sampler.readings_a_second, 3),
            "buffered_bytes": self.backlog.bytes,
            "late_s": round(late_samples / sampler.run.rate_hz, 3),
            "connected": self.connected,
            "redials": self.redials,
            "holding": self.holding,
        }

    async def _say_status(self, say: Callable[[dict[str, object]], None]) -> None:
        while True:
            say(self.status())
            self.sampler.forget_runs(self.backlog.ordinals())
            await asyncio.sleep(STATUS_S)


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        flight = load_flight(options.flight)
        token = Path(options.token_file).read_text().strip()
        run = Run(
            flight=flight.name,
            flight_digest=flight.digest,
            seed=options.seed,
            rate_hz=options.rate,
            start_us=options.start_us or time.time_ns() // 1_000,
            begin_s=options.begin_s,
            seconds=flight.seconds - options.begin_s,
            blocks=options.blocks,
            noise=options.noise,
            faults=options.faults,
        )
        settings = Settings(
            addresses=parse_addresses(options.ingest),
            token=token,
            buffer_s=options.buffer_s,
            packing=Packing[options.packing.upper()],
            stop_after_s=options.stop_after_s,
            grace_s=options.grace_s,
        )
    except (FlightError, ValueError, OSError) as error:
        print(f"aircraft: {error}", file=sys.stderr)
        return 2
    asyncio.run(_fly(Aircraft(run, flight, settings)))
    return 0


async def _fly(aircraft: Aircraft) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, aircraft.stop)
    await aircraft.fly(lambda status: print(json.dumps(status), flush=True))


def parse_addresses(text: str) -> tuple[tuple[str, int], ...]:
    """`host:port`, several separated by commas; they are dialled in turn."""
    addresses = []
    for part in text.split(","):
        host, colon, port = part.strip().rpartition(":")
        if not colon or not host or not port.isdigit() or not 0 < int(port) < 65_536:
            raise ValueError(f"{part!r} is no address: host:port is")
        addresses.append((host, int(port)))
    return tuple(addresses)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m upcall.fastdata.aircraft",
        description="Fly a recorded flight with modelled sensors, and send their readings to ingest.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--flight", required=True, type=Path, help="file of the recorded flight")
    parser.add_argument("--ingest", required=True, help="host:port of ingest, several separated by commas")
    parser.add_argument("--token-file", required=True, type=Path, help="file with the token that ingest expects")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=int, default=128, choices=runs.RATES_HZ, help="samples a second of each sensor")
    parser.add_argument("--blocks", type=int, default=20, help="blocks of 1,000 sensors that fly")
    parser.add_argument("--begin-s", type=int, default=0, help="second of the recording to begin with")
    parser.add_argument(
        "--start-us", type=int, default=0, help="wall clock of the first sample, microseconds since 1970; 0: now"
    )
    parser.add_argument("--noise", default="normal", choices=runs.NOISES)
    parser.add_argument("--faults", default="steady", choices=runs.FAULT_PLANS)
    parser.add_argument(
        "--packing", default=DEFAULT_PACKING.name.lower(), choices=[packing.name.lower() for packing in Packing]
    )
    parser.add_argument("--buffer-s", type=int, default=120, help="seconds of unacknowledged readings to keep")
    parser.add_argument("--stop-after-s", type=int, default=0, help="take so many seconds, then end; 0: fly on")
    parser.add_argument("--grace-s", type=float, default=5.0, help="at the end, how long to wait for acknowledgements")
    return parser


if __name__ == "__main__":
    sys.exit(main())
