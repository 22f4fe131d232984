"""Real Cassandra on a real cluster: asked before a drain, killed, and (slow) lost with its node for good.

The tests of this module follow each other on one cluster, and each leaves three nodes up. Rows are written and read at
LOCAL_QUORUM: what was acknowledged survives any one node.
"""

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from benchmarks import cql
from cassandra import OperationTimedOut, ReadTimeout, Unauthorized, WriteTimeout
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, ExecutionProfile, NoHostAvailable, Session
from cassandra.cluster import Cluster as Driver
from cassandra.policies import WhiteListRoundRobinPolicy
from cql_clients import KEYSPACE, RATE_HZ, Reads, logged_in
from real_cluster import Cluster
from real_members import (
    WAIT_S,
    Begin,
    act,
    drain,
    empty_volume,
    kill,
    lose_node,
    tells_progress,
    undrain,
    until_done,
    until_next_incarnation,
    until_why,
)

from upcall.catalog.cassandra.config import PROGRESS
from upcall.cli import keeping
from upcall.cluster.folder import DataFolder

pytestmark = [pytest.mark.real, pytest.mark.in_order]

MAIN = "org.apache.cassandra.service.CassandraDaemon"
NODES = ("cassandra.node-0", "cassandra.node-1", "cassandra.node-2")
ROWS = 300


@pytest.fixture(scope="module", params=["cassandra", pytest.param("cassandra@4.1", marks=pytest.mark.long)])
def cassandra(begin: Begin, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    options = ("--set", "nodes=3", "--set", "replace_after_s=90")
    cluster = begin(request.param, *options, nodes=3, memory_mib_per_node=640)
    cluster.until_ready(*NODES, wait_s=WAIT_S)
    cluster.upcall("service", "do", "cassandra", "create-keyspace", f"name={KEYSPACE}")
    yield cluster
    keeping.end(DataFolder(cluster.data))  # The other version comes next; a test may have made an agent stand still.


@pytest.fixture
def session(cassandra: Cluster) -> Iterator[Session]:
    """As an application that wants its rows to survive."""
    with logged_in(cassandra) as session:
        session.set_keyspace(KEYSPACE)
        yield session


def write(session: Session, text: str) -> None:
    insert = session.prepare("INSERT INTO rows (id, text) VALUES (?, ?)")
    for number in range(ROWS):
        patiently(partial(session.execute, insert, (number, text)))


def texts(session: Session) -> list[str]:
    """Of all rows, each asked for by its key."""
    select = session.prepare("SELECT text FROM rows WHERE id = ?")
    return [patiently(partial(session.execute, select, (number,))).one()[0] for number in range(ROWS)]


def patiently(ask: Callable[[], Any]) -> Any:
    """Again where nodes that are up take longer than Cassandra waits for them; that too few are up is the answer."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            return ask()
        except (OperationTimedOut, WriteTimeout, ReadTimeout):
            if time.monotonic() > until:
                raise


def status(cluster: Cluster) -> dict[str, str]:
    """Address -> the two letters of ``nodetool status``."""
    return {address: letters for letters, address in re.findall(r"^([UD][NLJM])\s+(\S+)", _status(cluster), re.M)}


def _status(cluster: Cluster) -> str:
    return str(act(cluster, "cassandra", "status"))


def test_a_keyspace_is_one_command_with_as_many_copies_as_fit(cassandra: Cluster) -> None:
    found = act(cassandra, "cassandra", "keyspaces")
    assert [each["keyspace"] for each in found] == [KEYSPACE]
    assert found[0]["replication"] == 3


def test_its_own_commands_are_what_a_person_types(cassandra: Cluster) -> None:
    cassandra.upcall("cassandra", "keyspace", "create", "hand", "--replication", "2")
    cassandra.upcall("cassandra", "keyspace", "alter", "hand", "--replication", "3")
    known = json.loads(cassandra.upcall("cassandra", "keyspace", "list", "-o", "json").stdout)
    assert {"keyspace": "hand", "replication": 3} in known
    rows = json.loads(cassandra.upcall("cassandra", "cql", "SELECT key FROM system.local", "-o", "json").stdout)
    assert rows == [{"key": "local"}]
    assert cassandra.upcall("cassandra", "status").stdout.count("UN ") == 3
    cassandra.upcall("cassandra", "repair", "hand")
    assert "did you mean 'hand'?" in cassandra.refused("cassandra", "keyspace", "drop", "hamd", "--yes")
    assert "at most 9" in cassandra.refused("cassandra", "keyspace", "alter", "hand", "--replication", "10", code=2)
    cassandra.upcall("cassandra", "keyspace", "drop", "hand", "--yes")
    assert "hand" not in cassandra.upcall("cassandra", "keyspace", "list").stdout


def log_in(cluster: Cluster, user: str, password: str) -> Session:
    address = cluster.task(NODES[0]).address
    driver = Driver([address], protocol_version=5, connect_timeout=30.0, control_connection_timeout=30.0,
                    auth_provider=PlainTextAuthProvider(user, password) if user else None)  # fmt: skip
    try:
        return driver.connect()
    except Exception:
        driver.shutdown()
        raise


@pytest.mark.parametrize(
    ("user", "password"), [("", ""), ("cassandra", "cassandra"), ("client", "guessed"), ("admin", "admin")]
)
def test_a_stranger_does_not_get_in(cassandra: Cluster, user: str, password: str) -> None:
    with pytest.raises(NoHostAvailable) as refused:
        log_in(cassandra, user, password)
    assert "AuthenticationFailed" in str(refused.value) or "authentication" in str(refused.value), refused.value


def test_a_client_may_do_all_with_data_and_nothing_with_roles(cassandra: Cluster) -> None:
    said = cassandra.client.credentials("cassandra", "cql")
    session = log_in(cassandra, said.user, said.password)
    try:
        session.execute(f"CREATE TABLE {KEYSPACE}.made (id int PRIMARY KEY)", timeout=60.0)
        session.execute(f"DROP TABLE {KEYSPACE}.made", timeout=60.0)
        for forbidden in (
            "CREATE ROLE mallory WITH SUPERUSER = true AND LOGIN = true",
            "ALTER ROLE admin WITH PASSWORD = 'mine'",
            "UPDATE system_auth.roles SET is_superuser = true WHERE role = 'client'",
        ):
            with pytest.raises(Unauthorized):
                session.execute(forbidden)
    finally:
        session.cluster.shutdown()


def test_a_role_that_one_copy_missed_is_refused_nothing(cassandra: Cluster, session: Session) -> None:
    """A busy node drops what it does not get to in time. Here the third copy of the roles is made after the role and
    its grant: its node knows neither who may log in nor what he may do, and each node has a majority tell it."""
    copies = "ALTER KEYSPACE system_auth WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': %d}"
    with cql.logged_in(cassandra.client, "admin") as admin:
        for statement in (
            copies % 2,
            "CREATE ROLE late WITH PASSWORD = 'long enough' AND LOGIN = true",
            "GRANT SELECT ON ALL KEYSPACES TO late",
            copies % 3,
        ):
            admin.execute(statement, timeout=60.0)
        for member in NODES:
            cassandra.until(f"{member} knows it", partial(reads_as_late, cassandra.task(member).address), WAIT_S)
        admin.execute("DROP ROLE late", timeout=60.0)


def reads_as_late(address: str) -> bool:
    """From this node. One that does not know him never does; one that refuses him a table fails the test."""
    alone = ExecutionProfile(load_balancing_policy=WhiteListRoundRobinPolicy([address]), request_timeout=60.0)
    driver = Driver([address], protocol_version=5, connect_timeout=30.0, control_connection_timeout=30.0,
                    auth_provider=PlainTextAuthProvider("late", "long enough"),
                    execution_profiles={EXEC_PROFILE_DEFAULT: alone})  # fmt: skip
    try:
        return driver.connect().execute(f"SELECT * FROM {KEYSPACE}.rows LIMIT 1") is not None
    except NoHostAvailable:
        return False
    finally:
        driver.shutdown()


def reads(cluster: Cluster) -> bool:
    try:
        with cql.logged_in(cluster.client, "reader") as session:
            return session.execute(f"SELECT * FROM {KEYSPACE}.rows LIMIT 1") is not None
    except (NoHostAvailable, Unauthorized):
        return False


def test_who_reads_alone_changes_nothing_and_is_made_in_a_ring_that_never_had_him(
    cassandra: Cluster, session: Session
) -> None:
    """The ring is made to be as one from before there was such a role; none of its nodes is restarted."""
    write(session, "to be read")
    cassandra.until("who reads alone may", lambda: reads(cassandra), WAIT_S)
    with cql.logged_in(cassandra.client, "admin") as admin:
        admin.execute("DROP ROLE reader", timeout=60.0)
    cassandra.kill("host", signal.SIGKILL)
    cassandra.until("who reads alone may again", lambda: reads(cassandra), WAIT_S)
    with cql.logged_in(cassandra.client, "reader") as session:
        for forbidden in (
            f"INSERT INTO {KEYSPACE}.rows (id, text) VALUES (-1, 'mine')",
            f"TRUNCATE {KEYSPACE}.rows",
            f"CREATE TABLE {KEYSPACE}.made (id int PRIMARY KEY)",
            f"DROP KEYSPACE {KEYSPACE}",
            "CREATE ROLE mallory WITH LOGIN = true",
            "ALTER ROLE client WITH PASSWORD = 'mine'",
        ):
            with pytest.raises(Unauthorized):
                session.execute(forbidden)


def test_nodetool_runs_beside_a_member_and_zones_are_racks(cassandra: Cluster) -> None:
    tasks = [cassandra.task(member) for member in NODES]
    assert status(cassandra) == {task.address: "UN" for task in tasks}
    # A second time, after a login: the password file is still what nodetool reads.
    racks = {line.split()[-1] for line in _status(cassandra).splitlines() if line.startswith("UN")}
    assert racks == {task.zone for task in tasks}
    assert len(racks) == 3


def test_a_second_drain_is_deferred_and_rows_stay_at_quorum(cassandra: Cluster, session: Session) -> None:
    write(session, "before the drain")
    first, second, _ = (cassandra.task(member) for member in NODES)
    until_done(cassandra, drain(cassandra, first.node))
    assert cassandra.task(first.member).state == "held"
    waiting = drain(cassandra, second.node)
    said = until_why(cassandra, waiting, "quorum")
    assert re.search(rf"deferred by cassandra: token ranges would lose their quorum: \d+ of {KEYSPACE}", said)
    assert texts(session) == ["before the drain"] * ROWS
    write(session, "while one is held")
    assert cassandra.task(second.member).task == second.task, "it runs on"
    undrain(cassandra, first.node)
    until_done(cassandra, waiting)
    assert cassandra.task(second.member).state == "held"
    assert texts(session) == ["while one is held"] * ROWS
    undrain(cassandra, second.node)
    after = until_next_incarnation(cassandra, second)
    assert (after.node, after.address) == (second.node, second.address)


def test_a_killed_node_starts_again_in_place_with_its_rows(cassandra: Cluster, session: Session) -> None:
    write(session, "before the kill")
    before = cassandra.task(NODES[0])
    kill(cassandra, before, MAIN)
    assert texts(session) == ["before the kill"] * ROWS, "two of three are a quorum"
    after = until_next_incarnation(cassandra, before)
    assert (after.node, after.address) == (before.node, before.address)
    assert tells_progress(cassandra, after, PROGRESS[:1]), "its commit log was read again"
    assert texts(session) == ["before the kill"] * ROWS


@pytest.mark.long
def test_a_node_whose_volume_was_emptied_comes_back_with_its_rows_without_anybody_doing_anything(
    cassandra: Cluster, session: Session
) -> None:
    """The first node: it is its own seed, and could found another ring. It never serves as one that knows no table: a
    client that asks once is refused nothing."""
    write(session, "before the deletion")
    before = cassandra.task(NODES[0])
    with logged_in(cassandra) as another, Reads(another, ROWS) as reads:
        cassandra.until("reads are under way", lambda: reads.answered > RATE_HZ, WAIT_S)
        empty_volume(cassandra, before)
        kill(cassandra, before, MAIN)
        after = until_next_incarnation(cassandra, before)
    print(f"{reads.answered} reads answered, {reads.refused} refused")
    assert not reads.refused
    assert after.node == before.node, "anew at its place"
    assert after.incarnation == before.incarnation + 2, "the first of them was refused by its node"
    assert tells_progress(cassandra, after, PROGRESS[1:]), "it got its ranges from the others"
    expected = {cassandra.task(member).address: "UN" for member in NODES}
    cassandra.until("the ring is whole, without the old one", lambda: status(cassandra) == expected, WAIT_S)
    assert texts(session) == ["before the deletion"] * ROWS
    # The new one holds every row: with another node away, it is in each majority.
    until_done(cassandra, drain(cassandra, cassandra.task(NODES[1]).node))
    assert texts(session) == ["before the deletion"] * ROWS
    undrain(cassandra, cassandra.task(NODES[1]).node)
    cassandra.until_ready(*NODES, wait_s=WAIT_S)


@pytest.mark.long
def test_a_node_lost_for_good_is_replaced_and_its_ranges_filled_again(cassandra: Cluster, session: Session) -> None:
    write(session, "before the loss")
    before = cassandra.task(NODES[1])
    cassandra.upcall("node", "add")
    lose_node(cassandra, before, MAIN)
    after = until_next_incarnation(cassandra, before, elsewhere=True)
    assert after.node == "node-4"
    expected = {cassandra.task(member).address: "UN" for member in NODES}
    cassandra.until("the ring is whole, without the old one", lambda: status(cassandra) == expected, WAIT_S)
    assert texts(session) == ["before the loss"] * ROWS
    # The new one alone holds every row: each node has a copy of each.
    until_done(cassandra, drain(cassandra, cassandra.task(NODES[0]).node))
    assert texts(session) == ["before the loss"] * ROWS
