"""How far all readers of a cluster are: what was written, and what their groups have not read yet. Blocking."""

from typing import Any, Final

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

TIMEOUT_S: Final = 6.0
GROUPS_MAX: Final = 100
"""Of those that read most: each is asked about by itself."""


def read(client: AdminClient) -> tuple[int, int]:
    """Records that were written to topics of others than Kafka itself, and how many of them the groups are behind."""
    topics = client.list_topics(timeout=TIMEOUT_S).topics
    parts = [
        TopicPartition(name, number)
        for name, topic in topics.items()
        if not name.startswith("__")
        for number in topic.partitions
    ]
    there = ends(client, parts)
    groups = client.list_consumer_groups(request_timeout=TIMEOUT_S).result(TIMEOUT_S * 2).valid
    behind = 0
    for group in groups[:GROUPS_MAX]:
        (asked,) = client.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group.group_id)], request_timeout=TIMEOUT_S
        ).values()
        for each in asked.result(TIMEOUT_S * 2).topic_partitions:
            end = there.get((each.topic, each.partition))
            if end is not None and each.offset >= 0:
                behind += max(end - each.offset, 0)
    return sum(there.values()), behind


def ends(client: AdminClient, parts: list[TopicPartition], *, earliest: bool = False) -> dict[tuple[str, int], int]:
    """Where each log ends; ``earliest``: where it begins."""
    if not parts:
        return {}
    spec: Any = OffsetSpec.earliest() if earliest else OffsetSpec.latest()  # type: ignore[no-untyped-call]
    wanted: dict[TopicPartition, Any] = dict.fromkeys(parts, spec)
    asked = client.list_offsets(wanted, request_timeout=TIMEOUT_S)
    return {(each.topic, each.partition): answer.result(TIMEOUT_S * 2).offset for each, answer in asked.items()}
