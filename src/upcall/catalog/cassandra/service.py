"""Cassandra, as its operators run it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from upcall.catalog.cassandra import config
from upcall.catalog.cassandra.options import CassandraOptions
from upcall.catalog.cassandra.task import Logins, artifact_blobs, artifacts, node_task
from upcall.protocol.declaration import Declaration, Resources
from upcall.protocol.errors import Conflict, NotNow
from upcall.protocol.service import Credentials
from upcall.service import Endpoint, Field, Member, Operation, Pod, Service, Verdict, accept, action, defer

if TYPE_CHECKING:
    from upcall.catalog.cassandra.ring import Ring

T = TypeVar("T")
CQL = "CQL native protocol"
NAME = r"^[a-zA-Z][a-zA-Z0-9_]{0,47}$"


class Cassandra(Service):
    """Apache Cassandra: a ring whose racks are the zones."""

    version = "5.0.9"
    options: CassandraOptions
    _ring: Any = None

    def pods(self) -> list[Pod]:
        # A new ring gets its tokens from us and has nothing to stream, so all may start at once: those that are not
        # the seed wait for it.
        return [Pod("node", count=self.options.nodes, task=self.node, spread="zone", endpoints=self.endpoints())]

    def endpoints(self) -> list[Endpoint]:
        """``cql`` is for applications, ``admin`` for whoever runs the ring: its role may do everything."""
        if self.options.client_auth == "none":
            return [Endpoint("cql", description=f"{CQL}, nobody is asked who he is")]
        return [
            Endpoint("cql", description=CQL, user="client", secret=self.own_secret("client")),
            Endpoint("admin", "cql", description=f"{CQL}, as superuser", user="admin", secret=self.own_secret("admin")),
        ]

    def node(self, member: Member) -> Declaration:
        options, names = self.options, self.pod("node").member_names
        # At a new place the volume is empty: the node takes the ranges of the dead one from the others.
        replaces = "{{replaced.address}}" if member.replacing else ""
        others = [name for name in names if name != member.name]
        return node_task(
            cluster=self.name,
            seeds=others if member.replacing else names[:1],
            tokens=None if member.replacing else config.even_tokens(member.index, options.nodes),
            resources=Resources(cpus=options.cpus, memory_mib=options.memory_mib, disk_mib=options.disk_mib),
            cores=max((node.cpus for node in self.nodes), default=1.0),
            jmx_secret=self.own_secret("jmx", "upcall {}"),
            logins=self._logins(),
            replaces=replaces,
            options=options.settings,
            artifacts=tuple(artifact for artifact, _ in artifacts()),
        )

    def _logins(self) -> Logins | None:
        if self.options.client_auth == "none":
            return None
        return Logins(
            admin=self.own_secret("admin"), client=self.own_secret("client"), copies=min(3, self.options.nodes)
        )

    @classmethod
    def blobs(cls) -> dict[str, bytes]:
        return artifact_blobs()

    # -- consent ----------------------------------------------------------------------------------------------------

    async def may_stop(self, node: Member, why: Operation) -> Verdict:
        """While every range keeps a majority of its replicas, and nothing is on its way between nodes.

        SIGTERM drains a node: it tells the others, flushes its memtables and closes its commit log.
        """
        if moving := await self._ask(lambda ring: ring.moving()):
            first = ", ".join(f"{who} is {word}" for who, word in list(moving.items())[:2])
            return defer(f"data is on its way: {first}", retry_after=5)
        up = {member.address for member in self.members.values() if member.ready}
        lost = await self._ask(lambda ring: _at_risk(ring, up, node.address))
        if lost:
            words = ", ".join(f"{count} of {keyspace}" for keyspace, count in sorted(lost.items())[:3])
            return defer(f"token ranges would lose their quorum: {words}", retry_after=5)
        return accept()

    # -- what a person asks -----------------------------------------------------------------------------------------

    @action
    async def create_keyspace(
        self,
        name: str = Field(pattern=NAME),
        replication: int = Field(0, ge=0, le=9, description="0: three, or as many as there are nodes"),
    ) -> dict[str, Any]:
        """Creates a keyspace; one that exists is left as it is."""
        copies = replication or min(3, self.options.nodes)
        if copies > self.options.nodes:
            raise Conflict(f"{copies} replicas on {self.options.nodes} nodes", where="replication")
        await self._ask(lambda ring: ring.create_keyspace(name, copies))
        return {"keyspace": name, "replication": copies}

    @action
    async def drop_keyspace(self, name: str = Field(pattern=NAME)) -> dict[str, Any]:
        """Drops a keyspace with all that is in it."""
        await self._ask(lambda ring: ring.drop_keyspace(name))
        return {"keyspace": name, "dropped": True}

    @action
    async def keyspaces(self) -> list[dict[str, Any]]:
        """All keyspaces but Cassandra's own."""
        return await self._ask(lambda ring: ring.keyspaces())

    @action
    async def cql(self, statement: str = Field(min_length=1, max_length=100_000)) -> list[dict[str, Any]]:
        """Executes one CQL statement; gives at most a thousand rows."""
        return await self._ask(lambda ring: ring.execute(statement))

    @action(timeout_s=3600.0)
    async def repair(self, keyspace: str = Field(pattern=NAME)) -> dict[str, Any]:
        """Repairs a keyspace, node by node, each its primary ranges."""
        for member in self.members.of("node"):
            await member.run(config.nodetool_command("repair", "-pr", keyspace), timeout_s=1800.0)
        return {"keyspace": keyspace, "repaired": [member.name for member in self.members.of("node")]}

    @action
    async def status(self) -> str:
        """What ``nodetool status`` says."""
        beside = next((member for member in self.members.values() if member.ready), None)
        if beside is None:
            raise NotNow("no node is ready")
        return (await beside.run(config.nodetool_command("status"))).output

    async def _ask(self, question: "Callable[[Ring], T]") -> T:
        """Asks the nodes that are ready, in a thread of this service; the session is kept while they stay the same."""
        addresses = tuple(member.address for member in self.members.values() if member.ready)
        if not addresses:
            raise NotNow("no node is ready", where=self.name)
        if self._ring is not None and self._ring.addresses != addresses:
            await self.blocking(self._ring.close)
            self._ring = None
        if self._ring is None:
            login = None if self.options.client_auth == "none" else await self.credentials(self.endpoints()[1])
            self._ring = await self.blocking(_connect, addresses, login)
        ring: Ring = self._ring
        try:
            return await self.blocking(question, ring)
        except Exception:
            # What broke may be the session: the next question gets a new one.
            self._ring = None
            await self.blocking(ring.close)
            raise


def _connect(addresses: tuple[str, ...], login: Credentials | None) -> "Ring":
    from upcall.catalog.cassandra.ring import Ring

    return Ring(addresses, config.CQL_PORT, (login.user, login.password) if login else None)


def _at_risk(ring: "Ring", up: set[str], without: str) -> dict[str, int]:
    from upcall.catalog.cassandra.ring import at_risk

    return at_risk(ring.ranges(), up, without)
