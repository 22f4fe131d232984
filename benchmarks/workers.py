"""Spark on a benchmark's own cluster, with a job that counts what another cluster's Kafka has: each record once."""

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from confluent_kafka import Consumer, TopicPartition

from benchmarks.driven import Driven
from benchmarks.load import Client

JOB: Final = "counts"
MEMBER: Final = f"spark.job-{JOB}"
ASKED_S: Final = 10.0
NOTHING: Final[tuple[int, list[int]]] = (0, [])


@dataclass(frozen=True)
class Workers(Driven):
    kafka: Client
    topic: str
    service: ClassVar[str] = "spark"
    pod: ClassVar[str] = "worker"
    _read: dict[Path, tuple[int, list[int]]] = field(default_factory=dict)
    """Files of the job -> when each was written, and the numbers in it. A job that goes on from a backup writes those
    anew that were there before its checkpoint spoke of them, with other numbers."""

    def until_whole(self) -> None:
        """All members are ready, and what was written until now is counted."""
        self.until("all are ready", lambda: all(task.state == "ready" for task in self.everyone()))
        self.until_counted()

    def until_counted(self) -> None:
        written = self.written()
        self.until(f"{written} records are counted", lambda: self.counted().total() >= written)

    def written(self) -> int:
        consumer = Consumer({**self.kafka, "group.id": "written", "log_level": 2})
        try:
            parts = consumer.list_topics(self.topic, timeout=ASKED_S).topics[self.topic].partitions
            found = [TopicPartition(self.topic, number) for number in parts]
            return sum(consumer.get_watermark_offsets(part, timeout=ASKED_S)[1] for part in found)
        finally:
            consumer.close()

    def counted(self, service: str = "spark") -> Counter[int]:
        """Number of the write -> how often the job of the service counted it."""
        member = MEMBER.replace("spark", service)
        places = sorted((Path(self.cluster.data) / "nodes").glob(f"*/volumes/{member}/*/checkpoint/out"))
        files = [file for place in places[-1:] for file in place.iterdir() if not file.name.startswith(".")]
        for file in files:
            with suppress(OSError):
                written_ns = file.stat().st_mtime_ns
                if self._read.get(file, NOTHING)[0] != written_ns:
                    self._read[file] = written_ns, json.loads(file.read_text())
        return Counter(number for file in files for number in self._read.get(file, NOTHING)[1])
