"""What Cassandra itself says of its ring: who owns what, who is up, what moves.

System keyspaces do not count: they are local to each node, or have copies that no client waits for. The roles do,
where clients log in.
"""

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

from cassandra import ConsistencyLevel, DriverException, InvalidRequest, OperationTimedOut, Timeout, Unavailable
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.connection import ConnectionBusy, ConnectionException
from cassandra.policies import DCAwareRoundRobinPolicy, LoadBalancingPolicy, WhiteListRoundRobinPolicy
from cassandra.query import SimpleStatement, dict_factory

from upcall.catalog.cassandra.known import Known
from upcall.catalog.cassandra.native import answers
from upcall.catalog.cassandra.ranges import ROLES, TRIAL, Range, at_risk

__all__ = ["Range", "Ring", "at_risk", "is_user_keyspace", "on_the_way"]

TIMEOUT_S: Final = 5.0
ROWS_MAX: Final = 1000
PAGE_ROWS: Final = 500
DATACENTER: Final = "dc1"
SETTLED: Final = ("NORMAL", "shutdown", "LEFT", "removed", "hibernate")
"""Words of a node's state in gossip when nothing of its data is on its way. A node that is down says ``shutdown``; one
that was decommissioned or removed stays in gossip for days."""


def is_user_keyspace(keyspace: str) -> bool:
    """Whether clients wait for copies of this keyspace."""
    return keyspace == ROLES or (keyspace != "system" and not keyspace.startswith(("system_", "dse_")))


def passes(error: BaseException, names: Mapping[str, str] = MappingProxyType({})) -> str:
    """Why the ring did not answer, in words for people, where that passes by itself; else empty. ``names``: address ->
    what people call the node."""
    match error:
        case NoHostAvailable():
            return "no node of the ring answers"
        case OperationTimedOut(last_host=host) if address := getattr(host, "address", host):
            return f"{names.get(str(address), address)} did not answer in time"
        case OperationTimedOut():
            return "a node did not answer in time"
        case Timeout():
            return "too few copies answered the node that was asked in time"
        case Unavailable():
            return "too few nodes are up to answer"
        case ConnectionException() | ConnectionBusy():
            return "the connection to a node broke"
    # What a request did wrong is a class of its own: this one is the driver's word for a session that it closed.
    return "the session with the ring was closed; the next look opens another" if type(error) is DriverException else ""


def was_refused(error: BaseException) -> bool:
    """Nothing was done of what was asked: too few nodes are up to begin it."""
    return isinstance(error, Unavailable)


def on_the_way(states: Mapping[str, str]) -> dict[str, str]:
    """Address -> word, of the nodes that join, leave or move."""
    words = {address: state.split(",")[0] for address, state in states.items()}
    return {address: word for address, word in words.items() if word and word not in SETTLED}


@dataclass(frozen=True)
class NodeState:
    """What a node says of itself."""

    address: str
    version: str
    mode: str
    """In which form it writes (``storage_compatibility_mode``); empty: its version knows but one."""
    schema: str


class Ring:
    """Blocking questions to a ring; run beside the loop."""

    def __init__(
        self,
        addresses: Sequence[str],
        port: int,
        login: tuple[str, str] | None = None,
        known: Known | None = None,
    ) -> None:
        """``login``: user and password, of a superuser. ``known``: the members, whose addresses are said of nodes."""
        self.addresses = tuple(addresses)
        """Of the nodes that are ready."""
        self._known = known if known is not None else Known(addresses)
        self._port = port
        self._login = login
        self._logs_in = login is not None
        self._cluster = self._opened(addresses, DCAwareRoundRobinPolicy(local_dc=DATACENTER))
        self._session: Any = None
        self.stale = False
        """It does not reach a node that answers, and will not by itself: another one is to be opened."""

    def _opened(self, addresses: Iterable[str], policy: LoadBalancingPolicy) -> Cluster:
        profile = ExecutionProfile(load_balancing_policy=policy, request_timeout=TIMEOUT_S, row_factory=dict_factory)
        return Cluster(
            list(addresses),
            port=self._port,
            auth_provider=PlainTextAuthProvider(*self._login) if self._login else None,
            protocol_version=5,
            connect_timeout=TIMEOUT_S,
            control_connection_timeout=TIMEOUT_S,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            idle_heartbeat_interval=10,
        )

    def close(self) -> None:
        self._cluster.shutdown()

    def _connected(self) -> Any:
        if self._session is None:
            self._session = self._cluster.connect()
        return self._session

    def ranges(self) -> list[Range]:
        self._connected()
        metadata = self._cluster.metadata
        ring = metadata.token_map
        return [
            Range(keyspace, tuple(sorted(self._member(host) for host in ring.get_replicas(keyspace, token))))
            for keyspace in metadata.keyspaces
            if is_user_keyspace(keyspace) and (self._logs_in or keyspace != ROLES)
            for token in ring.ring
        ]

    def moving(self) -> dict[str, str]:
        """Nodes that join, leave or move, and streams that one of the asked nodes knows."""
        session = self._connected()
        found = on_the_way(_states(self._of_members(session.execute(GOSSIP))))
        for row in session.execute(STREAMS):
            if row["status"] in UNDER_WAY:
                found[str(row["id"])] = "a stream under way"
        return found

    def each(self, query: str) -> tuple[set[str], dict[str, list[dict[str, Any]]], set[str]]:
        """Who is up, what each of them says, and who of them says nothing in time. What its version cannot be asked is
        an empty answer."""
        up = {self._member(host): host for host in self._hosts() if host.is_up is not False}
        asked = {
            address: self._session.execute_async(query, host=host, timeout=SHORT_S) for address, host in up.items()
        }
        said, silent = {}, set()
        for address, answer in asked.items():
            try:
                said[address] = self._of_members(answer.result())
            except InvalidRequest:
                said[address] = []
            except OperationTimedOut:
                silent.add(address)
            except NoHostAvailable:
                try:
                    said[address] = self._of(up[address], query)
                except OperationTimedOut:
                    silent.add(address)
                except NoHostAvailable:
                    rows = self._beside(up[address], query)
                    self.stale |= rows is not None
                    silent |= {address} if rows is None else set()
                    said |= {} if rows is None else {address: rows}
        return set(up), said, silent

    def _beside(self, host: Any, query: str) -> list[dict[str, Any]] | None:
        """What a node says to a session of its own; None: nothing. Where the driver did not come to connect to a node
        that it takes for up (the machine was too busy), it never tries again: that says nothing of the node."""
        alone = self._opened([host.address], WhiteListRoundRobinPolicy([host.address]))
        try:
            return self._of_members(alone.connect().execute(query, timeout=SHORT_S))
        except InvalidRequest:
            return []
        except (NoHostAvailable, OperationTimedOut, ConnectionException):
            return None
        finally:
            alone.shutdown()

    def unheard(self, up: Set[str]) -> set[str]:
        """Nodes that are ready, are not ``up`` for the driver, and do not answer when they are asked all the same."""
        return {address for address in set(self.addresses) - up if not answers(address, self._port, SHORT_S)}

    def words_of(self, address: str) -> set[str]:
        """What each of the other nodes says of this one's state; ``LEFT`` also where it is not known any more."""
        others = [host for host in self._hosts() if self._member(host) != address and host.is_up]
        said = [_states(self._of(host, GOSSIP)) for host in others]
        return {states.get(address, "LEFT").split(",")[0] or "NORMAL" for states in said}

    def owns(self, address: str) -> bool:
        """Whether a range of any keyspace is still this node's."""
        return any(address in each.replicas for each in self.ranges())

    def has_failed_to_leave(self, address: str) -> bool:
        rows = self._at(address, "SELECT bootstrapped FROM system.local")
        return any(row["bootstrapped"] == "DECOMMISSION_FAILED" for row in rows)

    def streamed(self, address: str) -> tuple[int, int]:
        """Bytes that a node which leaves has sent, and is to send."""
        rows = [row for row in self._at(address, STREAMS) if row["operation"] == LEAVES]
        return sum(row["bytes_sent"] or 0 for row in rows), sum(row["bytes_to_send"] or 0 for row in rows)

    def node_states(self) -> list["NodeState"]:
        """Of every node that is up."""
        found = []
        for host in self._hosts():
            if host.is_up:
                (local,) = self._of(host, LOCAL)
                mode = next((str(row["value"]) for row in self._of(host, WRITES_AS)), "")
                found.append(
                    NodeState(self._member(host), local["release_version"], mode, str(local["schema_version"]))
                )
        return found

    def rewritten(self, address: str, task: str) -> tuple[int, int]:
        """Bytes of its files that a node has gone through in this task, and is to."""
        rows = [row for row in self._at(address, TASKS) if str(row["kind"]).lower().replace(" ", "_") == task]
        return sum(row["progress"] or 0 for row in rows), sum(row["total"] or 0 for row in rows)

    def used_mib(self) -> int:
        """On all nodes together."""
        rows = [row for host in self._hosts() if host.is_up for row in self._of(host, DISK)]
        return sum(row["mebibytes"] or 0 for row in rows)

    def latencies(self) -> list[tuple[str, float, float]]:
        """Table, requests a second, and what the slowest hundredth of them takes in ms, as each coordinator measured
        it lately."""
        return [
            (f"{row['keyspace_name']}.{row['table_name']}", row["per_second"] or 0.0, row["p99th_ms"] or 0.0)
            for host in self._hosts()
            if host.is_up
            for query in LATENCIES
            for row in self._of(host, query)
            if is_user_keyspace(row["keyspace_name"])
        ]

    def copies(self) -> dict[str, int]:
        """Keyspace -> on how many nodes it is kept; of all that are not each node's own."""
        query = "SELECT keyspace_name, replication FROM system_schema.keyspaces"
        found = {row["keyspace_name"]: dict(row["replication"]) for row in self._connected().execute(query)}
        return {
            name: sum(int(value) for value in words.values() if value.isdigit())
            for name, words in found.items()
            if not words["class"].endswith("LocalStrategy")
        }

    def _hosts(self) -> list[Any]:
        self._connected()
        return list(self._cluster.metadata.all_hosts())

    def _at(self, address: str, query: str) -> list[dict[str, Any]]:
        """What one node says; nothing, when it is not there."""
        host = next((host for host in self._hosts() if self._member(host) == address and host.is_up), None)
        return self._of(host, query) if host is not None else []

    def _of(self, host: Any, query: str) -> list[dict[str, Any]]:
        """What this node says. A new session reaches each of them a moment after the first."""
        for _ in range(TRIES):
            with contextlib.suppress(NoHostAvailable):
                return self._of_members(self._session.execute(query, host=host))
            time.sleep(TRY_PAUSE_S)
        return self._of_members(self._session.execute(query, host=host))

    def _member(self, host: Any) -> str:
        return self._known.member(host.address)

    def _of_members(self, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """What nodes say of nodes, by the addresses of members."""
        return [row | {"address": self._known.member(row["address"])} if "address" in row else row for row in rows]

    def make_reader(self, user: str, password: str) -> None:
        """A role that reads whatever there is. What it may do comes before its login: nodes remember for a while what
        they found of who logged in."""
        found = self._connected().execute("SELECT can_login FROM system_auth.roles WHERE role = %s", (user,)).one()
        if found and found["can_login"]:
            return
        self._session.execute(f"CREATE ROLE IF NOT EXISTS {user} WITH LOGIN = false")
        self._session.execute(f"GRANT SELECT ON ALL KEYSPACES TO {user}")
        self._session.execute(f"ALTER ROLE {user} WITH PASSWORD = %s AND LOGIN = true", (password,))

    def create_keyspace(self, name: str, replication: int) -> None:
        factor = f"{{'class': 'NetworkTopologyStrategy', '{DATACENTER}': {replication}}}"
        self._connected().execute(f'CREATE KEYSPACE IF NOT EXISTS "{name}" WITH replication = {factor}', timeout=30.0)

    def set_copies(self, name: str, copies: int) -> None:
        factor = f"{{'class': 'NetworkTopologyStrategy', '{DATACENTER}': {copies}}}"
        self._connected().execute(f'ALTER KEYSPACE "{name}" WITH replication = {factor}', timeout=30.0)

    def drop_keyspace(self, name: str) -> None:
        self._connected().execute(f'DROP KEYSPACE IF EXISTS "{name}"', timeout=30.0)

    def keyspaces(self) -> list[dict[str, Any]]:
        query = "SELECT keyspace_name, replication FROM system_schema.keyspaces"
        return [
            {"keyspace": row["keyspace_name"], "replication": copies(row["replication"])}
            for row in self._connected().execute(query)
            if is_user_keyspace(row["keyspace_name"]) and row["keyspace_name"] != ROLES
        ]

    def schema(self) -> dict[str, dict[str, Any]]:
        """Of each keyspace how many copies it has, and what makes all that is in it, in the order in which it can be
        made."""
        return {
            each["keyspace"]: {
                "copies": each["replication"],
                "statements": [
                    statement
                    for row in self._connected().execute(f'DESCRIBE KEYSPACE "{each["keyspace"]}" WITH INTERNALS')
                    if row["type"] != "keyspace"
                    for statement in _statements(row["create_statement"])
                ],
            }
            for each in self.keyspaces()
            if not each["keyspace"].startswith(TRIAL)
        }

    def make_schema(self, schema: Mapping[str, Mapping[str, Any]], nodes: int) -> None:
        """What is there stays. No more copies than there are nodes."""
        for keyspace, each in schema.items():
            self.create_keyspace(keyspace, min(each["copies"], nodes))
            for statement in each["statements"]:
                try:
                    self._connected().execute(_MAKES.sub(r"\g<0>IF NOT EXISTS ", statement, count=1), timeout=60.0)
                except InvalidRequest:
                    if not statement.startswith("ALTER TABLE"):  # A column that was dropped: done before.
                        raise

    def count(self, keyspace: str, table: str) -> int:
        """Rows, each of them read from all nodes that keep it."""
        select = f'SELECT * FROM "{keyspace}"."{table}"'
        query = SimpleStatement(select, consistency_level=ConsistencyLevel.ALL, fetch_size=PAGE_ROWS)
        return sum(1 for _ in self._connected().execute(query, timeout=60.0))

    def execute(self, statement: str) -> list[dict[str, Any]]:
        rows = self._connected().execute(statement, timeout=30.0)
        return [{name: _plain(value) for name, value in row.items()} for row in islice(rows, ROWS_MAX)]


def copies(strategy: Mapping[str, str]) -> int:
    """Of each row, in all datacenters, by a keyspace's replication strategy."""
    return sum(int(number.partition("/")[0]) for centre, number in strategy.items() if centre != "class")


_MAKES: Final = re.compile(r"\ACREATE (?:TABLE|TYPE|(?:CUSTOM )?INDEX|MATERIALIZED VIEW|FUNCTION|AGGREGATE) ")
_OWN_ID: Final = re.compile(r"\bID = [0-9a-f-]{36}\s+AND ")


def _statements(text: str) -> list[str]:
    """Without the id of a table: the one that is made has its own."""
    return [_OWN_ID.sub("", each).strip() for each in re.split(r";\s*(?:\n|\Z)", text) if each.strip()]


SHORT_S: Final = 3.0
"""For what a node knows of itself."""
TRIES: Final = 8
TRY_PAUSE_S: Final = 0.25
GOSSIP: Final = "SELECT address, status, status_with_port FROM system_views.gossip_info"
STREAMS: Final = "SELECT * FROM system_views.streaming"
UNDER_WAY: Final = ("init", "start")
LEAVES: Final = "Unbootstrap"
"""What a stream away from a node that leaves is called."""
TASKS: Final = "SELECT kind, progress, total FROM system_views.sstable_tasks"
LATENCIES: Final = (
    "SELECT * FROM system_views.coordinator_read_latency",
    "SELECT * FROM system_views.coordinator_write_latency",
)
LOCAL: Final = "SELECT release_version, schema_version FROM system.local"
WRITES_AS: Final = "SELECT value FROM system_views.settings WHERE name = 'storage_compatibility_mode'"
DISK: Final = "SELECT mebibytes FROM system_views.disk_usage"

Question = Callable[[Ring], Any]


def _states(rows: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Address -> state. A node tells others the newer word alone, and has the older one of itself."""
    return {str(row["address"]): str(row.get("status_with_port") or row.get("status") or "") for row in rows}


def _plain(value: Any) -> Any:
    """As JSON can carry it."""
    return value if isinstance(value, str | int | float | bool | None) else str(value)
