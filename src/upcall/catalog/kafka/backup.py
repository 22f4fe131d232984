"""Kafka's backup: topics with their settings, what is committed in them, and where groups are.

Each partition is copied up to the end that it had when the backup began; offsets of groups are read before that, so
none points beyond what was copied. What a transaction has not committed by then is left out.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from upcall.catalog.kafka.brokers import Brokers
from upcall.protocol.errors import Conflict
from upcall.protocol.numbers import counted
from upcall.service.backup import BackupInto, StoredBackup

if TYPE_CHECKING:
    from upcall.catalog.kafka.admin import Admin

CLEARED: Final = "restore-cleared"
TRIAL: Final = "upcall-trial."
"""How the names of topics begin that a trial makes; its mark follows."""
PROMISE: Final = (
    "each partition up to the last offset that was committed in it when the backup began, transactions that were open"
    " then left out; no order between partitions; offsets of groups as they were just before"
)


class Backups(Brokers):
    """How Kafka is backed up and restored."""

    async def backup(self, into: BackupInto) -> None:
        into.promise(PROMISE)
        await self.ask(lambda admin: _copy_out(admin, into))

    async def in_the_way(self, stored: StoredBackup) -> list[str]:
        there = {each.topic for each in await self.partitions()}
        return sorted(there & stored.manifest.about["topics"].keys())

    async def restore(self, stored: StoredBackup) -> None:
        """Topics that are in its way go first, and that is noted: what stands later is what was restored."""
        if await self.state.get(CLEARED) != stored.manifest.id:
            await self.ask(lambda admin: _clear(admin, stored.over))
            await self.state.set(CLEARED, stored.manifest.id)
        brokers = len(self.ready_ids())
        await self.ask(lambda admin: _copy_in(admin, stored, brokers))
        await self.state.delete(CLEARED)

    async def check_backup(self, stored: StoredBackup) -> str:
        """All topics once more under other names, read back record by record, and deleted."""
        brokers = len(self.ready_ids())
        return await self.ask(lambda admin: _tried(admin, stored, brokers))

    async def clear_trial(self, mark: str) -> None:
        await self.ask(lambda admin: _drop_those_of(admin, mark))


def _copy_out(admin: "Admin", into: BackupInto) -> None:
    from upcall.catalog.kafka import copying, holding

    groups = holding.groups(admin)
    topics = {name: each for name, each in holding.topics(admin).items() if not name.startswith(TRIAL)}
    parts = [(name, number) for name, each in topics.items() for number in range(each["partitions"])]
    spans = holding.patiently(lambda: copying.spans(admin, parts), "offsets of partitions")
    chains, told = copying.chains(into.known), _Told(into.say, sum(end - start for start, end in spans.values()))
    reader = copying.Reader(admin.connection)
    try:
        for topic, number in parts:
            said = told.of(f"{topic}-{number}")
            chain = chains.get((topic, number), [])
            copying.copy_out(into, reader, topic, number, topics[topic]["id"], spans[topic, number], chain, said)
            told.done(spans[topic, number][1] - spans[topic, number][0])
    finally:
        reader.close()
    into.about = {
        "topics": topics,
        "groups": {group: [at for at in where if at[0] in topics] for group, where in groups.items()},
    }


def _clear(admin: "Admin", topics: frozenset[str]) -> None:
    from upcall.catalog.kafka import holding

    holding.drop(admin, topics)


def _copy_in(admin: "Admin", stored: StoredBackup, brokers: int, prefix: str = "") -> None:
    from upcall.catalog.kafka import copying, holding

    topics: Mapping[str, Any] = stored.manifest.about["topics"]
    chains = copying.chains({part.name: part for part in stored.parts()})
    told = _Told(stored.say, stored.manifest.size)
    with contextlib.closing(copying.Writer(admin.connection)) as writer:
        for topic, was in topics.items():
            name, replication = f"{prefix}{topic}", min(was["replication"], brokers)
            stored.say(f"{topic} is made")
            holding.make(admin, name, was, replication)
            parts = [(name, number) for number in range(was["partitions"])]
            has = _ends(admin, parts)
            wrote = {}
            for number in range(was["partitions"]):
                chain = chains.get((topic, number), [])
                said = told.of(f"{topic}-{number}", counts=True)
                wrote[name, number] = copying.copy_in(stored, writer, chain, name, number, has[name, number], said)
            if (ends := _ends(admin, parts)) != wrote:
                raise Conflict(
                    f"{name} has {sum(ends.values())} records, and {sum(wrote.values())} were restored",
                    where=name,
                    expected="nobody else to write to it meanwhile",
                )
            holding.settle(admin, name, was, replication)
    for group, where in () if prefix else stored.manifest.about["groups"].items():
        stored.say(f"offsets of group {group}")
        at = [(topic, number, copying.translated(stored, chains.get((topic, number), []), offset))
              for topic, number, offset in where]  # fmt: skip
        if at:
            holding.set_offsets(admin, group, at)


def _ends(admin: "Admin", parts: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """Each attempt by a new client: one that saw a new topic in part goes on to say so, for as long as it keeps what it
    saw."""
    from upcall.catalog.kafka import copying, holding

    def ends() -> dict[tuple[str, int], int]:
        with contextlib.closing(copying.Reader(admin.connection)) as reader:
            return {part: reader.end(*part) for part in parts}

    return holding.patiently(ends, parts[0][0])


def _tried(admin: "Admin", stored: StoredBackup, brokers: int) -> str:
    from upcall.catalog.kafka import copying, holding

    prefix = _prefix(stored.mark)
    names = [f"{prefix}{topic}" for topic in stored.manifest.about["topics"]]
    chains = copying.chains({part.name: part for part in stored.parts()})
    reader = copying.Reader(admin.connection)
    try:
        _copy_in(admin, stored, brokers, prefix)
        count = 0
        for (topic, number), chain in chains.items():
            stored.say(f"{topic}-{number} is compared")
            count += copying.compared(stored, chain, reader, f"{prefix}{topic}", number)
    finally:
        reader.close()
        holding.drop(admin, names)
    what = f"{counted(len(names), 'topic')} with {counted(count, 'record')}"
    return f"{what} restored under other names, compared one by one, and deleted"


def _prefix(mark: str) -> str:
    return f"{TRIAL}{mark}."


def _drop_those_of(admin: "Admin", mark: str) -> None:
    from upcall.catalog.kafka import holding
    from upcall.catalog.kafka.admin import TIMEOUT_S

    there = admin.client.list_topics(timeout=TIMEOUT_S).topics
    holding.drop(admin, [name for name in there if name.startswith(_prefix(mark))])


class _Told:
    """How far a copy is: in bytes where these are known, else in offsets."""

    def __init__(self, say: Callable[[str, float | None], None], whole: int) -> None:
        self._say, self._whole = say, whole
        self._bytes = self._done = 0

    def of(self, what: str, *, counts: bool = False) -> Callable[[int], None]:
        def said(size: int) -> None:
            self._bytes += size
            self._done += size if counts else 0
            self._say(f"{what}: {self._bytes >> 20} MiB", min(self._done / self._whole, 1.0) if self._whole else None)

        return said

    def done(self, of_whole: int) -> None:
        self._done += of_whole
