"""What is wrong with a ring whose nodes all answer, in words. Pure but for :func:`look`, which asks each node.

By what it costs: ranges without a majority, nodes that the others do not see, a schema that differs, what was dropped,
and what is only behind. Numbers that rise while nobody is unwell (a compaction, a hint) are told above a mark alone.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from upcall.catalog.cassandra.ranges import Range, words
from upcall.protocol.numbers import counted
from upcall.service import Degraded, Member

if TYPE_CHECKING:
    from upcall.catalog.cassandra.ring import Ring

COMPACTIONS_MANY: Final = 30
"""Pending on one node: above that reads get slower, as each looks into more files."""
STANDS_STILL_S: Final = 60.0
"""Its port is open for as long as its kernel has room for who connects: no check of a port sees it."""
HINT_FILES_MANY: Final = 1
PASSES_S: Final = 30.0
"""A few messages that came too late and a file of hints belong to every start, and to a second of much work: they are
told while they go on."""
SCHEMA_PASSES_S: Final = 90.0
"""A change reaches the nodes one after the other, and one that hears of another version asks for it up to a minute
later (Cassandra's own delay): before that several are in use whenever a ring is founded or a table made."""
GOSSIP_ALL: Final = "SELECT * FROM system_views.gossip_info"
COMPACTIONS: Final = "SELECT pending_tasks FROM system_views.thread_pools WHERE name = 'CompactionExecutor'"
HINTS: Final = "SELECT address, files FROM system_views.pending_hints"
DROPPED: Final = "SELECT expired_count FROM system_views.internode_inbound"
MORE_ROOM: Final = "delete data, or `upcall update` with a larger disk_mib"
ROOM: Final = {"STUFFED": "warns those who write", "FULL": "refuses writes by itself"}
"""What Cassandra itself says of a node's disk, and what it does then (its guardrail)."""


class Signs(NamedTuple):
    """What the nodes say of each other and of themselves; nodes are addresses."""

    ranges: Iterable[Range]
    up: Set[str]
    """Those whom the driver sees, or nothing else is known of."""
    silent: Set[str]
    """Ready, and did not answer in time, whether or not the driver has given them up."""
    moving: Mapping[str, str]
    schemas: Mapping[str, str]
    rooms: Mapping[str, str]
    compactions: Mapping[str, int]
    hints: Mapping[str, int]
    """Node -> files of hints for it, on all others together."""
    dropped: Mapping[str, int]
    """Since its start."""


def look(ring: "Ring") -> Signs:
    up, gossip, silent = ring.each(GOSSIP_ALL)
    said = [row for rows in gossip.values() for row in rows]
    own = {str(row["address"]): row for row in said}
    compactions, hints, dropped = (ring.each(query)[1] for query in (COMPACTIONS, HINTS, DROPPED))
    files: Counter[str] = Counter()
    for rows in hints.values():
        files.update({str(row["address"]): int(row["files"] or 0) for row in rows})
    return Signs(
        ranges=ring.ranges(),
        up=up,
        silent=(silent & set(ring.addresses)) | ring.unheard(up),
        moving=ring.moving(),
        schemas={address: str(own[address].get("schema") or "") for address in up & own.keys()},
        rooms={address: str(own[address].get("disk_usage") or "") for address in up & own.keys()},
        compactions={address: _sum(rows, "pending_tasks") for address, rows in compactions.items()},
        hints=files,
        dropped={address: _sum(rows, "expired_count") for address, rows in dropped.items()},
    )


def _sum(rows: Iterable[Mapping[str, Any]], column: str) -> int:
    return sum(int(row[column] or 0) for row in rows)


def told(signs: Signs, members: Mapping[str, Member], dropped_before: Mapping[str, int]) -> list[Degraded]:
    """``members``: by address. ``dropped_before``: at the look before this one."""

    def name(address: str) -> str:
        return members[address].name if address in members else address

    found: list[Degraded] = []
    short = Counter(
        each.keyspace for each in signs.ranges if sum(node in signs.up for node in each.replicas) < each.needed
    )
    if short:
        away = sorted(name(each) for each in {node for one in signs.ranges for node in one.replicas} - signs.up)
        what = f"token ranges have no majority, and are neither read nor written at QUORUM: {words(short)}"
        found.append(Degraded(what, doing=f"{', '.join(away)} away", key="no-quorum"))
    for address, member in members.items():
        if member.ready and address not in signs.up | signs.silent:
            what = f"{member.name} answers, and the ring sees it down"
            found.append(
                Degraded(what, doing="it gossips until they do", member=member.name, key=f"down {member.name}")
            )
    for address in sorted(signs.silent):
        what = f"{name(address)} does not answer what it is asked"
        doing = f"if it stays so for {STANDS_STILL_S:.0f} s, it is restarted"
        key = f"silent {name(address)}"
        found.append(Degraded(what, doing=doing, member=name(address), key=key, restart_after_s=STANDS_STILL_S))
    if len(set(filter(None, signs.schemas.values()))) > 1:
        counts = Counter(filter(None, signs.schemas.values())).most_common()
        odd = sorted(name(address) for address, schema in signs.schemas.items() if schema and schema != counts[0][0])
        what = f"{len(counts)} versions of the schema are in use ({', '.join(odd)} differs from the others)"
        doing = "they tell each other; changes of the schema wait for it"
        found.append(Degraded(what, doing=doing, key="schema", passes_within_s=SCHEMA_PASSES_S))
    for address, word in signs.rooms.items():
        if word in ROOM:
            what = f"{name(address)}'s disk is {word.lower()}: Cassandra {ROOM[word]}"
            doing = f"{MORE_ROOM}; it takes writes again when there is room"
            found.append(Degraded(what, doing=doing, member=name(address), key=f"room {name(address)}"))
    streams = sum(word == "a stream under way" for word in signs.moving.values())
    moves = [f"{name(who)} is {word.lower()}" for who, word in signs.moving.items() if word != "a stream under way"]
    if streams or moves:
        words_of = "; ".join(
            [*moves, *([f"{streams} stream{'s' if streams > 1 else ''} under way"] if streams else [])]
        )
        what = f"data is on its way between nodes: {words_of}"
        found.append(Degraded(what, doing="no node can be spared until it has arrived", key="streaming"))
    for address, count in sorted(signs.dropped.items()):
        if (more := count - dropped_before.get(address, count)) > 0:
            what = f"{name(address)} dropped {counted(more, 'message')} that came too late, since the last look"
            doing = "writes among them are made good by hints, reads or the next repair"
            found.append(
                Degraded(
                    what, doing=doing, member=name(address), key=f"dropped {name(address)}", passes_within_s=PASSES_S
                )
            )
    for address, files in sorted(signs.hints.items()):
        if files >= HINT_FILES_MANY and address in signs.up:
            hints = f"{counted(files, 'file')} of hints"
            what = f"{name(address)} is still to be told what was written while it was away ({hints})"
            doing = "the others tell it, within hinted_handoff_throttle"
            found.append(
                Degraded(
                    what, doing=doing, member=name(address), key=f"hints {name(address)}", passes_within_s=PASSES_S
                )
            )
    for address, pending in sorted(signs.compactions.items()):
        if pending >= COMPACTIONS_MANY:
            what = f"{name(address)} has {pending} compactions before it"
            doing = "reads get slower meanwhile; `settings.compaction_throughput` changes while nodes run"
            found.append(Degraded(what, doing=doing, member=name(address), key=f"compactions {name(address)}"))
    return found
