"""A rack goes as a whole, under load: six real Cassandra nodes, two in each of three racks.

Each range has one copy in each rack, so every range keeps its majority without one. Rows are written and read at
LOCAL_QUORUM meanwhile.
"""

import threading
import time
from collections.abc import Iterator

import pytest
from cassandra import ConsistencyLevel
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, ExecutionProfile, Session
from cassandra.cluster import Cluster as Driver
from cassandra.policies import DCAwareRoundRobinPolicy
from real_cluster import Cluster
from real_members import WAIT_S, Begin

pytestmark = pytest.mark.real

NODES = tuple(f"cassandra.node-{number}" for number in range(6))
KEYSPACE = "fast"
WRITE_EVERY_S = 0.05


@pytest.fixture(scope="module")
def cassandra(begin: Begin) -> Cluster:
    cluster = begin("cassandra", "--set", "nodes=6", "--set", "memory_mib=560", nodes=6, memory_mib_per_node=576)
    cluster.until_ready(*NODES, wait_s=2 * WAIT_S)
    cluster.upcall("service", "do", "cassandra", "create-keyspace", f"name={KEYSPACE}")
    return cluster


@pytest.fixture
def session(cassandra: Cluster) -> Iterator[Session]:
    addresses = next(each.addresses for each in cassandra.client.endpoints() if each.name == "cql")
    said = cassandra.client.credentials("cassandra", "cql")
    profile = ExecutionProfile(
        load_balancing_policy=DCAwareRoundRobinPolicy(local_dc="dc1"),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        request_timeout=30.0,
    )
    driver = Driver(
        [address.partition(":")[0] for address in addresses],
        auth_provider=PlainTextAuthProvider(said.user, said.password),
        protocol_version=5,
        connect_timeout=30.0,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    )
    session = driver.connect(KEYSPACE)
    session.execute("CREATE TABLE IF NOT EXISTS rows (id int PRIMARY KEY, text text)", timeout=60.0)
    yield session
    driver.shutdown()


def test_a_rack_is_drained_together_under_load_and_no_row_is_lost(cassandra: Cluster, session: Session) -> None:
    zones = {node.name: node.zone for node in cassandra.client.nodes()}
    there = [task.member for task in cassandra.client.tasks() if zones[task.node] == "b"]
    assert len(there) == 2
    insert = session.prepare("INSERT INTO rows (id, text) VALUES (?, ?)")
    select = session.prepare("SELECT text FROM rows WHERE id = ?")
    insert.is_idempotent = select.is_idempotent = True
    over, written, failed = threading.Event(), 0, list[str]()

    def write() -> None:
        nonlocal written
        while not over.wait(WRITE_EVERY_S):
            try:
                session.execute(insert, (written, f"row {written}"))
            except Exception as error:
                failed.append(str(error))
            written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        began_s = time.monotonic()
        cassandra.upcall("node", "drain", "--zone", "b", timeout_s=WAIT_S)
        drained_s = time.monotonic() - began_s
        assert {cassandra.task(member).state for member in there} == {"held"}
        (operation,) = [one for one in cassandra.client.operations() if one.kind == "maintenance"]
        assert operation.state == "done"
        cassandra.upcall("node", "undrain", "--zone", "b", timeout_s=WAIT_S)
        cassandra.until_ready(*NODES, wait_s=WAIT_S)
    finally:
        over.set()
        writer.join()
    print(f"drained in {drained_s:.1f} s; {written} rows, {len(failed)} failed {failed[:2]}")
    assert not failed
    assert written > 0
    assert [session.execute(select, (number,)).one()[0] for number in range(written)] == [
        f"row {number}" for number in range(written)
    ]
