"""A run: one flight of the modelled aircraft, from an instant of the wall clock on. Its identity stands in every frame
and in every key.

A run says everything that its readings depend on: the flight, the seed, the sample rate, how noise and faults are
drawn, where in the recording it begins. With the flight's file at hand, any reading of a run can be computed again
from its record alone. When the recording ends, the next loop is a new run.

Time in a run is counted in samples from 0. Sample `n` is due at `start + n / rate`, and belongs to second `n // rate`:
seconds are those of the run, not those of the wall clock. All of it is integer arithmetic in microseconds.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from upcall.fastdata import sensors

MICROS: Final = 1_000_000
RATES_HZ: Final = (64, 128, 256, 512, 1_024)
"""Rates that divide a second into eight whole parts, and frames into quarters."""
NOISES: Final = ("normal", "heavy")
FAULT_PLANS: Final = ("none", "steady", "dense")
VERSION: Final = 1
_NAME = re.compile(r"[A-Za-z0-9]{1,16}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The record of a run: frozen, versioned, all that is needed to compute its readings again (with the flight's
    file)."""

    flight: str
    """Its callsign."""
    flight_digest: str
    seed: int
    rate_hz: int
    start_us: int
    """Wall clock of sample 0, microseconds since 1970."""
    begin_s: int = 0
    """The second of the recording that sample 0 stands for."""
    seconds: int
    """How long the run lasts: what is left of the recording."""
    blocks: int = sensors.BLOCKS
    """Blocks that fly: the first so many of each wing's, fewer on a small machine."""
    noise: str = "normal"
    faults: str = "steady"
    loop: int = 0
    """How often the recording was flown before."""
    version: int = VERSION

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise ValueError(f"run of {self.flight}: {problem}")

    def _problem(self) -> str:
        checks = (
            (self.version != VERSION, f"version {self.version}: this program knows version {VERSION}"),
            (not _NAME.match(self.flight), f"flight {self.flight!r}: 1 to 16 letters and digits"),
            (self.rate_hz not in RATES_HZ, f"{self.rate_hz} Hz: one of {', '.join(map(str, RATES_HZ))}"),
            (not 0 <= self.seed < 2**32, f"seed {self.seed}: 0 to {2**32 - 1}"),
            (self.start_us < 0 or self.begin_s < 0 or self.loop < 0, "a negative time or loop"),
            (self.seconds < 1, f"{self.seconds} seconds: nothing of the flight is left after second {self.begin_s}"),
            (not 1 <= self.blocks <= sensors.BLOCKS, f"{self.blocks} blocks: 1 to {sensors.BLOCKS}"),
            (self.noise not in NOISES, f"noise {self.noise!r}: one of {', '.join(NOISES)}"),
            (self.faults not in FAULT_PLANS, f"faults {self.faults!r}: one of {', '.join(FAULT_PLANS)}"),
        )
        return next((says for wrong, says in checks if wrong), "")

    @property
    def run_id(self) -> str:
        """Readable, sortable by start within a flight, and different for runs that differ in anything:
        `AIB232E-s7-128hz-1513165635000000-3f2a91c0`."""
        said = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        mark = hashlib.sha256(said.encode()).hexdigest()[:8]
        return f"{self.flight}-s{self.seed}-{self.rate_hz}hz-{self.start_us:016d}-{mark}"

    @property
    def samples(self) -> int:
        """Samples of the whole run: numbers 0 to `samples - 1`."""
        return self.seconds * self.rate_hz

    @property
    def sensors(self) -> int:
        return self.blocks * sensors.SENSORS_PER_BLOCK

    @property
    def block_numbers(self) -> tuple[int, ...]:
        """The blocks that fly: half of them on each wing, from the root outward, so that a smaller aircraft still has
        two wings."""
        right = self.blocks // 2
        return (*range(self.blocks - right), *range(sensors.BLOCKS_PER_WING, sensors.BLOCKS_PER_WING + right))

    def second_of(self, sample: int) -> int:
        return sample // self.rate_hz

    def flight_second(self, second: int) -> int:
        """The recording's second that a second of the run stands for."""
        return self.begin_s + second

    def due_us(self, sample: int) -> int:
        """The wall clock when a sample is taken (rounded down to the microsecond)."""
        return self.start_us + sample * MICROS // self.rate_hz

    def samples_due(self, now_us: int) -> int:
        """How many samples were taken by that instant: sample `n` is among them when `due_us(n) <= now_us`."""
        if now_us < self.start_us:
            return 0
        elapsed_us = now_us - self.start_us
        # The largest n with n * MICROS // rate <= elapsed, and one more since they are counted from 0.
        return min(self.samples, ((elapsed_us + 1) * self.rate_hz - 1) // MICROS + 1)

    def seconds_due(self, now_us: int) -> int:
        """Seconds of the run that are complete by that instant."""
        return self.samples_due(now_us) // self.rate_hz

    def next_loop(self) -> Run:
        """The recording from its beginning again, at the instant when this run ends."""
        return Run(
            flight=self.flight,
            flight_digest=self.flight_digest,
            seed=self.seed,
            rate_hz=self.rate_hz,
            start_us=self.due_us(self.samples),
            begin_s=0,
            seconds=self.begin_s + self.seconds,
            blocks=self.blocks,
            noise=self.noise,
            faults=self.faults,
            loop=self.loop + 1,
        )

    def to_json(self) -> str:
        """The record as it is announced, with its name beside its fields."""
        return json.dumps({"run_id": self.run_id, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Run:
        """The record again; its name must be the one that its fields give."""
        try:
            said: Any = json.loads(text)
            if not isinstance(said, dict):
                raise ValueError("not an object")
            run_id = said.pop("run_id", None)
            kinds = {field.name: field.type for field in fields(cls)}
            for key, value in said.items():
                wanted = {"str": str, "int": int}.get(str(kinds.get(key)))
                if wanted is None or type(value) is not wanted:
                    raise ValueError(f"{key} = {value!r} does not belong into it")
            run = cls(**said)
        except (ValueError, TypeError) as error:
            raise ValueError(f"not the record of a run: {error}") from error
        if run_id != run.run_id:
            raise ValueError(f"not the record of a run: it is called {run_id!r}, its fields say {run.run_id!r}")
        return run
