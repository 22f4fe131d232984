"""What a cluster holds beside records: its topics, their settings, the offsets of groups. Blocking."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from upcall.catalog.kafka.admin import TIMEOUT_S, Admin
from upcall.protocol.errors import NotNow

T = TypeVar("T")
AT_ONCE: Final = 200
PATIENCE_S: Final = 60.0
"""So long a new topic may have no leader, and a deleted one may be seen."""
PASSES: Final = (
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
    KafkaError._TIMED_OUT,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._NOENT,  # no leader is known
)
WHILE_FILLED: Final = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "message.timestamp.type": "CreateTime",
}
"""While it is filled nothing is removed from it, and records keep their times."""
FROM_THE_START: Final = ("max.message.bytes", "segment.bytes", "compression.type")
MINIMUM: Final = "min.insync.replicas"


def patiently(ask: Callable[[], T], what: str) -> T:
    """Again while the answer is one that passes."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in PASSES and not error.args[0].retriable():
                raise
            if time.monotonic() > until_s:
                raise NotNow(f"{what}: {error.args[0].str()}", where=what) from error
        time.sleep(0.2)


def topics(admin: Admin) -> dict[str, dict[str, Any]]:
    """All but those of Kafka itself."""
    names = [name for name in admin.client.list_topics(timeout=TIMEOUT_S).topics if not name.startswith("__")]
    settings: dict[str, dict[str, str]] = {}
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(names), AT_ONCE):
        some = sorted(names)[start : start + AT_ONCE]
        settings |= admin.own_settings(some)
        for name, answer in admin.client.describe_topics(TopicCollection(some), request_timeout=TIMEOUT_S).items():
            each = answer.result(TIMEOUT_S * 2)
            found[name] = {
                "id": str(each.topic_id),
                "partitions": len(each.partitions),
                "replication": max(len(partition.replicas) for partition in each.partitions),
                "settings": settings[name],
            }
    return found


def groups(admin: Admin) -> dict[str, list[tuple[str, int, int]]]:
    """Of each group, where it is: topic, partition, offset."""
    listed = admin.client.list_consumer_groups(request_timeout=TIMEOUT_S).result(TIMEOUT_S * 2)
    found = {}
    for group in sorted(each.group_id for each in listed.valid):
        asked = admin.client.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group)], request_timeout=TIMEOUT_S
        )
        at = asked[group].result(TIMEOUT_S * 2).topic_partitions
        if committed := [(one.topic, one.partition, one.offset) for one in at if one.offset >= 0]:
            found[group] = committed
    return found


def set_offsets(admin: Admin, group: str, at: Iterable[tuple[str, int, int]]) -> None:
    wanted = [TopicPartition(*one) for one in at]

    def give() -> None:
        (answer,) = admin.client.alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, wanted)], request_timeout=TIMEOUT_S
        ).values()
        for each in answer.result(TIMEOUT_S * 2).topic_partitions:
            if each.error is not None:
                raise KafkaException(each.error)

    patiently(give, f"group {group}")


def drop(admin: Admin, names: Iterable[str]) -> None:
    """Those that are there; they are not any more when it returns."""
    wanted = set(names)
    there = wanted & admin.client.list_topics(timeout=TIMEOUT_S).topics.keys()
    for name in there:
        admin.delete_topic(name)
    until_s = time.monotonic() + PATIENCE_S
    while wanted & admin.client.list_topics(timeout=TIMEOUT_S).topics.keys():
        if time.monotonic() > until_s:
            raise NotNow(f"{', '.join(sorted(wanted))[:200]} is still being deleted", expected="to ask again")
        time.sleep(0.2)


def make(admin: Admin, name: str, was: Mapping[str, Any], replication: int) -> None:
    """An empty topic that is to be filled; one that is there stays."""
    first = {key: value for key, value in was["settings"].items() if key in FROM_THE_START}
    topic = NewTopic(name, was["partitions"], replication, config={**first, **WHILE_FILLED})
    try:
        admin.client.create_topics([topic], operation_timeout=TIMEOUT_S * 2)[name].result(TIMEOUT_S * 4)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def settle(admin: Admin, name: str, was: Mapping[str, Any], replication: int) -> None:
    """It has been filled: from now on it is what it was."""
    wanted: dict[str, str | None] = {**dict.fromkeys(WHILE_FILLED), **was["settings"]}
    if int(wanted.get(MINIMUM) or 1) > replication:
        wanted[MINIMUM] = str(replication)
    admin.set_topic(name, wanted)
