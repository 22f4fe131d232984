"""A broker's files and commands: everything Kafka is told, as text with templates that the node fills in.

Brokers are combined (broker and controller) and form a *dynamic* quorum: its voters are records in Kafka's own
metadata, so they can be removed and added later. Each voter has a directory id; the first ones are formatted with the
list of all of them (``--initial-controllers``), later ones without (``--no-initial-controllers``), and added by the
voter tool once they run.

Whoever connects logs in by SCRAM, at the controllers' listener too: ``admin`` (the brokers themselves, their tools and
whoever runs them) and, at the clients' listener alone, ``client``. Passwords are read from files by Kafka's own config
provider; they stand in no settings and on no command line (see ``OwnUsers.java``).
"""

import base64
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from upcall.catalog import jvm
from upcall.catalog.kafka import properties
from upcall.catalog.kafka.sizing import BrokerSizing
from upcall.protocol.templates import literally

CLIENT_PORT: Final = 9092
CONTROLLER_PORT: Final = 9093
FOUNDERS: Final = 3
"""So many found the quorum; more get their vote once they run. So nothing of the first ones depends on how many there
are."""
ZONE: Final = "{{zone}}"
NODE: Final = "{{node}}"
"""What is a rack: no two replicas of a partition are in one, as long as there are enough."""
SETTINGS: Final = "server.properties"
PROPERTIES: Final = f"{{{{sandbox}}}}/{SETTINGS}"
READY_LINE: Final = r"Kafka Server started"
PROGRESS: Final = (
    r"LogManager Completed load of .* \(\d+/\d+ completed in ",
    r"Recovering unflushed segment \d+\. \d+/\d+ recovered for ",
)
"""After an end that was not clean every log is read again before the broker serves: one line for each, and for each
segment of it."""
FATAL: Final = (r"Shutdown broker because ((?:all|none of the specified) log dirs .*)", jvm.NO_MEMORY)
"""What ends it without an exception; with one, the exception says more."""
FETCH_WAIT_MS: Final = 50
"""How long a follower's question stands where nothing is written."""
DECIDES_WITHIN_MS: Final = 5
"""How long the controllers wait for more before they write what they decided."""
REGISTERS_WITHIN_MS: Final = 1_800_000
"""How long a broker that starts waits for controllers before it ends by itself: as long as a start may take here.
Kafka's own minute is over before the others are there where all of them start at once on a machine without time for it,
and each that ends so makes it later for the rest."""
QUOTA: Final = "producer_byte_rate"
DEFAULT_USER: Final = ("--entity-type", "users", "--entity-default")
JARS: Final = "{{artifact.kafka.classpath}}:{{artifact.extras.classpath}}"
"""Kafka's own, and what we compile beside them."""
END_ALONE: Final = "upcall.EndAlone"
"""Runs Kafka's main class, so that a broker ends also when the quorum is gone (see ``EndAlone.java``)."""
MECHANISM: Final = "SCRAM-SHA-256"
SCRAM: Final = "org.apache.kafka.common.security.scram.ScramLoginModule"
SECRET_FORM: Final = "password={}"  # noqa: S105 - a form, not a password
"""Of the files that hold the users' passwords: a properties file, as Kafka's config provider reads it."""


@dataclass(frozen=True)
class Voter:
    """A controller of the first quorum."""

    node_id: int
    member: str
    directory_id: str


def new_cluster_id() -> str:
    return _short(uuid.uuid4())


def directory_id(cluster_id: str, node_id: int) -> str:
    """A broker's directory id in the first quorum; every member can work out everybody's."""
    return _short(uuid.uuid5(uuid.NAMESPACE_OID, f"{cluster_id}/{node_id}"))


def _short(value: uuid.UUID) -> str:
    """Kafka's way to write a UUID: URL-safe base64 without padding; one that starts with '-' reads as an option."""
    text = base64.urlsafe_b64encode(value.bytes).decode().rstrip("=")
    return text if not text.startswith("-") else "A" + text[1:]


def voters(cluster_id: str, members: Mapping[int, str]) -> tuple[Voter, ...]:
    return tuple(Voter(node, member, directory_id(cluster_id, node)) for node, member in sorted(members.items()))


def server_properties(
    *,
    node_id: int,
    members: Sequence[str],
    sizing: BrokerSizing,
    logins: bool = True,
    rack: str = ZONE,
    options: Mapping[str, str] | None = None,
) -> str:
    """``server.properties`` of one broker. ``members`` are all brokers' names; ``logins``: clients are asked who they
    are; ``options`` are the user's, as he wrote them, and win."""
    replication = min(3, len(members))
    in_sync = max(1, replication - 1)
    # Those that founded the quorum lead to it, so that nobody else's file changes when brokers come and leave.
    bootstrap = ",".join(f"{{{{address.{member}}}}}:{{{{port.controller}}}}" for member in members[:FOUNDERS])
    listeners = "CLIENT://{{address}}:{{port.client}},CONTROLLER://{{address}}:{{port.controller}}"
    protocol = "SASL_PLAINTEXT" if logins else "PLAINTEXT"
    settings = {
        "process.roles": "broker,controller",
        "node.id": str(node_id),
        "broker.rack": rack,
        "listeners": listeners,
        "advertised.listeners": listeners,
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "CLIENT",
        "listener.security.protocol.map": f"CLIENT:{protocol},CONTROLLER:{protocol}",
        **(login_settings() if logins else {}),
        "controller.quorum.bootstrap.servers": bootstrap,
        "log.dirs": "{{volume.data}}/logs",
        "num.network.threads": str(sizing.network_threads),
        "num.io.threads": str(sizing.io_threads),
        "num.replica.fetchers": str(sizing.replica_fetchers),
        "num.recovery.threads.per.data.dir": str(sizing.recovery_threads),
        "background.threads": str(sizing.background_threads),
        "log.cleaner.dedupe.buffer.size": str(sizing.cleaner_buffer_bytes),
        "log.cleaner.io.buffer.size": "65536",
        "log.segment.bytes": str(sizing.segment_bytes),
        "log.retention.bytes": str(sizing.retention_bytes),
        # What comes between two checks, and what is deleted and still lies there, is kept beyond the bound.
        "log.retention.check.interval.ms": "10000",
        "log.segment.delete.delay.ms": "5000",
        # Kafka's own logs are cleaned by whole segments too, and would otherwise hold 100 MiB to 1 GiB open.
        "metadata.log.segment.bytes": str(sizing.metadata_segment_bytes),
        "offsets.topic.segment.bytes": str(sizing.segment_bytes),
        "transaction.state.log.segment.bytes": str(sizing.segment_bytes),
        "share.coordinator.state.topic.segment.bytes": str(sizing.segment_bytes),
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": str(replication),
        "transaction.state.log.num.partitions": "2",
        "transaction.state.log.replication.factor": str(replication),
        "transaction.state.log.min.isr": str(in_sync),
        "share.coordinator.state.topic.num.partitions": "2",
        "share.coordinator.state.topic.replication.factor": str(replication),
        "share.coordinator.state.topic.min.isr": str(in_sync),
        "default.replication.factor": str(replication),
        "min.insync.replicas": str(in_sync),
        "group.initial.rebalance.delay.ms": "0",
        "auto.create.topics.enable": "false",
        # A broker that was killed and starts again waits for the end of its own old session: 3 s instead of 9.
        "broker.session.timeout.ms": "3000",
        # Also how long a heartbeat may take, a new connection with its login included. With 500 ms a controller that
        # was slow by 0.8 s had none of its brokers' heartbeats answered, and took them for dead, one after the other.
        "broker.heartbeat.interval.ms": "1000",
        "initial.broker.registration.timeout.ms": str(REGISTERS_WITHIN_MS),
        **handover_settings(),
    }
    settings.update(literally(dict(options or {})))
    return properties.written(settings)


def handover_settings() -> dict[str, str]:
    """What a write waits for when the leader of its partition moves, as it does whenever a broker ends or comes back.

    A broker answers one request of a connection after the other, and a write is answered when all followers in sync
    have it. So the first write to a partition that just moved holds up all that its client sends to that broker, until
    the follower asks for this partition too. That is late in two cases: it asked before the new leader knew that it
    leads, and waits before it asks again; or what it asked for before still stands there, where nothing comes any more
    for the partitions that it named. These are the bounds of both (Kafka's own are 1,000 and 500 ms): each of them
    shorter is paid with questions, the first where a leader is dead, the second where nothing is written.

    And each decision of the controllers (who leads, who is in sync, a new topic) waits for company before it is
    written: 25 ms by itself, for nothing where decisions are few. Paid with more flushes where they are many.
    """
    return {
        "replica.fetch.backoff.ms": "50",
        "replica.fetch.wait.max.ms": str(FETCH_WAIT_MS),
        "controller.quorum.append.linger.ms": str(DECIDES_WITHIN_MS),
    }


def login_settings() -> dict[str, str]:
    """Who may come in at which listener, and how a broker and its tools log in themselves."""
    own = f'{SCRAM} required username="admin" password="{_password("admin")}"'
    admin, client = (f'user_{user}="{_password(user)}"' for user in ("admin", "client"))
    allowed = {"client": f"{own} {admin} {client};", "controller": f"{own} {admin};"}
    return {
        "config.providers": "file",
        "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
        "sasl.enabled.mechanisms": MECHANISM,
        "sasl.mechanism.inter.broker.protocol": MECHANISM,
        "sasl.mechanism.controller.protocol": MECHANISM,
        **{
            f"listener.name.{listener}.{MECHANISM.lower()}.sasl.{name}": value
            for listener, entry in allowed.items()
            for name, value in (("jaas.config", entry), ("server.callback.handler.class", "upcall.OwnUsers"))
        },
        # For the tools, which are clients and are given the same file.
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": MECHANISM,
        "sasl.jaas.config": f"{own};",
    }


def _password(user: str) -> str:
    return f"${{file:{{{{secret.{user}}}}}:password}}"


SOON_AGAIN = {"reconnect.backoff.max.ms": "1000", "retry.backoff.ms": "20"}
"""A broker that comes back is talked to at once, as Java's clients do; the usual here is 10 s. And a write to a
partition whose leader has moved is tried again after 20 ms instead of 100: the refusal names the new leader (KIP-951),
so there is nothing to wait for. Where there is none, this wait doubles each time, up to a second."""


def client_settings(servers: str, login: tuple[str, str] | None) -> dict[str, str]:
    """Of a client built on librdkafka. ``login``: user and password."""
    settings = {"bootstrap.servers": servers, **SOON_AGAIN}
    if login is None:
        return settings
    return settings | {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": MECHANISM,
        "sasl.username": login[0],
        "sasl.password": login[1],
    }


def jvm_flags(sizing: BrokerSizing) -> tuple[str, ...]:
    sized = jvm.server(
        sizing.heap_mib,
        stack_kib=512,
        direct_mib=sizing.direct_mib,
        code_cache_mib=sizing.code_cache_mib,
        metaspace_mib=sizing.metaspace_mib,
    )
    return (*sized, *jvm.OWN_FILES, "-Djava.awt.headless=true", jvm.LOG4J2_FLAG)


def start_command(sizing: BrokerSizing) -> tuple[str, ...]:
    return (jvm.JAVA, jvm.ARCHIVE, *jvm_flags(sizing), "-cp", JARS, END_ALONE, "kafka.Kafka", PROPERTIES)


def reassign_command(*what: str) -> tuple[str, ...]:
    """Moves replicas, as its standard input says."""
    tool = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
    return _client_tool(tool, "--reassignment-json-file", "/dev/stdin", *(what or ("--execute",)))


def log_dirs_command(brokers: Sequence[int]) -> tuple[str, ...]:
    """How many bytes of which partition lie on these brokers."""
    listed = ",".join(map(str, brokers))
    return _client_tool("org.apache.kafka.tools.LogDirsCommand", "--describe", "--broker-list", listed)


def unregister_command(broker: int) -> tuple[str, ...]:
    """Kafka forgets a broker that is gone for good."""
    server = ("--bootstrap-server", "{{address}}:{{port.client}}", "--config", PROPERTIES)
    return tool_command("org.apache.kafka.tools.ClusterTool", "unregister", *server, "--id", str(broker))


def cluster_setting_command(name: str, value: str) -> tuple[str, ...]:
    """Sets what has its value in the whole cluster."""
    what = ("--entity-type", "brokers", "--entity-default", "--alter", "--add-config", f"{name}={value}")
    return _client_tool("kafka.admin.ConfigCommand", *what)


def forget_command(broker: int) -> tuple[str, ...]:
    """Takes overrides away from a broker, as its standard input names them, by the controller beside which it runs (see
    ``Overrides.java``): the broker itself need not run."""
    return tool_command("upcall.Overrides", "{{address}}:{{port.controller}}", PROPERTIES, str(broker))


def quota_command(bytes_a_second: int | None) -> tuple[str, ...]:
    """What each broker takes of a user that has no quota of his own; None: as much as comes."""
    change = ("--delete-config", QUOTA) if bytes_a_second is None else ("--add-config", f"{QUOTA}={bytes_a_second}")
    return _client_tool("kafka.admin.ConfigCommand", *DEFAULT_USER, "--alter", *change)


def quota_query() -> tuple[str, ...]:
    return _client_tool("kafka.admin.ConfigCommand", *DEFAULT_USER, "--describe")


def _client_tool(main_class: str, *what: str) -> tuple[str, ...]:
    server = ("--bootstrap-server", "{{address}}:{{port.client}}", "--command-config", PROPERTIES)
    return tool_command(main_class, *server, *what)


def format_command(cluster_id: str, first: Sequence[Voter]) -> tuple[str, ...]:
    """Make a fresh volume this cluster's. Without ``first`` it joins a quorum that exists."""
    if first:
        listed = ",".join(
            f"{voter.node_id}@{{{{address.{voter.member}}}}}:{{{{port.controller}}}}:{voter.directory_id}"
            for voter in first
        )
        quorum: tuple[str, ...] = ("--initial-controllers", listed)
    else:
        quorum = ("--no-initial-controllers",)
    return tool_command(
        "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", PROPERTIES, "--ignore-formatted", *quorum
    )


def tool_command(main_class: str, *arguments: str) -> tuple[str, ...]:
    """One of Kafka's own tools, started as lightly as a JVM can be."""
    return (
        jvm.JAVA, jvm.ARCHIVE, *jvm.tool(stack_kib=512), jvm.LOG4J2_FLAG, "-cp", JARS, main_class, *arguments,
    )  # fmt: skip
