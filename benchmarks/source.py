"""The source alone, on one core: how many readings a second it models, packs and unpacks, and how many bits one takes.

    python -m benchmarks.source            writes build/source.json

Rates are readings for each second of CPU time of this process, so a busy machine does not count against it; what the
whole source needs at 128 Hz is given as a share of one core. How well readings pack is our own choice, since they are
modelled: incompressible counts are measured beside them.
"""

import sys
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from upcall.cli.figures import Promise, Report
from upcall.fastdata import sensors
from upcall.fastdata.flights import load_flight
from upcall.fastdata.frames import Frame, decode, encode
from upcall.fastdata.generator import Generator
from upcall.fastdata.packing import Counts, Packing
from upcall.fastdata.recordings import fetch_recording
from upcall.fastdata.runs import Run

RATE_HZ: Final = 128
SECONDS: Final = 8
SHORT_SAMPLES: Final = RATE_HZ // 4
READINGS_A_SECOND: Final = RATE_HZ * sensors.SENSORS
SEED: Final = 7

PROMISES: Final = (
    Promise(
        "generate_per_cpu_s", "at least 15 million readings a second on one core", lambda v: v >= 15e6, "reference"
    ),
    Promise("core_share_percent", "at most 25 % of a core at 2.56 million readings/s", lambda v: v <= 25, "reference"),
    Promise("bits_per_reading", "at most 16: packing makes nothing longer", lambda v: v <= 16),
    Promise("came_back_wrong", "0: every count comes back", lambda v: v == 0),
)


def cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def measure(report: Report) -> None:
    flight = load_flight(fetch_recording("AIB232E"))
    run = Run(
        flight=flight.name,
        flight_digest=flight.digest,
        seed=SEED,
        rate_hz=RATE_HZ,
        start_us=0,
        begin_s=600,
        seconds=flight.seconds - 600,
    )
    generator = Generator(run, flight)
    generator.generate(0, 0, RATE_HZ)  # tables and code are warm
    for name, samples in (("", SHORT_SAMPLES), ("_long_frames", RATE_HZ)):
        measure_frames(report, run, generator, name, samples)
    measure_packings(report, run, generator)


def measure_frames(report: Report, run: Run, generator: Generator, name: str, samples: int) -> None:
    """As the aircraft does it: all blocks of a moment, then the next moment."""
    starts = [(block, first) for first in range(0, SECONDS * RATE_HZ, samples) for block in run.block_numbers]
    counts: list[Counts] = []
    packed: list[bytes] = []
    unpacked: list[Counts] = []
    generate_s = cpu_s(lambda: counts.extend(generator.generate(block, first, samples) for block, first in starts))
    frames = [Frame(run.run_id, block, first, RATE_HZ, c) for (block, first), c in zip(starts, counts, strict=True)]
    pack_s = cpu_s(lambda: packed.extend(encode(frame) for frame in frames))
    unpack_s = cpu_s(lambda: unpacked.extend(decode(frame).counts for frame in packed))
    readings = SECONDS * READINGS_A_SECOND
    wire_bytes = sum(map(len, packed))
    report.figures |= {
        f"generate{name}_per_cpu_s": round(readings / generate_s),
        f"pack{name}_per_cpu_s": round(readings / pack_s),
        f"unpack{name}_per_cpu_s": round(readings / unpack_s),
        f"core_share{name}_percent": round(100 * (generate_s + pack_s) / SECONDS, 2),
        f"bits_per_reading{name}": round(8 * wire_bytes / readings, 3),
        f"smaller_than_float32{name}": round(4 * readings / wire_bytes, 2),
        f"wire_mb_per_s{name}": round(wire_bytes / SECONDS / 1e6, 3),
    }
    wrong = sum(int((a != b).sum()) for a, b in zip(counts, unpacked, strict=True))
    report.figures["came_back_wrong"] = report.figures.get("came_back_wrong", 0) + wrong


def measure_packings(report: Report, run: Run, generator: Generator) -> None:
    """Bits of a reading, by packing; and of counts that cannot be packed."""
    counts = [generator.generate(block, 0, SHORT_SAMPLES) for block in run.block_numbers]
    random = np.random.default_rng(SEED)
    noise = [random.integers(-32_768, 32_768, each.shape, np.int16) for each in counts]
    for name, arrays in (("", counts), ("_incompressible", noise)):
        for packing in Packing:
            packed = [encode(Frame(run.run_id, 0, 0, RATE_HZ, array), packing) for array in arrays]
            bits = 8 * sum(map(len, packed)) / sum(array.size for array in arrays)
            report.figures[f"bits_{packing.name.lower()}{name}"] = round(bits, 3)


def main() -> int:
    report = Report("source", PROMISES, seed=SEED)
    report.figures["readings_a_second"] = READINGS_A_SECOND
    report.figures["float32_mb_a_second"] = READINGS_A_SECOND * 4 / 1e6
    measure(report)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
