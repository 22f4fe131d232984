"""Cassandra's rows: three or four nodes on five machines in three racks, and 200 requests a second at LOCAL_QUORUM."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final

from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from benchmarks.cells import Figures
from benchmarks.cluster import own_cluster
from benchmarks.cql import KEYSPACE, Requests, create_table, logged_in, read_all, warm_up
from benchmarks.load import percentile_ms
from benchmarks.operations import rows
from benchmarks.operations.installing import ALL_AT_ONCE, install
from benchmarks.operations.rows import same, scales_itself
from benchmarks.operations.stage import SILENCE_S, Row, Stage, State
from benchmarks.ring import Ring
from upcall.catalog.cassandra.service import Cassandra

NODES: Final = 5
NODE_MEMORY_MIB: Final = 700
DISK_MIB: Final = 512
STORED_MIB: Final = 300
"""Of each of three nodes: more than half of their disks, which is the aim."""
BLOB_BYTES: Final = 100_000
AT_ONCE: Final = 8
DELETED: Final = 10

OLD, NEW = Cassandra.versions()[0], Cassandra.version
THREE, FOUR = State(NEW, 3), State(NEW, 4)


class CassandraStage(Stage):
    system = "cassandra"
    old, new = OLD, NEW
    sabotages: ClassVar = {
        "all-at-once": ALL_AT_ONCE.format(module="cassandra", name="Cassandra"),
        "deletes-records": "",
    }

    def __init__(self, ring: Ring, state: State, sabotage: str, first: int) -> None:
        super().__init__(ring, state, sabotage)
        self._next = first
        """Row that nobody wrote yet."""

    @classmethod
    @contextmanager
    def opened(cls, first: State, sabotage: str) -> Iterator["CassandraStage"]:
        logging.getLogger("cassandra").setLevel(logging.CRITICAL)  # Each try to reach a node that is away.
        version = cls.begins_with(first)
        options = {"nodes": first.members, "replace_after_s": SILENCE_S, "disk_mib": DISK_MIB}
        with own_cluster(nodes=NODES, memory_mib_per_node=NODE_MEMORY_MIB) as cluster:
            ring = Ring(cluster)
            install(ring, version, cls.sabotages.get(sabotage, ""), options)
            ring.act("create-keyspace", name=KEYSPACE)
            with logged_in(cluster.client) as session:
                create_table(session)
                begun = warm_up(session)
            yield cls(ring, State(version, first.members), sabotage, begun)

    @contextmanager
    def under_load(self, name: str) -> Iterator[Callable[[], Figures]]:
        with logged_in(self.driven.cluster.client, asks_others=True) as session:
            load = Requests(session, self._next)
            with load:
                yield lambda: figures
            self._next = load.next
            if self.sabotage == "deletes-records":
                for number in sorted(load.acknowledged)[:DELETED]:
                    session.execute(f"DELETE FROM {KEYSPACE}.rows WHERE id = {number}")
            figures = figures_of(load, session)


def figures_of(load: Requests, session: Session) -> Figures:
    stored = read_all(session)
    return {
        "failed": load.failed,
        "lost": len({number for number in load.acknowledged if not stored[number]} | load.unread),
        "twice": sum(stored[number] > 1 for number in load.acknowledged),
        "requests": load.due,
        "p99_ms": percentile_ms(load.in_time, 99),
        "slowest_ms": percentile_ms(load.in_time, 100),
        "failed_with": ", ".join(f"{error} {count}" for error, count in load.errors.most_common(3)),
    }


# -- the rows -------------------------------------------------------------------------------------------------------


def scale_out(ring: Ring) -> None:
    before = ring.incarnations()
    ring.upcall("scale", "cassandra", "4")
    ring.until_whole()
    now = ring.incarnations()
    same({**now, **before} == now and len(now) == 4, "a fourth node came, and nobody else was restarted")


def scale_in_refused(ring: Ring) -> None:
    """There are more copies than there would be nodes."""
    before = ring.incarnations()
    said = ring.refused("scale", "cassandra", "2")
    same("2 nodes cannot keep as many copies as there are: 3 of" in said, f"refused with its numbers: {said}")
    same(ring.incarnations() == before, "nobody was touched")


def scale_in(ring: Ring) -> None:
    before = ring.incarnations()
    ring.upcall("scale", "cassandra", "3")
    ring.until_whole()
    del before["cassandra.node-3"]
    same(ring.incarnations() == before, "the last one left, and nobody else was restarted")


def backup_restore(ring: Ring) -> None:
    """Backed up under load, and restored into a ring of another size: each row that was there, once."""
    with logged_in(ring.cluster.client) as session:
        before = read_all(session)
    made = ring.cluster.ask("backup", "cassandra", "--to", str(Path(ring.cluster.data).parent / "backups"))
    ring.upcall("restore", made["backup"], "--to", "restored", "--set", "nodes=1")
    with logged_in(ring.cluster.client, service="restored") as session:
        found = read_all(session)
    same(len(before) > 0, "there was something")
    wrong = {number: found[number] for number in before if found[number] != 1}
    same(not wrong, f"each row came back, once: {len(wrong)} of {len(before)} did not: {dict(list(wrong.items())[:5])}")
    ring.upcall("uninstall", "restored")
    ring.until_whole()


def scale_itself(ring: Ring) -> None:
    """By what is stored: when the disks are more than half full a fourth node comes."""
    with logged_in(ring.cluster.client) as session:

        def more() -> None:
            without = "compaction = {'class': 'SizeTieredCompactionStrategy', 'enabled': 'false'}"
            session.execute(f"CREATE TABLE {KEYSPACE}.stored (id int PRIMARY KEY, data blob) WITH {without}")
            insert = session.prepare(f"INSERT INTO {KEYSPACE}.stored (id, data) VALUES (?, ?)")
            given = ((number, os.urandom(BLOB_BYTES)) for number in range((STORED_MIB << 20) // BLOB_BYTES))
            execute_concurrent_with_args(session, insert, given, concurrency=AT_ONCE)

        scales_itself(ring, 4, more, lambda: session.execute(f"DROP TABLE {KEYSPACE}.stored", timeout=60.0))


CassandraStage.rows = {
    "upgrade": Row(State(OLD, 3), CassandraStage.upgraded(), rows.upgrade(NEW)),
    "rollback": Row(CassandraStage.upgraded(), State(OLD, 3), rows.rollback(OLD)),
    "finalize": Row(CassandraStage.upgraded(), THREE, rows.finalize),
    "rolling_restart": Row(THREE, THREE, rows.rolling_restart),
    "changed_option": Row(
        THREE, THREE, rows.changed("settings.compaction_throughput=32MiB/s", "settings.concurrent_writes=12")
    ),
    "bad_option": Row(
        THREE,
        THREE,
        rows.bad_then_good("settings.concurrent_reads=1", "must be at least 2", "settings.concurrent_reads=12"),
    ),
    "scale_out": Row(THREE, FOUR, scale_out),
    "drain_zone": Row(FOUR, FOUR, rows.drain_zone),
    "scale_in_refused": Row(FOUR, FOUR, scale_in_refused),
    "scale_in": Row(FOUR, THREE, scale_in),
    "drain_node": Row(THREE, THREE, rows.drain_node),
    "volume_lost": Row(THREE, THREE, rows.volume_lost),
    "node_lost": Row(THREE, THREE, rows.node_lost),
    "backup_restore": Row(THREE, THREE, backup_restore),
    "scale_itself": Row(THREE, THREE, scale_itself),
}
