"""Records written and read by hand, and how far groups are: for a look and a try, not for an application. Blocking; run
beside the loop."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from upcall.catalog.kafka import holding, reading
from upcall.catalog.kafka.admin import TIMEOUT_S, Admin
from upcall.catalog.kafka.partitions import Partition
from upcall.protocol.errors import Conflict, NotFound, NotNow
from upcall.protocol.nearest import choice, nearest

ALL_BYTES_MAX: Final = 1 << 20
"""Of what is shown at once; what is more is said to be left out."""
WRITTEN_S: Final = 30.0
POLL_S: Final = 0.2
SILENT_S: Final = 15.0
"""No record and no end of the log for so long: a partition has no leader."""
READS: Final = {
    "group.id": "upcall-look",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "auto.offset.reset": "earliest",
    "log_level": 2,
}
"""It is in no group: nothing is committed, and nobody is kept from reading."""


def must_be_there(admin: Admin, topic: str) -> None:
    known = admin.client.list_topics(timeout=TIMEOUT_S).topics
    if topic not in known:
        named = sorted(name for name in known if not name.startswith("__"))
        raise NotFound(
            f"no topic {topic!r}{nearest(topic, named)}", where="topic", expected=choice(named, "a topic to be created")
        )


def described(admin: Admin, topic: str) -> list[dict[str, Any]]:
    """Its partitions: who leads each, who has it, who is in sync, and how many records it holds."""
    must_be_there(admin, topic)
    leads: Mapping[Partition, int] = admin.served().leads
    parts = {each.number: each for each in leads if each.topic == topic}
    consumer = Consumer({**admin.connection, **READS})
    try:
        found = []
        for number, each in sorted(parts.items()):
            first, end = _watermarks(consumer, topic, number) if leads[each] >= 0 else (-1, -1)
            found.append(
                {
                    "partition": number,
                    "leader": leads[each],
                    "replicas": list(each.replicas),
                    "in_sync": list(each.in_sync),
                    "first": first,
                    "end": end,
                }
            )
        return found
    finally:
        consumer.close()


def write(admin: Admin, topic: str, records: Sequence[str], key: str) -> int:
    """Returns when all are acknowledged by all replicas that are in sync; raises where one is not."""
    must_be_there(admin, topic)
    wrong: list[KafkaError] = []

    def told(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            wrong.append(error)

    producer = Producer({**admin.connection, "enable.idempotence": True, "linger.ms": 5, "log_level": 2})
    for record in records:
        producer.produce(topic, record.encode(), key.encode() or None, on_delivery=told)
        producer.poll(0)
    if left := producer.flush(WRITTEN_S):
        raise NotNow(f"{left} of {len(records)} records are not acknowledged within {WRITTEN_S:g} s", where=topic)
    if wrong:
        raise Conflict(f"{len(wrong)} of {len(records)} records were refused: {wrong[0].str()}", where=topic)
    return len(records)


def read(admin: Admin, topic: str, count: int, start: str, wait_s: float) -> list[dict[str, Any]]:
    """``newest``: the last that are there; ``first``: from the beginning. ``wait_s``: so long for more to come."""
    must_be_there(admin, topic)
    consumer = Consumer({**admin.connection, **READS})
    try:
        numbers = sorted(admin.client.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions)
        at = []
        for number in numbers:
            first, end = _watermarks(consumer, topic, number)
            at.append(TopicPartition(topic, number, max(first, end - count) if start == "newest" else first))
        consumer.assign(at)
        found = list(_messages(consumer, len(numbers), count, start, wait_s))
    finally:
        consumer.close()
    rows = sorted((_row(each) for each in found), key=lambda row: (row["time"], row["partition"], row["offset"]))
    return _within(rows[-count:] if start == "newest" else rows[:count])


def _messages(consumer: Consumer, partitions: int, count: int, start: str, wait_s: float) -> Iterator[Message]:
    """Up to the end of each partition, and what comes in the time after that."""
    at_end: set[int] = set()
    many = 0
    heard_s = time.monotonic()
    until_s: float | None = None
    while start == "newest" or many < count:
        if until_s is None and len(at_end) == partitions:
            until_s = time.monotonic() + wait_s
        now_s = time.monotonic()
        if until_s is not None and (now_s >= until_s or many >= count):
            return
        message = consumer.poll(POLL_S)
        if message is None:
            if until_s is None and now_s - heard_s > SILENT_S:
                raise NotNow("a partition does not answer", expected="a leader of it")
            continue
        heard_s = time.monotonic()
        if (error := message.error()) is None:
            many += 1
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:
            at_end.add(int(message.partition() or 0))
        else:
            raise KafkaException(error)


def _watermarks(consumer: Consumer, topic: str, number: int) -> tuple[int, int]:
    """Of a partition that was just made, once it has a leader."""
    part = TopicPartition(topic, number)
    ask = partial(consumer.get_watermark_offsets, part, timeout=TIMEOUT_S)
    found: Any = holding.patiently(ask, f"{topic}-{number}")
    return int(found[0]), int(found[1])


def _row(message: Message) -> dict[str, Any]:
    _, at_ms = message.timestamp()
    return {
        "partition": message.partition(),
        "offset": message.offset(),
        "time": datetime.fromtimestamp(max(at_ms, 0) / 1000, UTC).isoformat(timespec="milliseconds"),
        "key": _text(message.key()),
        "value": _text(message.value()),
    }


def _text(data: Any) -> str | None:
    return None if data is None else bytes(data).decode(errors="backslashreplace")


def _within(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many as fit one answer."""
    bytes_ = 0
    for at, row in enumerate(rows):
        bytes_ += len(row["value"] or "") + len(row["key"] or "")
        if bytes_ > ALL_BYTES_MAX:
            raise Conflict(
                f"these records hold more than {ALL_BYTES_MAX} bytes", where="count", expected=f"at most {at}"
            )
    return rows


# -- groups -----------------------------------------------------------------------------------------------------------


def groups(admin: Admin) -> list[dict[str, Any]]:
    """All groups, how many members each has, and how many records it has not read."""
    client: AdminClient = admin.client
    listed = client.list_consumer_groups(request_timeout=TIMEOUT_S).result(TIMEOUT_S * 2).valid
    names = sorted(each.group_id for each in listed)
    told = client.describe_consumer_groups(names, request_timeout=TIMEOUT_S) if names else {}
    behind: dict[str, int] = {}
    for row in lag(admin, ""):
        behind[row["group"]] = behind.get(row["group"], 0) + row["lag"]
    found = []
    for name in names:
        each = told[name].result(TIMEOUT_S * 2)
        state = str(getattr(each.state, "name", each.state)).lower()
        found.append({"group": name, "state": state, "members": len(each.members), "lag": behind.get(name, 0)})
    return found


def lag(admin: Admin, group: str) -> list[dict[str, Any]]:
    """Of each partition of the topics of which the group (empty: each group) has committed anything: where it is, and
    what it has not read. Of a partition in which it has committed nothing that is all that is there."""
    committed = holding.groups(admin)
    if group:
        if group not in committed:
            said = f"no group {group!r} has committed anything{nearest(group, committed)}"
            raise NotFound(said, where="group", expected=choice(sorted(committed), "a group that has"))
        committed = {group: committed[group]}
    there = admin.client.list_topics(timeout=TIMEOUT_S).topics
    topics = {topic for at in committed.values() for topic, _, _ in at} & there.keys()
    parts = [TopicPartition(topic, number) for topic in sorted(topics) for number in sorted(there[topic].partitions)]
    firsts, ends = reading.ends(admin.client, parts, earliest=True), reading.ends(admin.client, parts)
    found = []
    for name, at in sorted(committed.items()):
        offsets = {(topic, number): offset for topic, number, offset in at}
        read = {topic for topic, _, _ in at}
        for part in (each for each in parts if each.topic in read):
            key = str(part.topic), int(part.partition)
            at_now = offsets.get(key)
            behind = ends[key] - (firsts[key] if at_now is None else at_now)
            row = {"group": name, "topic": key[0], "partition": key[1], "at": at_now, "end": ends[key]}
            found.append({**row, "lag": max(behind, 0)})
    return found
