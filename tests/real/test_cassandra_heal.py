"""What breaks of a real Cassandra beside what test_cassandra.py plays: a damaged commit log, a node that stands still,
a disk that fills. It heals by itself, loses nothing that was acknowledged, and says what is wrong meanwhile.

The tests of this module follow each other on one cluster, and each leaves three nodes up.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cassandra import InvalidRequest, OperationTimedOut, ReadFailure, WriteTimeout
from cassandra.cluster import NoHostAvailable, Session
from cql_clients import KEYSPACE, logged_in
from real_cluster import Cluster
from real_members import WAIT_S, Begin, jvm_of, kill, until_next_incarnation

from upcall.protocol.operator import TaskView

pytestmark = [pytest.mark.real, pytest.mark.in_order, pytest.mark.long]

MAIN = "org.apache.cassandra.service.CassandraDaemon"
NODES = ("cassandra.node-0", "cassandra.node-1", "cassandra.node-2")
DISK_MIB = 512
ROW_BYTES = 100_000


@pytest.fixture(scope="module")
def cassandra(begin: Begin) -> Cluster:
    size = ("--set", "nodes=3", "--set", f"disk_mib={DISK_MIB}")
    cluster = begin("cassandra", *size, nodes=3, memory_mib_per_node=640)
    cluster.until_ready(*NODES, wait_s=WAIT_S)
    cluster.upcall("service", "do", "cassandra", "create-keyspace", f"name={KEYSPACE}")
    return cluster


@pytest.fixture
def session(cassandra: Cluster) -> Iterator[Session]:
    with logged_in(cassandra) as session:
        session.set_keyspace(KEYSPACE)
        session.execute("CREATE TABLE IF NOT EXISTS blobs (id int PRIMARY KEY, data blob)")
        yield session


def write(session: Session, first: int, count: int) -> dict[int, bytes]:
    insert = session.prepare("INSERT INTO blobs (id, data) VALUES (?, ?)")
    written = {number: os.urandom(ROW_BYTES) for number in range(first, first + count)}
    for number, data in written.items():
        session.execute(insert, (number, data))
    return written


def holds(session: Session, written: dict[int, bytes]) -> bool:
    """A node that starts anew knows no table for a moment and fails what it is asked."""
    select = session.prepare("SELECT data FROM blobs WHERE id = ?")
    try:
        return all(session.execute(select, (number,)).one()[0] == data for number, data in written.items())
    except ReadFailure:
        return False


def wrong(cluster: Cluster) -> list[str]:
    """What Cassandra's own code says is wrong."""
    return [f"{one.what}; {one.doing}" for one in cluster.client.service("cassandra").degraded]


def until_well(cluster: Cluster) -> None:
    cluster.until_ready(*NODES, wait_s=WAIT_S)
    cluster.until("nothing is wrong", lambda: not wrong(cluster), WAIT_S)


def commit_logs(cluster: Cluster, task: TaskView) -> list[Path]:
    volume = cluster.data / "nodes" / task.node / "volumes" / task.member / "1" / "data"
    return sorted(volume.rglob("CommitLog-*.log"), key=lambda each: each.stat().st_mtime_ns)


def test_a_node_whose_commit_log_was_cut_off_starts_anew_and_fills_itself_from_the_others(
    cassandra: Cluster, session: Session
) -> None:
    written = write(session, 0, 250)
    before = cassandra.task(NODES[1])
    segments = commit_logs(cassandra, before)
    assert len(segments) > 1, "of the last one an unfinished end is usual"
    kill(cassandra, before, MAIN)
    os.truncate(segments[0], segments[0].stat().st_size // 2 + 7)
    after = until_next_incarnation(cassandra, before)
    print(after.incarnation - before.incarnation, "starts")
    assert after.node == before.node
    until_well(cassandra)
    assert holds(session, written)


def test_a_node_that_stands_still_is_told_restarted_and_costs_no_row(cassandra: Cluster, session: Session) -> None:
    before = cassandra.task(NODES[2])
    stopped = jvm_of(cassandra, before, MAIN)
    os.kill(stopped, signal.SIGSTOP)
    try:
        said = cassandra.until("it is told", lambda: wrong(cassandra), WAIT_S)
        print(said)
        cassandra.until("two of three are a quorum", lambda: written_all(session, 1000, 20), WAIT_S)
        until_next_incarnation(cassandra, before)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(stopped, signal.SIGCONT)
    until_well(cassandra)


def written_all(session: Session, first: int, count: int) -> bool:
    """A client has to find out which node does not answer."""
    try:
        written = write(session, first, count)
    except (OperationTimedOut, WriteTimeout, NoHostAvailable):
        return False
    return holds(session, written)


def test_a_disk_that_is_nearly_full_refuses_writes_says_so_and_takes_them_again_when_there_is_room(
    cassandra: Cluster, session: Session
) -> None:
    before = [cassandra.task(each).task for each in NODES]
    number = 10_000

    def refused() -> bool:
        nonlocal number
        number += 100
        try:
            write(session, number, 100)
        except InvalidRequest as error:
            return "disk usage" in str(error).lower()
        except (WriteTimeout, OperationTimedOut):
            return False
        assert (number - 10_000) * ROW_BYTES < 2 * DISK_MIB << 20, "nothing was refused"
        return False

    cassandra.until("writes are refused", refused, WAIT_S)
    said = cassandra.until("it is told", lambda: [one for one in wrong(cassandra) if "refuses writes" in one], WAIT_S)
    print(wrong(cassandra))
    assert "larger disk_mib" in said[0]
    session.execute("TRUNCATE blobs", timeout=120.0)

    def taken_again() -> bool:
        try:
            return bool(write(session, 1, 1))
        except InvalidRequest:
            return False

    cassandra.until("writes are taken again", taken_again, WAIT_S)
    until_well(cassandra)
    assert [cassandra.task(each).task for each in NODES] == before, "nobody was restarted for it"
