"""Clients of a real ring: as an application that wants its rows to survive, and one that never waits."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cassandra import ConsistencyLevel
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, ExecutionProfile, Session
from cassandra.cluster import Cluster as Driver
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.policies import DCAwareRoundRobinPolicy
from real_cluster import Cluster

KEYSPACE = "fast"
EVERY_S = 0.05
"""A write and a read each."""
READ_BACK_AT_ONCE = 16
LATE_S = 60.0
"""A condition, not a speed."""


@contextmanager
def logged_in(cluster: Cluster, endpoint: str = "cql") -> Iterator[Session]:
    """At LOCAL_QUORUM, with the keyspace and its table."""
    addresses = next(each.addresses for each in cluster.client.endpoints() if each.name == endpoint)
    said = cluster.client.credentials("cassandra", endpoint)
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
    try:
        session = driver.connect()
        session.execute(f"CREATE TABLE IF NOT EXISTS {KEYSPACE}.rows (id int PRIMARY KEY, text text)", timeout=60.0)
        yield session
    finally:
        driver.shutdown()


class Load:
    """Writes a row and reads one that was acknowledged, at fixed times, whatever became of those before."""

    def __init__(self, session: Session, first: int = 0) -> None:
        self._session = session
        self._insert = session.prepare(f"INSERT INTO {KEYSPACE}.rows (id, text) VALUES (?, ?)")
        self._select = session.prepare(f"SELECT text FROM {KEYSPACE}.rows WHERE id = ?")
        self._insert.is_idempotent = self._select.is_idempotent = True
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._begun = self._ended = 0
        self._next = first
        self.acknowledged: list[int] = []
        self.failed: list[str] = []
        self.slowest_s = 0.0

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        end_s = time.monotonic() + LATE_S
        while self._ended < self._begun and time.monotonic() < end_s:
            time.sleep(0.01)

    def _run(self) -> None:
        at_s = time.monotonic()
        while not self._over.wait(max(0.0, at_s - time.monotonic())):
            at_s += EVERY_S
            number, self._next = self._next, self._next + 1
            self._ask(self._insert, (number, f"row {number}"), at_s, lambda _, it=number: self.acknowledged.append(it))
            if self.acknowledged:
                read = self.acknowledged[number % len(self.acknowledged)]
                self._ask(self._select, (read,), at_s, lambda rows, it=read: self._seen(it, rows))

    def _ask(self, statement: Any, values: tuple[Any, ...], at_s: float, done: Any) -> None:
        def over() -> None:
            self._ended += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - at_s)

        self._begun += 1
        answer = self._session.execute_async(statement, values)
        answer.add_callbacks(lambda rows: (done(rows), over()), lambda error: (self.failed.append(str(error)), over()))

    def _seen(self, number: int, rows: Any) -> None:
        if [row[0] for row in rows] != [f"row {number}"]:
            self.failed.append(f"row {number} is read as {rows}")

    def lost(self) -> list[int]:
        """Acknowledged rows that nobody has. Some at a time: all at once would be another load than the one before."""
        given = [(number,) for number in self.acknowledged]
        found = execute_concurrent_with_args(self._session, self._select, given, concurrency=READ_BACK_AT_ONCE)
        answers = zip(self.acknowledged, (answer.result_or_exc for answer in found), strict=True)
        return [number for number, rows in answers if [row[0] for row in rows] != [f"row {number}"]]

    def check(self) -> None:
        print(f"{len(self.acknowledged)} rows written, {len(self.failed)} failed, slowest {self.slowest_s:.2f} s")
        assert self._ended == self._begun, "every request was answered"
        assert not self.failed, self.failed[:3]
        assert self.acknowledged
        assert self.lost() == []
