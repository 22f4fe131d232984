"""Clients of a real ring: as an application that wants its rows to survive, and one that never waits."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Self

from benchmarks import cql
from benchmarks.cql import KEYSPACE, Requests, read_all
from cassandra import OperationTimedOut, ReadTimeout, WriteTimeout
from cassandra.cluster import Session
from real_cluster import Cluster

__all__ = ["KEYSPACE", "Load", "Reads", "logged_in"]

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


LATE: Final = (OperationTimedOut, ReadTimeout, WriteTimeout)
"""An answer that came too late says how fast the machine is: copies wait two seconds for each other, on any."""


class Load(Requests):
    """Of which none is refused, though it is asked but once where nobody was late, and none is lost."""

    def __init__(self, session: Session, first: int = 0) -> None:
        super().__init__(
            session, first, rate_hz=RATE_HZ, deadline_s=LATE_S, again=lambda error: isinstance(error, LATE)
        )

    def check(self) -> None:
        slowest_s = max(self.in_time, default=0.0)
        print(f"{len(self.acknowledged)} rows written, {self.failed} failed, slowest {slowest_s:.2f} s; {self.errors}")
        assert (self.failed, self.errors, self.unread) == (0, {}, set())
        assert self.ended == self.due, "every request was answered"
        assert self.acknowledged
        found = read_all(self.session)
        assert [number for number in self.acknowledged if found[number] != 1] == []


class Reads:
    """Rows that are there, read one after the other for as long as its ``with`` lasts, each of them asked for once."""

    def __init__(self, session: Session, rows: int) -> None:
        self._session, self._rows = session, rows
        self.answered = 0
        self.refused: Counter[str] = Counter()
        """By what was said; an answer that came too late counts for nothing."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reads", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        select = self._session.prepare(f"SELECT text FROM {KEYSPACE}.rows WHERE id = ?")
        select.is_idempotent = True
        number = 0
        while not self._over.wait(1 / RATE_HZ):
            number = (number + 1) % self._rows
            try:
                found = self._session.execute(select, (number,)).one()
            except LATE:
                continue
            except Exception as error:
                self.refused[f"{type(error).__name__}: {error}"[:300]] += 1
            else:
                self.answered += 1
                if found is None:
                    self.refused["a row that is there was not found"] += 1
