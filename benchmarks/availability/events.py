"""The events, on one cluster of six brokers that serves all cells one after the other."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from benchmarks import harm
from benchmarks.brokers import Brokers
from benchmarks.cells import Figures
from benchmarks.cluster import own_cluster
from benchmarks.load import InSync, Writes, percentile_ms, read_back, warm_up
from upcall.catalog.kafka.service import Kafka
from upcall.protocol.operator import Ask

NODES: Final = 6
NODE_MEMORY_MIB: Final = 640
PARTITIONS: Final = 12
MIN_IN_SYNC: Final = 2
RATE_HZ: Final = 250
STEADY_S: Final = 3.0
DOWN_S: Final = 60.0
SILENCE_S: Final = 600
"""How long a silent node is waited for: longer than it is away."""
MAINTAINED_S: Final = 5.0
"""How long a drained node is worked on."""
DOWN: Final = 3
"""The broker whose machine is away."""
OLD, NEW = Kafka.versions()[0], Kafka.version

WAYS: Final = ("blind", "readiness", "operator", "upcalls")
EVENTS: Final = ("upgrade", "rolling_restart", "drain", "scale_in")
"""Upgrades first: a cluster that began with the old version can go back to it, one that began with the new cannot."""
FROM: Final = ("health", "down")
SABOTAGES: Final = {"upcalls-are-blind": "blind", "upcalls-are-readiness": "readiness", "deletes-records": "upcalls"}
"""By which way ``upcalls`` is played then."""


def package(folder: Path) -> Path:
    """The service whose consent is played, as a user's own: its code beside the catalog's files."""
    own = folder / "kafka_played"
    catalog = Kafka.folder()
    own.mkdir()
    shutil.copy(Path(__file__).with_name("consents.py"), own / "service.py")
    (own / "__init__.py").touch()
    for part in ("lock", "java", "versions"):
        shutil.copytree(catalog / part, own / part)
    return own


class Played(Brokers):
    """The cluster, and what is measured on it."""

    @classmethod
    @contextmanager
    def opened(cls, version: str) -> Iterator["Played"]:
        with own_cluster(nodes=NODES, memory_mib_per_node=NODE_MEMORY_MIB) as cluster:
            played = cls(cluster)
            played.upcall("fetch", "kafka", f"kafka@{OLD}")
            wanted = ("--set", f"brokers={NODES}", "--set", f"replace_after_s={SILENCE_S}", "--set", "way=upcalls")
            own = package(Path(cluster.data).parent)
            played.upcall("install", str(own), "--name", "kafka", "--version", version, *wanted)
            played.topic("warm-up", PARTITIONS)
            warm_up(cluster.kafka_client(), "warm-up")
            played.drop("warm-up")
            yield played

    def prepare(self, event: str, way: str) -> None:
        """The same start for each cell: six brokers, equal again, in the version that the event begins with. What has
        to change for that does by ``upcalls``; then it is the turn of ``way``."""
        service = self.cluster.client.service("kafka")
        words = []
        if service.options["brokers"] != NODES:
            words += ["--set", f"brokers={NODES}"]
        if service.version != (version := OLD if event == "upgrade" else NEW):
            words += ["--version", version]
        if words:
            self.upcall("update", "kafka", "--set", "way=upcalls", *words)
        if self.cluster.client.service("kafka").options["way"] != way:
            self.upcall("update", "kafka", "--set", f"way={way}")

    def measure(self, event: str, way: str, start: str, sabotage: str) -> Figures:
        self.prepare(event, SABOTAGES[sabotage] if sabotage and way == "upcalls" else way)
        topic = "-".join((event.replace("_", "-"), way, start))
        self.topic(topic, PARTITIONS)
        self.until_equal()
        client = self.cluster.kafka_client()
        writes, in_sync = Writes(client, topic, RATE_HZ, idempotent=True), InSync(client, {topic: MIN_IN_SYNC})
        with self.one_down() if start == "down" else _nothing():
            writes.start()
            in_sync.start()
            try:
                time.sleep(STEADY_S)
                began = time.monotonic()
                getattr(self, event)(way, start)
                took_s = time.monotonic() - began
                self.until_whole()
                time.sleep(STEADY_S)
            finally:
                writes.stop()
                in_sync.stop()
        if sabotage == "deletes-records":
            harm.delete_records(self.cluster.kafka_client(), topic, PARTITIONS)
        stored = read_back(self.cluster.kafka_client(), topic)
        self.drop(topic)
        gaps = in_sync.gaps_s
        return {
            "failed_requests": writes.failed,
            "p99_ms": percentile_ms(sorted(writes.acknowledged.values()), 99),
            "slowest_ms": percentile_ms(sorted(writes.acknowledged.values()), 100),
            "duration_s": round(took_s, 1),
            "under_min_isr_s": round(in_sync.under_minimum_s, 2),
            "lost": len(set(writes.acknowledged) - set(stored)),
            "requests": writes.due,
            "in_sync_samples_per_s": round(len(gaps) / sum(gaps), 1) if gaps else 0.0,
        }

    @contextmanager
    def one_down(self) -> Iterator[None]:
        """Its machine is away, others lead what it led, and it comes back by itself a minute later."""
        task = self.member(DOWN)
        agent = harm.process_of(self.cluster, f"agent-{task.node}")
        harm.lose_node(self.cluster, task)
        back = threading.Timer(DOWN_S, lambda: os.kill(agent, signal.SIGCONT))
        try:
            self.until("it is seen to be away", lambda: self.member(DOWN).state != "ready")
            self.until("others lead what it led", self.is_led_by_others)
            back.start()
            yield
        finally:
            back.cancel()
            with suppress(ProcessLookupError):
                os.kill(agent, signal.SIGCONT)

    # -- the events: each returns when all that it is about is ready and in sync again ------------------------------

    def rolling_restart(self, way: str, start: str) -> None:
        """Of all that run."""
        running = [task for task in self.members() if task.state == "ready"]
        client = self.cluster.client
        path = "/v1/tasks/{}/restart"
        asked = [client.operation_of(path.format(task.member), Ask(reason="new keys")).id for task in running]
        self.until_done(asked)
        self.until_ready_and_in_sync({task.member for task in running})

    def drain(self, way: str, start: str) -> None:
        """The nodes of zone a, but for one that is away anyhow. Only ``upcalls`` may take them together."""
        away = {self.member(DOWN).node} if start == "down" else set()
        nodes = [node.name for node in self.cluster.client.nodes() if node.zone == "a" and node.name not in away]
        together = [nodes] if way == "upcalls" else [[node] for node in nodes]
        for group in together:
            self.upcall("node", "drain", *group, "--reason", "new memory")
            time.sleep(MAINTAINED_S)
            self.upcall("node", "undrain", *group)
        there = {task.member for task in self.members() if task.node in nodes}
        self.until_ready_and_in_sync(there)

    def scale_in(self, way: str, start: str) -> None:
        self.upcall("scale", "kafka", str(NODES - 1))

    def upgrade(self, way: str, start: str) -> None:
        self.upcall("upgrade", "kafka", "--to", NEW)
        self.until_whole()


@contextmanager
def _nothing() -> Iterator[None]:
    yield
