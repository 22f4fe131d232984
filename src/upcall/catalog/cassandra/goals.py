"""What people want of Cassandra, and what its options are then. Pure."""

import math
from typing import Final, Literal

from pydantic import Field

from upcall.catalog.cassandra.options import CassandraOptions
from upcall.catalog.cassandra.sizing import HEAP_SHARE, size_node
from upcall.service import Derived, Machine, ServiceGoals, unmet, usual

COPIES: Final = 3
"""A quorum of three is left when one is gone."""
COMPACTION: Final = 2.0
"""A compaction writes what it reads a second time before the old files go."""
BUFFERED_S: Final = 30.0
"""So much of what is written a node's memtables hold, so that files are written whole and seldom."""
MEMTABLES_SHARE: Final = 0.25
"""Of the heap, on it and beside it (:mod:`upcall.catalog.cassandra.sizing`)."""
LOGGED_S: Final = 2 * BUFFERED_S
"""The commit log holds what memtables may not have written yet, and as much again."""


class CassandraGoals(ServiceGoals):
    survive: Literal["1-node", "1-zone"] | None = Field(
        None, description="what may be gone with nothing lost and every quorum still there"
    )
    write_mb_s: float | None = Field(None, gt=0, le=10_000, description="so much (MB) is written in a second, in all")
    keep_hours: float | None = Field(None, gt=0, le=87_600, description="rows are kept for so long (their tables' TTL)")
    p99_ms: float | None = Field(None, gt=0, le=60_000, description="a request is answered, or has failed, within this")


def options_for(goals: CassandraGoals, given: CassandraOptions, machine: Machine) -> dict[str, Derived]:
    """``given``: what a person said, with defaults for the rest."""
    nodes = given.nodes
    found: dict[str, Derived] = {}
    if goals.survive:
        machine.must_survive(goals.survive, each="one member")
        gone = goals.survive.replace("1-", "one ")
        why = f"two of three copies are a quorum without {gone}"
        found["nodes"] = Derived(COPIES, why, goal="survive", at_least=True)
        found["settings.default_keyspace_rf"] = Derived(COPIES, why, goal="survive", at_least=True)
    each_mb_s = (goals.write_mb_s or 0.0) * min(COPIES, nodes) / nodes
    if goals.write_mb_s:
        found |= _writing(each_mb_s, given, machine)
    if goals.write_mb_s and goals.keep_hours:
        found["disk_mib"] = _keeping(goals, each_mb_s, nodes, given, machine)
    if goals.p99_ms:
        found |= _answering(goals.p99_ms)
    return found


def _writing(each_mb_s: float, given: CassandraOptions, machine: Machine) -> dict[str, Derived]:
    buffered_mib = each_mb_s * 1e6 * BUFFERED_S / (1 << 20)
    memory = max(usual(given, "memory_mib"), math.ceil(buffered_mib / MEMTABLES_SHARE / HEAP_SHARE / 64) * 64)
    if machine.memory_mib and memory > machine.memory_mib:
        needs = f"needs {memory} MiB of memory for {each_mb_s:.3g} MB/s of each node, a node has {machine.memory_mib}"
        raise unmet("write_mb_s", "that much", needs, "more nodes, larger ones, or less")
    held = given.memory_mib if "memory_mib" in given.model_fields_set else memory
    least = size_node(held, 1.0, given.disk_mib).commitlog_total_mib
    logged = max(least, math.ceil(each_mb_s * 1e6 * LOGGED_S / (1 << 20)))
    seconds = f"{each_mb_s:.3g} MB/s of each node for {{:g}} s"
    why = f"{seconds.format(BUFFERED_S)} in its memtables, {MEMTABLES_SHARE:.0%} of a heap of {HEAP_SHARE:.0%} of it"
    return {
        "memory_mib": Derived(memory, why, goal="write_mb_s", at_least=True),
        "settings.commitlog_total_space": Derived(
            f"{logged}MiB", f"{seconds.format(LOGGED_S)}, {least} MiB at least", goal="write_mb_s"
        ),
    }


def _keeping(goals: CassandraGoals, each_mb_s: float, nodes: int, given: CassandraOptions, machine: Machine) -> Derived:
    hours = goals.keep_hours or 0.0
    needed = math.ceil(each_mb_s * 1e6 * hours * 3600 * COMPACTION / (1 << 20))
    machine.must_keep(needed, hours=hours, write_mb_s=goals.write_mb_s or 0.0, each=f"each of {nodes} nodes")
    why = f"{each_mb_s:.3g} MB/s of each node for {hours:g} hours, twice for compactions: {needed} MiB"
    return Derived(max(needed, usual(given, "disk_mib")), why, goal="write_mb_s, keep_hours", at_least=True)


def _answering(p99_ms: float) -> dict[str, Derived]:
    why = f"who does not get an answer within {p99_ms:g} ms hears so, and asks another node"
    return {
        f"settings.{what}_request_timeout": Derived(f"{max(10, round(p99_ms))}ms", why, goal="p99_ms")
        for what in ("read", "write")
    }
