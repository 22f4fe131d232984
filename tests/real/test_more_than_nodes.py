"""Six real brokers on three nodes: no two replicas of a partition are on one node, and a node is drained under load."""

import pytest
from real_cluster import Cluster
from real_kafka import TOPIC, all_in_sync, replicas, under_load
from real_members import WAIT_S, Begin, act

from upcall.protocol.operator import Drain

pytestmark = [pytest.mark.real, pytest.mark.long]

BROKERS = tuple(f"kafka.broker-{number}" for number in range(6))


@pytest.fixture(scope="module")
def kafka(begin: Begin) -> Cluster:
    cluster = begin(
        "kafka", "--set", "brokers=6", "--set", "per_node=2", "--set", "disk_mib=512", nodes=3, memory_mib_per_node=1100
    )
    cluster.until_ready(*BROKERS, wait_s=WAIT_S)
    act(cluster, "kafka", "create-topic", name=TOPIC, partitions=12)
    cluster.until("all replicas are in sync", lambda: all_in_sync(cluster), WAIT_S)
    return cluster


def nodes(cluster: Cluster) -> dict[int, str]:
    """Broker -> its node."""
    return {number + 1: cluster.task(broker).node for number, broker in enumerate(BROKERS)}


def test_no_two_replicas_of_a_partition_are_on_one_node(kafka: Cluster) -> None:
    on = nodes(kafka)
    assert sorted(list(on.values()).count(node) for node in set(on.values())) == [2, 2, 2]
    for partition, brokers in replicas(kafka).items():
        assert len({on[broker] for broker in brokers}) == len(brokers), partition


def test_a_node_with_two_brokers_is_drained_under_load_and_comes_back(kafka: Cluster) -> None:
    node = kafka.task(BROKERS[0]).node
    here = [broker for broker in BROKERS if kafka.task(broker).node == node]
    with under_load(kafka, TOPIC):
        drain = kafka.client.operation_of(f"/v1/nodes/{node}/drain", Drain(window_s=600))
        kafka.until("it is drained", lambda: kafka.client.operation(drain.id).state == "done", WAIT_S)
        assert [kafka.task(broker).state for broker in here] == ["held", "held"]
        kafka.upcall("node", "undrain", node)
        kafka.until_ready(*BROKERS, wait_s=WAIT_S)
        kafka.until("all replicas are in sync", lambda: all_in_sync(kafka), WAIT_S)
