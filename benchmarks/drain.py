"""Two nodes are drained under load, one after the other, and Kafka is asked first.

    make drain                                    writes build/drain.json

Three brokers, a topic with three replicas and ``min.insync.replicas=2`` over all of them, writes with ``acks=all`` in
an open loop all the time. Node 1 is drained and held. Node 2 is drained: its broker is the second replica of
everything, so Kafka's code defers, ``upcall why`` repeats its reason, and nothing happens. Node 1 is undrained; as
soon as its broker is in sync again, the second drain goes ahead by itself. Then node 2 is undrained, and everything
that was acknowledged is read back.

**Sabotage.** Two things stand between that second drain and the data: what Kafka's code answers, and below it the
ledger's guard, which keeps two of three brokers ready whatever is answered. The guard alone keeps most of it alive, so
it takes both off to see writes fail:

    SABOTAGE=may-stop-always-accepts    Kafka's code accepts everything. The guard holds the second drain until the
                                        first broker is *ready* again, which is before it is in sync: nobody says why
                                        (``deferred_reason`` is empty: red), and partitions may fall below their
                                        minimum for a moment (``under_min_isr_s``)
    SABOTAGE=guard-off                  the same, and the declared minimum is 0, so nothing holds it: partitions
                                        fall below their minimum for long, and writes fail (``under_min_isr_s``,
                                        ``failed_requests``: red)

A sabotaged Kafka is a user's own service: one Python file that builds on the catalog's, installed under its name.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.cluster import LOOK_S, OwnCluster, own_cluster
from benchmarks.load import InSync, Writes, percentile_ms, read_back, replicas_in_sync, warm_up
from upcall.cli.figures import Promise, Report

NODES: Final = 3
NODE_MEMORY_MIB: Final = 512
TOPIC: Final = "writes"
WARM_UP: Final = "warm-up"
PARTITIONS: Final = 6
REPLICAS: Final = 3
MIN_IN_SYNC: Final = 2
RATE_HZ: Final = 250
STEADY_S: Final = 10.0
"""Load before, between and after the drains."""
HELD_S: Final = 15.0
"""How long the second drain is watched while it must not go ahead: several questions to Kafka, thrice a deadline."""
DRAINS: Final = {"first drain": "begin", "second drain": "one broker away"}
"""Phase of a drain -> the steady one before it."""
DEFERRED: Final = "deferred by kafka"
WORDS: Final = "min.insync.replicas"

ALWAYS_ACCEPTS: Final = """\
from upcall.catalog.kafka.service import Kafka
from upcall.service import accept


class Sabotaged(Kafka):
    \"\"\"Kafka whose code asks nobody.\"\"\"

    package = "kafka-sabotaged"

    @classmethod
    def folder(cls):
        return Kafka.folder()  # Its locked artifacts are the catalog's.

    async def may_stop(self, broker, why):
        return accept("sabotaged: always")
"""
NO_MINIMUM: Final = """
    def policy(self):
        return msgspec.structs.replace(super().policy(), minimum=0)
"""
SABOTAGES: Final = {
    "may-stop-always-accepts": ALWAYS_ACCEPTS,
    "guard-off": "import msgspec\n\n" + ALWAYS_ACCEPTS + NO_MINIMUM,
}

PROMISES: Final = (
    Promise("under_min_isr_s", "0: no partition below min.insync.replicas", lambda v: v == 0),
    Promise("failed_requests", "0: every write acknowledged within 5 s of when it was due", lambda v: v == 0),
    Promise("lost_writes", "0: every acknowledged write is read back", lambda v: v == 0),
    Promise("deferred_reason", f"Kafka defers the second drain because of {WORDS}", lambda v: WORDS in v),
    Promise("why_says_so", "`upcall why` says so", lambda v: v is True),
    Promise("second_went_ahead_after_undrain", "the second drain waited for the undrain, then went", lambda v: v),
    Promise(
        "slowest_of_drains_to_steady",
        "the slowest write of a drain at most 3 times that of the steady stretch before it",
        lambda v: v is not None and v <= 3,
        "reference",
    ),
    Promise("writes_per_s", "at least 200 acks=all writes a second", lambda v: v >= 200),
    Promise("in_sync_samples_per_s", "at least 10", lambda v: v >= 10),
    Promise("in_sync_gap_ms_max", "at most 1,000 between two samples", lambda v: v <= 1000, "reference"),
)


def main() -> int:
    sabotage = os.environ.get("SABOTAGE", "")
    if sabotage and sabotage not in SABOTAGES:
        print(f"SABOTAGE={sabotage} is not known here; one of {', '.join(SABOTAGES)}", file=sys.stderr)
        return 2
    report = Report(f"drain-{sabotage}" if sabotage else "drain", PROMISES)
    with own_cluster(nodes=NODES, memory_mib_per_node=NODE_MEMORY_MIB) as cluster:
        install(cluster, sabotage)
        client = cluster.kafka_client()
        warm_up(client, WARM_UP)
        cluster.upcall("service", "do", "kafka", "delete-topic", f"name={WARM_UP}")
        say(f"three brokers are ready; {RATE_HZ} writes/s begin")
        writes, in_sync = Writes(client, TOPIC, RATE_HZ), InSync(client, {TOPIC: MIN_IN_SYNC})
        began = time.monotonic()
        writes.start()
        in_sync.start()
        try:
            report.figures.update(drain_both(cluster, writes))
        finally:
            writes.stop()
            load_s = time.monotonic() - began
            in_sync.stop()
        say("reading back")
        stored = read_back(client, TOPIC)
        report.figures.update(figures(writes, in_sync, stored, load_s))
    return report.finish()


def install(cluster: OwnCluster, sabotage: str) -> None:
    cluster.upcall("fetch", "kafka")  # with the class archive, which nothing else makes: brokers as they are in use
    package = "kafka"
    if sabotage:
        file = Path(cluster.data).parent / "sabotaged.py"
        file.write_text(SABOTAGES[sabotage])
        package = str(file)
    cluster.upcall("install", package, "--name", "kafka", "--set", f"brokers={NODES}")
    settings = f'config={{"min.insync.replicas": "{MIN_IN_SYNC}"}}'
    for topic in (TOPIC, WARM_UP):
        cluster.upcall(
            "service", "do", "kafka", "create-topic", f"name={topic}", f"partitions={PARTITIONS}",
            f"replication={REPLICAS}", settings,
        )  # fmt: skip


def drain_both(cluster: OwnCluster, writes: Writes) -> dict[str, Any]:
    time.sleep(STEADY_S)
    writes.phase("first drain")
    first_began = time.monotonic()
    cluster.upcall("node", "drain", "node-1", "--reason", "first")
    first_s = time.monotonic() - first_began
    say(f"node-1 is drained after {first_s:.1f} s and held")
    writes.phase("one broker away")
    time.sleep(STEADY_S)

    second = str(cluster.ask("node", "drain", "node-2", "--reason", "second", "--no-wait")["id"])
    cluster.until("an answer to the second drain", lambda: over(cluster, second) or stop_of(cluster, second).waits_for)
    reason, why = watch(cluster, second)
    waited = not over(cluster, second)
    say(f"`upcall why {second}`:\n{why}")

    writes.phase("undrain")
    undrained_at = time.monotonic()
    cluster.upcall("node", "undrain", "node-1", "--no-wait")
    cluster.until("the second stop begins", lambda: stop_of(cluster, second).state not in ("open", "created"))
    writes.phase("second drain")
    cluster.until("the second drain is done", lambda: cluster.operation(second).state == "done")
    second_s = time.monotonic() - undrained_at
    held = [task.member for task in cluster.client.tasks() if task.node == "node-2" and task.state == "held"]
    say(f"node-2 is drained {second_s:.1f} s after the undrain of node-1; held: {', '.join(held)}")
    writes.phase("other broker away")
    time.sleep(STEADY_S)

    writes.phase("second undrain")
    cluster.upcall("node", "undrain", "node-2")
    cluster.until("all brokers ready", lambda: len(cluster.ready("kafka")) == NODES)
    cluster.until("all replicas in sync", lambda: replicas_in_sync(writes.client, TOPIC, REPLICAS))
    writes.phase("all back")
    time.sleep(STEADY_S)
    return {
        "deferred_reason": reason,
        "why_says_so": DEFERRED in why and WORDS in why,
        "second_went_ahead_after_undrain": waited and bool(held),
        "first_drain_s": round(first_s, 1),
        "second_drain_after_undrain_s": round(second_s, 1),
    }


def watch(cluster: OwnCluster, second: str) -> tuple[str, str]:
    """The second drain, looked at for a while: Kafka's reason, and what ``upcall why`` says of it.

    Also when it went ahead: what that did to the writes takes longer than their deadline to show.
    """
    reason, end = "", time.monotonic() + HELD_S
    while time.monotonic() < end:
        waits_for = str(stop_of(cluster, second).waits_for)
        reason = waits_for[waits_for.index(DEFERRED) :] if DEFERRED in waits_for else reason
        time.sleep(LOOK_S)
    return reason, cluster.upcall("why", second)


def over(cluster: OwnCluster, drain: str) -> bool:
    return cluster.operation(drain).state == "done"


def stop_of(cluster: OwnCluster, drain: str) -> Any:
    """The stop of a broker below a drain; the drain itself until there is one."""
    found = cluster.client.why(drain)
    return found.children[0].operation if found.children else found.operation


def figures(writes: Writes, in_sync: InSync, stored: dict[int, int], load_s: float) -> dict[str, Any]:
    gaps = in_sync.gaps_s
    return {
        "under_min_isr_s": round(in_sync.under_minimum_s, 2),
        "under_min_isr_partitions": len(in_sync.under_minimum),
        "failed_requests": writes.failed,
        "failed_with": ", ".join(f"{name} {count}" for name, count in writes.errors.most_common(3)),
        "failed_in": ", ".join(f"{phase} {count}" for phase, count in writes.failed_by_phase().items()),
        "slowest_in": ", ".join(f"{phase} {slowest_s:.2f} s" for phase, slowest_s in writes.slowest_by_phase().items()),
        "slowest_of_drains_to_steady": drains_to_steady(writes.slowest_by_phase()),
        "writes": len(writes.acknowledged),
        "writes_per_s": round(writes.due / load_s, 1),
        "lost_writes": len(set(writes.acknowledged) - set(stored)),
        "log_repeats": sum(count - 1 for count in stored.values()),
        "p50_ms": percentile_ms(writes.in_time, 50),
        "p99_ms": percentile_ms(writes.in_time, 99),
        "max_ms": percentile_ms(writes.in_time, 100),
        "in_sync_samples_per_s": round(len(gaps) / sum(gaps), 1) if gaps else 0.0,
        "in_sync_gap_ms_max": round(1000 * max(gaps, default=0.0)),
        "in_sync_unanswered": in_sync.unanswered,
    }


def drains_to_steady(slowest_s: dict[str, float]) -> float | None:
    """How many times the slowest write of the steady stretch before it the slowest one of a drain took; of both drains
    the larger."""
    ratios = [slowest_s[drain] / slowest_s[before] for drain, before in DRAINS.items() if slowest_s.get(before)]
    return round(max(ratios), 1) if ratios else None


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
