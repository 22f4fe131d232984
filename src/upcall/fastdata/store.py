"""What the stream job writes, and what it reads when it begins: prepared statements, many at once, each repeated until
it is stored or the batch gives up.

All writes are idempotent (a row has its whole content in one statement), so repeating one is safe, also one whose
answer was lost. The order of a micro-batch is what makes a crash harmless at any point: seconds, then ticks and
episodes, then the blocks that say so, then the position. Whoever reads on from the position finds either nothing of a
second, or all of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent

from upcall.fastdata.detect.episodes import Episode, EpisodeKind
from upcall.fastdata.partition_writes import Statement, as_writes, by_partition
from upcall.fastdata.position import Position
from upcall.fastdata.runs import Run
from upcall.fastdata.schema import FLEET, HOUR_S, MINUTE_S, NOT_NOW, SENSORS_PER_STRIP, STRIPS_PER_BLOCK
from upcall.fastdata.sensors import BLOCKS, SENSORS_PER_BLOCK, block_of
from upcall.fastdata.windows import STATISTICS, OpenSecond, Refused, Window

WRITE_PATIENCE_S: Final = 120.0
"""A node may be away for a while; after this the batch fails, the job starts again and reads on from its position."""
CONCURRENCY: Final = 48
RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 2.0
RUNS_LOOKED_AT: Final = 8
"""A job that begins may meet frames of the latest so many runs in the log."""

_EPISODE: Final = (
    "run_id", "begin_second", "sensor", "kind", "end_second", "is_open", "seen", "severity", "confidence",
    "neighbours_quiet", "reading", "neighbours_say", "base", "gain",
)  # fmt: skip
EPISODE_COLUMNS: Final = ", ".join(_EPISODE)
_POSITION: Final = (
    "partition", "resume_offset", "read_until", "frames", "packed_bytes", "readings", "corrupt", "future", "behind",
    "short",
)  # fmt: skip


class Store:
    """The job's side of the tables; blocking. Not for several threads at once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._run = self._insert("runs", "fleet", "start_us", "run_id", "record")
        self._second = self._insert(
            "seconds", "run_id", "strip", "hour", "second", "count", "first_sample", "last_sample", "partition",
            "first_offset", "last_offset", '"values"', "scores",
        )  # fmt: skip
        self._tick = self._insert("ticks", "run_id", "block", "tick", "levels", "neighbours")
        self._block = self._insert("blocks", "run_id", "block", "second", "rate_hz", "missing", "means", "health")
        self._by_time = self._insert("episodes_by_time", "hour", *_EPISODE)
        self._by_sensor = self._insert("episodes_by_sensor", *_EPISODE)
        self._raw = self._insert("raw", "run_id", "block", "minute", "first_sample", "frame")
        self._pending = self._insert("pending", "run_id", "block", "second", "partition", "offset", "frame")
        self._refused = self._insert("refused", "topic", "partition", "offset", "reason", "data")
        self._position = self._insert("position", "topic", *_POSITION)

    # --- statements

    def run(self, run: Run) -> Statement:
        return self._run, (FLEET, run.start_us, run.run_id, run.to_json())

    def second(self, window: Window) -> list[Statement]:
        """One row for each strip of the block."""
        values = np.frombuffer(window.values, np.float32).reshape(len(STATISTICS), SENSORS_PER_BLOCK)
        scores = np.frombuffer(window.scores, np.float16).reshape(-1, SENSORS_PER_BLOCK)
        first_strip = window.block * STRIPS_PER_BLOCK
        rows: list[Statement] = []
        for strip in range(STRIPS_PER_BLOCK):
            columns = slice(strip * SENSORS_PER_STRIP, (strip + 1) * SENSORS_PER_STRIP)
            row = (
                window.run_id, first_strip + strip, window.second // HOUR_S, window.second, window.count,
                window.first_sample, window.last_sample, window.partition, window.first_offset, window.last_offset,
                values[:, columns].tobytes(), scores[:, columns].tobytes(),
            )  # fmt: skip
            rows.append((self._second, row))
        return rows

    def tick(
        self, run_id: str, block: int, tick: int, levels: npt.NDArray[Any], neighbours: npt.NDArray[Any]
    ) -> Statement:
        row = (run_id, block, tick, levels.astype(np.float32).tobytes(), neighbours.astype(np.float64).tobytes())
        return self._tick, row

    def block(self, window: Window, missing: int, health: bytes) -> Statement:
        means = window.values[: 4 * SENSORS_PER_BLOCK]
        return self._block, (window.run_id, window.block, window.second, window.rate_hz, missing, means, health)

    def episode(self, episode: Episode) -> list[Statement]:
        row = (
            episode.run_id, episode.begin, episode.sensor, episode.kind.value, episode.end, episode.is_open,
            episode.seen, episode.severity, episode.confidence, episode.neighbours_quiet, episode.reading,
            episode.neighbours_say, episode.base, episode.gain,
        )  # fmt: skip
        return [(self._by_time, (episode.begin // HOUR_S, *row)), (self._by_sensor, row)]

    def raw(self, run_id: str, block: int, second: int, first_sample: int, frame: bytes) -> Statement:
        return self._raw, (run_id, block, second // MINUTE_S, first_sample, frame)

    def pending(self, opened: OpenSecond) -> list[Statement]:
        key = (opened.run_id, opened.block, opened.second, opened.partition)
        return [(self._pending, (*key, offset, frame)) for offset, frame in opened.frames]

    def refused(self, topic: str, refused: Refused) -> Statement:
        return self._refused, (topic, refused.partition, refused.offset, refused.reason[:1_000], refused.data)

    def position(self, topic: str, position: Position) -> Statement:
        return self._position, (topic, *(getattr(position, name) for name in _POSITION))

    # --- writing

    def write(self, statements: Sequence[Statement]) -> None:
        """Returns when all are stored at LOCAL_QUORUM."""
        left = list(statements)
        deadline = time.monotonic() + WRITE_PATIENCE_S
        pause_s = RETRY_FIRST_S
        while left:
            failed, error = self._once(left)
            if error is not None:
                if not isinstance(error, NOT_NOW) or (time.monotonic() + pause_s > deadline):
                    raise error
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_MAX_S)
            left = failed

    def _once(self, statements: list[Statement]) -> tuple[list[Statement], Exception | None]:
        groups = by_partition(statements)
        results = execute_concurrent(
            self._session,
            list(as_writes(groups)),
            concurrency=CONCURRENCY,
            raise_on_first_error=False,
            results_generator=False,
        )
        failed: list[Statement] = []
        error: Exception | None = None
        for group, (is_stored, answer) in zip(groups, results, strict=True):
            if not is_stored:
                failed.extend(group)
                error = answer
        return failed, error

    def _insert(self, table: str, *columns: str) -> Any:
        marks = ", ".join("?" * len(columns))
        prepared = self._session.prepare(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})")
        prepared.is_idempotent = True
        return prepared

    # --- beginning

    def positions(self, topic: str) -> list[Position]:
        rows = self._session.execute(f"SELECT {', '.join(_POSITION)} FROM position WHERE topic = %s", (topic,))
        return [Position(*row) for row in rows]

    def latest_runs(self) -> list[str]:
        rows = self._session.execute(f"SELECT run_id FROM runs WHERE fleet = %s LIMIT {RUNS_LOOKED_AT}", (FLEET,))
        return [row.run_id for row in rows]

    def blocks(self, run_id: str) -> list[tuple[int, int, int]]:
        """(block, complete until, samples missing)"""
        rows = self._session.execute("SELECT block, second, missing FROM blocks WHERE run_id = %s", (run_id,))
        return [(row.block, row.second, row.missing) for row in rows]

    def put_aside(self, run_id: str, block: int, after: int) -> list[OpenSecond]:
        """Seconds of a block after `after` that were incomplete for long."""
        rows = self._session.execute(
            "SELECT second, partition, offset, frame FROM pending WHERE run_id = %s AND block = %s AND second > %s",
            (run_id, block, after),
        )
        frames: dict[tuple[int, int], list[tuple[int, bytes]]] = {}
        for row in rows:
            frames.setdefault((row.second, row.partition), []).append((row.offset, row.frame))
        return [OpenSecond(run_id, block, *key, tuple(sorted(each))) for key, each in sorted(frames.items())]

    def ticks(self, run_id: str, block: int, until: int, count: int) -> list[tuple[int, Any, Any]]:
        """The last `count` ticks up to tick `until`, oldest first: (tick, levels, neighbours)."""
        rows = self._session.execute(
            "SELECT tick, levels, neighbours FROM ticks WHERE run_id = %s AND block = %s AND tick <= %s AND tick > %s",
            (run_id, block, until, until - count),
        )
        made = [(row.tick, np.frombuffer(row.levels, np.float32), np.frombuffer(row.neighbours)) for row in rows]
        return sorted(made, key=lambda tick: tick[0])

    def recent_seconds(self, run_id: str, block: int, until: int, count: int) -> list[Window]:
        """The last `count` seconds of a block up to `until`, oldest first."""
        first = max(0, until - count + 1)
        asked = [
            (run_id, block * STRIPS_PER_BLOCK + strip, hour, first, until)
            for hour in range(first // HOUR_S, until // HOUR_S + 1)
            for strip in range(STRIPS_PER_BLOCK)
        ]
        query = "SELECT * FROM seconds WHERE run_id = %s AND strip = %s AND hour = %s AND second >= %s AND second <= %s"
        found: dict[int, list[Any]] = {}
        for _, rows in execute_concurrent(self._session, [(query, one) for one in asked], concurrency=CONCURRENCY):
            for row in rows:
                found.setdefault(row.second, []).append(row)
        whole = sorted(second for second, strips in found.items() if len(strips) == STRIPS_PER_BLOCK)
        return [_window_of(block, sorted(found[second], key=lambda row: row.strip)) for second in whole]

    def episodes(self, run_id: str, hours: Iterable[int]) -> list[list[Episode]]:
        """The episodes that began in these hours of a run, by block."""
        by_block: list[list[Episode]] = [[] for _ in range(BLOCKS)]
        query = f"SELECT {EPISODE_COLUMNS} FROM episodes_by_time WHERE run_id = %s AND hour = %s"
        for hour in hours:
            for row in self._session.execute(query, (run_id, hour)):
                episode = episode_of(row)
                by_block[block_of(episode.sensor)].append(episode)
        return by_block


def episode_of(row: Any) -> Episode:
    return Episode(
        row.run_id, row.sensor, EpisodeKind(row.kind), row.begin_second, row.end_second, row.is_open, row.seen,
        row.severity, row.confidence, row.neighbours_quiet, row.reading, row.neighbours_say, row.base, row.gain,
    )  # fmt: skip


def _window_of(block: int, strips: list[Any]) -> Window:
    """The window that was stored as strips."""
    first = strips[0]
    values = [np.frombuffer(row.values, np.float32).reshape(-1, SENSORS_PER_STRIP) for row in strips]
    scores = [np.frombuffer(row.scores, np.float16).reshape(-1, SENSORS_PER_STRIP) for row in strips]
    return Window(
        first.run_id, block, first.second, 0, first.count, first.first_sample, first.last_sample, first.partition,
        first.first_offset, first.last_offset, np.concatenate(values, axis=1).tobytes(),
        np.concatenate(scores, axis=1).tobytes(),
    )  # fmt: skip
