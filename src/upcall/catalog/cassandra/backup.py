"""Cassandra's backup: the schema, and a snapshot of every node, file by file.

A snapshot flushes what is in memory and links the files of that moment, which never change; so a file that is in an
earlier backup is not read again. All are loaded into the restored ring by its own nodes, each row to those that keep it
there, so that ring may have any size: what several nodes had of a row comes together as by a repair.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from upcall.catalog.cassandra import config
from upcall.catalog.cassandra.forms import NEWEST, Forms, in_newer_form
from upcall.catalog.cassandra.releases import release
from upcall.protocol.errors import Conflict, NotNow
from upcall.protocol.numbers import counted
from upcall.protocol.service import ToolResult
from upcall.service import Member, action
from upcall.service.backup import BackupInto, Part, StoredBackup
from upcall.service.backup.carried import Files, Found, copy_out, files_of

SNAPSHOT: Final = "upcall-backup"
"""One name: what a backup left that was killed goes before the next one begins."""
RESTORED: Final = "restore"
ROOT: Final = "{{volume.data}}"
TRIES: Final = 3
SNAPSHOT_S: Final = 600.0
LOAD_S: Final = 3600.0
BESIDE: Final = ("manifest.json", "schema.cql")
"""What a snapshot has beside the files of tables."""
PROMISE: Final = (
    "the schema, and of every node all that it had when its snapshot was taken: every write that was acknowledged"
    " before the backup began, and of later ones some; not one moment for all nodes; roles and passwords are not in it"
)


class Backups(Forms):
    """How Cassandra is backed up and restored."""

    async def backup(self, into: BackupInto) -> None:
        away = self.members.away("node")
        if away:
            raise NotNow(f"{', '.join(away)} is not back: a backup has all nodes", where=self.name)
        nodes = self.members.of("node")
        into.promise(PROMISE)
        await self._clear_snapshots(nodes)
        try:
            into.about, keyspaces = await self._snapshots(nodes, into)
            for number, node in enumerate(nodes):
                async with files_of(node, ROOT) as files:
                    share = (number / len(nodes), 1 / len(nodes))
                    await self.blocking(_copy_out, into, files, node.name, keyspaces, share)
        finally:
            await asyncio.shield(self._clear_snapshots(nodes))

    async def _snapshots(self, nodes: list[Member], into: BackupInto) -> tuple[dict[str, Any], list[str]]:
        """Of all nodes at once; again where the schema was another one afterwards, or a node could not."""
        for attempt in range(1, TRIES + 1):
            schema = await self.ask(lambda ring: ring.schema())
            into.say(f"snapshots of {counted(len(schema), 'keyspace')} on {counted(len(nodes), 'node')}")
            command = ("snapshot", "-t", SNAPSHOT, "--", *schema)
            refused = [] if not schema else await self._on_all(nodes, *command)
            if not refused and schema == await self.ask(lambda ring: ring.schema()):
                return {"schema": schema, "nodes": len(nodes)}, sorted(schema)
            why = "; ".join(refused) or "the schema is being changed"
            self.log.warning("no snapshot of all nodes, attempt %d: %s", attempt, why)
            await self._clear_snapshots(nodes)
        raise NotNow(f"no snapshot of all nodes: {why}", where=self.name)

    async def _clear_snapshots(self, nodes: list[Member]) -> None:
        for refused in await self._on_all([node for node in nodes if node.ready], "clearsnapshot", "-t", SNAPSHOT):
            self.log.warning("a snapshot stays until the next backup: %s", refused)

    @staticmethod
    async def _on_all(nodes: list[Member], *words: str) -> list[str]:
        """Runs nodetool beside all of them at once; gives what they refused, and why."""

        async def one(node: Member) -> str:
            done = await node.run(config.nodetool_command(*words), timeout_s=SNAPSHOT_S, codes=())
            return f"{node.name}: {Backups.telling(done)}" if done.code else ""

        return [refused for refused in await asyncio.gather(*map(one, nodes)) if refused]

    @staticmethod
    def telling(done: ToolResult) -> str:
        """Of all that a tool said, the lines that say what is wrong."""
        lines = [line for line in f"{done.error}\n{done.output}".splitlines() if line.strip()]
        wrong = [line for line in lines if "rror" in line or "xception" in line]
        return " / ".join(wrong[:3] or lines[:3])[:600]

    @action
    async def snapshots(self) -> list[dict[str, Any]]:
        """Snapshots that nodes keep, by whoever took them; those of a backup go with it."""
        found = []
        for node in self.members.of("node"):
            async with files_of(node, ROOT) as files:
                each = await self.blocking(files.list, "**/snapshots/*/*")
            sizes: dict[str, int] = {}
            for file in each:
                name = file.name.split("/")[-2]
                sizes[name] = sizes.get(name, 0) + file.size
            found += [{"node": node.name, "snapshot": name, "bytes": size} for name, size in sorted(sizes.items())]
        return found

    async def in_the_way(self, stored: StoredBackup) -> list[str]:
        there = await self.ask(lambda ring: ring.schema())
        self.refuse_what_no_node_reads(stored, empty=not there)
        return sorted(there.keys() & stored.manifest.about["schema"].keys())

    def refuse_what_no_node_reads(self, stored: StoredBackup, *, empty: bool) -> None:
        """A node passes over files in a newer form than its own, and says nothing of it. ``empty``: the ring has no
        tables yet, so it may take the newer form, from which there is no way back."""
        if self._mode == NEWEST or not in_newer_form(part.name for part in stored.parts("data/")):
            return
        what = f"{stored.manifest.id} was made of a ring that was final at a newer version"
        if not release(self.version).modes:
            raise Conflict(f"{what} than {self.version}", where=self.name, expected="a ring of that version")
        if not empty:
            raise Conflict(
                f"{what}: nodes that can still go back to the version before do not read its files",
                where=self.name,
                expected=f"`upcall finalize {self.name}` first, or a new ring",
            )

    async def restore(self, stored: StoredBackup) -> None:
        """Keyspaces as they were, with no more copies than there are nodes; then table by table. Loaded twice is loaded
        once: a row has its times with it."""
        nodes = self.members.back("node")
        if not nodes:
            raise NotNow("no node is back", where=self.name)
        if in_newer_form(part.name for part in stored.parts("data/")):
            await self.write_in_newest_form(f"restore/{stored.manifest.id}")
            nodes = self.members.back("node")
        schema = stored.manifest.about["schema"]
        if not stored.resumed:
            for keyspace in sorted(stored.over):
                await self.ask(lambda ring, name=keyspace: ring.drop_keyspace(name))  # type: ignore[misc]
        await self.ask(lambda ring: ring.make_schema(schema, len(self.members.of("node"))))
        tables = sorted({tuple(part.name.split("/")[1:4]) for part in stored.parts("data/")})
        for number, (source, keyspace, table) in enumerate(tables):
            node = nodes[number % len(nodes)]
            stored.say(f"{keyspace}.{table} of {source} into {node}", number / len(tables))
            parts = stored.parts(f"data/{source}/{keyspace}/{table}/")
            await self._load(node, stored, keyspace, table, parts)

    async def _load(
        self,
        node: Member,
        stored: StoredBackup,
        keyspace: str,
        table: str,
        parts: Iterable[Part],
        within: str = RESTORED,
    ) -> None:
        """``within``: the folder through which they go."""
        folder = f"{within}/{keyspace}/{table}"
        async with files_of(node, ROOT) as files:
            await self.blocking(copy_in, stored, files, folder, parts)
            try:
                done = await node.run(
                    (*config.own_tool("Load"), f"{ROOT}/{folder}"), timeout_s=LOAD_S, codes=(0, config.TOOL_REFUSED)
                )
                if done.code:
                    raise Conflict(f"{keyspace}.{table}: {(done.error or done.output).strip()}", where=node.name)
            finally:
                await self.blocking(files.drop, within)


def _copy_out(into: BackupInto, files: Files, node: str, keyspaces: list[str], share: tuple[float, float]) -> None:
    found = [each for each in files.list(f"**/snapshots/{SNAPSHOT}/*") if not each.name.endswith(BESIDE)]
    whole = sum(each.size for each in found) or 1
    done = 0
    for each in found:
        keyspace, table, file = _place(each)
        if keyspace not in keyspaces:
            continue
        into.say(f"{node}: {done >> 20} of {whole >> 20} MiB", share[0] + share[1] * done / whole)
        copy_out(into, files, each, f"data/{node}/{keyspace}/{table}/{file}")
        done += each.size


def _place(found: Found) -> tuple[str, str, str]:
    """``.../KEYSPACE/TABLE-ID/snapshots/NAME/FILE``: keyspace, table, file."""
    *_, keyspace, table, _, _, file = found.name.split("/")
    return keyspace, table.rpartition("-")[0], file


def copy_in(stored: StoredBackup, files: Files, folder: str, parts: Iterable[Part]) -> None:
    files.drop(folder.partition("/")[0])
    for part in parts:
        files.put(f"{folder}/{part.name.rpartition('/')[2]}", part.size, stored.pieces(part))
