"""Six real Cassandra nodes on three machines, each a rack, become four: who leaves is chosen so that three racks are
left, and the loss of any machine is survived, as before. Rows are written and read at LOCAL_QUORUM meanwhile."""

import os
import signal
from collections import Counter

import pytest
from cql_clients import KEYSPACE, Load, logged_in
from real_cluster import Cluster
from real_members import WAIT_S, Begin

pytestmark = [pytest.mark.real, pytest.mark.long]

NODES = tuple(f"cassandra.node-{number}" for number in range(6))


@pytest.fixture(scope="module")
def cassandra(begin: Begin) -> Cluster:
    sizes = ("nodes=6", "per_node=2", "memory_mib=560", "disk_mib=512")
    options = [word for size in sizes for word in ("--set", size)]
    cluster = begin("cassandra", *options, nodes=3, memory_mib_per_node=1300)
    cluster.until_ready(*NODES, wait_s=3 * WAIT_S)
    cluster.upcall("service", "do", "cassandra", "create-keyspace", f"name={KEYSPACE}")
    return cluster


def placed(cluster: Cluster) -> dict[str, str]:
    return {task.member: task.node for task in cluster.client.tasks()}


def test_four_of_six_are_in_three_racks_and_the_loss_of_a_machine_is_survived(cassandra: Cluster) -> None:
    with logged_in(cassandra) as session, Load(session) as load:
        said = cassandra.upcall("update", "cassandra", "--set", "nodes=4", "--dry-run", timeout_s=WAIT_S)
        cassandra.upcall("update", "cassandra", "--set", "nodes=4", timeout_s=3 * WAIT_S)
        left = placed(cassandra)
        assert sorted(Counter(left.values()).values()) == [1, 1, 2], left
        for name in {node.split(".")[1] for node in NODES} - {name.split(".")[-1] for name in left}:
            assert name in said, "the dry run named who leaves"
        crowded = Counter(left.values()).most_common(1)[0][0]
        for name in (name for name, node in left.items() if node == crowded):
            os.kill(int(cassandra.task(name).pid), signal.SIGKILL)
        cassandra.until_ready(*left, wait_s=2 * WAIT_S)
    load.check()
