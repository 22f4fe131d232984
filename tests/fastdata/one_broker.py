"""One real Kafka broker for tests of this folder, from the locked artifacts, on an address of its own."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from upcall.artifacts.cache import Cache
from upcall.artifacts.fetch import fetch
from upcall.catalog.kafka.service import Kafka

CLUSTER_ID = "b25lYnJva2VyZm9ydGVzdA"
START_S = 600.0

PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:9092,CONTROLLER://{host}:9093
advertised.listeners=PLAINTEXT://{host}:9092,CONTROLLER://{host}:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.bootstrap.servers={host}:9093
log.dirs={folder}/logs
log.cleaner.dedupe.buffer.size=8388608
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
auto.create.topics.enable=false
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=1000
"""


class OneBroker:
    """Started by `start`, killed by `kill`, started again on the same data."""

    def __init__(self, host: str, folder: Path) -> None:
        self.host, self.folder = host, folder
        self.bootstrap_servers = f"{host}:9092"
        artifacts = [Kafka.artifact(name) for name in ("java", "kafka")]
        ready = fetch(artifacts, Cache(), Kafka.blobs().__getitem__)
        self._java = [ready["java"].properties["java"], "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        self._java += ["-cp", ready["kafka"].properties["classpath"]]
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._properties = folder / "server.properties"
        self._properties.write_text(PROPERTIES.format(host=host, folder=folder))
        format_ = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._properties), "--standalone"]
        subprocess.run([*self._java, *format_], check=True, capture_output=True, timeout=START_S)

    def start(self) -> None:
        with (self.folder / "broker.log").open("ab") as log:
            command = [*self._java, "kafka.Kafka", str(self._properties)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def wait(self) -> AdminClient:
        """Until it serves."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 2})
        deadline = time.monotonic() + START_S
        while True:
            try:
                admin.list_topics(timeout=2)
                return admin
            except KafkaException:
                assert self._process is not None
                assert self._process.poll() is None, (self.folder / "broker.log").read_text()[-3_000:]
                assert time.monotonic() < deadline, "the broker did not come up"

    def kill(self) -> None:
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def create(self, *topics: NewTopic) -> None:
        admin = self.wait()  # held on to: its answers come while it lives
        for future in admin.create_topics(list(topics)).values():
            future.result(30)


class Lines:
    """A process of ours, and the lines that it wrote so far."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
