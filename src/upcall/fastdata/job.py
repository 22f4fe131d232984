"""The stream job: frames from Kafka through Spark into Cassandra, once, and only once.

Spark Structured Streaming cuts the log into micro-batches. Of each, the tasks make windows and scores (`micro_batch`),
the driver collects them (26 KB for a second of a block), judges them (`judging`) and stores all of it (`store`), in
this order: seconds, then ticks and episodes, then the blocks that say so, then the position. A crash at any point
leaves either nothing of a second or all of it, and the next job reads on from the position (`position`). Only then is
the position shown in Kafka as the offsets of a consumer group, for lag and retention.

What Spark's checkpoint holds is of no consequence: it is made anew with each start, in the folder of the task.

SIGTERM ends the job between two micro-batches. One that begins after the signal does nothing, which is harmless,
because Spark's own idea of the position is not used again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cassandra import DriverException, RequestValidationException
from cassandra.cluster import NoHostAvailable
from confluent_kafka import Consumer, KafkaException, TopicPartition

from upcall.fastdata.judging import Judge
from upcall.fastdata.micro_batch import DDL, Result, Task, lighten_worker, read_result
from upcall.fastdata.position import GROUP, Position, Start, start
from upcall.fastdata.raw import RawKeeper
from upcall.fastdata.runs import Run
from upcall.fastdata.schema import KEEP_S, KEYSPACE, connect, create
from upcall.fastdata.sensors import BLOCKS
from upcall.fastdata.store import Statement, Store
from upcall.fastdata.windows import BlockKey, OpenSecond, Tally, Window

KAFKA_TIMEOUT_S: Final = 10.0
WAIT_FOR_SYSTEMS_S: Final = 300.0
LOG_SHORTER_S: Final = 30.0
"""A broker that has just become leader may not know yet how far its log was acknowledged; after this it does."""
RUN_LOOKUP_S: Final = 5.0
PUT_ASIDE_S: Final = 20.0
"""A second that gets no frame for so long is put aside, and the position moves on without it."""
SUMMARY_EVERY_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    kafka: str
    """Bootstrap servers."""
    cassandra: tuple[str, ...]
    cassandra_port: int = 9042
    frames_topic: str = "frames"
    runs_topic: str = "runs"
    keyspace: str = KEYSPACE
    keep_s: int = KEEP_S
    max_frames: int = 1_200
    """Of one micro-batch: bounds what is collected and how long a stop takes. 15 s at full rate in quarter seconds."""
    trigger_ms: int = 1_000
    checkpoint: str = ""


def settings(arguments: Sequence[str] | None = None) -> Settings:
    """From the command line; what is not there from the environment (UPCALL_KAFKA, UPCALL_CASSANDRA, ...)."""
    parser = argparse.ArgumentParser(prog="upcall-windows", description="Frames from Kafka into seconds in Cassandra.")
    defaults = {name: field.default for name, field in Settings.__dataclass_fields__.items()}
    for name in ("kafka", "cassandra", "frames_topic", "runs_topic", "keyspace", "checkpoint"):
        fallback = defaults[name] if isinstance(defaults[name], str) else None
        value = os.environ.get(f"UPCALL_{name.upper()}", fallback)
        parser.add_argument(f"--{name.replace('_', '-')}", default=value, required=value is None)
    for name in ("cassandra_port", "keep_s", "max_frames", "trigger_ms"):
        value = os.environ.get(f"UPCALL_{name.upper()}", defaults[name])
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    said = vars(parser.parse_args(arguments))
    said["cassandra"] = tuple(host.strip() for host in said["cassandra"].split(",") if host.strip())
    return Settings(**said)


class Pipeline:
    """Everything but Spark: what the driver remembers from one micro-batch to the next, and what it stores."""

    def __init__(self, settings: Settings, store: Store, log: Log, raw: RawKeeper | None) -> None:
        self._settings = settings
        self._store = store
        self._log = log
        self._raw = raw
        self._judge = Judge(store)
        self._opened: dict[int, list[OpenSecond]] = {}
        """By partition."""
        self._aside: set[tuple[int, int]] = set()
        """(partition, offset) of frames that `pending` has."""
        self._waiting: dict[tuple[int, int], float] = {}
        """(partition, offset) of open frames: since when."""
        self._until: dict[BlockKey, int] = {}
        self._missing: dict[BlockKey, int] = {}
        self._known_runs: set[str] = set()
        self._summary = _Summary()
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
            print(f"{topic}[{partition}]: retention took {lost} messages before they were read", flush=True)
        self.positions = dict(begun.positions)
        self._opened = {}
        self._judge = Judge(self._store)
        for run_id in self._store.latest_runs():
            self._known_runs.add(run_id)
            for block, second, missing in self._store.blocks(run_id):
                self._until[run_id, block] = second
                self._missing[run_id, block] = missing
            for block in range(BLOCKS):
                for opened in self._store.put_aside(run_id, block, self._until.get((run_id, block), -1)):
                    self._opened.setdefault(opened.partition, []).append(opened)
                    self._aside |= {(opened.partition, offset) for offset, _ in opened.frames}
        return begun

    def task(self) -> Task:
        """For the next micro-batch."""
        return Task(
            opened=tuple(second for seconds in self._opened.values() for second in seconds),
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
        now = time.monotonic()
        moved = set()
        rows: list[Statement] = []
        for partition, seconds in self._opened.items():
            for opened in seconds:
                offsets = {(partition, offset) for offset, _ in opened.frames}
                newest = max(self._waiting.get(offset, now) for offset in offsets)
                if offsets <= self._aside or now - newest < PUT_ASIDE_S:
                    continue
                rows += self._store.pending(opened)
                self._aside |= offsets
                moved.add(partition)
        if rows:
            self._store.write(rows)
            self._move(
                [self.positions[partition].advanced(Tally(partition), self._needed(partition)) for partition in moved]
            )

    def _advance(self, result: Result) -> None:
        now = time.monotonic()
        for tally in result.tallies:
            self._opened[tally.partition] = [each for each in result.opened if each.partition == tally.partition]
        open_frames = {
            (partition, offset)
            for partition, seconds in self._opened.items()
            for opened in seconds
            for offset, _ in opened.frames
        }
        self._waiting = {frame: self._waiting.get(frame, now) for frame in open_frames}
        self._aside &= open_frames
        self._move(
            [
                self.positions.get(tally.partition, Position(tally.partition)).advanced(
                    tally, self._needed(tally.partition)
                )
                for tally in result.tallies
            ]
        )

    def _needed(self, partition: int) -> list[int]:
        """Offsets of frames that only the log has."""
        offsets = (offset for opened in self._opened.get(partition, ()) for offset, _ in opened.frames)
        return [offset for offset in offsets if (partition, offset) not in self._aside]

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
        self._judge.forget_but(set(sorted(self._known_runs, key=self._newest)[-4:]) | unknown)

    def _newest(self, run_id: str) -> int:
        return max((second for key, second in self._until.items() if key[0] == run_id), default=-1)


class Log:
    """What the driver itself asks of Kafka."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        common = {"bootstrap.servers": settings.kafka, "enable.auto.commit": False, "client.id": GROUP}
        self._shown = Consumer({**common, "group.id": GROUP})
        self._runs = Consumer({**common, "group.id": f"{GROUP}-runs", "auto.offset.reset": "earliest"})
        self._runs.assign([TopicPartition(settings.runs_topic, 0, 0)])
        self._announced: dict[str, Run] = {}

    def bounds(self) -> dict[int, tuple[int, int]]:
        """The first and the next offset of each partition."""
        topic = self._settings.frames_topic
        found = self._shown.list_topics(topic, timeout=KAFKA_TIMEOUT_S).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        bounds = {}
        for partition in found.partitions:
            marks = self._shown.get_watermark_offsets(TopicPartition(topic, partition), timeout=KAFKA_TIMEOUT_S)
            if marks is None:
                raise TimeoutError(f"Kafka did not tell the offsets of {topic}[{partition}]")
            bounds[partition] = marks
        return bounds

    def show(self, positions: Sequence[Position]) -> None:
        """Commits the position for others to see. Not waited for: it is not what we begin from."""
        offsets = [
            TopicPartition(self._settings.frames_topic, position.partition, position.resume_offset)
            for position in positions
        ]
        if offsets:
            try:
                self._shown.commit(offsets=offsets, asynchronous=True)
            except KafkaException as error:
                print(f"the position could not be shown in Kafka: {error}", flush=True)

    def runs(self, wanted: set[str], timeout_s: float) -> list[Run]:
        """The records of these runs, as far as they were announced."""
        deadline = time.monotonic() + timeout_s
        while not wanted <= self._announced.keys() and (left_s := deadline - time.monotonic()) > 0:
            message = self._runs.poll(min(left_s, 0.5))
            if message is None or message.error() is not None:
                continue
            try:
                run = Run.from_json(message.value() or b"")
            except ValueError as error:
                print(f"{self._settings.runs_topic}: {error}", flush=True)
                continue
            self._announced[run.run_id] = run
        return [self._announced[run_id] for run_id in sorted(wanted) if run_id in self._announced]

    def close(self) -> None:
        self._shown.close()
        self._runs.close()


class _Summary:
    """A line every few seconds for the log of the task."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._readings = self._windows = self._batches = self._episodes = 0
        self._newest: Window | None = None

    def add(self, result: Result, episodes: int) -> None:
        self._batches += 1
        self._windows += len(result.windows)
        self._readings += sum(tally.readings for tally in result.tallies)
        self._episodes += episodes
        if result.windows:
            self._newest = max(result.windows, key=lambda window: window.second)
        elapsed_s = time.monotonic() - self._since
        if elapsed_s < SUMMARY_EVERY_S or self._newest is None:
            return
        print(
            f"{self._newest.run_id} until second {self._newest.second}: {self._readings / elapsed_s / 1e6:.2f} million "
            f"readings/s, {self._windows} windows, {self._episodes} episode changes, {self._batches} micro-batches",
            flush=True,
        )
        newest = self._newest
        self.__init__()  # type: ignore[misc]
        self._newest = newest


class Streaming:
    """Spark's part: a query from a start to its end."""

    def __init__(self, spark: Any, settings: Settings, pipeline: Pipeline) -> None:
        self._spark = spark
        self._settings = settings
        self._pipeline = pipeline
        self._stopping = threading.Event()
        self._between_batches = threading.Lock()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        """Returns after `stop`; raises what ended the query."""
        begun = self._pipeline.begin()
        with tempfile.TemporaryDirectory(dir=self._checkpoints()) as checkpoint:
            query = self._query(begun, checkpoint)
            try:
                while query.isActive and not self._stopping.is_set():
                    query.awaitTermination(0.5)
                    with self._between_batches:
                        self._pipeline.put_aside()
                if self._stopping.is_set():
                    with self._between_batches:
                        query.stop()
            finally:
                if query.isActive:
                    query.stop()
            error = query.exception()
            if error is not None and not self._stopping.is_set():
                raise error

    def _checkpoints(self) -> str | None:
        folder = self._settings.checkpoint
        if not folder:
            return None
        shutil.rmtree(folder, ignore_errors=True)  # what an earlier job left is of no use
        Path(folder).mkdir(parents=True, exist_ok=True)
        return folder

    def _query(self, begun: Start, checkpoint: str) -> Any:
        topic = self._settings.frames_topic
        offsets = ", ".join(f'"{each.partition}": {each.resume_offset}' for each in begun.positions.values())
        source = (
            self._spark.readStream.format("kafka")
            .option("kafka.bootstrap.servers", self._settings.kafka)
            .option("subscribe", topic)
            .option("startingOffsets", f'{{"{topic}": {{{offsets}}}}}')
            .option("maxOffsetsPerTrigger", self._settings.max_frames)
            .option("failOnDataLoss", "true")
            .option("kafka.max.partition.fetch.bytes", 4 << 20)
            .option("kafka.fetch.max.bytes", 16 << 20)
            .load()
            .select("partition", "offset", "value")
        )
        return (
            source.writeStream.foreachBatch(self._store)
            .option("checkpointLocation", checkpoint)
            .trigger(processingTime=f"{self._settings.trigger_ms} milliseconds")
            .queryName("windows")
            .start()
        )

    def _store(self, frame: Any, _number: int) -> None:
        with self._between_batches:
            if not self._stopping.is_set():
                self._pipeline.store(read_result(frame.mapInArrow(self._pipeline.task(), DDL).toArrow()))


def _warm_up(spark: Any) -> None:
    """Starts the Python workers and imports what they need, while Kafka and Cassandra may still be starting."""
    frame = spark.range(0, 8, 1, 4).selectExpr("cast(id as int) partition", "id offset", "cast('warm' as binary) value")
    frame.where("partition < 0").mapInArrow(Task(), DDL).count()
    frame.repartition(4, "partition").mapInArrow(_lighten, "id int").count()


def _lighten(batches: Any) -> Any:
    lighten_worker()
    for _ in batches:
        pass
    return iter(())


def _patiently(what: str, call: Any) -> Any:
    """Systems may come later than we do."""
    deadline = time.monotonic() + WAIT_FOR_SYSTEMS_S
    while True:
        try:
            return call()
        except RequestValidationException:
            raise  # what is wrong in itself does not become right by waiting
        except (DriverException, NoHostAvailable, KafkaException, TimeoutError) as error:
            if time.monotonic() > deadline:
                raise
            print(f"waiting for {what}: {error}", flush=True)
            time.sleep(1)


def _session(settings: Settings) -> Any:
    cluster = connect(settings.cassandra, settings.cassandra_port)
    try:
        session = cluster.connect()
        create(session, settings.keyspace, settings.keep_s)
    except Exception:
        cluster.shutdown()
        raise
    return session


def main(arguments: Sequence[str] | None = None) -> int:
    from pyspark.sql import SparkSession

    chosen = settings(arguments)
    spark = SparkSession.builder.appName("upcall-windows").config(
        "spark.sql.execution.arrow.maxRecordsPerBatch", "64"
    ).getOrCreate()  # fmt: skip
    warming = threading.Thread(target=_warm_up, args=(spark,), daemon=True)
    warming.start()
    session = _patiently("Cassandra", lambda: _session(chosen))
    store = Store(session)
    log = Log(chosen)
    _patiently("Kafka's topic of frames", log.bounds)
    warming.join()
    raw_store = Store(session)

    def keep(frames: list[Any]) -> None:
        raw_store.write([raw_store.raw(w.run_id, w.block, w.second, first, data) for w, first, data in frames])

    raw = RawKeeper(chosen.kafka, chosen.frames_topic, keep)
    streaming = Streaming(spark, chosen, Pipeline(chosen, store, log, raw))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: streaming.stop())
    print("reading on", flush=True)
    try:
        streaming.run()
    finally:
        raw.close()
        log.close()
        session.cluster.shutdown()
        spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
