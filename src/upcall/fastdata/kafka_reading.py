"""What is asked of Kafka: how far a run has come, how far its reader is behind. Each call reads the log as it stands
and remembers nothing.

Reading back: a partition's end is read in growing steps, backwards, until every block of the partition was seen. No
frame of a run is older than the run's start, and messages bear the time of their first sample, so the search ends
there at the latest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from upcall.fastdata.frames import FrameError, FrameHeader, inspect
from upcall.fastdata.retention import Retention
from upcall.fastdata.runs import Run

CALL_TIMEOUT_S: Final = 5.0
SILENCE_S: Final = 15.0
"""A partition that yields nothing for so long cannot be read now."""
TAIL_FIRST: Final = 64
"""Messages read back from a partition's end at first; four times as many with each step back."""
UNREAD_LOOK: Final = 256
"""With fewer unread messages in a partition its reader is not behind, and the oldest is not looked at."""


@dataclass(frozen=True, slots=True)
class Behind:
    """What the reader has not read of a partition."""

    partition: int
    messages: int
    oldest_ms: int
    """Time of the oldest unread message; 0 when there are few, or it is not known."""


def partitions(client: Producer | None, topic: str) -> int:
    """How many partitions a topic has; raises when it is not there."""
    assert client is not None
    found = client.list_topics(topic, timeout=CALL_TIMEOUT_S).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    return len(found.partitions)


def keys(options: dict[str, Any], topic: str) -> set[str]:
    """The keys of all messages of a topic's first partition."""
    consumer = Consumer(options)
    try:
        low, high = _watermarks(consumer, topic, 0)
        return {(message.key() or b"").decode(errors="replace") for message in _read(consumer, topic, 0, low, high)}
    finally:
        consumer.close()


def last_samples(options: dict[str, Any], topic: str, count: int, run: Run) -> dict[int, int]:
    """The last sample of each block of a run that has any in the log."""
    consumer = Consumer(options)
    last: dict[int, int] = {}
    try:
        for partition in range(count):
            blocks = {block for block in run.block_numbers if block % count == partition}
            if blocks:
                last.update(_tail(consumer, topic, partition, run, blocks))
        return last
    finally:
        consumer.close()


def _tail(consumer: Consumer, topic: str, partition: int, run: Run, blocks: set[int]) -> dict[int, int]:
    low, high = _watermarks(consumer, topic, partition)
    searched = TopicPartition(topic, partition, run.start_us // 1_000)
    (found,) = consumer.offsets_for_times([searched], timeout=CALL_TIMEOUT_S)
    if found.error is not None:
        raise KafkaException(found.error)
    floor = high if found.offset < 0 else max(low, found.offset)
    last: dict[int, int] = {}
    upper, span = high, TAIL_FIRST
    while upper > floor and set(last) != blocks:
        lower = max(floor, upper - span)
        for message in _read(consumer, topic, partition, lower, upper):
            header = _header(message)
            if header is not None and header.run_id == run.run_id and header.block in blocks:
                last[header.block] = max(last.get(header.block, -1), header.last_sample)
        upper, span = lower, span * 4
    return last


def unread(consumer: Consumer, topic: str, count: int) -> list[Behind]:
    """How far the consumer's group is behind in each partition. A group that never committed has read nothing."""
    asked = [TopicPartition(topic, partition) for partition in range(count)]
    behind = []
    for committed in consumer.committed(asked, timeout=CALL_TIMEOUT_S):
        low, high = _watermarks(consumer, topic, committed.partition)
        position = low if committed.offset == OFFSET_INVALID else max(low, committed.offset)
        messages = max(0, high - position)
        oldest_ms = 0
        if messages >= UNREAD_LOOK:
            first = next(_read(consumer, topic, committed.partition, position, position + 1), None)
            oldest_ms = first.timestamp()[1] if first is not None else 0
        behind.append(Behind(committed.partition, messages, oldest_ms))
    return behind


def retention(admin: AdminClient, topic: str) -> Retention:
    """What the topic keeps, by time and by size of a partition."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    entries = admin.describe_configs([resource], request_timeout=CALL_TIMEOUT_S)[resource].result()
    return Retention(time_ms=int(entries["retention.ms"].value), bytes=int(entries["retention.bytes"].value))


def _watermarks(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    marks = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=CALL_TIMEOUT_S)
    if marks is None:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"no answer about {topic}[{partition}]"))
    low, high = marks
    return low, high


def _read(consumer: Consumer, topic: str, partition: int, lower: int, upper: int) -> Iterator[Message]:
    """The messages from offset `lower` to before `upper`."""
    if lower >= upper:
        return
    consumer.assign([TopicPartition(topic, partition, lower)])
    try:
        yield from _until(consumer, f"{topic}[{partition}]", upper)
    finally:
        consumer.unassign()  # or it would go on fetching


def _until(consumer: Consumer, where: str, upper: int) -> Iterator[Message]:
    while True:
        message = consumer.poll(SILENCE_S)  # not consume(): that waits until it has as many as asked for
        if message is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{where} yields nothing"))
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                return
            raise KafkaException(error)
        offset = message.offset()
        assert offset is not None
        if offset < upper:
            yield message
        if offset >= upper - 1:
            return


def _header(message: Message) -> FrameHeader | None:
    try:
        return inspect(message.value() or b"")
    except FrameError:
        return None
