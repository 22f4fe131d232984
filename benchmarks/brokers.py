"""Kafka on a benchmark's own cluster: what a person does with it, and looks at."""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from confluent_kafka import ElectionType, KafkaException
from confluent_kafka.admin import AdminClient

from benchmarks.driven import OVER_S, Driven

MIN_IN_SYNC: Final = 2
REPLICAS: Final = 3


@dataclass(frozen=True)
class Brokers(Driven):
    service: ClassVar[str] = "kafka"
    pod: ClassVar[str] = "broker"

    def topic(self, name: str, partitions: int, replicas: int = REPLICAS) -> None:
        """What is written to it stays, whatever the disks are sized for: it is read back."""
        settings = json.dumps({"min.insync.replicas": str(MIN_IN_SYNC), "retention.bytes": "-1"})
        self.upcall(
            "service", "do", "kafka", "create-topic", f"name={name}", f"partitions={partitions}",
            f"replication={replicas}", f"config={settings}",
        )  # fmt: skip

    def drop(self, topic: str) -> None:
        self.upcall("service", "do", "kafka", "delete-topic", f"name={topic}")

    def holders(self) -> set[int]:
        """Node ids that any partition names."""
        return {node for each in self._partitions() for node in each.replicas}

    # -- waiting ----------------------------------------------------------------------------------------------------

    def until_whole(self) -> None:
        """All brokers are ready, and all replicas of all topics in sync."""
        self.until_ready()
        self.until("all replicas in sync", lambda: self._in_sync(None))

    def until_equal(self) -> None:
        """Each partition is led by the first of its replicas, too: as if nothing had been before."""
        self.until_whole()
        admin = AdminClient({**self.cluster.kafka_client(), "log_level": 2})
        with suppress(KafkaException):  # Nothing to elect is an error to some versions.
            admin.elect_leaders(ElectionType.PREFERRED, None).result(OVER_S)
        self.until("leaders are the preferred ones", lambda: all(p.leader == p.replicas[0] for p in self._partitions()))

    def until_ready_and_in_sync(self, members: Iterable[str]) -> None:
        """These brokers, whatever others do."""
        wanted = set(members)
        nodes = {int(member.rpartition("-")[2]) + 1 for member in wanted}
        self.until("they are ready", lambda: wanted <= {task.member for task in self.cluster.ready("kafka")})
        self.until("they are in sync", lambda: self._in_sync(nodes))

    def _in_sync(self, nodes: set[int] | None) -> bool:
        """All replicas, or those of these brokers."""
        with suppress(KafkaException):
            found = self._described()
            parts = [partition for topic in found.topics.values() for partition in topic.partitions.values()]
            wanted = set(found.brokers) if nodes is None else nodes
            known = nodes is not None or len(found.brokers) == len(self.members())
            return known and all(wanted & set(each.replicas) <= set(each.isrs) for each in parts)
        return False

    def is_led_by_others(self) -> bool:
        """Whether one broker is away, and no partition is led by it or waits for it."""
        with suppress(KafkaException):
            found = self._described()
            parts = [partition for topic in found.topics.values() for partition in topic.partitions.values()]
            known = set(found.brokers)
            return len(known) < len(self.members()) and all({each.leader, *each.isrs} <= known for each in parts)
        return False

    def _partitions(self) -> list[Any]:
        return [partition for topic in self._described().topics.values() for partition in topic.partitions.values()]

    def _described(self) -> Any:
        return AdminClient({**self.cluster.kafka_client(), "log_level": 2}).list_topics(timeout=5)
