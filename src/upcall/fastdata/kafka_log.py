"""The frame log on Kafka: the producer's side. What is read back of it is in `kafka_reading.py`.

Topics
    frames         a frame a message, in partition `block mod partitions`, given explicitly: a key's hash would be
    uneven. The message's time is the wall
                   clock of the frame's first sample, so the log can be searched by when readings were taken
    runs           compacted, by run: the record of each run, stored before the first frame of it
    frames-dead    what could not be read, with the reason in a header

The producer is idempotent and waits for all replicas, so within one process nothing is stored twice or out of order;
should that promise break, the producer calls the error fatal, and so do we. It never gives a message up: Kafka may be
away for as long as it likes, and what piles up meanwhile is bounded by who hands over.

After a crash, what is stored is asked of the log itself. A run that was never announced has no frame in it; of one
that was, the ends of the partitions tell how far each block has come.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from upcall.fastdata import kafka_reading as reading
from upcall.fastdata.frame_log import FRAME_BYTES_MAX, Delivered, Failed, LogClosed
from upcall.fastdata.retention import Unread, danger
from upcall.fastdata.runs import Run

T = TypeVar("T")

RETRY_S: Final = 0.5
POLL_S: Final = 0.1
TROUBLE_S: Final = 5.0
"""How long a complaint of the client counts as news."""
DEAD_BYTES_MAX: Final = 500_000
"""What is kept of something that is no frame."""
QUEUE_KBYTES: Final = 256 * 1_024
"""Far above what ingest hands over before it waits: the producer's queue is never what is full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    bootstrap_servers: str
    topic: str = "frames"
    runs_topic: str = "runs"
    dead_topic: str = "frames-dead"
    reader_group: str = "upcall-windows"
    """The consumer group as which the stream job commits how far it has stored; it need not be a member of it."""
    client: Mapping[str, str] | None = None
    """Further options of the Kafka client, as it names them."""

    def common(self) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.bootstrap_servers,
            "client.id": "upcall-ingest",
            "socket.keepalive.enable": True,
            "log_level": 2,  # a broker that is away is said once a second by us, not at each try by the client
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1_000,
            **(self.client or {}),
        }

    def producer(self) -> dict[str, Any]:
        return {
            **self.common(),
            "acks": "all",
            "enable.idempotence": True,
            "enable.gapless.guarantee": True,
            "message.timeout.ms": 0,  # never given up
            "linger.ms": 5,
            "batch.size": FRAME_BYTES_MAX,
            "message.max.bytes": 2 * FRAME_BYTES_MAX,
            "queue.buffering.max.kbytes": QUEUE_KBYTES,
        }

    def consumer(self, group: str) -> dict[str, Any]:
        return {
            **self.common(),
            "group.id": group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
            "queued.max.messages.kbytes": 16 * 1_024,
        }


class KafkaLog:
    """See `frame_log.FrameLog`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self.partitions = 0
        """Of the topic of frames; known once it is open."""
        self._announced: set[str] = set()
        self._failed: Failed = _ignore
        self._closing = threading.Event()
        self._beginning = threading.Lock()
        """Whoever closes meets a producer with its poller, or none: it may come while the log is opened."""
        self._producer: Producer | None = None
        self._poller: threading.Thread | None = None
        self._looker: Consumer | None = None
        self._admin: AdminClient | None = None
        self._trouble = (-TROUBLE_S, "")
        self._stored_bytes = 0
        self._stored_frames = 0

    def open(self, failed: Failed) -> None:
        self._failed = failed
        with self._beginning:
            self._check_open()
            self._producer = Producer(self.settings.producer() | {"error_cb": self._on_error})
            self._poller = threading.Thread(target=self._poll, name="kafka-poll", daemon=True)
            self._poller.start()
        for topic in (self.settings.runs_topic, self.settings.dead_topic):
            self._patiently(partial(reading.partitions, self._producer, topic))
        self.partitions = self._patiently(partial(reading.partitions, self._producer, self.settings.topic))
        options = self.settings.consumer("upcall-ingest")
        self._announced = self._patiently(partial(reading.keys, options, self.settings.runs_topic))

    def is_announced(self, run: Run) -> bool:
        return run.run_id in self._announced

    def announce(self, run: Run) -> None:
        stored = threading.Event()
        self._produce(self.settings.runs_topic, 0, run.to_json().encode(), stored.set, key=run.run_id.encode())
        while not stored.wait(POLL_S):
            self._check_open()
        self._announced.add(run.run_id)

    def last_samples(self, run: Run) -> dict[int, int]:
        options = self.settings.consumer("upcall-ingest")
        return self._patiently(partial(reading.last_samples, options, self.settings.topic, self.partitions, run))

    def append(self, block: int, frame: bytes, due_us: int, delivered: Delivered) -> None:
        assert len(frame) <= FRAME_BYTES_MAX, f"a frame of {len(frame)} bytes is more than Kafka takes"
        self._stored_bytes += len(frame)
        self._stored_frames += 1
        self._produce(self.settings.topic, block % self.partitions, frame, delivered, timestamp=due_us // 1_000)

    def set_aside(self, frame: bytes, reason: str, delivered: Delivered) -> None:
        headers = {"reason": reason[:1_000].encode()}
        self._produce(self.settings.dead_topic, 0, frame[:DEAD_BYTES_MAX], delivered, headers=headers)

    def reader_in_danger(self, *, held: bool) -> str:
        if self._looker is None or self._admin is None:
            self._looker = Consumer(self.settings.consumer(self.settings.reader_group))
            self._admin = AdminClient(self.settings.common())
        kept = reading.retention(self._admin, self.settings.topic)
        behind = reading.unread(self._looker, self.settings.topic, self.partitions)
        average = self._stored_bytes // max(1, self._stored_frames)
        now_ms = time.time_ns() // 1_000_000
        said = (
            danger(
                kept,
                Unread(
                    partition=each.partition,
                    messages=each.messages,
                    about_bytes=each.messages * average,
                    oldest_age_ms=now_ms - each.oldest_ms if each.oldest_ms else 0,
                ),
                held=held,
            )
            for each in behind
        )
        return next((reason for reason in said if reason), "")

    def trouble(self) -> str:
        since, said = self._trouble
        return said if time.monotonic() - since < TROUBLE_S else ""

    def close(self, timeout_s: float) -> None:
        self._closing.set()
        with self._beginning:
            poller = self._poller
        if poller is not None:
            poller.join()  # first: two threads that report deliveries could swap them
        if self._producer is not None:
            self._producer.flush(timeout_s)
        if self._looker is not None:
            self._looker.close()

    def _produce(self, topic: str, partition: int, value: bytes, delivered: Delivered, **more: Any) -> None:
        assert self._producer is not None, "open() comes first"

        def on_delivery(error: KafkaError | None, _message: Message) -> None:
            if error is None:
                delivered()
            else:
                self._failed(f"Kafka did not store a message for {topic}[{partition}]: {error}")

        try:
            self._producer.produce(topic, value, partition=partition, on_delivery=on_delivery, **more)
        except (BufferError, KafkaException) as error:
            self._failed(f"Kafka's client did not take a message for {topic}[{partition}]: {error}")

    def _poll(self) -> None:
        """Delivery reports come while somebody polls."""
        assert self._producer is not None
        while not self._closing.is_set():
            self._producer.poll(POLL_S)

    def _on_error(self, error: KafkaError) -> None:
        """Brokers that are away are worth a word: the client goes on trying. A broken promise is the end."""
        if error.fatal():
            self._failed(f"Kafka's client gave up: {error}")
        self._trouble = (time.monotonic(), error.str())

    def _patiently(self, call: Callable[[], T]) -> T:
        """Repeats a read until it succeeds: brokers and topics may come later than we do."""
        while True:
            self._check_open()
            try:
                return call()
            except KafkaException as error:
                if error.args and isinstance(error.args[0], KafkaError) and error.args[0].fatal():
                    raise
            self._closing.wait(RETRY_S)

    def _check_open(self) -> None:
        if self._closing.is_set():
            raise LogClosed("the log was closed meanwhile")


def _ignore(_reason: str) -> None:
    return None
