"""The lines by which Kafka and Cassandra tell that a start goes on, and why they end, as their locked versions word
them. That they are written is seen in the real tests."""

import re

import pytest

from upcall.catalog.cassandra import config as cassandra
from upcall.catalog.kafka import config as kafka
from upcall.protocol import patterns

KAFKA_GOES_ON = (
    "10:00:00 INFO LogManager Completed load of Log(dir=/v/logs/writes-0, topicId=a, topic=writes, partition=0) with 3"
    " segments, local-log-start-offset 0 and log-end-offset 81 in 12ms (4/17 completed in /v/logs)",
    "10:00:00 INFO LogLoader [LogLoader partition=writes-1, dir=/v/logs] Recovering unflushed segment 4096. 1/3"
    " recovered for writes-1.",
)
CASSANDRA_GOES_ON = (
    "10:00:00 INFO  [main] o.a.c.d.c.CommitLogReader Finished reading /v/data/commitlog/CommitLog-7-1780000000000.log",
    "10:00:00 DEBUG [Stream-Deserializer-/127.0.0.1] o.a.c.d.s.CassandraEntireSSTableStreamReader [Stream #6a-1]"
    " Finished receiving Data.db component from /127.0.0.1:7000, componentSize = 9, readBytes = 9, totalSize = 12",
    "10:00:00 INFO  [Stream-Deserializer-/127.0.0.1] o.a.c.d.s.CassandraCompressedStreamReader [Stream #6a-1]"
    " Finished receiving file #2 from /127.0.0.1:7000 readBytes = 9, totalSize = 12",
    "10:00:00 INFO  [Stream-1] o.a.c.s.StreamResultFuture [Stream #6a-1] Session with /127.0.0.1:7000 is complete",
)
WAITS = (
    "10:00:00 INFO MetadataLoader [MetadataLoader id=1] initializeNewPublishers: the loader is still catching up",
    "10:00:00 INFO  [main] o.a.c.g.Gossiper Waiting for gossip to settle...",
)


def matches(expressions: tuple[str, ...], line: str) -> bool:
    return any(patterns.compiled(one, "progress").search(line.encode()) for one in expressions)


@pytest.mark.parametrize("line", KAFKA_GOES_ON)
def test_kafkas_log_recovery_is_progress(line: str) -> None:
    assert matches(kafka.PROGRESS, line)


@pytest.mark.parametrize("line", CASSANDRA_GOES_ON)
def test_cassandras_commit_log_and_streams_are_progress(line: str) -> None:
    assert matches(cassandra.PROGRESS, line)


@pytest.mark.parametrize("line", WAITS)
def test_waiting_is_none(line: str) -> None:
    assert not matches((*kafka.PROGRESS, *cassandra.PROGRESS), line)


@pytest.mark.parametrize(
    ("expressions", "line", "why"),
    [
        (
            kafka.FATAL,
            "10:00:00 ERROR LogManager Shutdown broker because all log dirs in /v/logs have failed",
            "all log dirs in /v/logs have failed",
        ),
        (
            kafka.FATAL,
            "Terminating due to java.lang.OutOfMemoryError: Java heap space",
            "java.lang.OutOfMemoryError: Java heap space",
        ),
        (
            cassandra.FATAL,
            "Exception (java.lang.RuntimeException) encountered during startup: A node with address /127.0.0.1:7000"
            " already exists, cancelling join.",
            "A node with address /127.0.0.1:7000 already exists, cancelling join.",
        ),
    ],
)
def test_why_it_ends_is_cut_out(expressions: tuple[str, ...], line: str, why: str) -> None:
    found = [said.group(1) for one in expressions if (said := re.search(one, line))]
    assert found == [why]
