"""What Kafka itself says of its partitions: who is in sync, and what would be at risk without a broker.

The rule is Kafka's own: a producer with ``acks=all`` is served while a partition has ``min.insync.replicas`` members
in sync (documentation, "Replication"). So a broker may stop when every partition that has a replica on it keeps that
many without it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from upcall.catalog.kafka.config import client_settings

TIMEOUT_S: Final = 6.0
"""Below the deadline of an answer."""
CONFIGS_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition as the cluster describes it. Replicas are node ids."""

    topic: str
    number: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.topic}-{self.number}"


def at_risk(partitions: Iterable[Partition], minimum_of: Callable[[str], int], without: int) -> list[Partition]:
    """The partitions that would have fewer members in sync than their topic's minimum without this node."""
    return [
        each
        for each in partitions
        if without in each.replicas and len(set(each.in_sync) - {without}) < minimum_of(each.topic)
    ]


def out_of_sync(partitions: Iterable[Partition]) -> list[Partition]:
    return [each for each in partitions if len(each.in_sync) < len(each.replicas)]


class Admin:
    """Blocking questions to a cluster; run beside the loop."""

    def __init__(self, servers: str, login: tuple[str, str] | None = None) -> None:
        """``login``: user and password, of the brokers' own user."""
        self.servers = servers
        self._client = AdminClient(
            {
                **client_settings(servers, login),
                "client.id": "upcall",
                "socket.timeout.ms": int(TIMEOUT_S * 1000),
                "reconnect.backoff.max.ms": 1000,
                "log_level": 3,
            }
        )

    def partitions(self) -> list[Partition]:
        found = self._client.list_topics(timeout=TIMEOUT_S)
        return [
            Partition(str(topic.topic), number, tuple(each.replicas), tuple(each.isrs))
            for topic in found.topics.values()
            for number, each in topic.partitions.items()
        ]

    def minimums(self, topics: Iterable[str]) -> dict[str, int]:
        """``min.insync.replicas`` of each topic. Asked anew each time: a person may have changed it."""
        names = sorted(set(topics))
        found: dict[str, int] = {}
        for start in range(0, len(names), CONFIGS_AT_ONCE):
            wanted = [ConfigResource(ResourceType.TOPIC, name) for name in names[start : start + CONFIGS_AT_ONCE]]
            for resource, answer in self._client.describe_configs(wanted, request_timeout=TIMEOUT_S).items():
                found[resource.name] = int(answer.result(TIMEOUT_S)["min.insync.replicas"].value)
        return found

    def at_risk(self, without: int) -> list[Partition]:
        partitions = self.partitions()
        here = {each.topic for each in partitions if without in each.replicas}
        minimums = self.minimums(here)
        return at_risk(partitions, lambda topic: minimums.get(topic, 1), without)

    def create_topic(self, name: str, partitions: int, replication: int, config: dict[str, str]) -> bool:
        """False when it exists already."""
        if name in self._client.list_topics(timeout=TIMEOUT_S).topics:
            return False
        topic = NewTopic(name, num_partitions=partitions, replication_factor=replication, config=config)
        self._client.create_topics([topic], operation_timeout=TIMEOUT_S)[name].result(TIMEOUT_S * 2)
        return True

    def delete_topic(self, name: str) -> None:
        self._client.delete_topics([name], operation_timeout=TIMEOUT_S)[name].result(TIMEOUT_S * 2)

    def topics(self) -> list[dict[str, Any]]:
        grouped: dict[str, list[Partition]] = {}
        for each in self.partitions():
            grouped.setdefault(each.topic, []).append(each)
        return [
            {
                "topic": topic,
                "partitions": len(found),
                "replication": max(len(each.replicas) for each in found),
                "out_of_sync": len(out_of_sync(found)),
            }
            for topic, found in sorted(grouped.items())
        ]
