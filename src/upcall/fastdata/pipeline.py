"""Everything of the stream job but Spark: what its driver remembers from one micro-batch to the next, and what it
stores.

Of each micro-batch: first the records of runs that are new, then the seconds, then ticks and episodes, then the blocks
that say so, then the position. A crash at any point leaves either nothing of a second or all of it, and the next job
reads on from the position. So what is remembered here is only ever what a restart would find in the store and the log.
"""

from __future__ import annotations

import time
from typing import Final

from upcall.fastdata.job_log import Log
from upcall.fastdata.job_settings import Settings
from upcall.fastdata.judging import Judge
from upcall.fastdata.micro_batch import Result, Task
from upcall.fastdata.open_seconds import OpenSeconds
from upcall.fastdata.partition_writes import Statement
from upcall.fastdata.position import Position, Start, start
from upcall.fastdata.raw import RawKeeper
from upcall.fastdata.sensors import BLOCKS
from upcall.fastdata.store import Store
from upcall.fastdata.summary import Summary
from upcall.fastdata.windows import BlockKey, Tally

LOG_SHORTER_S: Final = 30.0
"""A broker that has just become leader may not know yet how far its log was acknowledged; after this it does."""
RUN_LOOKUP_S: Final = 5.0
RUNS_WATCHED: Final = 4
"""Detectors of the newest so many runs are kept."""


class Pipeline:
    """From a start to the end of the job."""

    def __init__(self, settings: Settings, store: Store, log: Log, raw: RawKeeper | None) -> None:
        self._settings = settings
        self._store = store
        self._log = log
        self._raw = raw
        self._judge = Judge(store)
        self._open = OpenSeconds()
        self._until: dict[BlockKey, int] = {}
        self._missing: dict[BlockKey, int] = {}
        self._known_runs: set[str] = set()
        self._summary = Summary()
        self.positions: dict[int, Position] = {}

    def begin(self) -> Start:
        """Where to read on, from the store and the log."""
        topic = self._settings.frames_topic
        begun = start(self._store.positions(topic), self._log.bounds())
        deadline = time.monotonic() + LOG_SHORTER_S
        while begun.restarted and time.monotonic() < deadline:
            time.sleep(1)
            begun = start(self._store.positions(topic), self._log.bounds())
        for partition in begun.restarted:
            print(f"{topic}[{partition}] was made anew: it is read from its beginning", flush=True)
        for partition, lost in begun.lost.items():
            print(f"{topic}[{partition}]: messages that retention took before they were read: {lost}", flush=True)
        self.positions = dict(begun.positions)
        self._open = OpenSeconds()
        self._judge = Judge(self._store)
        for run_id in self._store.latest_runs():
            self._known_runs.add(run_id)
            for block, second, missing in self._store.blocks(run_id):
                self._until[run_id, block] = second
                self._missing[run_id, block] = missing
            for block in range(BLOCKS):
                for opened in self._store.put_aside(run_id, block, self._until.get((run_id, block), -1)):
                    self._open.take_up(opened)
        return begun

    def task(self) -> Task:
        """For the next micro-batch."""
        return Task(
            opened=self._open.all(),
            stored_until=dict(self._until),
            count_from={partition: position.read_until for partition, position in self.positions.items()},
        )

    def store(self, result: Result) -> None:
        """Returns when all that the micro-batch told is stored."""
        self._announce(result)
        findings = self._judge.judge(result.windows, self._until, self._missing)
        self._store.write([row for window in result.windows for row in self._store.second(window)])
        rows: list[Statement] = []
        for tick in findings.ticks:
            rows.append(self._store.tick(tick.run_id, tick.block, tick.tick, tick.levels, tick.neighbours))
        for episode in findings.episodes.values():
            rows.extend(self._store.episode(episode))
        rows.extend(self._store.refused(self._settings.frames_topic, refused) for refused in result.refused)
        self._store.write(rows)
        latest = {window.key: window for window in result.windows}
        self._store.write(
            [
                self._store.block(window, self._judge.missing(key), self._judge.health(key))
                for key, window in latest.items()
            ]
        )
        for key, window in latest.items():
            self._until[key] = window.second
            self._missing[key] = self._judge.missing(key)
        self._advance(result)
        if self._raw is not None:
            self._raw.ask(findings.wanted)
        self._summary.add(result, len(findings.episodes))

    def put_aside(self) -> None:
        """Between micro-batches: what has waited for long no longer holds the position."""
        aside = self._open.put_aside(time.monotonic())
        if aside:
            self._store.write([row for opened in aside for row in self._store.pending(opened)])
            moved = {opened.partition for opened in aside}
            self._move(
                [
                    self.positions[partition].advanced(Tally(partition), self._open.needed(partition))
                    for partition in moved
                ]
            )

    def _advance(self, result: Result) -> None:
        self._open.now_open((tally.partition for tally in result.tallies), result.opened, time.monotonic())
        self._move(
            [
                self.positions.get(tally.partition, Position(tally.partition)).advanced(
                    tally, self._open.needed(tally.partition)
                )
                for tally in result.tallies
            ]
        )

    def _move(self, positions: list[Position]) -> None:
        self._store.write([self._store.position(self._settings.frames_topic, position) for position in positions])
        self.positions |= {position.partition: position for position in positions}
        self._log.show(positions)

    def _announce(self, result: Result) -> None:
        """A run's record stands in the store before its first second does."""
        unknown = {window.run_id for window in result.windows} - self._known_runs
        if not unknown:
            return
        found = self._log.runs(unknown, RUN_LOOKUP_S)
        for run_id in unknown - {run.run_id for run in found}:
            print(f"run {run_id} was never announced: its seconds are stored, its start is not known", flush=True)
        self._store.write([self._store.run(run) for run in found])
        self._known_runs |= unknown
        self._judge.forget_but(set(sorted(self._known_runs, key=self._newest)[-RUNS_WATCHED:]) | unknown)

    def _newest(self, run_id: str) -> int:
        return max((second for key, second in self._until.items() if key[0] == run_id), default=-1)
