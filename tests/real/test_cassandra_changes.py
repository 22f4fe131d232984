"""A real ring is changed under load: what it takes while it runs, what takes a restart, and what is wrong.

Rows are written and read at LOCAL_QUORUM all the while, open loop: none of them fails, and none is lost. The tests
follow each other on one ring.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cassandra.cluster import NoHostAvailable, Session
from cassandra.pool import Host
from cql_clients import KEYSPACE, Load, logged_in
from real_cluster import Cluster
from real_members import WAIT_S, Begin, incarnations

from upcall.catalog.cassandra import jmx
from upcall.catalog.cassandra.service import Cassandra
from upcall.catalog.cassandra.settings import facts

pytestmark = [pytest.mark.real, pytest.mark.in_order, pytest.mark.long]

MANY = 1000
"""For what has no bound as it is: so much that nobody meets it."""
NODES = ("cassandra.node-0", "cassandra.node-1", "cassandra.node-2")


@pytest.fixture(scope="module")
def cassandra(begin: Begin) -> Cluster:
    cluster = begin("cassandra", "--set", "nodes=3", nodes=3, memory_mib_per_node=700)
    cluster.until_ready(*NODES, wait_s=WAIT_S)
    cluster.upcall("service", "do", "cassandra", "create-keyspace", f"name={KEYSPACE}")
    return cluster


@pytest.fixture(scope="module")
def session(cassandra: Cluster) -> Iterator[Session]:
    with logged_in(cassandra) as session:
        yield session


@pytest.fixture(scope="module")
def admin(cassandra: Cluster) -> Iterator[Session]:
    """May read what each node says of itself."""
    with logged_in(cassandra, "admin") as session:
        yield session


def change(cluster: Cluster, **settings: Any) -> None:
    words = [f"settings.{name}={json.dumps(value)}" for name, value in settings.items()]
    options = [word for each in words for word in ("--set", each)]
    cluster.upcall("update", "cassandra", *options, timeout_s=WAIT_S)


def actual(session: Session, name: str) -> list[str]:
    """Of each node, as its own view says; every host is one that was asked."""
    query = f"SELECT value FROM system_views.settings WHERE name = '{name}'"
    return [_said_by(host, session, query) for host in session.cluster.metadata.all_hosts()]


def _said_by(host: Host, session: Session, query: str) -> str:
    """A client is not connected yet to a node that has just restarted."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            return str(session.execute(query, host=host).one()[0])
        except NoHostAvailable:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def is_actual(session: Session, name: str, wanted: Any) -> bool:
    known = jmx.table(Cassandra.version)[name]
    found = {known.value(value) or value for value in actual(session, name)}  # some are told without their unit
    return found == {known.value(wanted)}


def another(name: str) -> Any:
    """A value that the setting may have, and that is not the one it has."""
    known, schema = jmx.table(Cassandra.version)[name], facts(Cassandra.version).settings[name]
    if name == "concurrent_compactors":
        return 2
    if words := schema.get("enum"):
        return next(word for word in words if word != known.default)
    if known.unit:
        number = int(known.value(known.default) or 0) if known.default is not None else 16
        return f"{2 * number or 64}{known.unit}"
    if isinstance(known.default, bool):
        return not known.default
    if isinstance(known.default, float):
        return known.default + 0.5
    return known.default + 1 if known.default is not None and 0 <= known.default < 2**31 - 1 else MANY


def test_what_a_running_node_takes_is_changed_and_changed_back_without_a_restart(
    cassandra: Cluster, session: Session, admin: Session
) -> None:
    before = incarnations(cassandra, *NODES)
    asked = {name: another(name) for name in jmx.table(Cassandra.version)}
    with Load(session) as load:
        change(cassandra, **asked)
        wrong = {name: actual(admin, name) for name in asked if not is_actual(admin, name, asked[name])}
        assert wrong == {}, "asked equals actual"
        cassandra.upcall("rollback", "cassandra", timeout_s=WAIT_S)
        wrong = {
            name: actual(admin, name)
            for name, known in jmx.table(Cassandra.version).items()
            if known.default is not None and not is_actual(admin, name, known.default)
        }
        assert wrong == {}, "and what a node without the setting has, again"
    assert incarnations(cassandra, *NODES) == before
    load.check()


def test_a_setting_that_is_none_is_refused_with_the_nearest_and_nothing_is_touched(cassandra: Cluster) -> None:
    before = incarnations(cassandra, *NODES)
    said = cassandra.refused("update", "cassandra", "--set", "settings.compaction_troughput=1MiB/s")
    assert "did you mean 'compaction_throughput'?" in said
    assert incarnations(cassandra, *NODES) == before


def test_a_value_that_only_a_node_finds_wrong_fails_at_one_and_rollback_heals_it(
    cassandra: Cluster, session: Session, admin: Session
) -> None:
    before = incarnations(cassandra, *NODES)
    with Load(session, first=100_000) as load:
        said = cassandra.refused("update", "cassandra", "--set", "settings.concurrent_reads=1")
        assert "concurrent_reads must be at least 2" in said
        after = incarnations(cassandra, *NODES)
        assert sum(one != other for one, other in zip(before, after, strict=True)) == 1, "the others were not touched"
        cassandra.upcall("rollback", "cassandra", timeout_s=WAIT_S)
        cassandra.until_ready(*NODES, wait_s=WAIT_S)
    assert [incarnations(cassandra, *NODES)[number] for number in (0, 1)] == before[:2]
    load.check()


def test_what_takes_a_restart_restarts_each_in_its_turn(cassandra: Cluster, session: Session, admin: Session) -> None:
    before = incarnations(cassandra, *NODES)
    with Load(session, first=200_000) as load:
        change(cassandra, concurrent_reads=12)
        assert actual(admin, "concurrent_reads") == ["12"] * 3
    assert all(now > then for now, then in zip(incarnations(cassandra, *NODES), before, strict=True))
    load.check()


def test_every_other_option_is_changed_and_changed_back(cassandra: Cluster, session: Session, admin: Session) -> None:
    with Load(session, first=300_000) as load:
        change(cassandra, memtable_flush_writers=2, concurrent_writes=12)
        assert actual(admin, "concurrent_writes") == ["12"] * 3
        sizes = {"memory_mib": 600, "cpus": 0.2, "disk_mib": 4352}
        words = [word for name, value in sizes.items() for word in ("--set", f"{name}={value}")]
        cassandra.upcall("update", "cassandra", *words, timeout_s=WAIT_S)
        tasks = [cassandra.task(member) for member in NODES]
        assert [task.state for task in tasks] == ["ready"] * 3
        assert [(task.memory_mib, task.cpus, task.disk_mib) for task in tasks] == [tuple(sizes.values())] * 3
        cassandra.upcall("rollback", "cassandra", timeout_s=WAIT_S)
        words = ["--unset", "settings.memtable_flush_writers", "--unset", "settings.concurrent_writes"]
        cassandra.upcall("update", "cassandra", *words, timeout_s=WAIT_S)
        assert "12" not in actual(admin, "concurrent_writes")
    before = incarnations(cassandra, *NODES)
    for word in ("client_auth=none", "per_node=2", "settings.num_tokens=8"):
        assert "never changed" in cassandra.refused("update", "cassandra", "--set", word)
    assert incarnations(cassandra, *NODES) == before
    load.check()
