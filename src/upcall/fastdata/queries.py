"""What is asked of the store, for the page, the command line and tests. All answers are read at LOCAL_QUORUM.

The driver's requests run beside the event loop, so a page asks many things at once and waits for none. Prepared
statements are made at the first use. Seconds are those of the run; `Run.due_us` turns them into wall clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from cassandra.cluster import Cluster, Session

from upcall.fastdata.detect.episodes import Episode
from upcall.fastdata.keyspace import KEYSPACE
from upcall.fastdata.login import Login
from upcall.fastdata.runs import Run
from upcall.fastdata.schema import FLEET, HOUR_S, MINUTE_S, NOT_NOW, SENSORS_PER_STRIP, connect
from upcall.fastdata.sensors import BLOCKS, SENSORS, SENSORS_PER_BLOCK, block_slice
from upcall.fastdata.store import EPISODE_COLUMNS, episode_of
from upcall.fastdata.windows import STATISTICS

Float32s = npt.NDArray[np.float32]

RANGE_MAX_S: Final = 24 * HOUR_S
PAGE_ROWS: Final = 1_000
"""Rows of one answer: an hour of a strip is 6 MB, too much for the heap of a small node in one piece."""
EPISODES_MAX: Final = 5_000
AGAIN_S: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """A sensor at 1 Hz. `values[:, i]` are mean, least, greatest and deviation in second `seconds[i]`."""

    sensor: int
    seconds: npt.NDArray[np.int64]
    values: Float32s
    counts: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class StoredSecond:
    """A second of a block, whole; counts and sample numbers as each strip has them."""

    values: Float32s
    """`[4, 1000]`"""
    counts: npt.NDArray[np.int64]
    first_samples: npt.NDArray[np.int64]
    last_samples: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Latest:
    """All sensors now, by sensor number."""

    complete_until: int
    """The last second that all blocks have; -1 before the first."""
    newest: int
    """The last second that any block has."""
    rate_hz: int
    blocks: int
    missing_samples: int
    means: Float32s
    """`nan` where a block was never seen."""
    health: npt.NDArray[np.uint8]
    """See `detect.episodes.health_of`."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What was read of the log, over all partitions."""

    frames: int
    packed_bytes: int
    readings: int
    corrupt: int
    future: int
    behind: int
    short: int


class Queries:
    """Reads the tables of one keyspace; safe to share.

    A store that is short of time or of replicas for a moment is asked again for `patience_s`; by default the caller
    is told at once.
    """

    def __init__(self, session: Session, patience_s: float = 0.0) -> None:
        self._session = session
        self._patience_s = patience_s
        self._prepared: dict[str, Any] = {}

    @classmethod
    def connect(
        cls,
        contact_points: Sequence[str | Path],
        port: int = 9042,
        keyspace: str = KEYSPACE,
        login: Login | None = None,
        patience_s: float = 0.0,
    ) -> Queries:
        """Blocking; raises when the store is not there or has no tables yet."""
        cluster: Cluster = connect(contact_points, port, login)
        try:
            return cls(cluster.connect(keyspace), patience_s)
        except Exception:
            cluster.shutdown()
            raise

    def close(self) -> None:
        self._session.cluster.shutdown()

    async def runs(self, limit: int = 20) -> list[Run]:
        """The latest runs, newest first."""
        rows = await self._ask(f"SELECT record FROM runs WHERE fleet = ? LIMIT {int(limit)}", FLEET)
        return [Run.from_json(row.record) for row in rows]

    async def series(self, run_id: str, sensor: int, first: int, last: int) -> Series:
        """A sensor from second `first` to second `last`, as far as stored."""
        if not 0 <= sensor < SENSORS:
            raise ValueError(f"sensor {sensor}: sensors are numbered 0 to {SENSORS - 1}")
        if not 0 <= first <= last < first + RANGE_MAX_S:
            raise ValueError(f"seconds {first} to {last}: ascending, and at most {RANGE_MAX_S} of them")
        strip, column = divmod(sensor, SENSORS_PER_STRIP)
        query = (
            'SELECT second, count, "values" FROM seconds '
            "WHERE run_id = ? AND strip = ? AND hour = ? AND second >= ? AND second <= ?"
        )
        hours = range(first // HOUR_S, last // HOUR_S + 1)
        answers = await asyncio.gather(*(self._ask(query, run_id, strip, hour, first, last) for hour in hours))
        rows = [row for answer in answers for row in answer]
        packed = np.frombuffer(b"".join(row.values for row in rows), np.float32)
        values = packed.reshape(-1, len(STATISTICS), SENSORS_PER_STRIP)[:, :, column].T
        return Series(
            sensor,
            np.array([row.second for row in rows], np.int64),
            np.ascontiguousarray(values),
            np.array([row.count for row in rows], np.int64),
        )

    async def block_seconds(self, run_id: str, block: int, first: int, last: int) -> dict[int, StoredSecond]:
        """The seconds of a block that are stored whole: all strips of them."""
        sensors = block_slice(block)
        strips = range(sensors.start // SENSORS_PER_STRIP, sensors.stop // SENSORS_PER_STRIP)
        query = (
            'SELECT strip, second, count, first_sample, last_sample, "values" FROM seconds '
            "WHERE run_id = ? AND strip = ? AND hour = ? AND second >= ? AND second <= ?"
        )
        hours = range(first // HOUR_S, last // HOUR_S + 1)
        asked = [self._ask(query, run_id, strip, hour, first, last) for strip in strips for hour in hours]
        found: dict[int, list[Any]] = {}
        for answer in await asyncio.gather(*asked):
            for row in answer:
                found.setdefault(row.second, []).append(row)
        return {second: _stored_second(rows) for second, rows in sorted(found.items()) if len(rows) == len(strips)}

    async def latest(self, run_id: str) -> Latest:
        rows = await self._ask("SELECT * FROM blocks WHERE run_id = ?", run_id)
        means = np.full(SENSORS, np.nan, np.float32)
        health = np.zeros(SENSORS, np.uint8)
        for row in rows:
            means[block_slice(row.block)] = np.frombuffer(row.means, np.float32)
            health[block_slice(row.block)] = np.frombuffer(row.health, np.uint8)
        return Latest(
            complete_until=min((row.second for row in rows), default=-1),
            newest=max((row.second for row in rows), default=-1),
            rate_hz=rows[0].rate_hz if rows else 0,
            blocks=len(rows),
            missing_samples=sum(row.missing or 0 for row in rows) * SENSORS_PER_BLOCK,
            means=means,
            health=health,
        )

    async def complete_until(self, run_id: str, blocks: int = BLOCKS) -> int:
        """The last second that all of so many blocks have; -1 while one is missing."""
        rows = await self._ask("SELECT block, second FROM blocks WHERE run_id = ?", run_id)
        return min(row.second for row in rows) if len(rows) >= blocks else -1

    async def episodes(self, run_id: str, first: int, last: int, limit: int = EPISODES_MAX) -> list[Episode]:
        """Episodes that began in these seconds, newest first."""
        if not 0 <= first <= last < first + RANGE_MAX_S:
            raise ValueError(f"seconds {first} to {last}: ascending, and at most {RANGE_MAX_S} of them")
        query = (
            f"SELECT {EPISODE_COLUMNS} FROM episodes_by_time "
            f"WHERE run_id = ? AND hour = ? AND begin_second >= ? AND begin_second <= ? LIMIT {int(limit)}"
        )
        hours = range(last // HOUR_S, first // HOUR_S - 1, -1)
        answers = await asyncio.gather(*(self._ask(query, run_id, hour, first, last) for hour in hours))
        return [episode_of(row) for answer in answers for row in answer][:limit]

    async def episodes_of(self, run_id: str, sensor: int) -> list[Episode]:
        """All episodes of a sensor, newest first."""
        rows = await self._ask(
            f"SELECT {EPISODE_COLUMNS} FROM episodes_by_sensor WHERE run_id = ? AND sensor = ?", run_id, sensor
        )
        return [episode_of(row) for row in rows]

    async def raw(self, run_id: str, block: int, first: int, last: int, rate_hz: int) -> list[bytes]:
        """The packed frames that were kept of these seconds of a block, in order."""
        if not 0 <= first <= last < first + HOUR_S:
            raise ValueError(f"seconds {first} to {last}: ascending, and at most {HOUR_S} of them")
        query = (
            "SELECT frame FROM raw WHERE run_id = ? AND block = ? AND minute = ? "
            "AND first_sample >= ? AND first_sample < ?"
        )
        minutes = range(first // MINUTE_S, last // MINUTE_S + 1)
        samples = (first * rate_hz, (last + 1) * rate_hz)
        answers = await asyncio.gather(*(self._ask(query, run_id, block, minute, *samples) for minute in minutes))
        return [row.frame for answer in answers for row in answer]

    async def counted(self, topic: str = "frames") -> Counted:
        names = list(Counted.__dataclass_fields__)
        rows = await self._ask(f"SELECT {', '.join(names)} FROM position WHERE topic = ?", topic)
        return Counted(*(sum(getattr(row, name) or 0 for row in rows) for name in names))

    async def _ask(self, query: str, *values: Any) -> list[Any]:
        end = time.monotonic() + self._patience_s
        while True:
            try:
                return await asyncio.to_thread(self._execute, query, values)
            except NOT_NOW:
                if time.monotonic() >= end:
                    raise
            await asyncio.sleep(AGAIN_S)

    def _execute(self, query: str, values: tuple[Any, ...]) -> list[Any]:
        prepared = self._prepared.get(query)
        if prepared is None:
            prepared = self._session.prepare(query)
            prepared.is_idempotent = True
            prepared.fetch_size = PAGE_ROWS
            self._prepared[query] = prepared
        return list(self._session.execute(prepared, values))


def _stored_second(rows: list[Any]) -> StoredSecond:
    rows = sorted(rows, key=lambda row: int(row.strip))
    parts = [np.frombuffer(row.values, np.float32).reshape(-1, SENSORS_PER_STRIP) for row in rows]
    return StoredSecond(
        np.concatenate(parts, axis=1),
        np.array([row.count for row in rows], np.int64),
        np.array([row.first_sample for row in rows], np.int64),
        np.array([row.last_sample for row in rows], np.int64),
    )
