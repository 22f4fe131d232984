"""A broker as a task declaration, and the training run of its class archive.

The training is the same declaration with other values, so both command lines agree (an archive is rejected when they
do not). It is formatted as a quorum of one and ended as soon as it serves: an archive of one that had served messages
before was tried, and starts no faster.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files

from msgspec import structs

from upcall.catalog import jvm
from upcall.catalog.kafka import config
from upcall.catalog.kafka.sizing import size_broker
from upcall.catalog.logins import Logins
from upcall.protocol.declaration import DISK, Artifact, Check, Constraints, Declaration, File, Port, Resources, Volume
from upcall.protocol.training import Compiled, Training

PACKAGE = "upcall.catalog.kafka"
TRAINING_CLUSTER = "dHJhaW5pbmdjbHVzdGVyMQ"
TRAINING_MEMORY_MIB = 448


def broker_task(
    *,
    node_id: int,
    members: Sequence[str],
    format_volume: tuple[str, ...],
    resources: Resources,
    cores: float,
    storage: str = DISK,
    logins: Logins | None = None,
    rack: str = config.ZONE,
    options: Mapping[str, str] | None = None,
    artifacts: tuple[Artifact, ...] = (),
) -> Declaration:
    """One broker. ``format_volume`` is the command for a fresh volume (:func:`config.format_command`)."""
    sizing = size_broker(resources.memory_mib, cores, resources.disk_mib)
    properties = config.server_properties(
        node_id=node_id, members=members, sizing=sizing, logins=logins is not None, rack=rack, options=options
    )
    return Declaration(
        command=config.start_command(sizing),
        artifacts=artifacts,
        files=(
            File(path=config.SETTINGS, text=properties),
            File(path="log4j2.properties", text=jvm.log4j2()),
        ),
        volumes=(Volume(name="data", size_mib=resources.disk_mib, kind=storage, holds_data=True),),
        ports=(
            Port(name="client", number=config.CLIENT_PORT),
            Port(name="controller", number=config.CONTROLLER_PORT),
        ),
        secrets=logins.secrets if logins else (),
        # All its disk is the volume, which is reserved by its own size.
        resources=structs.replace(resources, disk_mib=0),
        constraints=Constraints(apart="broker", spread="zone"),
        prepare=(format_volume,),
        ready=Check(log=config.READY_LINE),
        health=Check(tcp="client", interval_s=5, failures=3),
        # After a kill every log that was open is read again: minutes, on a slow disk with many partitions.
        start_timeout_s=1800,
        progress=config.PROGRESS,
        fatal=config.FATAL,
        # Kafka hands over itself, so nothing is done before it is told to end: one request, and the controller moves
        # all that the broker leads and takes it out of every in-sync set in one write, however many partitions there
        # are. It serves until every other broker knows of it. To move leaders before would write every partition's
        # replicas anew, twice, and writes would wait for this broker too, as a follower of the new leader. The active
        # controller cannot be moved from outside; in one process the broker ends first, and then the controller
        # resigns. Then segments are closed: seconds. When the quorum is gone nobody takes over: it waits some seconds
        # more, and ends as well (EndAlone.java).
        grace_s=30,
    )


@lru_cache
def makes() -> tuple[Training | Compiled, ...]:
    """What we compile beside Kafka's jars, and the class archive of a broker."""
    first = config.voters(TRAINING_CLUSTER, {1: "broker-1"})
    task = broker_task(
        node_id=1,
        members=("broker-1",),
        format_volume=config.format_command(TRAINING_CLUSTER, first),
        resources=Resources(cpus=1, memory_mib=TRAINING_MEMORY_MIB, disk_mib=1024),
        cores=2,
        logins=Logins(admin="training", client="training"),
    )
    password = config.SECRET_FORM.format("training")
    training = Training(
        name="archive",
        mode="cds",
        task=task,
        uses=("java", "kafka", "extras"),
        values={"address.broker-1": "{{address}}"},
        secrets={"admin": password, "client": password},
    )
    extras = Compiled(
        name="extras",
        sources={
            f"upcall/{name}.java": (files(PACKAGE) / "java" / f"{name}.java").read_text()
            for name in ("EndAlone", "Overrides", "OwnUsers")
        },
        uses=("java", "kafka", "compiler"),
        against=("kafka",),
        jars=("kafka-clients-",),
    )
    return extras, training
