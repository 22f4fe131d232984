"""How many brokers Kafka needs: as its operators see it, by bytes and by lag.

**Bytes.** A broker's disk has to hold its share of all replicas with room to spare: what a broker that is lost leaves
behind comes to the others, and what is moved lies in two places for a while.

**Lag.** How far the readers are behind what is written, in seconds of writing. Where that is long *and grows*, the
brokers do not serve as fast as they are written to, and one more shares the work. While it is long and shrinks, nobody
leaves: who catches up needs what is there.

Bounds, hysteresis and the pause after a change are the SDK's.
"""

import asyncio
import math
from contextlib import suppress
from typing import Final, NamedTuple

from upcall.catalog.kafka import config
from upcall.catalog.kafka.scaling import Scaling
from upcall.service import Size
from upcall.service.context import Context

FILLED: Final = 0.7
"""Share of the disks that is the aim."""
LONG_S: Final = 60.0
"""A lag that is long."""
TOOL_S: Final = 5.0
"""How much of an answer's time the look at the disks may take; it goes on beside."""
MIB: Final = 1 << 20


class Read(NamedTuple):
    """What readers have read of what was written, in records, over all groups and partitions."""

    at_s: float
    written: int
    behind: int


def lag_s(before: Read, now: Read) -> float:
    """In seconds of what is written at present."""
    rate = (now.written - before.written) / max(now.at_s - before.at_s, 0.001)
    return now.behind / rate if rate > 0 else 0.0


def needed(has: int, held: int, disk: int, before: Read | None, now: Read) -> Size:
    """``held``: bytes of all replicas. ``disk``: bytes of one broker's volume."""
    by_bytes = max(math.ceil(held / (disk * FILLED)), 1)
    words = f"{held // MIB} MiB on {has} disks of {disk // MIB} MiB, {FILLED:.0%} is the aim"
    behind_s = lag_s(before, now) if before is not None else 0.0
    by_lag = 1
    if before is not None and behind_s > LONG_S:
        grows = now.behind > before.behind
        by_lag = has + 1 if grows else has
        words += f"; readers are {behind_s:.0f} s behind, and {'more and more' if grows else 'catch up'}"
    return Size(max(by_bytes, by_lag, config.FOUNDERS), words)


class ScalesItself(Scaling):
    """Brokers come and leave by what is stored and read."""

    scale_every_s = 30.0

    def __init__(self, context: Context | None = None) -> None:
        super().__init__(context)
        self._before: Read | None = None
        self._disks: asyncio.Task[int] | None = None
        self._held: int | None = None

    async def desired_size(self) -> Size | None:
        """A lone broker stays one: its quorum has one vote."""
        if self.options.brokers < config.FOUNDERS or (held := await self._bytes()) is None:
            return None
        written, behind = await self.ask(lambda admin: admin.read())
        now = Read(asyncio.get_running_loop().time(), written, behind)
        before, self._before = self._before, now
        return needed(self.options.brokers, held, self.options.disk_mib << 20, before, now)

    async def _bytes(self) -> int | None:
        """Of all replicas. Kafka's own tool says it, and starts a JVM for it: one that is late is heard next time."""
        if self._disks is None:
            self._disks = asyncio.create_task(self._look())
        await asyncio.wait({self._disks}, timeout=TOOL_S)
        if self._disks.done():
            done, self._disks = self._disks, None
            with suppress(Exception):
                self._held = done.result()
        return self._held

    async def _look(self) -> int:
        sizes = await self._moving.sizes(self.ready_ids())
        return sum(size for each in sizes.values() for size in each.values())
