"""What people want of Kafka, and what its options are then. Pure."""

import math
from typing import Final, Literal

from pydantic import Field

from upcall.catalog.kafka.config import FETCH_WAIT_MS
from upcall.catalog.kafka.options import KafkaOptions
from upcall.catalog.kafka.sizing import HEAP_MIB_MAX, HEAP_SHARE, TOPICS_SHARE
from upcall.protocol.errors import Conflict
from upcall.service import Derived, Machine, ServiceGoals, unmet, usual

COPIES: Final = 3
"""Of each partition where brokers may be gone: with two in sync one may be away, and one more is lost before anything
is."""
ROOM: Final = 1.25
"""Partitions are never filled alike: so much more than their share is kept of each."""
MEASURED_MB_S: Final = 50.0
"""What a broker with :data:`MEASURED_MIB` was seen to take (see :mod:`upcall.catalog.kafka.sizing`)."""
MEASURED_MIB: Final = 448
P99_MS_LEAST: Final = 20
"""A write waits for the brokers that follow; they are never asked for less."""

SHORTER: Final = frozenset({"log.retention.minutes", "log.retention.hours"})
"""Other words for what :data:`keep_hours <KafkaGoals>` says; Kafka heeds none of them beside ``log.retention.ms``."""


class KafkaGoals(ServiceGoals):
    survive: Literal["1-node", "1-zone"] | None = Field(
        None, description="what may be gone with nothing lost and everything still written"
    )
    write_mb_s: float | None = Field(None, gt=0, le=10_000, description="so much (MB) is written in a second, in all")
    keep_hours: float | None = Field(None, gt=0, le=87_600, description="messages are kept for so long")
    partitions: int = Field(12, ge=1, le=4000, description="over so many partitions at least what is written is spread")
    p99_ms: float | None = Field(None, gt=0, le=10_000, description="99 of 100 writes are acknowledged within this")


def options_for(goals: KafkaGoals, given: KafkaOptions, machine: Machine) -> dict[str, Derived]:
    """``given``: what a person said, with defaults for the rest."""
    brokers = given.brokers
    found: dict[str, Derived] = {}
    if goals.survive:
        machine.must_survive(goals.survive, each="one broker")
        found |= _surviving(goals.survive)
    copies = min(COPIES, brokers)
    if goals.keep_hours:
        found |= _keeping(goals, given, machine, brokers, copies)
    if goals.write_mb_s:
        found["memory_mib"] = _memory(goals.write_mb_s * copies / brokers, machine)
    if goals.p99_ms:
        found |= _answering(goals.p99_ms)
    return found


def _surviving(what: str) -> dict[str, Derived]:
    gone = what.replace("1-", "one ")
    return {
        "brokers": Derived(
            COPIES, f"two of three controllers still agree without {gone}", goal="survive", at_least=True
        ),
        "settings.default.replication.factor": Derived(
            COPIES, f"without {gone} two copies are left, and one of them may die", goal="survive", at_least=True
        ),
        "settings.min.insync.replicas": Derived(
            COPIES - 1, f"what is acknowledged lies twice, and is written on without {gone}", goal="survive"
        ),
    }


def _keeping(goals: KafkaGoals, given: KafkaOptions, machine: Machine, brokers: int, copies: int) -> dict[str, Derived]:
    hours = goals.keep_hours or 0.0
    for name in SHORTER & given.settings.keys():
        raise Conflict(
            f"settings.{name}={given.settings[name]} contradicts the goal keep_hours={hours:g}: Kafka goes by"
            " log.retention.ms, which follows from the goal, and not by it",
            where=f"settings.{name}",
            expected=f"`--unset settings.{name}`, or no such goal",
        )
    found = {"settings.log.retention.ms": Derived(round(hours * 3_600_000), f"{hours:g} hours", goal="keep_hours")}
    if not goals.write_mb_s:
        return found
    kept_mib = goals.write_mb_s * 1e6 * hours * 3600 * ROOM / (1 << 20)
    each_mib = math.ceil(kept_mib * copies / brokers / TOPICS_SHARE)
    both = "write_mb_s, keep_hours"
    machine.must_keep(each_mib, hours=hours, write_mb_s=goals.write_mb_s, each=f"each of {brokers} brokers")
    found["disk_mib"] = Derived(
        max(each_mib, usual(given, "disk_mib")),
        f"{goals.write_mb_s:g} MB/s for {hours:g} hours, {copies} copies over {brokers} brokers, a quarter more for"
        f" uneven partitions, topics on {TOPICS_SHARE:.0%} of it: {each_mib} MiB",
        goal=both,
        at_least=True,
    )
    each = math.ceil(kept_mib / goals.partitions) << 20
    found["settings.log.retention.bytes"] = Derived(
        each, f"its share, and a quarter more, of what comes in {hours:g} hours over {goals.partitions} partitions;"
        " more of them, or one that gets more, would fill the disk", goal=both,
    )  # fmt: skip
    return found


def _memory(each_mb_s: float, machine: Machine) -> Derived:
    wanted = MEASURED_MIB * max(1.0, each_mb_s / MEASURED_MB_S)
    memory = min(math.ceil(wanted / 64) * 64, math.ceil(HEAP_MIB_MAX / HEAP_SHARE))
    if machine.memory_mib and memory > machine.memory_mib:
        needs = f"needs {memory} MiB of memory for {each_mb_s:g} MB/s of each broker, a node has {machine.memory_mib}"
        raise unmet("write_mb_s", "that much", needs, "more brokers, larger nodes, or less")
    why = f"{each_mb_s:.3g} MB/s of each broker; {MEASURED_MIB} MiB were seen to take {MEASURED_MB_S:g}"
    return Derived(memory, f"{why}; its heap is {HEAP_SHARE:.0%} of that", goal="write_mb_s", at_least=True)


def _answering(p99_ms: float) -> dict[str, Derived]:
    if p99_ms < P99_MS_LEAST:
        needs = f"is less than a write takes that its followers have: {P99_MS_LEAST} ms"
        raise unmet("p99_ms", f"{p99_ms:g}", needs, f"p99_ms={P99_MS_LEAST} or more")
    wait_ms = max(P99_MS_LEAST // 2, min(FETCH_WAIT_MS, round(p99_ms / 2)))
    why = f"a write waits at most so long for a follower that had just asked: half of {p99_ms:g} ms"
    return {"settings.replica.fetch.wait.max.ms": Derived(wait_ms, why, goal="p99_ms")}
