"""A trial restore of Cassandra's backups: some files of some tables, loaded into a keyspace of their own.

They go the way of a restore: carried to a node, loaded by it, sent to the nodes that keep them there. Then each row is
read from all its copies, counted, and the keyspace is dropped. How many rows there have to be Cassandra's own tool
says, which reads the same files where they lie: no more than all files have together, for copies and older versions of
a row are one; and, where nothing was deleted or ends, no less than any one file has.

It is bounded in bytes and in time, so a backup that is larger is tried in parts: tables that were tried the longest ago
come first.
"""

import asyncio
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from upcall.catalog.cassandra import config
from upcall.catalog.cassandra.backup import ROOT, Backups, copy_in
from upcall.catalog.cassandra.ranges import TRIAL
from upcall.protocol.errors import Conflict, NotNow
from upcall.service import Member
from upcall.service.backup import Part, StoredBackup
from upcall.service.backup.carried import files_of

WITHIN: Final = "trial"
TRIED: Final = "tables-tried"
"""Table -> when its backup was tried."""
BYTES_MAX: Final = 64 << 20
"""Of files; each copy of a row is read by the host once more."""
TABLE_S: Final = 900.0
"""For one table; the SDK's own limit is for what makes no progress."""
_HEADER: Final = re.compile(r"\A((?:CREATE (?:TABLE|TYPE)|ALTER TABLE) )(\"[^\"]+\"|\w+)\.")
_COUNTED: Final = re.compile(r"^\s*(Partitions|Rows|Tombstones|TTL max)\s*:\s*([\d,]+)", re.MULTILINE)


class Table(NamedTuple):
    keyspace: str
    name: str

    def __str__(self) -> str:
        return f"{self.keyspace}.{self.name}"


@dataclass(frozen=True)
class Counts:
    """Of what files have, by the tool that reads them."""

    partitions: int = 0
    rows: int = 0
    largest: int = 0
    """Rows of the file that has the most."""
    all_live: bool = True
    """Nothing in them is a deletion, or ends by itself."""

    def and_of(self, other: "Counts") -> "Counts":
        return Counts(
            self.partitions + other.partitions,
            self.rows + other.rows,
            max(self.largest, other.largest),
            self.all_live and other.all_live,
        )

    def check(self, table: Table, read: int) -> None:
        """``Conflict`` when so many rows cannot be what the files have. Static columns alone are a row, too."""
        if read > self.rows + self.partitions:
            raise Conflict(f"{table} has {read} rows, and its files {self.rows}", where=str(table))
        if self.all_live and read < self.largest:
            raise Conflict(f"{table} has {read} rows, and one file alone {self.largest}", where=str(table))


def counted(output: str) -> Counts:
    """What ``sstablemetadata --scan`` says of one file after the other."""
    found, numbers = Counts(), dict[str, int]()
    for name, number in [*_COUNTED.findall(output), ("", "0")]:
        if name in numbers or not name:
            if "Rows" in numbers:
                live = not numbers.get("Tombstones") and not numbers.get("TTL max")
                found = found.and_of(Counts(numbers.get("Partitions", 0), numbers["Rows"], numbers["Rows"], live))
            numbers = {}
        numbers[name] = int(number.replace(",", ""))
    return found


def chosen(parts: Iterable[Part], tried: Mapping[str, float]) -> dict[Table, dict[str, list[Part]]]:
    """Of which tables which files, by the node that had them: those tried the longest ago first, whole sstables, as
    many as the bound allows."""
    sstables: dict[Table, dict[tuple[str, str], list[Part]]] = {}
    for part in parts:
        _, node, keyspace, name, file = part.name.split("/", 4)
        of = sstables.setdefault(Table(keyspace, name), {})
        of.setdefault((node, file.rpartition("-")[0]), []).append(part)
    left, found = BYTES_MAX, dict[Table, dict[str, list[Part]]]()
    for table in sorted(sstables, key=lambda each: (tried.get(str(each), 0.0), each)):
        for (node, _), files in sorted(sstables[table].items(), key=lambda each: sum(part.size for part in each[1])):
            size = sum(part.size for part in files)
            if size <= left:
                left -= size
                found.setdefault(table, {}).setdefault(node, []).extend(files)
    return found


def statements(schema: Mapping[str, list[str]], table: Table, within: str) -> list[str]:
    """What makes this table in this keyspace, that of the trial, with the types that it may use, and nothing else."""
    found = []
    for statement in schema["statements"]:
        header = _HEADER.match(statement)
        if header is None:
            continue
        name = re.match(r"\"([^\"]+)\"|(\w+)", statement[header.end() :])
        assert name is not None
        if " TYPE " in header[1] or (name[1] or name[2]) == table.name:
            found.append(f"{header[1]}{within}.{statement[header.end() :]}")
    return found


class Trials(Backups):
    """How a backup of Cassandra is tried."""

    async def check_backup(self, stored: StoredBackup) -> str:
        nodes = self.members.back("node")
        if not nodes:
            raise NotNow("no node is back", where=self.name)
        self.refuse_what_no_node_reads(stored, empty=False)
        tried: dict[str, float] = await self.state.get(TRIED, {})
        tables = chosen(stored.parts("data/"), tried)
        every = {tuple(part.name.split("/")[2:4]) for part in stored.parts("data/")}
        read, files, keyspace = 0, 0, f"{TRIAL}{stored.mark}"
        try:
            for number, (table, of_nodes) in enumerate(tables.items()):
                stored.say(f"{table} is tried", number / len(tables))
                try:
                    async with asyncio.timeout(TABLE_S):
                        read += await self._try(nodes[number % len(nodes)], stored, table, of_nodes)
                except TimeoutError:
                    raise NotNow(f"{table} could not be tried in {TABLE_S:g} s", where=self.name) from None
                files += sum(map(len, of_nodes.values()))
                tried[str(table)] = time.time()
        finally:
            await asyncio.shield(self.ask(lambda ring: ring.drop_keyspace(keyspace)))
            await self.state.set(TRIED, {name: at for name, at in tried.items() if tuple(name.split(".", 1)) in every})
        return (
            f"{len(tables)} of {len(every)} tables, {files} of {len(stored.parts('data/'))} files loaded into one of"
            f" their own: {read} rows read from all copies, as many as the files can have; dropped"
        )

    async def clear_trial(self, mark: str) -> None:
        """Its keyspace, and its files in the folders of nodes: all have to be back."""
        if away := self.members.away("node"):
            raise NotNow(f"{', '.join(away)} is not back: files of a trial may lie there", where=self.name)
        await self.ask(lambda ring: ring.drop_keyspace(f"{TRIAL}{mark}"))
        for node in self.members.of("node"):
            async with files_of(node, ROOT) as files:
                await self.blocking(files.drop, WITHIN)

    async def _try(self, node: Member, stored: StoredBackup, table: Table, of_nodes: Mapping[str, list[Part]]) -> int:
        """Gives how many rows it has. The table before goes first."""
        schema, keyspace = stored.manifest.about["schema"][table.keyspace], f"{TRIAL}{stored.mark}"
        made = {keyspace: {"copies": schema["copies"], "statements": statements(schema, table, keyspace)}}
        await self.ask(lambda ring: ring.drop_keyspace(keyspace))
        await self.ask(lambda ring: ring.make_schema(made, len(self.members.of("node"))))
        counts = Counts()
        for parts in of_nodes.values():
            counts = counts.and_of(await self._count(node, stored, table, parts))
            await self._load(node, stored, keyspace, table.name, parts, WITHIN)
        read = await self.ask(lambda ring: ring.count(keyspace, table.name))
        counts.check(table, read)
        return read

    async def _count(self, node: Member, stored: StoredBackup, table: Table, parts: list[Part]) -> Counts:
        folder = f"{WITHIN}/{TRIAL}{stored.mark}/{table.name}"
        async with files_of(node, ROOT) as files:
            try:
                await self.blocking(copy_in, stored, files, folder, parts)
                names = [part.name.rpartition("/")[2] for part in parts]
                data = [f"{ROOT}/{folder}/{name}" for name in names if name.endswith("-Data.db")]
                done = await node.run(config.scan_command(*data), timeout_s=TABLE_S, codes=())
                if done.code:
                    raise Conflict(f"files of {table} cannot be read: {self.telling(done)}", where=node.name)
                return counted(done.output)
            finally:
                await self.blocking(files.drop, WITHIN)
