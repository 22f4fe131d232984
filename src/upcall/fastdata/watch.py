"""The flight as it is now, for whoever shows it: one snapshot after the other, made of queries alone.

Nothing on the way is asked: what a snapshot says stands in the store. Rates are differences between two snapshots some
seconds apart;
the lag is how long ago the last complete second was due. Which episodes match a labelled fault is told for the viewer's
sake: whoever detects does not know.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from cassandra import InvalidRequest

from upcall.fastdata.detect.episodes import Episode
from upcall.fastdata.faults import Fault, schedule
from upcall.fastdata.matching import DRIFT_WITHIN_S, match
from upcall.fastdata.queries import Counted, Latest, Queries
from upcall.fastdata.runs import MICROS, Run
from upcall.fastdata.schema import NOT_NOW
from upcall.fastdata.sensors import SENSORS_PER_BLOCK

BYTES_OF_A_READING: Final = 4
"""As float32: what every MB/s here means, unless it says packed."""
RATE_OVER_S: Final = 10.0
"""Seconds over which a rate is taken: micro-batches come in lumps."""
SHOWN_S: Final = 600
"""Episodes that began so long ago are no longer looked up."""
EPISODES_SHOWN: Final = 200


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    at: float
    """Monotonic clock."""
    run: Run
    latest: Latest
    counted: Counted
    readings_per_s: float
    """Readings that were stored since a snapshot some seconds before; 0 in the first."""
    packed_mb_per_s: float
    lag_s: float
    episodes: list[Episode]
    """The latest, newest first."""
    matched: dict[tuple[str, int, str, int], Fault]
    """By episode's key: the labelled fault that it found."""

    @property
    def second(self) -> int:
        return self.latest.complete_until

    @property
    def mb_per_s(self) -> float:
        return self.readings_per_s * BYTES_OF_A_READING / 1e6

    @property
    def bits_per_reading(self) -> float:
        """On the wire."""
        return 8 * self.counted.packed_bytes / self.counted.readings if self.counted.readings else 0.0


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The store did not answer: nobody knows whether a run is there."""

    reason: str


async def snapshot(queries: Queries, before: Snapshot | None = None, topic: str = "frames") -> Snapshot | None:
    """The latest run as it is now; `None` while there is none."""
    runs = await queries.runs(limit=1)
    if not runs:
        return None
    run = runs[0]
    latest, counted = await asyncio.gather(queries.latest(run.run_id), queries.counted(topic))
    newest = max(latest.newest, 0)
    episodes = await queries.episodes(run.run_id, max(0, newest - SHOWN_S), newest, EPISODES_SHOWN)
    now_us, at = time.time_ns() // 1_000, time.monotonic()
    # A second is complete when the sample after it is due.
    due_us = run.due_us((latest.complete_until + 1) * run.rate_hz)
    readings_per_s = packed_mb_per_s = 0.0
    if before is not None and before.run == run and at > before.at:
        seconds = latest.complete_until - before.latest.complete_until
        readings = seconds * run.rate_hz * latest.blocks * SENSORS_PER_BLOCK
        readings_per_s = max(0.0, readings / (at - before.at))
        packed = counted.packed_bytes - before.counted.packed_bytes
        packed_mb_per_s = max(0.0, packed / (at - before.at) / 1e6)
    return Snapshot(
        at=at,
        run=run,
        latest=latest,
        counted=counted,
        readings_per_s=readings_per_s,
        packed_mb_per_s=packed_mb_per_s,
        lag_s=max(0.0, (now_us - due_us) / MICROS),
        episodes=episodes,
        matched=labelled(run, episodes),
    )


def labelled(run: Run, episodes: list[Episode]) -> dict[tuple[str, int, str, int], Fault]:
    """Which of these episodes answer for a labelled fault."""
    if not episodes:
        return {}
    first = max(0, min(episode.begin for episode in episodes) - DRIFT_WITHIN_S)
    last = max(episode.begin for episode in episodes) + DRIFT_WITHIN_S
    labels = schedule(run, first, last - first + 1)
    return {episode.key: label for label, episode in match(labels, episodes, run.rate_hz).pairs}


async def watch(
    queries: Queries, interval_s: float = 1.0, topic: str = "frames"
) -> AsyncIterator[Snapshot | Unanswered | None]:
    """Snapshots for as long as one asks; `None` while no run is there."""
    seen: deque[Snapshot] = deque()
    while True:
        began = time.monotonic()
        while len(seen) > 1 and seen[0].at < began - RATE_OVER_S:
            seen.popleft()
        try:
            now = await snapshot(queries, seen[0] if seen else None, topic)
            if now is not None:
                seen.append(now)
            yield now
        except InvalidRequest:
            yield None  # the stream job has not made the tables yet
        except NOT_NOW as error:
            yield Unanswered(str(error) or type(error).__name__)
        await asyncio.sleep(max(0.0, began + interval_s - time.monotonic()))
