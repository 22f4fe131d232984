"""A node as a task declaration, and the training run of its class archive."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

from msgspec import structs

from upcall.catalog.cassandra import config
from upcall.catalog.cassandra.releases import release
from upcall.catalog.cassandra.sizing import size_node
from upcall.catalog.logins import Logins
from upcall.protocol.declaration import (
    DISK,
    Artifact,
    Check,
    Constraints,
    Declaration,
    File,
    Port,
    Resources,
    Secret,
    Volume,
)
from upcall.protocol.training import Compiled, Training

PACKAGE = "upcall.catalog.cassandra"
TRAINING_MEMORY_MIB = 640
EXTRAS = {
    "upcall": ("Jmx", "Leave", "Load", "OwnAuthorizer", "OwnRoles", "RegistryContextFactory", "SetLive"),
    "org/apache/cassandra/auth": ("ConfirmedPasswords", "ConfirmedRoles"),
}
"""By package: the roles of a ring and what they may do, what nodetool lacks in a small runtime, and tools that set
attributes of a running node, have it begin to leave, and load files."""
RING_DELAY_NEW_MS = 30_000
RING_DELAY_JOIN_MS = 5_000


def node_task(
    *,
    cluster: str,
    seeds: Sequence[str],
    tokens: Sequence[int] | None,
    resources: Resources,
    cores: float,
    storage: str = DISK,
    jmx_secret: str,
    logins: Logins | None = None,
    role_copies: int = 1,
    datacenter: str = "dc1",
    replaces: str = "",
    racks: int = 0,
    by_node: bool = False,
    times_left: int = 0,
    mode: str = "",
    java: int = 17,
    options: Mapping[str, Any] | None = None,
    artifacts: tuple[Artifact, ...] = (),
) -> Declaration:
    """One node of the ring. The secret's value is the line ``upcall <password>`` of a JMX password file.
    ``role_copies``: on how many nodes a new ring keeps each role, where clients are asked who they are."""
    sizing = size_node(resources.memory_mib, cores, resources.disk_mib)
    # What a node had that left is not its own any more; when its volume comes again with it, it begins beside that.
    folder = f"{config.DATA}/again-{times_left}" if times_left else config.DATA
    settings = config.cassandra_yaml(
        cluster=cluster,
        seeds=seeds,
        sizing=sizing,
        tokens=tokens,
        racks=racks,
        logins=logins is not None,
        mode=mode,
        options=options,
        folder=folder,
    )
    return Declaration(
        command=config.start_command(
            sizing,
            java=java,
            replaces=replaces,
            ring_delay_ms=RING_DELAY_NEW_MS if tokens is not None else RING_DELAY_JOIN_MS,
            role_copies=role_copies if logins else 0,
            folder=folder,
        ),
        artifacts=artifacts,
        files=(
            File(path=config.YAML, text=settings),
            File(path="cassandra-rackdc.properties", text=config.rack_properties(datacenter, by_node=by_node)),
            File(path="logback.xml", text=config.LOGBACK),
            File(path="jmx.access", text="upcall readwrite\n", mode=0o600),
        ),
        volumes=(Volume(name="data", size_mib=resources.disk_mib, kind=storage, holds_data=True),),
        ports=(
            Port(name="cql", number=config.CQL_PORT),
            Port(name="storage", number=config.STORAGE_PORT),
            Port(name="jmx", number=config.JMX_PORT),
        ),
        secrets=(Secret(name="jmx", ref=jmx_secret), *(logins.secrets if logins else ())),
        # All its disk is the volume, which is reserved by its own size.
        resources=structs.replace(resources, disk_mib=0),
        constraints=Constraints(apart="node", spread="zone"),
        ready=Check(log=config.READY_LINE_ROLES if logins else config.READY_LINE),
        health=Check(tcp="cql", interval_s=5, failures=3),
        start_timeout_s=600,
        progress=config.PROGRESS,
        fatal=config.FATAL,
        # Its service drains it before; what that did not do in its time a plain SIGTERM does.
        grace_s=45,
    )


@lru_cache
def makes(version: str) -> tuple[Training | Compiled, ...]:
    """What we compile beside Cassandra's jars, and the class archive of a node."""
    java = release(version).java
    task = node_task(
        cluster="training",
        seeds=("node-1",),
        tokens=config.even_tokens(0, 1),
        resources=Resources(cpus=1, memory_mib=TRAINING_MEMORY_MIB, disk_mib=1024),
        cores=2,
        jmx_secret="training",  # noqa: S106 - a reference
        logins=Logins(admin="training", client="training"),
        java=java,
    )
    training = Training(
        name="archive",
        mode="cds" if java >= config.NEWER_JAVA else "list",
        task=task,
        uses=("java", "cassandra", "extras"),
        values={"address.node-1": "{{address}}"},
        secrets={"jmx": "upcall training\n", "admin": "training", "client": "training"},
    )
    extras = Compiled(
        name="extras",
        sources={
            f"{package}/{name}.java": (files(PACKAGE) / "java" / f"{name}.java").read_text()
            for package, names in EXTRAS.items()
            for name in names
        },
        uses=("java", "compiler", "cassandra"),
        against=("cassandra",),
        jars=("cassandra-all-", "jbcrypt-", "slf4j-api-"),
        release=str(java),
    )
    return extras, training
