"""What a broker can carry of the settings that cost threads or heap, or stop it, before anything is changed. Pure.

Kafka takes any number. A broker that is told too many threads makes them until it has no memory for the next one and
ends, and where the number was told while it ran it ends so at each start. So what no broker of this size can carry is
declined with its numbers; what might be too much all the same is found by the one broker that is changed first.

Measured on a broker of 448 MiB: a thread of the network takes some 150 KiB while it has nothing to do, one that
answers requests 50, and both are there twice, since each broker is a controller too. At work a thread fills more of
its stack, which is 512 KiB.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from upcall.catalog.kafka.sizing import BrokerSizing

THREAD_KIB: Final = 256
THREADS_SHARE: Final = 0.25
"""Of a broker's memory, for threads beside those that any JVM has; the rest is heap, code, classes, buffers."""
THREADS_MAX: Final = 8192
"""Of one broker, however much memory it has: a node gives a task 16,384 processes and threads in all."""
HEAP_SHARE: Final = 0.5
"""Of the heap, for what Kafka takes once and never gives back."""
TWICE: Final = ("num.network.threads", "num.io.threads")
"""A broker is a controller too, which has as many."""
ONCE: Final = ("num.recovery.threads.per.data.dir", "background.threads", "log.cleaner.threads")
FETCHERS: Final = "num.replica.fetchers"
"""So many for each other broker."""
TIERED: Final = (
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.follower.thread.pool.size",
    "remote.log.reader.threads",
)
TIERED_IS_ON: Final = "remote.log.storage.system.enable"
THREADS: Final = (*TWICE, *ONCE, FETCHERS, *TIERED)
HEAP: Final = {
    "log.cleaner.dedupe.buffer.size": 1,
    "log.cleaner.io.buffer.size": 1,
    "offsets.load.buffer.size": 1,
    "transaction.state.log.load.buffer.size": 1,
    "queued.max.requests": 8,
}
"""Setting -> bytes of heap for each one of it."""
CLEANER_RATE: Final = "log.cleaner.io.max.bytes.per.second"
CLEANER_RATE_MIN: Final = 65_536
"""Between two blocks the log cleaner sleeps as this rate wants it. Before a broker changes anything about the cleaner
while it runs, it waits for that sleep to be over, and takes no news of the cluster meanwhile."""
SETTINGS: Final = (*THREADS, *HEAP, CLEANER_RATE)


@dataclass(frozen=True)
class Cost:
    """What one setting costs, of threads or of heap."""

    name: str
    value: int
    each: int
    """For each one of it."""

    @property
    def all(self) -> int:
        return self.value * self.each


def objection(values: Mapping[str, str | None], *, memory_mib: int, sizing: BrokerSizing, brokers: int) -> str:
    """Why a broker of this size cannot carry these, and what would be needed; empty: it can. ``values``: of all
    settings that a broker knows, what it works with."""
    return _threads(values, memory_mib, brokers) or _heap(values, memory_mib, sizing) or _cleaner(values)


def _threads(values: Mapping[str, str | None], memory_mib: int, brokers: int) -> str:
    tiered = TIERED if values.get(TIERED_IS_ON) == "true" else ()
    times = {**dict.fromkeys(TWICE, 2), **dict.fromkeys((*ONCE, *tiered), 1), FETCHERS: max(1, brokers - 1)}
    costs = _costs(values, times)
    room = min(THREADS_MAX, int(memory_mib * THREADS_SHARE * 1024) // THREAD_KIB)
    wanted = sum(cost.all for cost in costs)
    if wanted <= room:
        return ""
    most = max(costs, key=lambda cost: cost.all)
    rest = wanted - most.all
    needs_mib = -(-wanted * THREAD_KIB // int(1024 * THREADS_SHARE))
    fits = f"at most {(room - rest) // most.each}" if room - rest >= most.each else "less"
    more = f", or memory_mib={needs_mib}" if wanted <= THREADS_MAX else ""
    return (
        f"{most.name}={most.value} gives a broker {wanted:,} threads, with those of the others; with memory_mib="
        f"{memory_mib} it has room for {room:,} ({THREAD_KIB} KiB each, of a quarter of its memory): {fits} would fit"
        f"{more}"
    )


def _heap(values: Mapping[str, str | None], memory_mib: int, sizing: BrokerSizing) -> str:
    costs = _costs(values, HEAP)
    room = int((sizing.heap_mib << 20) * HEAP_SHARE)
    wanted = sum(cost.all for cost in costs)
    if wanted <= room:
        return ""
    most = max(costs, key=lambda cost: cost.all)
    fits = max(0, room - wanted + most.all) // most.each
    needs_mib = -(-wanted * memory_mib // (int(sizing.heap_mib * HEAP_SHARE) << 20))
    return (
        f"{most.name}={most.value} takes {most.all / 2**20:,.0f} MiB of heap, {wanted / 2**20:,.0f} MiB with what is"
        f" like it; with memory_mib={memory_mib} a broker has {sizing.heap_mib} MiB of heap, half of it for that:"
        f" at most {fits} would fit, or about memory_mib={needs_mib}"
    )


def _cleaner(values: Mapping[str, str | None]) -> str:
    rate = values.get(CLEANER_RATE)
    if not rate or float(rate) >= CLEANER_RATE_MIN:
        return ""
    return (
        f"{CLEANER_RATE}={rate} has the log cleaner sleep so long that a broker which is to change anything about it"
        f" waits for that and hears of nothing else: at least {CLEANER_RATE_MIN} would do"
    )


def _costs(values: Mapping[str, str | None], each: Mapping[str, int]) -> list[Cost]:
    return [Cost(name, max(0, int(float(values.get(name) or 0))), number) for name, number in each.items()]
