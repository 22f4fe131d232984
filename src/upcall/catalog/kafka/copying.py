"""Topics copied out of a cluster and into one, a partition at a time. Blocking; run beside the loop.

A partition is copied up to the last stable offset that it had when the copy began, as one who reads what is committed
sees it. What an earlier backup has of it is not read again. Into a new topic the records go in their order, so the
n-th of them gets the offset n; that is how a copy that was interrupted knows where it was, and how offsets of groups
are translated.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from upcall.catalog.kafka.admin import TIMEOUT_S, Admin
from upcall.catalog.kafka.records import Record, Stretch, before, packed, unpacked
from upcall.protocol.errors import Conflict, NotNow
from upcall.service.backup import BackupInto, Part, StoredBackup

STRETCH_BYTES: Final = 8 << 20
AT_ONCE: Final = 10_000
SILENT_S: Final = 60.0
"""No record and no end of the log for so long: the partition has no leader."""
READS: Final = {
    "group.id": "upcall-backup",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",
    "queued.max.messages.kbytes": 65_536,
    "fetch.max.bytes": 32 << 20,
    "max.partition.fetch.bytes": 16 << 20,
    "fetch.wait.max.ms": 100,
    "check.crcs": True,
    "log_level": 2,
}
WRITES: Final = {
    "enable.idempotence": True,
    "delivery.report.only.error": True,
    "linger.ms": 20,
    "batch.size": 1 << 20,
    "message.max.bytes": 64 << 20,
    "queue.buffering.max.kbytes": 65_536,
    # A client that gives a record up leaves it out, or has it there twice, and goes on with those behind it. So none is
    # given up: who waits for all of them ends the wait. One request at a time: with more, what follows one that failed
    # comes out of order, and the client then sends again what may be there.
    "delivery.timeout.ms": 0,
    "max.in.flight.requests.per.connection": 1,
    "log_level": 2,
}
WRITTEN_S: Final = 300.0
"""Brokers that take nothing for so long are away: the restore is tried again later, from what they have then."""

TOLD_S: Final = 10.0
"""The client tells of each record that it does not send any more; it has all of them at hand."""

Said = Callable[[int], None]


def name_of(topic: str, partition: int, first: int) -> str:
    return f"records/{topic}/{partition}/{first:020}"


def chains(parts: Mapping[str, Part]) -> dict[tuple[str, int], list[Part]]:
    """The stretches of each partition, in order."""
    found: dict[tuple[str, int], list[Part]] = {}
    for name in sorted(parts):
        if name.startswith("records/"):
            _, topic, partition, _ = name.split("/")
            found.setdefault((topic, int(partition)), []).append(parts[name])
    return found


def known(chain: Iterable[Part], topic_id: str, start: int, end: int) -> list[Part]:
    """What of an earlier copy is still so: of the same topic, without a gap, and not beyond what there is. What is
    older than the log's begin is left out."""
    kept: list[Part] = []
    for part in chain:
        about = part.about
        if about["topic_id"] != topic_id or about["next"] > end or (kept and kept[-1].about["next"] != about["first"]):
            break
        kept.append(part)
    return [part for part in kept if part.about["next"] > start]


class Reader:
    """Reads partitions, one after the other."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._consumer = Consumer({**settings, **READS})

    def close(self) -> None:
        self._consumer.close()

    def end(self, topic: str, partition: int) -> int:
        """Where its log ends."""
        found: Any = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=WRITTEN_S / 10)
        return int(found[1])

    def stretches(self, topic: str, partition: int, start: int, end: int) -> Iterator[Stretch]:
        """All that is committed from ``start`` up to ``end``."""
        if start >= end:
            return
        self._consumer.assign([TopicPartition(topic, partition, start)])
        stretch, heard_s, more = Stretch(), time.monotonic(), True
        while more:
            messages = self._consumer.consume(AT_ONCE, 0.5)
            if messages:
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s > SILENT_S:
                raise NotNow(f"{topic}-{partition} does not answer", where=topic, expected="a leader of it")
            for message in messages:
                if (error := message.error()) is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(error)
                    at_end: Any = message.offset()
                    more = more and at_end < end
                    continue
                offset: Any = message.offset()
                if offset >= end:
                    more = False
                elif more:
                    headers: Any = message.headers()
                    stretch.add(
                        offset,
                        message.timestamp()[1],
                        message.key(),
                        message.value(),
                        headers,
                    )
                    if stretch.size >= STRETCH_BYTES:
                        yield stretch
                        stretch = Stretch()
        self._consumer.unassign()
        if stretch:
            yield stretch


def copy_out(into: BackupInto, reader: Reader, topic: str, number: int, topic_id: str, span: tuple[int, int],
             chain: Iterable[Part], said: Said) -> None:  # fmt: skip
    """One partition into a backup. ``span``: its first offset, and the end of what is committed."""
    start, end = span
    kept = known(chain, topic_id, start, end)
    for part in kept:
        into.keep(part.name)
        said(part.size)
    at = kept[-1].about["next"] if kept else start
    held: Stretch | None = None
    for stretch in reader.stretches(topic, number, at, end):
        if held is not None:
            at = _add(into, topic, number, topic_id, held, at, stretch.offsets[0], said)
        held = stretch
    if held is not None:
        _add(into, topic, number, topic_id, held, at, end, said)


def _add(
    into: BackupInto, topic: str, number: int, topic_id: str, stretch: Stretch, at: int, following: int, said: Said
) -> int:
    about = {"topic_id": topic_id, "first": at, "next": following, "records": len(stretch)}
    said(into.add(name_of(topic, number, at), packed(stretch), about).size)
    return following


class Writer:
    """Writes partitions of new topics."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._failed: list[KafkaError] = []
        self._producer = Producer({**settings, **WRITES, "on_delivery": self._told})

    def close(self) -> None:
        """What was not acknowledged is not sent later: another attempt begins behind what is there."""
        self._producer.purge()
        self._producer.flush(TOLD_S)

    @property
    def waiting(self) -> int:
        """Records that were not acknowledged."""
        return len(self._producer)

    def _told(self, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            self._failed.append(error)

    def write(self, topic: str, partition: int, records: Iterable[Record]) -> None:
        producer = self._producer
        for number, record in enumerate(records):
            headers: Any = record.headers
            until_s = time.monotonic() + WRITTEN_S
            while True:
                try:
                    producer.produce(
                        topic,
                        record.value,
                        record.key,
                        partition,
                        timestamp=max(record.timestamp_ms, 0),
                        headers=headers,
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
                    self._raise(topic)
                    if time.monotonic() > until_s:
                        raise self._late(topic) from None
            if number % 1000 == 0:
                producer.poll(0)
                self._raise(topic)

    def flush(self, topic: str) -> None:
        """All that was written is in all replicas."""
        left = self._producer.flush(WRITTEN_S)
        self._raise(topic)
        if left:
            raise self._late(topic)

    def _late(self, topic: str) -> NotNow:
        return NotNow(f"{self.waiting} records of {topic} were not acknowledged in {WRITTEN_S:g} s", where=topic)

    def _raise(self, topic: str) -> None:
        if self._failed:
            raise NotNow(f"{topic} does not take what is restored: {self._failed[0].str()}", where=topic)


def copy_in(
    stored: StoredBackup, writer: Writer, chain: Iterable[Part], topic: str, partition: int, has: int, said: Said
) -> int:
    """One partition out of a backup, into a topic that has the first ``has`` of its records. Gives how many there are
    of them in all."""
    count = 0
    for part in chain:
        records = int(part.about["records"])
        if count + records > has:
            writer.write(topic, partition, unpacked(stored.read(part), max(has - count, 0)))
        count += records
        said(part.size)
    writer.flush(topic)
    return count


def translated(stored: StoredBackup, chain: Iterable[Part], offset: int) -> int:
    """The offset, in the restored partition, of the first record at or after ``offset`` in the one that was copied."""
    count = 0
    for part in chain:
        if part.about["next"] > offset:
            return count + before(stored.read(part), offset)
        count += int(part.about["records"])
    return count


def fingerprint(records: Iterable[Record]) -> str:
    """Of all that was written, but for where it lies."""
    found = hashlib.sha256()
    for record in records:
        found.update(msgspec.msgpack.encode((record.timestamp_ms, record.key, record.value, record.headers or None)))
    return found.hexdigest()


def compared(stored: StoredBackup, chain: list[Part], reader: Reader, topic: str, partition: int) -> int:
    """Reads a restored partition back, and gives how many records it has; raises when it is not what was copied."""
    count = sum(int(part.about["records"]) for part in chain)
    wanted = fingerprint(record for part in chain for record in unpacked(stored.read(part)))
    stretches = reader.stretches(topic, partition, 0, count)
    found = fingerprint(record for stretch in stretches for record in unpacked(packed(stretch)))
    if found != wanted:
        raise Conflict(f"{topic}-{partition} was restored, and is not what was copied", where=topic)
    return count


def spans(admin: Admin, parts: Iterable[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, int]]:
    """Of each partition its first offset, and the end of what is committed in it."""
    # A client of its own: one that has once seen a topic without a leader goes on to say that it has none.
    client = AdminClient({**admin.connection, "log_level": 2})
    wanted = [TopicPartition(topic, number) for topic, number in parts]
    found: list[dict[tuple[str, int], int]] = []
    for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):  # type: ignore[no-untyped-call]
        asked = client.list_offsets(
            dict.fromkeys(wanted, spec), isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=TIMEOUT_S
        )
        found.append({(at.topic, at.partition): answer.result(TIMEOUT_S * 2).offset for at, answer in asked.items()})
    return {part: (found[0][part], found[1][part]) for part in found[0]}
