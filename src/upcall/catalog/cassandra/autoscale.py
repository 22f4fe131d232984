"""How many nodes Cassandra needs: as its operators see it, by disk and by latency.

**Disk.** A compaction writes a table anew beside the old one, so a disk is to be half full at most.

**Latency.** What clients wait for is what the coordinators measure: the slowest hundredth of the reads and writes of a
table that is in use. Where that is beyond what anybody should wait, one more node shares the work; while it is not well
below, nobody leaves.

Bounds, hysteresis and the pause after a change are the SDK's.
"""

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

from upcall.catalog.cassandra.scaling import Scaling
from upcall.service import Size

FILLED: Final = 0.5
"""Share of the disks that is the aim."""
SLOW_MS: Final = 100.0
"""A slowest hundredth that is too slow."""
WELL_MS: Final = 50.0
"""One that is well below."""
IN_USE_PER_S: Final = 1.0
"""What is asked for less often says nothing of the ring."""


class Latency(NamedTuple):
    table: str
    per_second: float
    p99_ms: float


def needed(has: int, used_mib: int, disk_mib: int, latencies: Iterable[Latency]) -> Size:
    """``used_mib``: on all nodes together."""
    by_disk = max(math.ceil(used_mib / (disk_mib * FILLED)), 1)
    words = f"{used_mib} MiB on {has} disks of {disk_mib} MiB, {FILLED:.0%} is the aim"
    in_use = [each for each in latencies if each.per_second >= IN_USE_PER_S]
    slowest = max(in_use, key=lambda each: each.p99_ms, default=None)
    by_latency = 1
    if slowest is not None:
        words += f"; the slowest hundredth of {slowest.table} takes {slowest.p99_ms:.0f} ms, {SLOW_MS:g} ms is too slow"
        by_latency = has + 1 if slowest.p99_ms > SLOW_MS else has if slowest.p99_ms > WELL_MS else 1
    return Size(max(by_disk, by_latency), words)


class ScalesItself(Scaling):
    """Nodes come and leave by what is stored and how long it takes. Who leaves, the ring itself allows or not."""

    scale_every_s = 30.0

    async def desired_size(self) -> Size | None:
        used, found = await self.ask(lambda ring: (ring.used_mib(), ring.latencies()))
        latencies = [Latency(*each) for each in found]
        copies = max((await self.ask(lambda ring: ring.copies())).values(), default=1)
        wanted = needed(self.options.nodes, used, self.options.disk_mib, latencies)
        # Fewer nodes than copies is what it would refuse itself.
        return wanted if wanted.count >= copies else Size(copies, f"{wanted.reason}; {copies} copies of each row")
