"""Open-loop load on Kafka, and what its partitions look like meanwhile.

**Open loop.** A write is due by a schedule that no answer slows down, and its latency counts from the moment it was
due: a stall of one second is paid by all writes that were due in it (no "coordinated omission"). Each has one total
deadline over all its retries; what misses it has failed, also when it is stored later.

**In-sync replicas** are sampled by clients of their own, several of them: one that happens to ask the broker that is
being stopped waits for a timeout, and the others go on.
"""

import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

Client = Mapping[str, str]
"""How to reach the brokers, and as whom: settings of a client built on librdkafka."""

DEADLINE_S: Final = 5.0
PAYLOAD: Final = bytes(range(256)) * 2
KEY_BYTES: Final = 8
WARM_UP_WRITES: Final = 2000
PIPELINED: Final = 20
WARM_UP_S: Final = 60.0
STALLED_S: Final = 3.0
SAMPLE_EVERY_S: Final = 0.05
SAMPLE_TIMEOUT_S: Final = 2.0
SAMPLERS: Final = 3
READ_BACK_S: Final = 120.0


def warm_up(client: Client, topic: str) -> None:
    """Writes that count for nothing: what is measured are brokers at work, not the first seconds of a JVM."""
    producer = Producer({**client, "acks": "all", "linger.ms": 0, "log_level": 2})
    until = time.monotonic() + WARM_UP_S
    for number in range(WARM_UP_WRITES):
        producer.produce(topic, PAYLOAD, number.to_bytes(KEY_BYTES, "big"))
        if number % PIPELINED == 0:
            producer.flush(max(0.0, until - time.monotonic()))
    producer.flush(max(0.0, until - time.monotonic()))


def write(client: Client, topic: str, numbers: Iterable[int], payload: bytes = PAYLOAD) -> None:
    """Writes that are no load: all are acknowledged when it returns."""
    producer = Producer({**client, "acks": "all", "log_level": 2})
    for number in numbers:
        producer.produce(topic, payload, number.to_bytes(KEY_BYTES, "big"))
        if number % PIPELINED == 0:
            producer.flush(WARM_UP_S)
    if left := producer.flush(WARM_UP_S):
        raise TimeoutError(f"{left} writes to {topic} were not acknowledged within {WARM_UP_S:g} s")


@dataclass
class Writes:
    """``acks=all`` writes over all partitions of a topic, ``rate_hz`` of them due each second until `stop`."""

    client: Client
    topic: str
    rate_hz: int
    deadline_s: float = DEADLINE_S
    idempotent: bool = False
    """As Java's clients are unless told otherwise: what is sent again for want of an answer stands in the log once, as
    long as none was given up after ``deadline_s`` (``tests/real/test_kafka_twice.py`` says what comes then)."""
    first: int = 0
    """Number of the first write in the log; here they count from 0."""
    due: int = 0
    acknowledged: dict[int, float] = field(default_factory=dict)
    """Number of the write -> seconds from when it was due until it was acknowledged."""
    errors: Counter[str] = field(default_factory=Counter)
    stalled: list[tuple[float, float, int | None]] = field(default_factory=list)
    """Those that took longer than ``STALLED_S``: when each was due (seconds of the wall clock), how long, and to which
    partition; failed ones too. Whoever asks why finds the time in the logs of brokers."""
    phases: list[tuple[int, str]] = field(default_factory=lambda: [(0, "begin")])
    """First write of each phase of the run, and its name."""
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No more are due; those under way end within their deadline."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def in_time(self) -> list[float]:
        """Latencies in seconds, of the writes that kept their deadline."""
        return sorted(latency for latency in self.acknowledged.values() if latency <= self.deadline_s)

    @property
    def failed(self) -> int:
        return self.due - len(self.in_time)

    def phase(self, name: str) -> None:
        """What is due from now on belongs to this part of the run."""
        self.phases.append((self.due, name))

    def failed_by_phase(self) -> dict[str, int]:
        counts = Counter(
            self._phase_of(number) for number in range(self.due) if self.acknowledged.get(number, inf) > self.deadline_s
        )
        return dict(counts)

    def slowest_by_phase(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for number, latency in sorted(self.acknowledged.items()):
            phase = self._phase_of(number)
            found[phase] = max(found.get(phase, 0.0), latency)
        return found

    def _phase_of(self, number: int) -> str:
        return self.phases[bisect_right(self.phases, number, key=lambda phase: phase[0]) - 1][1]

    def _run(self) -> None:
        producer = Producer(
            {
                **self.client,
                "acks": "all",
                "enable.idempotence": self.idempotent,
                "message.timeout.ms": int(self.deadline_s * 1000),
                "linger.ms": 5,
                "log_level": 2,
            }
        )
        began = time.monotonic()
        while not self._stopping.is_set():
            due_at = began + self.due / self.rate_hz
            wait_s = due_at - time.monotonic()
            if wait_s > 0:
                producer.poll(wait_s)
                continue
            self._write(producer, self.due, due_at)
            self.due += 1
            producer.poll(0)
        producer.flush(2 * self.deadline_s)

    def _write(self, producer: Producer, number: int, due_at: float) -> None:
        def delivered(error: KafkaError | None, message: Message) -> None:
            latency_s = time.monotonic() - due_at
            if latency_s > STALLED_S:
                self.stalled.append((time.time() - latency_s, latency_s, message.partition()))
            if error is None:
                self.acknowledged[number] = latency_s
            else:
                self.errors[error.name()] += 1

        key = (self.first + number).to_bytes(KEY_BYTES, "big")
        try:
            producer.produce(self.topic, PAYLOAD, key, on_delivery=delivered)
        except BufferError:
            self.errors["queue full"] += 1


@dataclass
class InSync:
    """Samples, as fast as `SAMPLE_EVERY_S` and the brokers allow, of which partitions are below their minimum."""

    client: Client
    minimums: dict[str, int]
    """Topic -> ``min.insync.replicas``. Topics that are not named are not looked at."""
    samples: list[list[tuple[float, tuple[str, ...]]]] = field(default_factory=list)
    """For each sampler: when, and the partitions below their minimum."""
    unanswered: int = 0
    _stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self.samples = [[] for _ in range(SAMPLERS)]
        for number in range(SAMPLERS):
            thread = threading.Thread(target=self._run, args=(self.samples[number],), name="in-sync", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, into: list[tuple[float, tuple[str, ...]]]) -> None:
        client = AdminClient({**self.client, "log_level": 2})
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                below = below_minimum(client, self.minimums, SAMPLE_TIMEOUT_S)
                into.append((time.monotonic(), below))
            except KafkaException:
                self.unanswered += 1
            self._stopping.wait(max(0.0, began + SAMPLE_EVERY_S * SAMPLERS - time.monotonic()))

    # -- figures ----------------------------------------------------------------------------------------------------

    @property
    def under_minimum_s(self) -> float:
        """Time in which some partition was below its minimum, as the sampler saw it that saw the most."""
        return max(
            sum(after - at for (at, below), (after, _) in pairwise(each) if below) for each in self.samples if each
        )

    @property
    def under_minimum(self) -> list[str]:
        return sorted({name for each in self.samples for _, below in each for name in below})

    @property
    def gaps_s(self) -> list[float]:
        """Times between one sample and the next, of all samplers together."""
        times = sorted(at for each in self.samples for at, _ in each)
        return [after - before for before, after in pairwise(times)]


def below_minimum(client: AdminClient, minimums: dict[str, int], timeout_s: float) -> tuple[str, ...]:
    """An answer that does not name a topic is no answer: `KafkaException`."""
    found = client.list_topics(timeout=timeout_s).topics
    if not minimums.keys() <= found.keys():
        raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    return tuple(
        f"{topic}-{number}"
        for topic, minimum in minimums.items()
        for number, partition in found[topic].partitions.items()
        if len(partition.isrs) < minimum
    )


def replicas_in_sync(client: Client, topic: str, replication: int) -> bool:
    """Whether every partition of the topic has all its replicas in sync."""
    admin = AdminClient({**client, "log_level": 2})
    try:
        return not below_minimum(admin, {topic: replication}, DEADLINE_S)
    except KafkaException:
        return False


def read_back(client: Client, topic: str) -> Counter[int]:
    """Number of the write -> how often it stands in the log, over all partitions, up to their ends as of now."""
    settings: dict[str, Any] = {
        **client,
        "group.id": "read-back",
        "enable.auto.commit": False,
        "log_level": 2,
    }
    consumer = Consumer(settings)
    try:
        numbers = consumer.list_topics(topic, timeout=READ_BACK_S).topics[topic].partitions
        parts = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in numbers]
        ends = {part.partition: _end(consumer, part) for part in parts}
        left = {number for number, end in ends.items() if end > 0}
        consumer.assign(parts)
        found: Counter[int] = Counter()
        until = time.monotonic() + READ_BACK_S
        while left and time.monotonic() < until:
            for message in consumer.consume(1000, timeout=1.0):
                if message.error():
                    continue
                found[int.from_bytes(message.key() or b"", "big")] += 1
                number, offset = message.partition(), message.offset()
                if number is not None and offset is not None and offset + 1 >= ends[number]:
                    left.discard(number)
        if left:
            raise TimeoutError(f"partitions {sorted(left)} of {topic} were not read within {READ_BACK_S:g} s")
        return found
    finally:
        consumer.close()


def _end(consumer: Consumer, part: TopicPartition) -> int:
    """A leader that was just elected does not know for a moment what is committed, and the client not who leads."""
    until = time.monotonic() + READ_BACK_S
    while True:
        try:
            return int(consumer.get_watermark_offsets(part, timeout=READ_BACK_S)[1])
        except KafkaException as error:
            passes = error.args[0].code() in (KafkaError.OFFSET_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION)
            if not passes or time.monotonic() > until:
                raise
            time.sleep(SAMPLE_EVERY_S)


def percentile_ms(sorted_s: list[float], percent: float) -> float | None:
    """None when nothing was measured: a promise about it is broken then."""
    if not sorted_s:
        return None
    return round(1000 * sorted_s[min(len(sorted_s) - 1, int(len(sorted_s) * percent / 100))], 1)
