"""A rack goes as a whole, under load: six real Cassandra nodes, two in each of three racks.

Each range has one copy in each rack, so every range keeps its majority without one. Rows are written and read at
LOCAL_QUORUM meanwhile.
"""

import time
from collections.abc import Iterator

import pytest
from cassandra.cluster import Session
from cql_clients import KEYSPACE, Load, logged_in
from real_cluster import Cluster
from real_members import WAIT_S, Begin

pytestmark = pytest.mark.real

NODES = tuple(f"cassandra.node-{number}" for number in range(6))


@pytest.fixture(scope="module")
def cassandra(begin: Begin) -> Cluster:
    cluster = begin("cassandra", "--set", "nodes=6", "--set", "memory_mib=560", nodes=6, memory_mib_per_node=576)
    cluster.until_ready(*NODES, wait_s=2 * WAIT_S)
    cluster.upcall("service", "do", "cassandra", "create-keyspace", f"name={KEYSPACE}")
    return cluster


@pytest.fixture
def session(cassandra: Cluster) -> Iterator[Session]:
    with logged_in(cassandra) as session:
        yield session


def test_a_rack_is_drained_together_under_load_and_no_row_is_lost(cassandra: Cluster, session: Session) -> None:
    zones = {node.name: node.zone for node in cassandra.client.nodes()}
    there = [task.member for task in cassandra.client.tasks() if zones[task.node] == "b"]
    assert len(there) == 2
    with Load(session) as load:
        began_s = time.monotonic()
        cassandra.upcall("node", "drain", "--zone", "b", timeout_s=WAIT_S)
        drained_s = time.monotonic() - began_s
        assert {cassandra.task(member).state for member in there} == {"held"}
        (operation,) = [one for one in cassandra.client.operations() if one.kind == "maintenance"]
        assert operation.state == "done"
        cassandra.upcall("node", "undrain", "--zone", "b", timeout_s=WAIT_S)
        cassandra.until_ready(*NODES, wait_s=WAIT_S)
    print(f"drained in {drained_s:.1f} s")
    load.check()
