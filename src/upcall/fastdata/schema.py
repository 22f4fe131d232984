"""The tables of the fast-data path in Cassandra, and how they are reached.

    runs                 the record of each run; stands here before the run's first second does
    seconds              each sensor at 1 Hz: a row a second for each *strip* of 100 sensors (two groups of neighbours),
                         by (run, strip, hour), so that an hour of one sensor is one partition of some MB
    ticks                every ten seconds of a block: what the drift test looks back on
    blocks               of each block of a run: up to which second it is complete, its latest means and its health
    episodes_by_time     anomalies of a run, by hour and begin
    episodes_by_sensor   the same, by sensor
    raw                  packed frames around an anomaly, as they came
    pending              packed frames of seconds that stay incomplete for long, so that the position can move on
    refused              messages of the log that were no frames
    position             of each partition of the log: where to read on, and what was counted on the way

A window is stored as arrays, because single rows of single sensors would be 20,000 a second: `values` holds mean,
least, greatest and deviation (float32, row after row), `scores` what the tests of a second said (float16).

Disk is bounded: every row but `position` has a time to live, and tables of time have time-window compaction with about
twenty windows, so whole files fall away and nothing is rewritten for it. Replication is three where there are three
nodes; both ways go at LOCAL_QUORUM, so what was written is read, whichever node is away.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cassandra import ConsistencyLevel, DriverException
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.connection import ConnectionBusy, ConnectionException, UnixSocketEndPoint
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    ExponentialReconnectionPolicy,
    FallthroughRetryPolicy,
    HostFilterPolicy,
    TokenAwarePolicy,
)
from cassandra.protocol import IsBootstrappingErrorMessage, OverloadedErrorMessage, ServerError

from upcall.fastdata.keyspace import KEYSPACE
from upcall.fastdata.login import Login
from upcall.fastdata.sensors import SENSORS_PER_BLOCK

NOT_NOW: Final = (
    DriverException,
    NoHostAvailable,
    # A node that goes away in the middle of a request ends it with one of these, which are no DriverException.
    ConnectionException,
    ConnectionBusy,
    ServerError,
    OverloadedErrorMessage,
    IsBootstrappingErrorMessage,
    TimeoutError,
    OSError,
)
"""What a request may end with that another node, or the same one later, would answer. (Mistakes in a request are
DriverExceptions too; they end with the caller's deadline.)"""
SENSORS_PER_STRIP: Final = 100
STRIPS_PER_BLOCK: Final = SENSORS_PER_BLOCK // SENSORS_PER_STRIP
HOUR_S: Final = 3_600
MINUTE_S: Final = 60
REPLICATION_MAX: Final = 3
KEEP_S: Final = 2 * HOUR_S
"""How long all this is kept unless said otherwise: at full size about 4 GB a replica."""
RAW_KEEP_SHARE: Final = 4
"""Raw frames are kept for a quarter of that: a second of a block is as large as all sensors' seconds of 20 s."""
KEEP_MIN_S: Final = 600
WINDOWS: Final = 20
"""Files of time-window compaction within a time to live."""
GC_GRACE_S: Final = HOUR_S
"""Nothing is deleted but by time, so repairs need not outrun tombstones; hints are kept no longer than this."""
REQUEST_TIMEOUT_S: Final = 5.0

FLEET: Final = "fleet"
"""The one partition of `runs`: few rows, read whole."""

_EPISODE_COLUMNS: Final = """
    end_second int, is_open boolean, seen int, severity float, confidence float, neighbours_quiet int,
    reading double, neighbours_say double, base double, gain double"""

_TABLES: Final = (
    ("runs", "fleet text, start_us bigint, run_id text, record text, PRIMARY KEY (fleet, start_us, run_id)",
     "CLUSTERING ORDER BY (start_us DESC, run_id ASC)", 0),
    ("seconds", """run_id text, strip int, hour int, second int, count int, first_sample bigint, last_sample bigint,
     partition int, first_offset bigint, last_offset bigint, "values" blob, scores blob,
     PRIMARY KEY ((run_id, strip, hour), second)""", "CLUSTERING ORDER BY (second ASC)", 1),
    ("ticks", """run_id text, block int, tick int, levels blob, neighbours blob,
     PRIMARY KEY ((run_id, block), tick)""", "CLUSTERING ORDER BY (tick DESC)", 1),
    ("blocks", """run_id text, block int, second int, rate_hz int, missing bigint, means blob, health blob,
     PRIMARY KEY (run_id, block)""", "CLUSTERING ORDER BY (block ASC)", 0),
    ("episodes_by_time", f"""run_id text, hour int, begin_second int, sensor int, kind text, {_EPISODE_COLUMNS},
     PRIMARY KEY ((run_id, hour), begin_second, sensor, kind)""",
     "CLUSTERING ORDER BY (begin_second DESC, sensor ASC, kind ASC)", 0),
    ("episodes_by_sensor", f"""run_id text, sensor int, begin_second int, kind text, {_EPISODE_COLUMNS},
     PRIMARY KEY ((run_id, sensor), begin_second, kind)""", "CLUSTERING ORDER BY (begin_second DESC, kind ASC)", 0),
    ("raw", """run_id text, block int, minute int, first_sample bigint, frame blob,
     PRIMARY KEY ((run_id, block, minute), first_sample)""", "CLUSTERING ORDER BY (first_sample ASC)", RAW_KEEP_SHARE),
    ("pending", """run_id text, block int, second int, partition int, offset bigint, frame blob,
     PRIMARY KEY ((run_id, block), second, partition, offset)""", "CLUSTERING ORDER BY (second DESC)", 1),
    ("refused", """topic text, partition int, offset bigint, reason text, data blob,
     PRIMARY KEY ((topic, partition), offset)""", "CLUSTERING ORDER BY (offset DESC)", 1),
)  # fmt: skip
"""Name, columns, order, and the share of the time to live (0: rows are written again, so no time windows)."""

_POSITION: Final = """CREATE TABLE IF NOT EXISTS position (topic text, partition int, resume_offset bigint,
    read_until bigint, frames bigint, packed_bytes bigint, readings bigint, corrupt bigint, future bigint,
    behind bigint, short bigint, PRIMARY KEY (topic, partition))"""


def connect(contact_points: Sequence[str | Path], port: int = 9042, login: Login | None = None) -> Cluster:
    """A cluster whose requests go at LOCAL_QUORUM. Retries are the caller's: it knows its deadline.

    A path is a socket that leads to a node. Whoever has these alone asks the others through them: the addresses that a
    ring says of itself are not of his network."""
    ends = [UnixSocketEndPoint(str(one)) if isinstance(one, Path) else one for one in contact_points]
    near: Any = TokenAwarePolicy(DCAwareRoundRobinPolicy())
    if any(isinstance(one, Path) for one in contact_points):
        near = HostFilterPolicy(DCAwareRoundRobinPolicy(), lambda host: isinstance(host.endpoint, UnixSocketEndPoint))
    profile = ExecutionProfile(
        load_balancing_policy=near,
        retry_policy=FallthroughRetryPolicy(),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        request_timeout=REQUEST_TIMEOUT_S,
    )
    return Cluster(
        ends,
        port=port,
        auth_provider=PlainTextAuthProvider(*login) if login else None,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        reconnection_policy=ExponentialReconnectionPolicy(0.25, 4.0, max_attempts=None),
        protocol_version=5,
        compression=False,
        connect_timeout=REQUEST_TIMEOUT_S,
        control_connection_timeout=REQUEST_TIMEOUT_S,
        idle_heartbeat_interval=5,
        idle_heartbeat_timeout=5,
        metrics_enabled=False,
    )


def create(session: Session, keyspace: str = KEYSPACE, keep_s: int = KEEP_S) -> None:
    """Makes what is not there yet. May be called by several at once, and again."""
    if keep_s < KEEP_MIN_S:
        raise ValueError(f"keep_s {keep_s}: at least {KEEP_MIN_S}, for a restarted job looks back for minutes")
    nodes = len(session.cluster.metadata.all_hosts())
    replication = min(REPLICATION_MAX, max(1, nodes))
    session.execute(
        f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = "
        f"{{'class': 'NetworkTopologyStrategy', 'replication_factor': {replication}}}",
        timeout=60,
    )
    session.set_keyspace(keyspace)
    for statement in statements(keep_s):
        session.execute(statement, timeout=60)
    session.cluster.control_connection.wait_for_schema_agreement(wait_time=30)


def statements(keep_s: int) -> list[str]:
    """The tables as CQL."""
    made = [_POSITION]
    for name, columns, order, share in _TABLES:
        ttl_s = max(KEEP_MIN_S, keep_s // max(1, share))
        options = [order, f"default_time_to_live = {ttl_s}", f"gc_grace_seconds = {min(GC_GRACE_S, ttl_s)}"]
        if share:
            options.append(f"compaction = {_time_windows(ttl_s)}")
        made.append(f"CREATE TABLE IF NOT EXISTS {name} ({columns}) WITH {' AND '.join(options)}")
    return made


def _time_windows(ttl_s: int) -> str:
    minutes = max(1, -(-ttl_s // WINDOWS // MINUTE_S))
    options: dict[str, Any] = {
        "class": "TimeWindowCompactionStrategy",
        "compaction_window_unit": "MINUTES",
        "compaction_window_size": str(minutes),
    }
    return str(options)
