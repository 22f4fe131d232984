"""Kafka on a benchmark's own cluster: what a person does with it, and looks at."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import ElectionType, KafkaException
from confluent_kafka.admin import AdminClient

from benchmarks.cluster import Broken, OwnCluster
from upcall.protocol.operator import TaskView

MIN_IN_SYNC: Final = 2
REPLICAS: Final = 3
OVER_S: Final = 600.0
ENDED_OTHERWISE: Final = ("failed", "declined", "withdrawn")


@dataclass(frozen=True)
class Brokers:
    cluster: OwnCluster

    def upcall(self, *words: str) -> str:
        return self.cluster.upcall(*words)

    def refused(self, *words: str) -> str:
        try:
            said = self.upcall(*words)
        except Broken as refused:
            return str(refused)
        raise Broken(f"upcall {' '.join(words)} was not refused: {said}")

    def topic(self, name: str, partitions: int, replicas: int = REPLICAS) -> None:
        self.upcall(
            "service", "do", "kafka", "create-topic", f"name={name}", f"partitions={partitions}",
            f"replication={replicas}", f'config={{"min.insync.replicas": "{MIN_IN_SYNC}"}}',
        )  # fmt: skip

    def drop(self, topic: str) -> None:
        self.upcall("service", "do", "kafka", "delete-topic", f"name={topic}")

    def brokers(self) -> list[TaskView]:
        found = [task for task in self.cluster.client.tasks() if task.service == "kafka"]
        return sorted(found, key=lambda task: task.member)

    def broker(self, number: int) -> TaskView:
        return next(task for task in self.brokers() if task.member == f"kafka.broker-{number}")

    def holders(self) -> set[int]:
        """Node ids that any partition names."""
        return {node for each in self._partitions() for node in each.replicas}

    # -- waiting ----------------------------------------------------------------------------------------------------

    def until(self, what: str, look: Callable[[], Any]) -> None:
        self.cluster.until(what, look, OVER_S)

    def until_in_sync(self) -> None:
        """All brokers are ready, and all replicas of all topics in sync."""
        self.until("all brokers ready", lambda: all(task.state == "ready" for task in self.brokers()))
        self.until("all replicas in sync", lambda: self._in_sync(None))

    def until_equal(self) -> None:
        """All in sync, and each partition led by the first of its replicas: as if nothing had been before."""
        self.until_in_sync()
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

    def until_done(self, operations: list[str]) -> None:
        client = self.cluster.client

        def look() -> bool:
            # One question for all of them: what is measured runs on the same cores.
            known = {each.id: each.state for each in client.operations(ended=True)}
            states = {each: known[each] for each in operations}
            if bad := [each for each, state in states.items() if state in ENDED_OTHERWISE]:
                raise Broken(f"{bad[0]} is {states[bad[0]]}:\n{self.upcall('why', bad[0])}")
            return all(state == "done" for state in states.values())

        self.until(f"{', '.join(operations)} done", look)

    def until_next(self, before: TaskView) -> None:
        """The member is ready again, as a later incarnation, and in sync with all others."""

        def look() -> bool:
            now = next(task for task in self.brokers() if task.member == before.member)
            return now.incarnation > before.incarnation and now.state == "ready"

        self.until(f"{before.member} is ready again", look)
        self.until_in_sync()

    def _in_sync(self, nodes: set[int] | None) -> bool:
        """All replicas, or those of these brokers."""
        with suppress(KafkaException):
            found = self._described()
            parts = [partition for topic in found.topics.values() for partition in topic.partitions.values()]
            wanted = set(found.brokers) if nodes is None else nodes
            known = nodes is not None or len(found.brokers) == len(self.brokers())
            return known and all(wanted & set(each.replicas) <= set(each.isrs) for each in parts)
        return False

    def _partitions(self) -> list[Any]:
        return [partition for topic in self._described().topics.values() for partition in topic.partitions.values()]

    def _described(self) -> Any:
        return AdminClient({**self.cluster.kafka_client(), "log_level": 2}).list_topics(timeout=5)
