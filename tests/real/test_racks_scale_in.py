"""Six real Cassandra nodes on three machines, each a rack, become four: who leaves is chosen so that three racks are
left, and any machine may go, as before. Rows are written and read at LOCAL_QUORUM meanwhile."""

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


def test_four_of_six_are_in_three_racks_and_a_machine_with_two_of_them_may_go(cassandra: Cluster) -> None:
    with logged_in(cassandra) as session:
        with Load(session) as load:
            said = cassandra.upcall("update", "cassandra", "--set", "nodes=4", "--dry-run", timeout_s=WAIT_S).stdout
            cassandra.upcall("update", "cassandra", "--set", "nodes=4", timeout_s=3 * WAIT_S)
            left = placed(cassandra)
            assert sorted(Counter(left.values()).values()) == [1, 1, 2], left
            for name in {*NODES} - {*left}:
                assert name.removeprefix("cassandra.") in said, "the dry run named who leaves"
            crowded = max(left.values(), key=[*left.values()].count)
            # Both of its nodes: every range keeps a majority on the other two machines.
            cassandra.upcall("node", "drain", crowded, timeout_s=2 * WAIT_S)
            assert sorted(cassandra.task(name).state for name in left) == ["held", "held", "ready", "ready"]
            cassandra.upcall("node", "undrain", crowded, timeout_s=WAIT_S)
            cassandra.until_ready(*left, wait_s=2 * WAIT_S)
        load.check()
