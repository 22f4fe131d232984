"""Keyspaces: made, changed, repaired and dropped by a person or a platform file."""

from typing import Any

from upcall.catalog.cassandra import config
from upcall.catalog.cassandra.clients import CLIENTS
from upcall.catalog.cassandra.nodes import Nodes
from upcall.protocol.errors import Conflict
from upcall.service import Command, Contents, Field, action, checks, every

NAME = r"^[a-zA-Z][a-zA-Z0-9_]{0,47}$"


class Keyspaces(Nodes):
    """What a Cassandra holds that people name one by one."""

    contents = (
        Contents(
            "keyspaces", show="keyspaces", key="keyspace",
            make="create-keyspace", change="set-replication", drop="drop-keyspace",
        ),
    )  # fmt: skip
    clients = CLIENTS
    commands = (
        Command("cql", "cql", takes=("statement",)),
        Command("keyspace create", "create-keyspace", takes=("name",)),
        Command("keyspace list", "keyspaces"),
        Command("keyspace alter", "set-replication", takes=("keyspace",)),
        Command("keyspace drop", "drop-keyspace", takes=("name",), loses="all that is in it"),
        Command("status", "status"),
        Command("repair", "repair", takes=("keyspace",)),
    )

    @action
    async def create_keyspace(
        self,
        name: str = Field(pattern=NAME),
        replication: int = Field(0, ge=0, le=9, description="0: three, or as many as there are nodes"),
    ) -> dict[str, Any]:
        """Creates a keyspace; one that exists is left as it is."""
        copies = replication or min(3, len(self.members.there("node")))
        self._fits(copies)
        await self.ask(lambda ring: ring.create_keyspace(name, copies))
        return {"keyspace": name, "replication": copies}

    @action(timeout_s=3600.0)
    async def set_replication(
        self, keyspace: str = Field(pattern=NAME), replication: int = Field(ge=1, le=9)
    ) -> dict[str, Any]:
        """Changes on how many nodes a keyspace is kept, and fills the new copies by a repair."""
        self._fits(replication)
        await self.ask(lambda ring: ring.set_copies(keyspace, replication))
        for member in self.members.there("node"):
            await member.run(config.nodetool_command("repair", "-full", "-pr", keyspace), timeout_s=1800.0)
        return {"keyspace": keyspace, "replication": replication}

    def _fits(self, copies: int) -> None:
        if copies > (there := len(self.members.there("node"))):
            raise Conflict(f"{copies} replicas on {there} nodes", where="replication")

    @checks(create_keyspace)
    async def may_create_keyspace(self, replication: int) -> None:
        """By what it is to have, too: nodes may come before this is done."""
        if replication > (nodes := max(self.options.nodes, len(self.members.there("node")))):
            raise Conflict(f"{replication} replicas on {nodes} nodes", where="replication")

    @checks(set_replication)
    async def may_set_replication(self, replication: int) -> None:
        await self.may_create_keyspace(replication)

    @action
    async def drop_keyspace(self, name: str = Field(pattern=NAME)) -> dict[str, Any]:
        """Drops a keyspace with all that is in it."""
        await self.ask(lambda ring: ring.drop_keyspace(name))
        return {"keyspace": name, "dropped": True}

    @action
    async def keyspaces(self) -> list[dict[str, Any]]:
        """All keyspaces but Cassandra's own."""
        return await self.ask(lambda ring: ring.keyspaces())

    @action
    async def cql(self, statement: str = Field(min_length=1, max_length=100_000)) -> list[dict[str, Any]]:
        """Executes one CQL statement; gives at most a thousand rows."""
        changes = not statement.lstrip().upper().startswith(("SELECT", "DESC"))
        return await self.ask(lambda ring: ring.execute(statement), once=changes)

    @every("7 days", within="10 days")
    @action(timeout_s=3600.0)
    async def repair(self, keyspace: str = Field("", pattern=f"^$|{NAME}")) -> dict[str, Any]:
        """Repairs a keyspace (default: all), node by node, each its primary ranges. By itself in time: what was deleted
        is forgotten after ``gc_grace_seconds``, ten days, and would come back from a node that never heard of it."""
        nodes = self.members.there("node")
        for member in nodes:
            what = [keyspace] if keyspace else ["--ignore-unreplicated-keyspaces"]  # Else one of those fails it.
            await member.run(config.nodetool_command("repair", "-pr", *what), timeout_s=1800.0)
        return {"keyspace": keyspace, "repaired": [member.name for member in nodes]}
