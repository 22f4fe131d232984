"""A real ring grows and shrinks under load, also while the code that runs it dies in the middle.

Rows are written and read at LOCAL_QUORUM all the while, open loop: none of them fails, and none is lost. The tests
follow each other on one ring: three nodes become four, and three again.
"""

import re
import signal
from collections.abc import Iterator

import pytest
from cassandra.cluster import Session
from cql_clients import KEYSPACE, Load, logged_in
from real_cluster import Cluster
from real_members import WAIT_S, Begin, act, incarnations

pytestmark = [pytest.mark.real, pytest.mark.in_order]

NODES = tuple(f"cassandra.node-{number}" for number in range(4))


@pytest.fixture(scope="module")
def cassandra(begin: Begin) -> Cluster:
    cluster = begin("cassandra", "--set", "nodes=3", nodes=4, memory_mib_per_node=700)
    cluster.until_ready(*NODES[:3], wait_s=WAIT_S)
    cluster.upcall("service", "do", "cassandra", "create-keyspace", f"name={KEYSPACE}")
    return cluster


@pytest.fixture(scope="module")
def session(cassandra: Cluster) -> Iterator[Session]:
    with logged_in(cassandra) as session:
        yield session


def ring(cluster: Cluster) -> dict[str, str]:
    """Address -> the two letters of ``nodetool status``."""
    said = str(act(cluster, "cassandra", "status"))
    return {address: letters for letters, address in re.findall(r"^([UD][NLJM])\s+(\S+)", said, re.M)}


def whole(cluster: Cluster, count: int) -> dict[str, str]:
    return {cluster.task(member).address: "UN" for member in NODES[:count]}


def test_a_fourth_node_takes_its_share_and_nobody_restarts(cassandra: Cluster, session: Session) -> None:
    before = incarnations(cassandra, *NODES[:3])
    with Load(session) as load:
        cassandra.upcall("update", "cassandra", "--set", "nodes=4", timeout_s=WAIT_S)
        assert ring(cassandra) == whole(cassandra, 4)
    assert incarnations(cassandra, *NODES[:3]) == before
    load.check()


def test_fewer_nodes_than_copies_are_refused_with_the_numbers(cassandra: Cluster) -> None:
    before = incarnations(cassandra, *NODES[:4])
    said = cassandra.refused("update", "cassandra", "--set", "nodes=2")
    assert re.search(r"2 nodes cannot keep as many copies as there are: 3 of fast", said)
    assert incarnations(cassandra, *NODES[:4]) == before
    assert ring(cassandra) == whole(cassandra, 4)


def test_a_node_leaves_with_its_data_also_when_the_host_dies_meanwhile(cassandra: Cluster, session: Session) -> None:
    before, going = incarnations(cassandra, *NODES[:3]), cassandra.task(NODES[3]).address
    with Load(session, first=100_000) as load:
        cassandra.upcall("update", "cassandra", "--set", "nodes=3", "--no-wait")
        cassandra.until("it leaves", lambda: ring(cassandra).get(going) == "UL", WAIT_S)
        cassandra.until_restarted("host", cassandra.kill("host", signal.SIGKILL))
        cassandra.until(
            "it is gone", lambda: NODES[3] not in {task.member for task in cassandra.client.tasks()}, WAIT_S
        )
        assert ring(cassandra) == whole(cassandra, 3)
    assert incarnations(cassandra, *NODES[:3]) == before
    load.check()


@pytest.mark.long
def test_who_comes_again_begins_empty_and_who_stays_after_all_is_whole(cassandra: Cluster, session: Session) -> None:
    with Load(session, first=200_000) as load:
        cassandra.upcall("update", "cassandra", "--set", "nodes=4", timeout_s=WAIT_S)
        assert ring(cassandra) == whole(cassandra, 4)
        going = cassandra.task(NODES[3]).address
        cassandra.upcall("update", "cassandra", "--set", "nodes=3", "--no-wait")
        cassandra.until("it leaves", lambda: ring(cassandra).get(going) == "UL", WAIT_S)
        (update,) = [one for one in cassandra.client.operations() if one.kind == "update" and one.state == "executing"]
        cassandra.upcall("operation", "cancel", update.id, "--reason", "not yet")
        cassandra.until("all are members", lambda: ring(cassandra) == whole(cassandra, 4), WAIT_S)
    load.check()
