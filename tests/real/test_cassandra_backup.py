"""Real Cassandra, backed up while others write, and restored into a ring of another size: every row."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster as Driver
from cassandra.cluster import Session
from cql_clients import KEYSPACE, Load
from real_cluster import Cluster
from real_members import WAIT_S, Begin

pytestmark = [pytest.mark.real, pytest.mark.long]

ROWS = 400
TABLES = (
    f"CREATE TYPE {KEYSPACE}.place (lat double, lon double)",
    f"CREATE TABLE {KEYSPACE}.rows (id int PRIMARY KEY, text text)",
    f"CREATE TABLE {KEYSPACE}.flights (day text, number int, at frozen<place>, gone text, PRIMARY KEY (day, number))"
    " WITH CLUSTERING ORDER BY (number DESC)",
    f"CREATE INDEX by_gone ON {KEYSPACE}.rows (text)",
)


@contextmanager
def session_of(cluster: Cluster, service: str) -> Iterator[Session]:
    addresses = next(
        each.addresses for each in cluster.client.endpoints() if (each.service, each.name) == (service, "cql")
    )
    said = cluster.client.credentials(service, "cql")
    driver = Driver(
        [address.partition(":")[0] for address in addresses],
        auth_provider=PlainTextAuthProvider(said.user, said.password),
        protocol_version=5,
        connect_timeout=30.0,
    )
    try:
        found = driver.connect()
        found.default_timeout = 60.0
        yield found
    finally:
        driver.shutdown()


@pytest.fixture(scope="module")
def cassandra(begin: Begin) -> Cluster:
    cluster = begin("cassandra", "--set", "nodes=3", nodes=3, memory_mib_per_node=1400)
    cluster.until_ready("cassandra.node-0", "cassandra.node-1", "cassandra.node-2", wait_s=WAIT_S)
    cluster.upcall("service", "do", "cassandra", "create-keyspace", f"name={KEYSPACE}")
    with session_of(cluster, "cassandra") as session:
        for statement in TABLES:
            session.execute(statement, timeout=60.0)
    return cluster


def fill(session: Session, first: int) -> None:
    for number in range(first, first + ROWS):
        session.execute(f"INSERT INTO {KEYSPACE}.rows (id, text) VALUES (%s, %s)", (-1 - number, f"row {number}"))
        session.execute(
            f"INSERT INTO {KEYSPACE}.flights (day, number, at, gone) VALUES (%s, %s, {{lat: 1.5, lon: 2}}, 'x')",
            (f"day {number % 9}", number),
        )
    session.execute(f"DELETE FROM {KEYSPACE}.rows WHERE id = %s", (-1 - first,))


def rows(session: Session, table: str, where: str = "") -> set[tuple[Any, ...]]:
    return {tuple(map(str, row)) for row in session.execute(f"SELECT * FROM {KEYSPACE}.{table} {where}")}


def test_every_row_comes_back_in_a_ring_of_another_size(cassandra: Cluster, tmp_path: Path) -> None:
    backups = []
    with session_of(cassandra, "cassandra") as session:
        with Load(session) as load:
            for number in range(2):
                fill(session, number * ROWS)
                backups.append(_backup(cassandra, tmp_path / "kept"))
        load.check()
        settled = rows(session, "rows", "WHERE id < 0 ALLOW FILTERING")
        flights = rows(session, "flights")
    assert backups[1]["new_bytes"] < backups[1]["bytes"] * 0.9, "what is there is not copied again"
    refused = cassandra.upcall("restore", backups[1]["id"], check=False)
    assert f"cassandra has {KEYSPACE} already" in refused.stderr
    said = cassandra.upcall(
        *("restore", backups[1]["backup"], "--to", "other", "--set", "nodes=1"), timeout_s=2 * WAIT_S
    )
    print(said.stdout)
    with session_of(cassandra, "other") as session:
        assert rows(session, "rows", "WHERE id < 0 ALLOW FILTERING") == settled
        assert len(settled) == 2 * (ROWS - 1)
        assert rows(session, "flights") == flights
        assert ("-8", "row 7") in rows(session, "rows", "WHERE text = 'row 7'"), "by its index"
    left = cassandra.upcall("service", "do", "cassandra", "snapshots", "-o", "json").stdout
    assert json.loads(left) == []
    _tried(cassandra, backups[1]["id"], len(settled), len(flights))


def _tried(cluster: Cluster, backup: str, rows_of_ours: int, flights: int) -> None:
    """A trial restore reads every row, leaves nothing, and a table that is not what it was is found."""
    said = json.loads(cluster.upcall("backup", "verify", backup, "--trial", "-o", "json").stdout)["trial"]
    print(said)
    assert said.startswith("2 of 2 tables")
    read = re.search(r" (\d+) rows read", said)
    assert read is not None
    with session_of(cluster, "cassandra") as session:
        loaded = len(rows(session, "rows", "WHERE id >= 0 ALLOW FILTERING"))
        keyspaces = {row.keyspace_name for row in session.execute("SELECT keyspace_name FROM system_schema.keyspaces")}
    assert rows_of_ours + flights <= int(read[1]) <= rows_of_ours + flights + loaded
    assert not [keyspace for keyspace in keyspaces if keyspace.startswith("upcall_trial")]
    cluster.upcall("update", "cassandra", "--set", "schedules.try-backup=sun 03:00")
    listed = cluster.upcall("schedule", "list", "cassandra").stdout
    assert "try-backup" in listed


def _backup(cluster: Cluster, to: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.upcall("backup", "cassandra", "--to", str(to), "-o", "json").stdout)
    print({key: found[key] for key in ("took_s", "parts", "bytes", "new_bytes")})
    return found


def test_what_a_final_ring_wrote_comes_back_in_a_new_one(begin: Begin, tmp_path: Path) -> None:
    """A new ring writes as the version before does, and would pass over such files in silence."""
    cluster = begin("cassandra", "--set", "nodes=1", nodes=2, memory_mib_per_node=1400)
    cluster.until_ready("cassandra.node-0", wait_s=WAIT_S)
    cluster.upcall("service", "do", "cassandra", "create-keyspace", f"name={KEYSPACE}")
    cluster.upcall("finalize", "cassandra", timeout_s=2 * WAIT_S)
    with session_of(cluster, "cassandra") as session:
        session.execute(TABLES[1], timeout=60.0)
        for number in range(ROWS):
            session.execute(f"INSERT INTO {KEYSPACE}.rows (id, text) VALUES (%s, %s)", (number, f"row {number}"))
        written = rows(session, "rows")
    made = _backup(cluster, tmp_path / "kept")
    cluster.upcall("restore", made["backup"], "--to", "other", "--set", "nodes=1", timeout_s=2 * WAIT_S)
    with session_of(cluster, "other") as session:
        assert rows(session, "rows") == written
        assert len(written) == ROWS
