"""Real Cassandra from one version to the next, back, and past the point of no return, under load.

Rows are written and read at LOCAL_QUORUM all the while, open loop: none of them fails, and none is lost. The tests of
this module follow each other on one ring.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from cassandra.cluster import Session
from cql_clients import KEYSPACE, Load, logged_in
from real_cluster import Cluster
from real_members import WAIT_S, Begin, act

from upcall.catalog.cassandra.releases import MODES, OLDEST
from upcall.catalog.cassandra.service import Cassandra

pytestmark = [pytest.mark.real, pytest.mark.in_order, pytest.mark.long]

OLD, NEW = Cassandra.versions()[0], Cassandra.version
NODES = ("cassandra.node-0", "cassandra.node-1", "cassandra.node-2")
CHANGE_S = 900.0
"""Of three nodes one after the other, twice for what is made final, beside others' tests."""
TIMEOUTS = ("read_request_timeout", "write_request_timeout")
PATIENCE = "20s"
"""A condition, not a speed: what a node waits for another one, on a machine that starts a third."""


@pytest.fixture(scope="module")
def cassandra(begin: Begin) -> Cluster:
    patient = [word for name in TIMEOUTS for word in ("--set", f"settings.{name}={PATIENCE}")]
    cluster = begin("cassandra@4.1", "--set", "nodes=3", *patient, nodes=3, memory_mib_per_node=1400)
    cluster.until_ready(*NODES, wait_s=WAIT_S)
    cluster.upcall("service", "do", "cassandra", "create-keyspace", f"name={KEYSPACE}")
    return cluster


@pytest.fixture(scope="module")
def session(cassandra: Cluster) -> Iterator[Session]:
    with logged_in(cassandra) as session:
        yield session


def runs(cluster: Cluster) -> set[tuple[str, str]]:
    """The version of each node, and in which form it writes."""
    rows = cluster.until("all nodes are heard", lambda: rows_of(cluster), WAIT_S)
    return {(str(row["version"]), str(row["writes_as"])) for row in rows}


def rows_of(cluster: Cluster) -> list[dict[str, Any]]:
    """Of all, once the service has a connection to each again."""
    rows: list[dict[str, Any]] = act(cluster, "cassandra", "versions-of-nodes")
    return rows if len(rows) == len(NODES) else []


def formats(cluster: Cluster) -> set[str]:
    """In which formats the files of the table lie, on all nodes."""
    found = (cluster.data / "nodes").glob(f"*/volumes/cassandra.node-*/*/data/data/{KEYSPACE}/rows-*/*-Data.db")
    return {file.name.split("-")[0] for file in found}


def change(cluster: Cluster, *words: str) -> None:
    cluster.upcall(*words, timeout_s=CHANGE_S)
    cluster.until_ready(*NODES, wait_s=WAIT_S)


def test_the_old_version_runs_and_says_what_the_new_one_changes(cassandra: Cluster) -> None:
    assert runs(cassandra) == {(OLD, "")}
    said = cassandra.upcall("upgrade", "cassandra", "--to", "5.0", "--dry-run").stdout
    assert f"version {NEW}" in said
    assert re.search(r"\d+ options? gone, which nobody has set", said), said
    assert "cassandra would answer now: accept" in said


def test_an_upgrade_writes_what_the_old_version_reads(cassandra: Cluster, session: Session) -> None:
    with Load(session, first=100_000) as load:
        change(cassandra, "upgrade", "cassandra", "--to", "5.0")
        assert runs(cassandra) == {(NEW, OLDEST)}
    load.check()
    assert formats(cassandra) == {"nb"}


def test_before_the_point_of_no_return_the_old_version_comes_back_with_nothing_lost(
    cassandra: Cluster, session: Session
) -> None:
    with Load(session, first=200_000) as load:
        change(cassandra, "rollback", "cassandra")
        assert runs(cassandra) == {(OLD, "")}
    load.check()
    assert session.execute(f"SELECT count(*) FROM {KEYSPACE}.rows", timeout=60.0).one()[0] > 0


def test_an_upgrade_under_load_fails_nothing_and_loses_nothing_and_is_made_final(
    cassandra: Cluster, session: Session
) -> None:
    with Load(session, first=300_000) as load:
        change(cassandra, "upgrade", "cassandra", "--to", NEW)
        assert cassandra.client.service("cassandra").came_from == OLD
        change(cassandra, "finalize", "cassandra")
        assert runs(cassandra) == {(NEW, MODES[-1])}
    load.check()
    assert formats(cassandra) == {"oa"}
    assert cassandra.client.service("cassandra").came_from == ""


def test_after_the_point_of_no_return_nothing_older_comes_back(cassandra: Cluster) -> None:
    known = {one.id for one in cassandra.client.operations(ended=True)}
    for words in (("rollback", "cassandra"), ("upgrade", "cassandra", "--to", "4.1")):
        assert f"cassandra was finalized at version {NEW}" in cassandra.refused(*words)
    assert {one.id for one in cassandra.client.operations(ended=True)} == known


def test_the_old_version_runs_beside_the_new_one(cassandra: Cluster, session: Session) -> None:
    with Load(session, first=400_000) as load:
        cassandra.upcall("install", f"cassandra@{OLD}", "--name", "older", "--set", "nodes=1", timeout_s=CHANGE_S)
        assert cassandra.client.service("older").version == OLD
        assert act(cassandra, "older", "create-keyspace", name="here")["keyspace"] == "here"
        cassandra.upcall("uninstall", "older", timeout_s=CHANGE_S)
    load.check()
