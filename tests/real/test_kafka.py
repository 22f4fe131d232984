"""Real Kafka on a real cluster: asked before a drain, killed, lost with its node for good, gone without a trace.

The tests of this module follow each other on one cluster, and each leaves three brokers in sync.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ElectionType,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from real_cluster import Cluster
from real_kafka import TOPIC, client, servers
from real_members import (
    WAIT_S,
    Begin,
    act,
    drain,
    empty_volume,
    kill,
    lose_node,
    output,
    tells_progress,
    undrain,
    until_done,
    until_next_incarnation,
    until_why,
)

from upcall.catalog.kafka.config import PROGRESS, client_settings
from upcall.catalog.kafka.options import KafkaOptions

pytestmark = [pytest.mark.real, pytest.mark.in_order]

MAIN = "kafka.Kafka"
EXAMPLE = Path(__file__).parents[2] / "examples" / "write_and_read.py"
BROKERS = ("kafka.broker-0", "kafka.broker-1", "kafka.broker-2")
PARTITIONS = 6
MESSAGES = 600
SETTINGS = {"log.retention.hours": "71"}


@pytest.fixture(scope="module")
def kafka(begin: Begin) -> Cluster:
    cluster = begin(
        "kafka",
        *("--set", "brokers=3", "--set", "replace_after_s=90", "--set", f"settings={json.dumps(SETTINGS)}"),
        nodes=3,
        memory_mib_per_node=512,
    )
    cluster.until_ready(*BROKERS, wait_s=WAIT_S)
    cluster.upcall("service", "do", "kafka", "create-topic", f"name={TOPIC}", f"partitions={PARTITIONS}")
    return cluster


def in_sync(cluster: Cluster) -> Counter[int]:
    """How many partitions of the topic have how many replicas in sync; empty while nobody answers."""
    try:
        found = AdminClient({**client(cluster), "log_level": 2}).list_topics(TOPIC, timeout=5)
    except KafkaException:
        return Counter()
    return Counter(len(partition.isrs) for partition in found.topics[TOPIC].partitions.values())


def until_in_sync(cluster: Cluster) -> None:
    cluster.until("all replicas in sync", lambda: in_sync(cluster) == {3: PARTITIONS}, WAIT_S)


def write(cluster: Cluster, name: str) -> set[str]:
    """Messages that all replicas in sync have acknowledged."""
    acknowledged: set[str] = set()

    def delivered(error: Any, message: Any) -> None:
        if error is None:
            acknowledged.add(message.key().decode())

    producer = Producer({**client(cluster), "acks": "all", "log_level": 2})
    for number in range(MESSAGES):
        producer.produce(TOPIC, b"x" * 100, f"{name}-{number}", on_delivery=delivered)
    producer.flush(WAIT_S)
    assert len(acknowledged) == MESSAGES
    return acknowledged


def ends(consumer: Consumer, parts: list[TopicPartition]) -> int:
    """Messages in all of them; 0 while a new leader does not know yet what is committed."""
    try:
        return sum(consumer.get_watermark_offsets(part, timeout=60)[1] for part in parts)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.OFFSET_NOT_AVAILABLE:
            raise
        return 0


def read(cluster: Cluster) -> set[str]:
    """All keys that stand in the log."""
    consumer = Consumer({**client(cluster), "group.id": "none", "log_level": 2})
    try:
        parts = [TopicPartition(TOPIC, number, OFFSET_BEGINNING) for number in range(PARTITIONS)]
        count = cluster.until("the ends of the log", lambda: ends(consumer, parts), WAIT_S)
        consumer.assign(parts)
        messages: list[Any] = []
        while len(messages) < count:
            found = [message for message in consumer.consume(count, timeout=180) if not message.error()]
            assert found, f"{len(messages)} of {count} messages, then nothing more"
            messages += found
        return {message.key().decode() for message in messages}
    finally:
        consumer.close()


def test_a_topic_is_one_command_and_a_second_time_changes_nothing(kafka: Cluster) -> None:
    assert act(kafka, "kafka", "create-topic", name=TOPIC)["created"] is False
    topics = act(kafka, "kafka", "topics")
    assert {"topic": TOPIC, "partitions": PARTITIONS, "replication": 3, "out_of_sync": 0} in topics


def test_a_users_own_setting_reaches_the_brokers(kafka: Cluster) -> None:
    admin = AdminClient({**client(kafka), "log_level": 2})
    for broker in ("1", "2", "3"):
        asked = admin.describe_configs([ConfigResource(ResourceType.BROKER, broker)], request_timeout=30)
        found = next(iter(asked.values())).result(30)
        assert found["log.retention.hours"].value == SETTINGS["log.retention.hours"]
        assert found["min.insync.replicas"].value == "2"


def test_who_does_not_log_in_gets_no_answer_and_no_password_stands_on_a_command_line(kafka: Cluster) -> None:
    said = kafka.client.credentials("kafka", "client")
    for login in (None, (said.user, "guessed"), ("admin", said.password)):
        refused = AdminClient({**client_settings(servers(kafka), login), "log_level": 0})
        with pytest.raises(KafkaException):
            refused.list_topics(timeout=3)
    controllers = ",".join(address.replace(":9092", ":9093") for address in servers(kafka).split(","))
    as_client = AdminClient({**client_settings(controllers, (said.user, said.password)), "log_level": 0})
    with pytest.raises(KafkaException):
        as_client.list_topics(timeout=3)
    passwords = [kafka.client.credentials("kafka", end).password for end in ("client", "admin")]
    for process in brokers_of(kafka.data):
        words = Path(f"/proc/{process}/cmdline").read_bytes().decode()
        settings = (Path(f"/proc/{process}/cwd") / "server.properties").read_text()
        assert not [each for each in passwords if each in words or each in settings]


def test_a_topic_keeps_its_share_of_the_volume_unless_it_says_else(kafka: Cluster) -> None:
    act(kafka, "kafka", "create-topic", name="short", partitions=1, config={"retention.bytes": "1048576"})
    try:
        admin = AdminClient({**client(kafka), "log_level": 2})
        kept = {}
        for topic in (TOPIC, "short"):
            asked = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)], request_timeout=30)
            found = next(iter(asked.values())).result(30)
            kept[topic] = int(found["retention.bytes"].value)
            segment = int(found["segment.bytes"].value)
        assert kept[TOPIC] + segment == (KafkaOptions().disk_mib << 20) // 16
        assert kept["short"] == 1 << 20
    finally:
        act(kafka, "kafka", "delete-topic", name="short")


def test_a_topic_with_one_replica_gets_more_by_the_action_that_why_names(kafka: Cluster) -> None:
    act(kafka, "kafka", "create-topic", name="alone", partitions=1, replication=1)
    try:
        act(kafka, "kafka", "raise-replication", topic="alone", replicas=3)
        topics = {each["topic"]: each for each in act(kafka, "kafka", "topics")}
        assert topics["alone"] == {"topic": "alone", "partitions": 1, "replication": 3, "out_of_sync": 0}
    finally:
        act(kafka, "kafka", "delete-topic", name="alone")


def leaders(kafka: Cluster) -> Counter[int]:
    """Node id -> partitions of the topic that it leads."""
    found = AdminClient({**client(kafka), "log_level": 2}).list_topics(TOPIC, timeout=30)
    return Counter(partition.leader for partition in found.topics[TOPIC].partitions.values())


def leads_its_share(kafka: Cluster, node_id: int) -> bool:
    """A broker that was away for a moment gets back what it led when somebody asks for it."""
    admin = AdminClient({**client(kafka), "log_level": 2})
    admin.elect_leaders(ElectionType.PREFERRED).result(30)
    return leaders(kafka)[node_id] == PARTITIONS / len(BROKERS)


def controllers(kafka: Cluster) -> list[int]:
    """Node ids of the active controllers that there were, each in the epoch after the one before it."""
    said = "".join(output(kafka, kafka.task(member)) for member in BROKERS)
    epochs = re.findall(r"Completed transition to Leader\(.*?\(id=(\d+),.*?\bepoch=(\d+),", said)
    return [int(node) for node, epoch in sorted(epochs, key=lambda each: int(each[1]))]


def test_a_second_drain_is_deferred_until_the_first_is_over(kafka: Cluster) -> None:
    first, second, _ = (kafka.task(member) for member in BROKERS)
    away = drain(kafka, first.node)
    until_done(kafka, away)
    assert kafka.task(first.member).state == "held"
    waiting = drain(kafka, second.node)
    said = until_why(kafka, waiting, "min.insync.replicas")
    assert f"deferred by kafka: {PARTITIONS} partitions would fall below min.insync.replicas" in said
    assert kafka.task(second.member).task == second.task, "it runs on"
    assert kafka.client.operation(waiting.id).state == "open"
    undrain(kafka, first.node)
    until_done(kafka, waiting)
    assert kafka.task(second.member).state == "held"
    assert kafka.task(first.member).state == "ready"
    undrain(kafka, second.node)
    after = until_next_incarnation(kafka, second)
    assert (after.node, after.address) == (second.node, second.address)
    until_in_sync(kafka)


def test_before_a_broker_ends_others_lead_all_that_it_led_and_have_the_controller(kafka: Cluster) -> None:
    active = controllers(kafka)[-1]
    before = kafka.task(BROKERS[active - 1])
    kafka.until("it leads its share", lambda: leads_its_share(kafka, active), WAIT_S)
    away = drain(kafka, before.node)
    written = write(kafka, "while it ends")
    until_done(kafka, away)
    lines = output(kafka, before).splitlines()
    let_go, closed = (
        next(number for number, line in enumerate(lines) if words in line)
        for words in ("The controller has asked us to exit controlled shutdown", "Stopping socket server request")
    )
    assert let_go < closed, "it served until the controller had given all that it led to others"
    assert leaders(kafka)[active] == 0
    kafka.until("another controller is active", lambda: controllers(kafka)[-1] != active, WAIT_S)
    undrain(kafka, before.node)
    until_next_incarnation(kafka, before)
    until_in_sync(kafka)
    assert written <= read(kafka)


def votes(kafka: Cluster) -> dict[int, str]:
    """Of each voter the directory that its vote is of."""
    return {each["node_id"]: each["directory_id"] for each in act(kafka, "kafka", "voters")}


def test_a_killed_broker_starts_again_in_place_with_what_it_had(kafka: Cluster) -> None:
    written = write(kafka, "before the kill")
    before = kafka.task(BROKERS[2])
    kill(kafka, before, MAIN)
    after = until_next_incarnation(kafka, before)
    assert (after.node, after.address) == (before.node, before.address)
    assert tells_progress(kafka, after, PROGRESS), "its logs were read again"
    until_in_sync(kafka)
    assert written <= read(kafka)


def test_a_broker_whose_volume_was_emptied_comes_back_in_sync_without_anybody_doing_anything(kafka: Cluster) -> None:
    written = write(kafka, "before the deletion")
    before, vote = kafka.task(BROKERS[0]), votes(kafka)[1]
    empty_volume(kafka, before)
    kill(kafka, before, MAIN)
    after = until_next_incarnation(kafka, before)
    assert after.node == before.node, "anew at its place"
    until_in_sync(kafka)
    kafka.until("it votes again, with its new directory", lambda: votes(kafka).get(1, vote) != vote, WAIT_S)
    assert set(votes(kafka)) == {1, 2, 3}
    assert written <= read(kafka)
    assert write(kafka, "after the deletion") <= read(kafka)


def test_a_broker_lost_with_its_node_is_replaced_elsewhere_and_votes_again(kafka: Cluster) -> None:
    written = write(kafka, "before the loss")
    voters = votes(kafka)
    assert set(voters) == {1, 2, 3}
    before = kafka.task(BROKERS[1])
    kafka.upcall("node", "add")
    lose_node(kafka, before, MAIN)
    after = until_next_incarnation(kafka, before, elsewhere=True)
    assert after.node == "node-4"

    kafka.until("the new broker votes", lambda: votes(kafka).get(2, voters[2]) != voters[2], WAIT_S)
    now = votes(kafka)
    assert set(now) == {1, 2, 3}, "the old vote is gone"
    assert (now[1], now[3]) == (voters[1], voters[3])
    until_in_sync(kafka)
    assert written <= read(kafka)
    assert write(kafka, "after the loss") <= read(kafka)


def test_the_example_of_a_client_writes_and_reads(kafka: Cluster) -> None:
    act(kafka, "kafka", "create-topic", name="shown", partitions=3)
    own = {**os.environ, "UPCALL_DATA": str(kafka.data), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for word in ("first", "second"):
        words = [sys.executable, str(EXAMPLE), "shown", word]
        done = subprocess.run(words, env=own, capture_output=True, text=True, timeout=WAIT_S)
        assert done.returncode == 0, done.stderr
    assert sorted(line.rpartition(": ")[2] for line in done.stdout.splitlines()) == ["first", "second"]
    act(kafka, "kafka", "delete-topic", name="shown")
    words = [sys.executable, str(EXAMPLE), "never-made", "first"]
    done = subprocess.run(words, env=own, capture_output=True, text=True, timeout=WAIT_S)
    assert (done.returncode, done.stdout) == (1, ""), "what was not written is not passed over in silence"
    assert "never-made: Broker: Unknown topic or partition" in done.stderr


def test_its_own_commands_are_what_a_person_types(kafka: Cluster) -> None:
    kafka.upcall("kafka", "topic", "create", "hand", "--partitions", "3", "--config", "retention.ms=600000")
    kafka.until("all brokers know it", lambda: "hand" in kafka.upcall("kafka", "topic", "list").stdout)
    kafka.upcall("kafka", "topic", "alter", "hand", "--partitions", "4", "--config", "retention.ms=700000")

    def in_sync() -> list[tuple[int, int]]:
        parts = json.loads(kafka.upcall("kafka", "topic", "describe", "hand", "-o", "json").stdout)
        return [(each["partition"], len(each["in_sync"])) for each in parts]

    kafka.until("it has four partitions in sync", lambda: in_sync() == [(number, 3) for number in range(4)])

    texts = ["one", "two", "three"]
    kafka.upcall("kafka", "produce", "hand", *texts)
    assert sorted(kafka.upcall("kafka", "consume", "hand").stdout.split()) == sorted(texts)
    assert len(kafka.upcall("kafka", "consume", "hand", "--count", "1", "--start", "first").stdout.split()) == 1

    read_as("readers", kafka, "hand", len(texts))
    # By their key both are in one partition, of which the group has read nothing yet.
    kafka.upcall("kafka", "produce", "hand", "four", "five", "--key", "same")
    behind = json.loads(kafka.upcall("kafka", "lag", "readers", "-o", "json").stdout)
    assert sum(each["lag"] for each in behind) == 2
    (readers,) = [one for one in json.loads(kafka.upcall("kafka", "groups", "-o", "json").stdout)
                  if one["group"] == "readers"]  # fmt: skip
    assert (readers["members"], readers["lag"]) == (0, 2)

    assert "did you mean 'hand'?" in kafka.refused("kafka", "topic", "describe", "hamd")
    assert "did you mean 'hand'?" in kafka.refused("kafka", "produce", "hamd", "lost")
    assert "did you mean 'readers'?" in kafka.refused("kafka", "lag", "reader")
    assert "did you mean 'hand'?" in kafka.refused("kafka", "topic", "delete", "hamd", "--yes")
    assert "nothing was done" in kafka.refused("kafka", "topic", "delete", "hand")
    kafka.upcall("kafka", "topic", "delete", "hand", "--yes")
    kafka.until("it is gone", lambda: "hand" not in kafka.upcall("kafka", "topic", "list").stdout)


def read_as(group: str, cluster: Cluster, topic: str, many: int) -> None:
    """All of it, committed, and the group is left."""
    settings = {**client(cluster), "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    reader = Consumer(settings)
    reader.subscribe([topic])
    found = 0
    while found < many:
        message = reader.poll(WAIT_S)
        assert message is not None
        assert message.error() is None
        found += 1
    reader.commit(asynchronous=False)
    reader.close()


def test_uninstall_leaves_nothing(kafka: Cluster) -> None:
    kafka.upcall("uninstall", "kafka")
    assert kafka.client.services() == []
    assert [task for task in kafka.client.tasks() if task.service == "kafka"] == []
    kafka.until("no broker is left", lambda: not brokers_of(kafka.data))


def brokers_of(data: Path) -> list[int]:
    """JVMs of a cluster, on whatever node."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if MAIN in words and str((entry / "cwd").readlink()).startswith(str(data)):
                found.append(int(entry.name))
        except OSError:
            continue
    return found
