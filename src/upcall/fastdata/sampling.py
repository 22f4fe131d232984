"""Which readings are taken when, and in how long frames: the aircraft's schedule, without clock or network.

While all is well a frame holds a quarter of a second, for latency; with a backlog it holds a whole one, for
throughput. No frame crosses a second. When the recording ends the next loop begins: a new run, under the next ordinal,
at the instant at which the last one ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from upcall.fastdata.flights import Flight
from upcall.fastdata.frames import Frame, encode
from upcall.fastdata.generator import Generator
from upcall.fastdata.link import FrameKey
from upcall.fastdata.packing import DEFAULT_PACKING, Packing
from upcall.fastdata.runs import Run
from upcall.fastdata.sensors import SENSORS_PER_BLOCK

FRAMES_A_SECOND: Final = 4
"""Short frames: a quarter of a second."""
FRAME_SAMPLES_MAX: Final = 256
"""A longer frame could exceed the 1 MB that Kafka takes as one message, were its counts incompressible."""
BEHIND_S: Final = 2
"""More than so many seconds due and not taken, or taken and not acknowledged, and frames become long."""


@dataclass(frozen=True, slots=True)
class Packed:
    """One frame, ready to be kept and sent."""

    key: FrameKey
    frame: bytes
    readings: int


class Sampler:
    """Takes the readings of a run, then those of its next loop, and so on."""

    def __init__(self, run: Run, flight: Flight, packing: Packing = DEFAULT_PACKING) -> None:
        self.run = run
        self.ordinal = 0
        self.position = 0
        """Samples of the run that were taken, or skipped."""
        self.seconds_taken = 0
        """Over all loops."""
        self.runs: dict[int, Run] = {0: run}
        """By ordinal; `forget_runs` keeps it short."""
        self._flight = flight
        self._packing = packing
        self._generator = Generator(run, flight)

    @property
    def readings_a_second(self) -> int:
        return self.run.rate_hz * self.run.sensors

    @property
    def second(self) -> int:
        return self.position // self.run.rate_hz

    def stretch(self, due_samples: int, buffered_readings: int) -> int:
        """Samples that the next frames hold, whether they are due already or not."""
        rate = self.run.rate_hz
        left = rate - self.position % rate
        behind = due_samples - self.position >= BEHIND_S * rate or buffered_readings > BEHIND_S * self.readings_a_second
        short = rate // FRAMES_A_SECOND
        return min(FRAME_SAMPLES_MAX, left if behind else short - self.position % short)

    def take(self, samples: int) -> list[Packed]:
        """The next `samples` of all blocks, packed. Slow enough to be called beside an event loop; changes nothing."""
        run, first = self.run, self.position
        return [
            Packed(
                FrameKey(self.ordinal, block, first),
                encode(
                    Frame(run.run_id, block, first, run.rate_hz, self._generator.generate(block, first, samples)),
                    self._packing,
                ),
                samples * SENSORS_PER_BLOCK,
            )
            for block in run.block_numbers
        ]

    def skip(self, due_samples: int, buffer_s: int) -> int:
        """Passes over whole seconds that the buffer would lose before they could be sent; returns their readings."""
        rate = self.run.rate_hz
        first_kept = (due_samples // rate - buffer_s) * rate
        skipped = first_kept - self.position
        if skipped <= 0 or first_kept // rate == self.second:
            return 0
        self.advance(skipped)
        return skipped * self.run.sensors

    def advance(self, samples: int) -> None:
        """These samples were taken. At the end of the recording the next run begins."""
        before = self.second
        self.position += samples
        self.seconds_taken += self.second - before
        assert self.position <= self.run.samples
        if self.position == self.run.samples:
            self.run = self.run.next_loop()
            self.ordinal += 1
            self.position = 0
            self._generator = Generator(self.run, self._flight)
            self.runs[self.ordinal] = self.run

    def forget_runs(self, still_needed: set[int]) -> None:
        """Keeps the records of the present run and of those of which frames are still kept."""
        self.runs = {
            ordinal: run for ordinal, run in self.runs.items() if ordinal in still_needed or ordinal == self.ordinal
        }
