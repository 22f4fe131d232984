"""Clients of a real ring: as an application that wants its rows to survive, and one that never waits."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import cql
from benchmarks.cql import KEYSPACE, Requests, read_all
from cassandra.cluster import Session
from real_cluster import Cluster

__all__ = ["KEYSPACE", "Load", "logged_in"]

RATE_HZ = 20
"""Writes, and as many reads."""
LATE_S = 60.0
"""A condition, not a speed."""


@contextmanager
def logged_in(cluster: Cluster, endpoint: str = "cql") -> Iterator[Session]:
    """At LOCAL_QUORUM, with the keyspace and its table."""
    with cql.logged_in(cluster.client, endpoint) as session:
        cql.create_table(session)
        yield session


class Load(Requests):
    """Of which none fails, though it is asked but once, and none is lost."""

    def __init__(self, session: Session, first: int = 0) -> None:
        super().__init__(session, first, rate_hz=RATE_HZ, deadline_s=LATE_S, again=False)

    def check(self) -> None:
        slowest_s = max(self.in_time, default=0.0)
        print(f"{len(self.acknowledged)} rows written, {self.failed} failed, slowest {slowest_s:.2f} s")
        assert (self.failed, self.errors, self.unread) == (0, {}, set())
        assert self.ended == self.due, "every request was answered"
        assert self.acknowledged
        found = read_all(self.session)
        assert [number for number in self.acknowledged if found[number] != 1] == []
