"""What the job's driver itself asks of the log, and shows in it. The frames are read by Spark's tasks, not here.

How far the log goes tells where to begin; the topic of runs says what the frames belong to; and the position is shown
as the offsets of a consumer group, for lag and retention. That is for others to see: the job begins from the position
in the store.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from upcall.fastdata.job_settings import Settings
from upcall.fastdata.login import kafka_client, read_login
from upcall.fastdata.position import GROUP, Position
from upcall.fastdata.runs import Run

KAFKA_TIMEOUT_S: Final = 10.0


class Log:
    """Two consumers of the driver's own; neither joins a group."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        common = {
            "bootstrap.servers": settings.kafka,
            "enable.auto.commit": False,
            "client.id": GROUP,
            **kafka_client(read_login(settings.kafka_login_file)),
        }
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
