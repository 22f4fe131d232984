"""Kafka, as its operators run it."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator

from upcall.catalog.kafka import config, quorum
from upcall.catalog.kafka.options import KafkaOptions
from upcall.catalog.kafka.settings import Value, as_texts, checked, settings_schema
from upcall.catalog.kafka.task import Logins, artifact_blobs, artifacts, broker_task
from upcall.protocol.declaration import Declaration, Resources
from upcall.protocol.errors import Conflict, NotNow
from upcall.service import Endpoint, Field, Member, Operation, Pod, Service, Verdict, accept, action, defer

if TYPE_CHECKING:
    from upcall.catalog.kafka.partitions import Admin, Partition

T = TypeVar("T")
TopicSettings = Annotated[dict[str, Value], AfterValidator(partial(checked, of="topic"))]
CLUSTER_ID = "cluster-id"
SERVERS = f"bootstrap servers, {config.MECHANISM}"


class Kafka(Service):
    """Apache Kafka in KRaft mode: brokers that are controllers too, in a quorum that can change."""

    version = "4.3.1"
    options: KafkaOptions
    cluster_id = ""
    _admin: Any = None

    async def on_start(self) -> None:
        """The cluster's id is made once and kept: volumes that are taken back belong to it."""
        self.cluster_id = await self.state.update(CLUSTER_ID, lambda known: known or config.new_cluster_id())

    def pods(self) -> list[Pod]:
        # All formatted members start together: one by one they would wait for a quorum that is not there yet.
        return [Pod("broker", count=self.options.brokers, task=self.broker, spread="zone", endpoints=self.endpoints())]

    def endpoints(self) -> list[Endpoint]:
        """``client`` is for applications; ``admin`` for whoever runs the brokers: as him they talk to each other."""
        if self.options.client_auth == "none":
            return [Endpoint("client", description="bootstrap servers, nobody is asked who he is")]
        return [
            Endpoint("client", description=SERVERS, user="client", secret=self.own_secret("client")),
            Endpoint("admin", "client", description=SERVERS, user="admin", secret=self.own_secret("admin")),
        ]

    def broker(self, member: Member) -> Declaration:
        options, names = self.options, self.pod("broker").member_names
        # At a new place the volume is empty: it joins the quorum that exists (see after_ready).
        first = (
            () if member.replacing else config.voters(self.cluster_id, {n + 1: name for n, name in enumerate(names)})
        )
        return broker_task(
            node_id=node_id(member),
            members=names,
            format_volume=config.format_command(self.cluster_id, first),
            resources=Resources(cpus=options.cpus, memory_mib=options.memory_mib, disk_mib=options.disk_mib),
            cores=max((node.cpus for node in self.nodes), default=1.0),
            logins=self._logins(),
            options=as_texts({**options.settings, **options.unchecked_settings}),
            artifacts=tuple(artifact for artifact, _ in artifacts()),
        )

    def _logins(self) -> Logins | None:
        if self.options.client_auth == "none":
            return None
        return Logins(
            admin=self.own_secret("admin", config.SECRET_FORM), client=self.own_secret("client", config.SECRET_FORM)
        )

    @classmethod
    def blobs(cls) -> dict[str, bytes]:
        return artifact_blobs()

    # -- consent ----------------------------------------------------------------------------------------------------

    async def may_stop(self, broker: Member, why: Operation) -> Verdict:
        """While the controllers keep their majority, and every partition its ``min.insync.replicas``."""
        partitions = await self.at_risk(without=broker)
        if partitions:
            shown = ", ".join(str(each) for each in partitions[:3]) + (" ..." if len(partitions) > 3 else "")
            are = "partition" if len(partitions) == 1 else "partitions"
            return defer(f"{len(partitions)} {are} would fall below min.insync.replicas ({shown})", retry_after=5)
        others, majority = len(self.members.without(broker)), self.options.brokers // 2 + 1
        ready = sum(other.ready for other in self.members.without(broker))
        if others and broker.ready and ready < majority:
            return defer(f"{ready} of {others} other controllers ready, a majority needs {majority}", retry_after=5)
        return accept()

    async def at_risk(self, without: Member) -> "list[Partition]":
        return await self._ask(lambda admin: admin.at_risk(node_id(without)))

    # -- recovery ---------------------------------------------------------------------------------------------------

    async def after_ready(self, broker: Member) -> None:
        """A broker that was replaced fills its replicas by itself, but it has no vote until it is given one."""
        if broker.place == 1:
            return
        beside = next((other for other in self.members.without(broker) if other.ready), None)
        if beside is None:
            raise NotNow("no other broker is ready to change the quorum", where=broker.name)
        self.log.info("%s: %s", broker.name, await quorum.join(broker, node_id(broker), beside))

    # -- what a person asks -----------------------------------------------------------------------------------------

    @action
    async def create_topic(
        self,
        name: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$"),
        partitions: int = Field(3, ge=1, le=1000),
        replication: int = Field(0, ge=0, le=9, description="0: three, or as many as there are brokers"),
        config: TopicSettings = Field(
            default={},
            description="the topic's own settings; without retention.bytes a partition keeps at most a sixteenth of a"
            " broker's disk_mib",
            json_schema_extra=settings_schema("topic"),
        ),
        unchecked_config: dict[str, Value] = Field(
            default={}, description="settings of the topic that this version of Kafka does not know"
        ),
    ) -> dict[str, Any]:
        """Creates a topic; one that exists is left as it is."""
        copies = replication or min(3, self.options.brokers)
        if copies > self.options.brokers:
            raise Conflict(f"{copies} replicas on {self.options.brokers} brokers", where="replication")
        given = as_texts({**config, **unchecked_config})
        created = await self._ask(lambda admin: admin.create_topic(name, partitions, copies, given))
        return {"topic": name, "partitions": partitions, "replication": copies, "created": created}

    @action
    async def delete_topic(self, name: str) -> dict[str, Any]:
        """Deletes a topic with all that is in it."""
        await self._ask(lambda admin: admin.delete_topic(name))
        return {"topic": name, "deleted": True}

    @action
    async def topics(self) -> list[dict[str, Any]]:
        """All topics, with how many of their partitions are not fully in sync."""
        return await self._ask(lambda admin: admin.topics())

    @action
    async def voters(self) -> list[dict[str, Any]]:
        """The controllers that vote."""
        beside = next((member for member in self.members.values() if member.ready), None)
        if beside is None:
            raise NotNow("no broker is ready")
        return [{"node_id": each.node_id, "directory_id": each.directory_id} for each in await quorum.voters(beside)]

    async def _ask(self, question: "Callable[[Admin], T]") -> T:
        """Asks the brokers that are ready, in a thread of this service; the connection is kept."""
        from upcall.catalog.kafka.partitions import Admin

        servers = ",".join(member.at("client") for member in self.members.values() if member.ready)
        if not servers:
            raise NotNow("no broker is ready", where=self.name)
        if self._admin is None or self._admin.servers != servers:
            found = None if self.options.client_auth == "none" else await self.credentials(self.endpoints()[1])
            self._admin = Admin(servers, (found.user, found.password) if found else None)
        admin: Admin = self._admin
        return await self.blocking(question, admin)


def node_id(member: Member) -> int:
    """Kafka counts from 1; a member keeps its id at every place."""
    return member.index + 1
