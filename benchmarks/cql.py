"""Open-loop load on Cassandra: writes and reads at LOCAL_QUORUM over all ranges, and what of it is there afterwards.

As with Kafka (:mod:`benchmarks.load`): each request is due by a schedule, and has one total deadline over all its
tries. What is asked is idempotent, so a client asks again what failed, and asks another node too when the first one
says nothing for a while: as an application does that wants its rows.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self

from cassandra import ConsistencyLevel
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import (
    ConstantReconnectionPolicy,
    ConstantSpeculativeExecutionPolicy,
    DCAwareRoundRobinPolicy,
    TokenAwarePolicy,
)
from cassandra.query import SimpleStatement

from benchmarks.load import DEADLINE_S
from upcall.client.blocking import Client

KEYSPACE: Final = "fast"
PATIENCE_S: Final = 30.0
"""Of what is not load."""
SCHEMA_S: Final = 300.0
"""For nodes to agree on a table."""
ANOTHER_AFTER_S: Final = 1.0
OTHERS: Final = 1
"""More would be more load where there is too much of it."""
AGAIN_AFTER_S: Final = 0.1
RECONNECT_S: Final = 1.0
WARM_UP_S: Final = 10.0
PAGE_ROWS: Final = 2000


@contextmanager
def logged_in(
    client: Client, endpoint: str = "cql", service: str = "cassandra", *, asks_others: bool = False
) -> Iterator[Session]:
    """At LOCAL_QUORUM, with the table in its keyspace, where that is there. ``asks_others``: who says nothing for
    :data:`ANOTHER_AFTER_S` is not alone asked."""
    found = (each for each in client.endpoints() if (each.service, each.name) == (service, endpoint))
    addresses = next(found).addresses
    said = client.credentials(service, endpoint)
    local = DCAwareRoundRobinPolicy(local_dc="dc1")
    others = {"speculative_execution_policy": ConstantSpeculativeExecutionPolicy(ANOTHER_AFTER_S, OTHERS)}
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(local) if asks_others else local,
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        request_timeout=PATIENCE_S,
        **(others if asks_others else {}),
    )
    driver = Cluster(
        [address.partition(":")[0] for address in addresses],
        auth_provider=PlainTextAuthProvider(said.user, said.password),
        protocol_version=5,
        connect_timeout=PATIENCE_S,
        # On a busy machine nodes agree later on a table than the driver's ten seconds.
        max_schema_agreement_wait=SCHEMA_S,
        # A node that comes back is talked to at once: the usual is up to ten minutes.
        reconnection_policy=ConstantReconnectionPolicy(RECONNECT_S, max_attempts=None),
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    )
    try:
        yield driver.connect()
    finally:
        driver.shutdown()


def create_table(session: Session) -> None:
    session.execute(f"CREATE TABLE IF NOT EXISTS {KEYSPACE}.rows (id int PRIMARY KEY, text text)", timeout=60.0)


def text_of(number: int) -> str:
    return f"row {number}"


@dataclass
class Requests:
    """``rate_hz`` writes a second and as many reads of rows that were acknowledged, as long as its ``with`` lasts."""

    session: Session
    first: int = 0
    """Number of the first row."""
    rate_hz: float = 100.0
    """200 requests a second. Twice as many keep a ring of three on two cores busy without anything being operated."""
    deadline_s: float = DEADLINE_S
    again: Callable[[Exception], bool] = lambda _: True
    """Which failures are asked again, until the deadline."""
    next: int = field(default=0, init=False)
    """Number of the row after the last one."""
    due: int = 0
    """Writes and reads."""
    acknowledged: dict[int, float] = field(default_factory=dict)
    """Number of the row -> seconds from when it was due until it was acknowledged."""
    read: list[float] = field(default_factory=list)
    """The same of reads that gave the row."""
    unread: set[int] = field(default_factory=set)
    """Acknowledged, and a read gave something else."""
    errors: Counter[str] = field(default_factory=Counter)
    """Of those that were not asked again."""
    ended: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _again: deque[tuple[float, Callable[[], None]]] = field(default_factory=deque)
    _known: list[int] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self._insert = self.session.prepare(f"INSERT INTO {KEYSPACE}.rows (id, text) VALUES (?, ?)")
        self._select = self.session.prepare(f"SELECT text FROM {KEYSPACE}.rows WHERE id = ?")
        self._insert.is_idempotent = self._select.is_idempotent = True
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """No more are due; those under way end within their deadline."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def in_time(self) -> list[float]:
        """Latencies in seconds, of all that kept their deadline."""
        return sorted(each for each in (*self.acknowledged.values(), *self.read) if each <= self.deadline_s)

    @property
    def failed(self) -> int:
        return self.due - len(self.in_time)

    def _run(self) -> None:
        began, self.next = time.monotonic(), self.first
        while not self._over.is_set():
            due_at = began + (self.next - self.first) / self.rate_hz
            if not self._wait(due_at):
                continue
            self._turn(self.next, due_at)
            self.next += 1
        until = time.monotonic() + self.deadline_s + 1.0
        while self.ended < self.due and time.monotonic() < until:
            self._wait(time.monotonic() + AGAIN_AFTER_S)

    def _wait(self, until: float) -> bool:
        """Whether the time has come; meanwhile what failed is asked again."""
        if self._again and self._again[0][0] < until:
            at, ask = self._again.popleft()
            self._sleep(at)
            ask()
            return False
        # What fails meanwhile is seen soon.
        soon = min(until, time.monotonic() + AGAIN_AFTER_S)
        self._sleep(soon)
        return soon == until

    @staticmethod
    def _sleep(until: float) -> None:
        if (left := until - time.monotonic()) > 0:
            time.sleep(left)

    def _turn(self, number: int, due_at: float) -> None:
        def written(_: Any, took_s: float) -> None:
            self.acknowledged[number] = took_s
            self._known.append(number)

        self._ask(self._insert, (number, text_of(number)), due_at, written)
        if self._known:
            there = self._known[number % len(self._known)]

            def seen(rows: Any, took_s: float) -> None:
                if [row[0] for row in rows] == [text_of(there)]:
                    self.read.append(took_s)
                else:
                    self.unread.add(there)

            self._ask(self._select, (there,), due_at, seen)

    def _ask(self, statement: Any, values: tuple[Any, ...], due_at: float, done: Callable[[Any, float], None]) -> None:
        self.due += 1
        tries = 0

        def is_new(number: int) -> bool:
            """A driver that asks another node too may tell of both answers: what was heard of is over."""
            nonlocal tries
            with self._lock:
                heard, tries = tries != number, tries + (tries == number)
                return not heard

        def answered(rows: Any, number: int) -> None:
            if is_new(number):
                done(rows, time.monotonic() - due_at)
                self.ended += 1

        def refused(error: Exception, number: int) -> None:
            if not is_new(number):
                return
            now = time.monotonic()
            if self.again(error) and now + AGAIN_AFTER_S < due_at + self.deadline_s:
                self._again.append((now + AGAIN_AFTER_S, ask))
            else:
                self.errors[type(error).__name__] += 1
                self.ended += 1

        def ask() -> None:
            left_s = max(due_at + self.deadline_s - time.monotonic(), 0.001)
            asked = self.session.execute_async(statement, values, timeout=left_s)
            asked.add_callbacks(answered, refused, callback_args=(tries,), errback_args=(tries,))

        ask()


def warm_up(session: Session) -> int:
    """Requests that count for nothing: what is measured is a ring at work. Gives the first row that is not written."""
    with Requests(session) as load:
        time.sleep(WARM_UP_S)
    return load.next


def read_all(session: Session) -> Counter[int]:
    """Number of the row -> how often it stands in the table, in all ranges one after the other; only with its text."""
    query = SimpleStatement(f"SELECT id, text FROM {KEYSPACE}.rows", fetch_size=PAGE_ROWS)
    return Counter(number for number, text in session.execute(query, timeout=PATIENCE_S) if text == text_of(number))
