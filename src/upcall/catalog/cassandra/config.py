"""A node's files and command: everything Cassandra is told, as text with templates that the node fills in.

A *new ring* is given its tokens, spread evenly by arithmetic, and does not bootstrap: there is nothing to stream yet,
and three nodes are up in a third of the time. Every node that comes later bootstraps (``auto_bootstrap``), choosing
its tokens itself, and one that takes a dead node's place says so (``replace_address_first_boot``).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import yaml

from upcall.catalog import jvm
from upcall.catalog.cassandra.sizing import NodeSizing
from upcall.protocol.declaration import Declaration
from upcall.protocol.templates import literally

YAML: Final = "cassandra.yaml"
DATA: Final = "{{volume.data}}"
CQL_PORT: Final = 9042
STORAGE_PORT: Final = 7000
JMX_PORT: Final = 7199
READY_LINE: Final = r"Starting listening for CQL clients"
READY_LINE_ROLES: Final = r"Roles are there"
"""Where clients log in: a node is ready when they can. It says so after it listens (:data:`ROLES_DELAY_MS`)."""
ROLES_DELAY_MS: Final = 500
"""Before the first try to make the roles, and between two: others of a new ring may not be there yet."""
NEWER_JAVA: Final = 17
TOKENS_PER_NODE: Final = 4
"""A ring that will be scaled wants some; every one more slows repairs and streaming down."""
COPIES: Final = 3
"""Of most data: what a node takes when it joins is evened out for that, and Cassandra wants as many racks, or one."""
JARS: Final = "{{artifact.cassandra.classpath}}:{{artifact.extras.classpath}}"
"""Cassandra's own, and what we compile beside them."""

_EXPORTS = (
    "java.base/jdk.internal.misc",
    "java.management/com.sun.jmx.remote.security",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.rmi/sun.rmi.transport.tcp",
    "java.sql/java.sql",
    "java.base/java.lang.ref",
    "jdk.unsupported/sun.misc",
)
_OPENS = (
    "java.base/java.lang.module",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.util.jar",
    "jdk.management/com.sun.management.internal",
    "java.base/sun.nio.ch",
    "java.base/java.io",
    "java.base/java.nio",
    "java.base/java.util.concurrent",
    "java.base/java.util",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.lang",
)

DISK_WARNS: Final = 70
DISK_REFUSES: Final = 85
"""Per cent; a compaction writes what it reads once more before it can delete it."""
PROGRESS: Final = (
    r"Finished reading \S*CommitLog-\S+\.log",
    r"\[Stream #\S+\] Finished receiving (?:file #\d+|\S+ component) from ",
    r"\[Stream #\S+\] Session with \S+ is complete",
)
"""Before it serves, a node reads its commit log again, segment by segment; one that joins or replaces gets its ranges
from others, file by file."""
FATAL: Final = (r"Exception \(\S+\) encountered during startup: (.*)", jvm.NO_MEMORY)

LOGBACK: Final = """\
<configuration>
  <appender name="STDOUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{HH:mm:ss.SSS} %-5level [%thread] %logger{1} %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="STDOUT"/></root>
  <logger name="org.apache.cassandra.utils.memory" level="WARN"/>
  <logger name="org.apache.cassandra.db.streaming.CassandraEntireSSTableStreamReader" level="DEBUG"/>
</configuration>
"""


def even_tokens(index: int, nodes: int, tokens: int = TOKENS_PER_NODE) -> tuple[int, ...]:
    """Tokens of node ``index`` (from 0) in a new ring: all nodes' tokens together divide the ring evenly."""
    step = 2**64 // (tokens * nodes)
    return tuple(-(2**63) + step * (turn * nodes + index) for turn in range(tokens))


def cassandra_yaml(
    *,
    cluster: str,
    seeds: Sequence[str],
    sizing: NodeSizing,
    tokens: Sequence[int] | None,
    racks: int = 0,
    folder: str = DATA,
    logins: bool = True,
    mode: str = "",
    options: Mapping[str, Any] | None = None,
) -> str:
    """``cassandra.yaml``. ``seeds`` are members' names; ``tokens``: of a node of a new ring, others bootstrap.
    ``racks`` of the ring that one joins, which chooses its tokens so that what it takes is even (0: it takes the place
    of a dead one, with its tokens). ``mode``: in which form it writes, where it knows several."""
    addresses = ",".join(f"{{{{address.{member}}}}}:{{{{port.storage}}}}" for member in seeds)
    settings: dict[str, Any] = {
        "cluster_name": cluster,
        "num_tokens": TOKENS_PER_NODE,
        "auto_bootstrap": tokens is None,
        "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
        "listen_address": "{{address}}",
        "rpc_address": "{{address}}",
        "native_transport_port": CQL_PORT,
        "storage_port": STORAGE_PORT,
        "endpoint_snitch": "GossipingPropertyFileSnitch",
        "seed_provider": [
            {
                "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                "parameters": [{"seeds": addresses}],
            }
        ],
        "commitlog_sync": "periodic",
        "commitlog_sync_period": "1000ms",
        "commitlog_segment_size": f"{sizing.commitlog_segment_mib}MiB",
        "commitlog_total_space": f"{sizing.commitlog_total_mib}MiB",
        "data_file_directories": [f"{folder}/data"],
        "commitlog_directory": f"{folder}/commitlog",
        "saved_caches_directory": f"{folder}/saved_caches",
        "hints_directory": f"{folder}/hints",
        "cdc_raw_directory": f"{folder}/cdc_raw",
        # Mapping data files would count them as memory of the node; the index alone is what pays.
        "disk_access_mode": "mmap_index_only",
        "memtable_heap_space": f"{sizing.memtable_heap_mib}MiB",
        "memtable_offheap_space": f"{sizing.memtable_offheap_mib}MiB",
        "memtable_allocation_type": "offheap_buffers",
        "memtable_flush_writers": 1,
        "key_cache_size": f"{sizing.key_cache_mib}MiB",
        "counter_cache_size": "0MiB",
        "file_cache_size": f"{sizing.file_cache_mib}MiB",
        "networking_cache_size": f"{sizing.networking_cache_mib}MiB",
        "concurrent_reads": sizing.concurrent_reads,
        "concurrent_writes": sizing.concurrent_writes,
        "concurrent_counter_writes": 2,
        "concurrent_compactors": sizing.concurrent_compactors,
        "native_transport_max_threads": sizing.native_transport_threads,
        "column_index_size": "16KiB",
        **login_settings(logins),
        "auto_snapshot": False,
        # Of what is left of the volume beside the commit log: warned at first, then writes are refused, and taken again
        # by themselves when there is room. A node whose disk is full ends, and one that starts again is as full.
        "data_disk_usage_max_disk_size": f"{sizing.data_mib}MiB",
        "data_disk_usage_percentage_warn_threshold": DISK_WARNS,
        "data_disk_usage_percentage_fail_threshold": DISK_REFUSES,
    }
    if mode:
        settings["storage_compatibility_mode"] = mode
    if racks:
        settings["allocate_tokens_for_local_replication_factor"] = racks if 1 < racks < COPIES else COPIES
    settings.update(literally(dict(options or {})))
    if tokens is not None:
        settings["initial_token"] = ",".join(str(token) for token in tokens)
        settings["num_tokens"] = len(tokens)
    return yaml.safe_dump(settings, sort_keys=False, width=10_000)


def written(task: Declaration) -> dict[str, Any]:
    """The settings in a node's ``cassandra.yaml``, with templates."""
    return dict(yaml.safe_load(next(file.text for file in task.files if file.path == YAML)))


def login_settings(logins: bool) -> dict[str, Any]:
    """Passwords and roles, or everybody may do everything.

    One copy of a role is enough to log in: a majority is for data, and for saying that somebody is unknown or may
    nothing at all (``ConfirmedRoles.java``, ``OwnAuthorizer.java``). What a node has read of roles it uses for a while
    and renews beside the requests, so that logins and permissions cost nothing.
    """
    if not logins:
        return {"authenticator": "AllowAllAuthenticator", "authorizer": "AllowAllAuthorizer"}
    cached = {
        f"{what}_{word}": duration
        for what in ("roles", "permissions", "credentials")
        for word, duration in (("validity", "600s"), ("update_interval", "10s"))
    }
    return {
        "authenticator": "org.apache.cassandra.auth.ConfirmedPasswords",
        "authorizer": "upcall.OwnAuthorizer",
        "role_manager": "upcall.OwnRoles",
        "auth_read_consistency_level": "ONE",
        "auth_write_consistency_level": "QUORUM",
        **cached,
    }


def rack_properties(datacenter: str, *, by_node: bool = False) -> str:
    """Zones are racks, or machines where several nodes share one: replicas go to different ones."""
    rack = "{{node}}" if by_node else "{{zone}}"
    return f"dc={datacenter}\nrack={rack}\n"


def jvm_flags(sizing: NodeSizing, java: int) -> tuple[str, ...]:
    """On newer runtimes Cassandra still wants a security manager allowed; Java 11 knows neither that word nor a fixed
    address of its archive."""
    newer = (*jvm.SHARED_ARCHIVE, "-Djava.security.manager=allow") if java >= NEWER_JAVA else ()
    return (
        *jvm.server(sizing.heap_mib, stack_kib=256, direct_mib=sizing.direct_mib, code_cache_mib=sizing.code_cache_mib),
        *newer,
        *jvm.OWN_FILES,
        *module_flags(),
    )


def module_flags() -> tuple[str, ...]:
    """What Cassandra's own start script opens."""
    exports = tuple(f"--add-exports={name}=ALL-UNNAMED" for name in _EXPORTS)
    opens = tuple(f"--add-opens={name}=ALL-UNNAMED" for name in _OPENS)
    return (*exports, *opens, "-Djdk.attach.allowAttachSelf=true")


def start_command(
    sizing: NodeSizing,
    *,
    java: int,
    replaces: str = "",
    ring_delay_ms: int = 30_000,
    role_copies: int = 0,
    folder: str = DATA,
) -> tuple[str, ...]:
    """``replaces`` is the address of a dead node whose place this one takes at its first start. ``role_copies``: on how
    many nodes a new ring keeps each role; 0: nobody is asked who he is."""
    return (
        jvm.JAVA, jvm.ARCHIVE, *jvm_flags(sizing, java),
        # Twice this time a starting node looks for its seed: much, because nodes of a ring start at the same time, on
        # few cores. One that bootstraps sleeps through it, so those are given less (see `cassandra_yaml`).
        f"-Dcassandra.ring_delay_ms={ring_delay_ms}",
        # Gossip settles within a second on one machine; the defaults are for a datacenter.
        "-Dcassandra.gossip_settle_min_wait_ms=500",
        "-Dcassandra.gossip_settle_interval_ms=500",
        # The row overhead is measured at every start; a coarser step finds the same value in a fraction of the time.
        "-Dcassandra.memtable_row_overhead_computation_step=2000",
        f"-Dcassandra.MAX_HINT_BUFFERS={sizing.hint_buffers}",
        "-Dcassandra.config=file://{{sandbox}}/cassandra.yaml",
        "-Dcassandra-rackdc.properties=file://{{sandbox}}/cassandra-rackdc.properties",
        f"-Dcassandra.storagedir={folder}",
        "-Dlogback.configurationFile={{sandbox}}/logback.xml",
        *jmx_flags(),
        *(role_flags(role_copies) if role_copies else ()),
        *((f"-Dcassandra.replace_address_first_boot={replaces}",) if replaces else ()),
        "-Dcassandra-foreground=yes",
        "-cp", JARS, "org.apache.cassandra.service.CassandraDaemon",
    )  # fmt: skip


def role_flags(copies: int) -> tuple[str, ...]:
    """For ``OwnRoles.java``: files, never the passwords themselves."""
    return (
        f"-Dcassandra.system_auth.default_rf={copies}",
        f"-Dcassandra.superuser_setup_delay_ms={ROLES_DELAY_MS}",
        "-Dupcall.password.admin={{secret.admin}}",
        "-Dupcall.password.client={{secret.client}}",
    )


def jmx_flags() -> tuple[str, ...]:
    """JMX on the node's own address, with a password that only the service and its tools know.

    The runtime's own agent is used, not Cassandra's, because only that one can be bound to one address.
    """
    return (
        "-Dcom.sun.management.jmxremote.host={{address}}",
        "-Dcom.sun.management.jmxremote.port={{port.jmx}}",
        "-Dcom.sun.management.jmxremote.rmi.port={{port.jmx}}",
        "-Djava.rmi.server.hostname={{address}}",
        "-Dcom.sun.management.jmxremote.ssl=false",
        "-Dcom.sun.management.jmxremote.authenticate=true",
        "-Dcom.sun.management.jmxremote.password.file={{secret.jmx}}",
        # By default the runtime writes hashes over the passwords in that file at the first login; nodetool reads it too
        "-Dcom.sun.management.jmxremote.password.toHashes=false",
        "-Dcom.sun.management.jmxremote.access.file={{sandbox}}/jmx.access",
    )


def nodetool_command(*arguments: str) -> tuple[str, ...]:
    """Cassandra's own tool, run beside the node: of either version, in the middle of an upgrade."""
    return (
        jvm.JAVA, jvm.ARCHIVE, *jvm.tool(stack_kib=256), *module_flags(),
        "-Dlogback.configurationFile={{sandbox}}/logback.xml",
        "-Djava.naming.factory.initial=upcall.RegistryContextFactory",
        "-cp", JARS, "org.apache.cassandra.tools.NodeTool",
        "-h", "{{address}}", "-p", "{{port.jmx}}", "-u", "upcall", "-pwf", "{{secret.jmx}}", *arguments,
    )  # fmt: skip


def scan_command(*sstables: str) -> tuple[str, ...]:
    """Cassandra's own tool that reads files of tables where they lie, and says what they have."""
    return (
        jvm.JAVA, *jvm.tool(stack_kib=256), *module_flags(),
        "-Dlogback.configurationFile={{sandbox}}/logback.xml",
        # It reads the node's own settings, for the form in which that writes.
        "-Dcassandra.config=file://{{sandbox}}/cassandra.yaml",
        "-Dcassandra-rackdc.properties=file://{{sandbox}}/cassandra-rackdc.properties",
        f"-Dcassandra.storagedir={DATA}",
        "-cp", JARS, "org.apache.cassandra.tools.SSTableMetadataViewer", "--scan", *sstables,
    )  # fmt: skip


TOOL_REFUSED: Final = 3
"""A tool of ours ends so when the node has refused what it was asked, and says why."""


def own_tool(name: Literal["SetLive", "Leave", "Load"]) -> tuple[str, ...]:
    """A tool of ours, run beside the node: sets what it reads, and reads it back; has the node begin to leave;
    has it load the files of a folder."""
    return (
        jvm.JAVA, *jvm.tool(stack_kib=256), "-cp", "{{artifact.extras.classpath}}", f"upcall.{name}",
        "{{address}}", "{{port.jmx}}", "{{secret.jmx}}",
    )  # fmt: skip
