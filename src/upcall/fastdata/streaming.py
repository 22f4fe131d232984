"""Spark's part of the stream job: a query that cuts the log into micro-batches, and hands each to the tasks.

What Spark's checkpoint holds is of no consequence: it is made anew with each start, in the folder of the task, and the
query is told where to read on. A stop ends the job between two micro-batches. One that begins after the signal does
nothing, which is harmless, because Spark's own idea of the position is not used again.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

from upcall.fastdata.job_settings import Settings
from upcall.fastdata.login import kafka_source, read_login
from upcall.fastdata.micro_batch import DDL, Task, lighten, read_result
from upcall.fastdata.pipeline import Pipeline
from upcall.fastdata.position import Start


class Streaming:
    """One query, from a start to its end."""

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
            .options(**kafka_source(read_login(self._settings.kafka_login_file)))
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


def warm_up(spark: Any) -> None:
    """Starts the Python workers and imports what they need, while Kafka and Cassandra may still be starting."""
    frame = spark.range(0, 8, 1, 4).selectExpr("cast(id as int) partition", "id offset", "cast('warm' as binary) value")
    frame.where("partition < 0").mapInArrow(Task(), DDL).count()
    frame.repartition(4, "partition").mapInArrow(lighten, "id int").count()
