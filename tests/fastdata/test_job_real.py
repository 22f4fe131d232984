"""The stream job with real Kafka, Spark and Cassandra: killed in the middle, nothing is lost or twice."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewTopic
from one_broker import OneBroker
from one_node import OneNode
from practice import practice_flight, practice_run

from upcall.artifacts.cache import Cache
from upcall.artifacts.fetch import fetch
from upcall.catalog.spark import config
from upcall.catalog.spark.service import Spark
from upcall.fastdata.detect.episodes import EpisodeKind
from upcall.fastdata.faults import schedule
from upcall.fastdata.flights import Flight
from upcall.fastdata.frames import Frame, encode
from upcall.fastdata.generator import Generator
from upcall.fastdata.matching import match
from upcall.fastdata.position import GROUP
from upcall.fastdata.queries import Queries
from upcall.fastdata.runs import Run
from upcall.fastdata.verify import verify
from upcall.fastdata.watch import snapshot

pytestmark = [pytest.mark.real, pytest.mark.long]

NET = f"127.88.{os.getpid() % 250}"
PARTITIONS = 2
RATE = 64
SECONDS = 40
KILL_AT = 14
PATIENCE_S = 600.0
SOURCES = Path(__file__).parents[2] / "src"


class Job:
    """The driver, with its executors in the same process."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        artifacts = [Spark.artifact(name) for name in ("java", "connector", "pyspark")]
        ready = fetch(artifacts, Cache(), Spark.blobs().__getitem__)
        site, python = ready["pyspark"].properties["site"], ready["pyspark"].properties["python"]
        jars = [
            *sorted(map(str, Path(site, "pyspark", "jars").glob("*.jar"))),
            ready["connector"].properties["classpath"],
        ]
        self.log = folder / "job.log"
        logging = folder / "log4j2.properties"
        logging.write_text(config.LOG4J2.replace("=info", "=warn"))
        self._environment = {
            **os.environ, "SPARK_HOME": f"{site}/pyspark", "PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python,
            "PYTHONPATH": str(SOURCES), "SPARK_LOCAL_IP": f"{NET}.3", "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
        }  # fmt: skip
        self._command = [
            ready["java"].properties["java"], "-Xmx600m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            f"-Dlog4j2.configurationFile={logging}", *config.module_flags(), "-cp", ":".join(jars),
            "org.apache.spark.deploy.SparkSubmit", "--master", "local[2]",
            "--conf", "spark.ui.enabled=false", "--conf", f"spark.driver.host={NET}.3",
            "--conf", f"spark.local.dir={folder / 'local'}",
            str(SOURCES / "upcall" / "fastdata" / "job.py"), *arguments,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._environment, start_new_session=True
            )

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def check(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()[-4_000:]


@pytest.fixture
def systems(tmp_path: Path) -> Iterator[tuple[OneBroker, OneNode]]:
    broker, node = OneBroker(f"{NET}.1", tmp_path / "broker"), OneNode(f"{NET}.2", tmp_path / "node")
    try:
        broker.start()
        node.start()
        broker.create(NewTopic("frames", PARTITIONS, 1), NewTopic("runs", 1, 1, config={"cleanup.policy": "compact"}))
        node.wait().shutdown()
        yield broker, node
    finally:
        broker.kill()
        node.kill()


def produce(producer: Producer, run: Run, generator: Generator, seconds: range) -> None:
    """Quarter seconds, block by block."""
    for second in seconds:
        for first in range(second * RATE, (second + 1) * RATE, RATE // 4):
            produce_part(producer, run, generator, first, RATE // 4)
        producer.poll(0)
    producer.flush(60)


def produce_part(producer: Producer, run: Run, generator: Generator, first: int, samples: int) -> None:
    for block in run.block_numbers:
        frame = Frame(run.run_id, block, first, RATE, generator.generate(block, first, samples))
        producer.produce("frames", encode(frame), partition=block % PARTITIONS)


async def until_complete(queries: Callable[[], Queries], job: Job, run: Run, second: int) -> Queries:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        job.check()
        try:
            asked = queries()
            if await asked.complete_until(run.run_id, run.blocks) >= second:
                return asked
        except Exception:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, job.log.read_text()[-4_000:]
        await asyncio.sleep(0.5)


async def test_job_that_is_killed_stores_everything_once(systems: tuple[OneBroker, OneNode], tmp_path: Path) -> None:
    broker, node = systems
    flight: Flight = practice_flight(300)
    run = practice_run(flight, blocks=4, rate_hz=RATE, faults="dense", start_us=time.time_ns() // 1_000 - 60_000_000)
    generator = Generator(run, flight)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "enable.idempotence": True})
    producer.produce("runs", run.to_json().encode(), key=run.run_id.encode())
    job = Job(tmp_path, "--kafka", broker.bootstrap_servers, "--cassandra", node.host, "--trigger-ms", "200")
    connected: list[Queries] = []

    def queries() -> Queries:
        if not connected:
            connected.append(Queries.connect([node.host]))
        return connected[0]

    try:
        job.start()
        produce(producer, run, generator, range(KILL_AT))
        damaged = bytearray(encode(Frame(run.run_id, 0, 0, 64, generator.generate(0, 0, 16))))
        damaged[60] ^= 1
        newer = bytearray(damaged)
        newer[4], newer[5] = 7, 7 ^ 0xFF
        for bad in (damaged, newer):
            producer.produce("frames", bytes(bad), partition=0)
        # Half of the next second, then the kill: its other half comes to the next job.
        produce_part(producer, run, generator, KILL_AT * RATE, RATE // 2)
        producer.flush(60)
        await until_complete(queries, job, run, KILL_AT - 1)
        job.kill()
        produce_part(producer, run, generator, KILL_AT * RATE + RATE // 2, RATE // 2)
        produce(producer, run, generator, range(KILL_AT + 1, SECONDS))
        job.start()
        asked = await until_complete(queries, job, run, SECONDS - 1)

        report = await verify(asked, run, flight, until=SECONDS)
        assert report.is_right, report
        counted = await asked.counted()
        assert (counted.corrupt, counted.future) == (1, 1)
        assert [known.run_id for known in await asked.runs()] == [run.run_id]

        labels = [
            label
            for label in schedule(run, 0, SECONDS - 5)
            if label.kind.value != EpisodeKind.DRIFT and label.begin_sample < (SECONDS - 5) * RATE
        ]
        found = await asked.episodes(run.run_id, 0, SECONDS)
        matches = match(labels, found, run.rate_hz)
        assert labels
        assert not matches.missed
        label, episode = matches.pairs[0]
        deadline = time.monotonic() + PATIENCE_S
        while len(await asked.raw(run.run_id, label.block, episode.begin, episode.begin, RATE)) < 4:
            assert time.monotonic() < deadline, job.log.read_text()[-4_000:]
            await asyncio.sleep(0.5)
        assert [one.key for one in await asked.episodes_of(run.run_id, episode.sensor)] == [episode.key]

        seen = await asked.series(run.run_id, episode.sensor, 0, SECONDS - 1)
        assert seen.seconds.tolist() == list(range(SECONDS))
        now = await snapshot(asked)
        assert now is not None
        assert (now.second, now.latest.missing_samples) == (SECONDS - 1, 0)
        assert len(now.matched) >= len(matches.pairs)

        shown = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": GROUP})
        deadline = time.monotonic() + PATIENCE_S
        while True:
            committed = shown.committed([TopicPartition("frames", each) for each in range(PARTITIONS)], timeout=10)
            highs = [shown.get_watermark_offsets(each, timeout=10)[1] for each in committed]
            if [each.offset for each in committed] == highs:
                break
            assert time.monotonic() < deadline, (committed, highs)
            await asyncio.sleep(0.5)
        shown.close()
    finally:
        job.kill()
        for one in connected:
            one.close()
