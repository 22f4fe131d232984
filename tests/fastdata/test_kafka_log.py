"""Aircraft and ingest as processes, on a real broker: killed and started again, every reading is in the log. The log
itself, on a Kafka as people run it: one that asks who its clients are."""

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import NewTopic
from one_broker import Lines, OneBroker
from practice import practice_flight, practice_rows

from upcall.fastdata.frames import Frame, decode, encode
from upcall.fastdata.generator import Generator
from upcall.fastdata.kafka_log import KafkaLog, KafkaSettings
from upcall.fastdata.runs import Run
from upcall.pytest.systems.kafka import Kafka

pytestmark = pytest.mark.real

HOST = f"127.84.{os.getpid() % 250}.{os.getppid() % 250 + 1}"
LISTEN = f"{HOST}:7001"
PATIENCE_S = 600.0
PARTITIONS = 3
FLIGHT = practice_flight()


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneBroker]:
    broker = OneBroker(HOST, tmp_path_factory.mktemp("broker"))
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def settings(broker: OneBroker, name: str) -> KafkaSettings:
    named = KafkaSettings(
        bootstrap_servers=broker.bootstrap_servers,
        topic=f"{name}-frames",
        runs_topic=f"{name}-runs",
        dead_topic=f"{name}-dead",
        reader_group=f"{name}-reader",
    )
    broker.create(
        NewTopic(named.topic, PARTITIONS, 1, config={"retention.ms": "600000", "retention.bytes": "500000000"}),
        NewTopic(named.runs_topic, 1, 1, config={"cleanup.policy": "compact"}),
        NewTopic(named.dead_topic, 1, 1),
    )
    return named


def settings_of(kafka: Kafka, *, keeps_bytes: int = 500_000_000) -> KafkaSettings:
    """Topics of the test's own, and a login. What is held back near the end of what is kept is the matter of one test
    alone."""
    kept = {"retention.ms": "600000", "retention.bytes": str(keeps_bytes)}
    return KafkaSettings(
        bootstrap_servers=kafka.bootstrap_servers,
        topic=kafka.topic("frames", partitions=PARTITIONS, config=kept),
        runs_topic=kafka.topic("runs", config={"cleanup.policy": "compact"}),
        dead_topic=kafka.topic("dead"),
        reader_group=f"{kafka.prefix}reader",
        client=kafka.settings(),
    )


def all_messages(named: KafkaSettings, topic: str) -> list[Any]:
    consumer = Consumer(named.consumer("test"))
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    messages, ended = [], 0
    while ended < len(partitions):
        for message in consumer.consume(500, timeout=1.0):
            if message.error() is None:
                messages.append(message)
            else:
                ended += 1
    consumer.close()
    return messages


def last_status(process: Lines) -> dict[str, Any]:
    said = [json.loads(line) for line in process.lines if line.startswith("{")]
    statuses = [each for each in said if each["event"] in ("status", "ended")]
    return statuses[-1] if statuses else {"produced_readings": 0, "acked_readings": 0, "stored": 0, "second": 0}


def test_every_reading_is_in_the_log_after_kills_of_ingest_and_broker(broker: OneBroker, tmp_path: Path) -> None:
    named = settings(broker, "kills")
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "flight.json").write_text(json.dumps(practice_rows()))
    token = ("--token-file", str(tmp_path / "token"))
    topics = ("--topic", named.topic, "--runs-topic", named.runs_topic, "--dead-topic", named.dead_topic)
    bootstrap = ("--bootstrap-servers", broker.bootstrap_servers)
    module = (sys.executable, "-m")

    def start_ingest() -> Lines:
        return Lines(*module, "upcall.fastdata.ingest", *bootstrap, "--listen", LISTEN, *token, *topics)

    seconds = 24
    flight = ("--flight", str(tmp_path / "flight.json"), "--begin-s", "100", "--seed", "5")
    ends = ("--stop-after-s", str(seconds))
    ingest = start_ingest()
    aircraft = Lines(*module, "upcall.fastdata.aircraft", *flight, "--ingest", LISTEN, *token, *ends)
    try:
        until(lambda: last_status(aircraft)["acked_readings"] > 0, "the first acknowledgement")
        for kill_at in (4, 8):
            until(lambda at=kill_at: last_status(aircraft)["second"] >= at, f"second {kill_at}")  # type: ignore[misc]
            ingest.kill()
            ingest = start_ingest()
        until(lambda: last_status(aircraft)["second"] >= 12, "second 12")
        broker.kill()
        until(lambda: last_status(aircraft)["second"] >= 16, "second 16")
        assert last_status(aircraft)["buffered_s"] > 1
        broker.start()
        until(lambda: aircraft.process.poll() is not None, "the aircraft's end")
        ingest.process.send_signal(signal.SIGTERM)
        assert ingest.process.wait(PATIENCE_S) == 0
    finally:
        aircraft.kill()
        ingest.kill()
    ended = last_status(aircraft)
    assert ended["acked_readings"] == ended["produced_readings"] == seconds * 128 * 20_000
    assert ended["dropped_readings"] == 0

    (announced,) = all_messages(named, named.runs_topic)
    run = Run.from_json(announced.value())
    assert (announced.key().decode(), run.seed, run.begin_s) == (run.run_id, 5, 100)
    generator = Generator(run, FLIGHT)
    seen: Counter[tuple[int, int]] = Counter()
    for message in all_messages(named, named.topic):
        frame = decode(message.value())
        assert message.partition() == frame.block % PARTITIONS
        assert message.timestamp()[1] == run.due_us(frame.first_sample) // 1_000
        assert np.array_equal(frame.counts, generator.generate(frame.block, frame.first_sample, frame.samples))
        seen.update((frame.block, frame.first_sample + at) for at in range(frame.samples))
    assert len(seen) == seconds * 128 * 20
    assert set(seen.values()) == {
        1
    }  # the log may repeat (a request of the dead one that arrives late); here it must not
    assert all_messages(named, named.dead_topic) == []


def a_run(**changes: Any) -> Run:
    said: dict[str, Any] = {
        "flight": FLIGHT.name,
        "flight_digest": FLIGHT.digest,
        "seed": 1,
        "rate_hz": 128,
        "start_us": time.time_ns() // 1_000 - 60_000_000,
        "seconds": 1_200,
    }
    return Run(**(said | changes))


def store(log: KafkaLog, *frames: tuple[Run, int, int]) -> None:
    """Stores short frames of (run, block, first sample), and waits until all are delivered."""
    done: list[int] = []
    for run, block, first in frames:
        frame = encode(Frame(run.run_id, block, first, 128, np.zeros((32, 10), np.int16)))
        log.append(block, frame, run.due_us(first), lambda: done.append(1))
    until(lambda: len(done) == len(frames), "all deliveries")


def no_failure(reason: str) -> None:
    raise AssertionError(reason)


def test_a_new_ingest_learns_from_the_log_how_far_each_block_has_come(kafka: Kafka) -> None:
    named = settings_of(kafka)
    old, run, unseen = a_run(seed=1), a_run(seed=2), a_run(seed=3)
    log = KafkaLog(named)
    log.open(no_failure)
    assert log.partitions == PARTITIONS
    assert not log.is_announced(run)
    for each in (old, run):
        log.announce(each)
    frames = [(run, 7, 0)]
    for first in range(0, 32 * 500, 32):  # block 7 stands far from the end of its partition
        frames += [(old, 7, first), (run, 1, first)]
    store(log, *frames, (run, 4, 64))
    log.close(30.0)

    log = KafkaLog(named)
    log.open(no_failure)
    assert log.is_announced(run)
    assert not log.is_announced(unseen)
    assert log.last_samples(run) == {7: 31, 1: 32 * 500 - 1, 4: 95}
    assert log.last_samples(old) == {7: 32 * 500 - 1}
    assert log.last_samples(unseen) == {}
    log.close(30.0)


def test_what_cannot_be_read_is_set_aside_with_its_reason(kafka: Kafka) -> None:
    named = settings_of(kafka)
    log = KafkaLog(named)
    log.open(no_failure)
    done: list[int] = []
    log.set_aside(b"no frame", "checksum 1 stated, 2 computed", lambda: done.append(1))
    until(lambda: bool(done), "a delivery")
    log.close(30.0)
    (message,) = all_messages(named, named.dead_topic)
    assert (message.value(), message.headers()) == (b"no frame", [("reason", b"checksum 1 stated, 2 computed")])


def looks_well(log: KafkaLog) -> bool:
    """A look at a topic that was just made may fail, which says nothing about its reader."""
    try:
        return log.reader_in_danger(held=False) == ""
    except KafkaException as error:
        if not error.args[0].retriable():
            raise
        return False


def test_a_reader_that_falls_behind_is_in_danger_until_it_commits(kafka: Kafka) -> None:
    named = settings_of(kafka, keeps_bytes=20_000_000)
    log = KafkaLog(named)
    log.open(no_failure)
    run = a_run(start_us=time.time_ns() // 1_000 - 550_000_000)  # its first readings are 550 s old; 600 s are kept
    until(partial(looks_well, log), "leaders of the topic's partitions")
    store(log, *((run, 0, first) for first in range(0, 32 * 300, 32)))
    assert "partition 0: the oldest unread reading is 5" in log.reader_in_danger(held=False)
    reader = Consumer(named.consumer(named.reader_group))
    reader.commit(offsets=[TopicPartition(named.topic, 0, 290)], asynchronous=False)
    assert log.reader_in_danger(held=True) == ""
    reader.close()
    log.close(30.0)
