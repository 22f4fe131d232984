"""What the catalog's experts make of goals: with the numbers, and refused where a machine is too small."""

from pathlib import Path
from typing import Any

import pytest

from upcall.catalog.cassandra.service import Cassandra
from upcall.catalog.kafka.service import Kafka
from upcall.catalog.spark.service import Spark
from upcall.cli.catalog import option_rows
from upcall.protocol.errors import Conflict, Invalid
from upcall.protocol.service import Derived, NodeView
from upcall.service import Service
from upcall.service.goals import derive

NODES = tuple(
    NodeView(name=f"n{number}", zone="abc"[number], cpus=4, memory_mib=8192, disk_mib=200_000) for number in range(3)
)


def values(service: type[Service], goals: dict[str, Any], nodes: Any = NODES, **said: Any) -> dict[str, Any]:
    found: dict[str, Derived] = derive(service, {"goals": goals, **said}, nodes)
    assert all(one.why for one in found.values())
    return {name: one.value for name, one in found.items()}


def test_kafka_survives_a_node_with_three_copies_of_which_two_are_in_sync() -> None:
    assert values(Kafka, {"survive": "1-node"}) == {
        "brokers": 3,
        "settings.default.replication.factor": 3,
        "settings.min.insync.replicas": 2,
    }
    with pytest.raises(Invalid, match=r"survive=1-node needs 3 nodes \(one broker on each of them\), there are 2"):
        values(Kafka, {"survive": "1-node"}, NODES[:2])


def test_kafka_keeps_what_is_written_for_as_long_as_is_wanted() -> None:
    found = values(Kafka, {"write_mb_s": 10, "keep_hours": 2})
    # 72 GB, three copies over three brokers, a quarter more, on three quarters of the disk.
    assert found["disk_mib"] == pytest.approx(72_000 * 1.25 / 0.75 / 1.048576, rel=0.01)
    assert found["settings.log.retention.ms"] == 7_200_000
    assert found["settings.log.retention.bytes"] * 12 <= found["disk_mib"] * 0.75 * (1 << 20) * 1.001
    more = values(Kafka, {"write_mb_s": 10, "keep_hours": 2}, brokers=6)
    assert more["disk_mib"] == pytest.approx(found["disk_mib"] / 2, rel=0.01)
    with pytest.raises(Invalid, match=r"keep_hours=24 at 10 MB/s needs \d+ MiB of disk on each of 3 brokers"):
        values(Kafka, {"write_mb_s": 10, "keep_hours": 24})


def test_kafka_gets_memory_for_what_is_written_and_answers_in_time() -> None:
    assert values(Kafka, {"write_mb_s": 10})["memory_mib"] == 448
    assert values(Kafka, {"write_mb_s": 200})["memory_mib"] == 1792
    assert values(Kafka, {"p99_ms": 50}) == {"settings.replica.fetch.wait.max.ms": 25}
    with pytest.raises(Invalid, match="p99_ms=5 is less than a write takes"):
        values(Kafka, {"p99_ms": 5})


def test_what_a_person_says_against_a_goal_of_kafka_is_refused() -> None:
    with pytest.raises(Conflict, match=r"settings\.min\.insync\.replicas=1 contradicts the goal survive=1-node"):
        values(Kafka, {"survive": "1-node"}, settings={"min.insync.replicas": "1"})
    with pytest.raises(Conflict, match=r"log.retention.hours=2 contradicts the goal keep_hours=24: Kafka goes by"):
        values(Kafka, {"keep_hours": 24}, settings={"log.retention.hours": 2})
    with pytest.raises(Conflict, match=r"disk_mib=2048 contradicts the goal write_mb_s=10.*keep_hours=2"):
        values(Kafka, {"write_mb_s": 10, "keep_hours": 2}, disk_mib=2048)


def test_cassandra_survives_a_zone_and_has_room_for_what_is_written() -> None:
    found = values(Cassandra, {"survive": "1-zone", "write_mb_s": 5, "keep_hours": 1})
    assert (found["nodes"], found["settings.default_keyspace_rf"]) == (3, 3)
    assert found["memory_mib"] == pytest.approx(5e6 * 30 / (1 << 20) / 0.25 / 0.42, rel=0.05)
    assert found["settings.commitlog_total_space"] == "287MiB"
    assert found["disk_mib"] == pytest.approx(5e6 * 3600 * 2 / (1 << 20), rel=0.01)
    assert values(Cassandra, {"p99_ms": 500})["settings.read_request_timeout"] == "500ms"
    with pytest.raises(Invalid, match="survive=1-zone needs nodes in 3 zones"):
        values(Cassandra, {"survive": "1-zone"}, NODES[:2])


def test_spark_gets_workers_and_cores_for_what_comes() -> None:
    assert values(Spark, {"survive": "1-node"}) == {"workers": 2}
    found = values(Spark, {"write_mb_s": 60})
    assert (found["workers"], found["cores"]) == (3, 4)
    assert found["memory_mib"] >= 256 + 160 + 4 * 120 + 480
    with pytest.raises(Invalid, match="survive=1-node needs 2 nodes"):
        values(Spark, {"survive": "1-node"}, NODES[:1])


@pytest.mark.parametrize("service", [Kafka, Cassandra, Spark])
def test_the_catalog_and_the_docs_have_the_same_words_for_a_goal(service: type[Service]) -> None:
    rows = {name: words for name, _, _, words in option_rows(service.Options.model_json_schema())}
    table = (Path(__file__).parents[2] / "docs" / "goals.md").read_text()
    goals = {name.removeprefix("goals."): words for name, words in rows.items() if name.startswith("goals.")}
    assert "survive" in goals
    for goal, words in goals.items():
        assert any(line.startswith(f"| `{goal}`") and words in line for line in table.splitlines()), (goal, words)
