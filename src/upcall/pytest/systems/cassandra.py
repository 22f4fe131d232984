"""Cassandra in a test: sessions, and a keyspace of the test's own.

To make a keyspace takes a ring longer than a test may wait, so one is made ahead, beside the test before.
"""

import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from upcall.pytest.asked import Small
from upcall.pytest.service import Service
from upcall.pytest.use import Use

if TYPE_CHECKING:
    from cassandra.cluster import Cluster as Driver
    from cassandra.cluster import Session

SMALL: Final = Small("cassandra", "nodes", {"nodes": 1, "settings": {"auto_snapshot": False}})
"""A keyspace that is dropped leaves no copy of it."""
TIMEOUT_S: Final = 60.0
REPLICAS_USUAL: Final = 3
PREFIX: Final = "test_"


class Home:
    """A process's connections to one ring, and keyspaces that nobody has used yet."""

    def __init__(self, points: list[str], port: int, login: tuple[str, str] | None, copies: int, name: str) -> None:
        self.points, self.port, self._login, self._copies = points, port, login, copies
        self._name, self._made = name, 0
        self._lock = threading.Lock()
        self._ahead: list[str] = []
        self._making: threading.Thread | None = None
        self.driver = self.connect()
        self.session = self.driver.connect()

    def connect(self) -> "Driver":
        from cassandra.auth import PlainTextAuthProvider
        from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
        from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy

        from upcall.catalog.cassandra.ring import DATACENTER

        profile = ExecutionProfile(
            load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(local_dc=DATACENTER)),
            request_timeout=TIMEOUT_S,
        )
        return Cluster(
            self.points,
            port=self.port,
            auth_provider=PlainTextAuthProvider(*self._login) if self._login else None,
            protocol_version=5,
            connect_timeout=TIMEOUT_S,
            control_connection_timeout=TIMEOUT_S,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        )

    def take(self) -> str:
        """A keyspace for a test; the next one is begun."""
        if self._making is not None:
            self._making.join()
        with self._lock:
            found = self._ahead.pop() if self._ahead else ""
        found = found or self._new()
        self._making = threading.Thread(target=self._one_ahead, daemon=True, name="keyspace")
        self._making.start()
        return found

    def _one_ahead(self) -> None:
        try:
            made = self._new()
        except Exception:
            return  # Who needs it tries again, and tells.
        with self._lock:
            self._ahead.append(made)

    def _new(self) -> str:
        with self._lock:
            self._made += 1
            name = f"{PREFIX}{self._name}_{self._made}"
        self.session.execute(
            f"CREATE KEYSPACE {name} WITH replication ="
            f" {{'class': 'NetworkTopologyStrategy', 'replication_factor': {self._copies}}}"
        )
        return name

    def drop(self, keyspace: str) -> None:
        """Nobody waits for it."""
        self.session.execute_async(f"DROP KEYSPACE IF EXISTS {keyspace}")


_homes: dict[str, Home] = {}


class Cassandra(Service):
    """A fresh part of the run's Cassandra."""

    size = "nodes"
    member_kind = "node"

    @property
    def contact_points(self) -> list[str]:
        return self._home.points

    @property
    def port(self) -> int:
        return self._home.port

    @cached_property
    def credentials(self) -> tuple[str, str] | None:
        """User and password; None: nobody is asked who he is."""
        return self.login("cql")

    @cached_property
    def keyspace(self) -> str:
        """The test's own: empty, and gone after it."""
        found = self._home.take()
        self._keyspaces.append(found)
        return found

    def session(self) -> "Session":
        """Connected, in the test's own keyspace; closed after the test."""
        found = self._home.driver.connect(self.keyspace)
        self._sessions.append(found)
        return found

    @cached_property
    def _keyspaces(self) -> list[str]:
        return []

    @cached_property
    def _sessions(self) -> list[Any]:
        return []

    @property
    def _home(self) -> Home:
        key = f"{self.cluster.folder} {self.name}"
        if key not in _homes:
            places = [one.rpartition(":") for one in self.addresses("cql")]
            copies = min(REPLICAS_USUAL, self.wanted.members)
            name = self.cluster.use.name
            _homes[key] = Home([host for host, _, _ in places], int(places[0][2]), self.credentials, copies, name)
        return _homes[key]

    def undo(self) -> None:
        try:
            for session in self._sessions:
                session.shutdown()
            for keyspace in self._keyspaces:
                self._home.drop(keyspace)
        finally:
            super().undo()

    def sweep(self, use: Use) -> None:
        """Keyspaces of runs that were killed, on a cluster that was kept."""
        for (keyspace,) in self._home.session.execute("SELECT keyspace_name FROM system_schema.keyspaces"):
            session = keyspace.removeprefix(PREFIX).partition("_")[0]
            if keyspace.startswith(PREFIX) and session != use.name and not use.is_alive(session):
                self._home.session.execute(f"DROP KEYSPACE IF EXISTS {keyspace}")


def close() -> None:
    """At the end of the process's tests: a keyspace that was made ahead goes, connections are closed."""
    for home in _homes.values():
        home.driver.shutdown()
    _homes.clear()
