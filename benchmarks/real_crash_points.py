"""The controlling side of a real Kafka is killed at seeded instants of each change, and the end is the same.

    make crash-points REAL=1                 three instants of each; writes build/real_crash_points.json
    ROUNDS=1 make crash-points REAL=1        twenty of each
    CELLS=scale_in make crash-points REAL=1

A course is what a person asks of three or four brokers under load: an update that restarts each of them, a scale in, an
upgrade, a replacement. It is run undisturbed first, and its time measured. Then it is run again for each instant: a
share of that time and a party (master, host, the agent of a node) drawn from the seed, which is killed by SIGKILL. The
end is compared with that of the undisturbed run: brokers, how often each was started, who moved, version, size, who has
replicas and votes, what became of each operation, and that all that was acknowledged is there.

    SABOTAGE=kills-a-broker      a broker is killed in place of the controlling side: it starts once more than it should
"""

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import cells, harm
from benchmarks.brokers import Brokers
from benchmarks.cells import Asked, Figures, Kept, say
from benchmarks.cluster import Broken, own_cluster
from benchmarks.load import Writes, read_back
from upcall.catalog.kafka.service import Kafka
from upcall.cli.figures import Promise, Report
from upcall.operations.table import LIVE

TARGET: Final = "real_crash_points"
SABOTAGES: Final = ("kills-a-broker",)
SEED: Final = 9
POINTS, QUICK_POINTS = 20, 3
"""Of each course."""
NODES: Final = 5
NODE_MEMORY_MIB: Final = 640
PARTITIONS: Final = 6
RATE_HZ: Final = 100
DEADLINE_S: Final = 120.0
"""What is compared is the end; how long a write waits is another target's."""
OLD, NEW = Kafka.versions()[0], Kafka.version
UNDISTURBED: Final = "undisturbed"
REPLACED: Final = "kafka.broker-1"

End = dict[str, Any]
"""All that is compared, by what it is."""


@dataclass(frozen=True)
class Course:
    prepare: Callable[[Brokers], None]
    """The same start each time."""
    ask: Callable[[Brokers], str]
    """Gives the operation."""


def _set(kafka: Brokers, version: str = "", **options: Any) -> None:
    """As a person does: what is so already is not asked for."""
    service = kafka.cluster.client.service("kafka")
    differs = {name: value for name, value in options.items() if service.options.get(name) != value}
    words = [word for name, value in differs.items() for word in ("--set", f"{name}={value}")]
    if version and service.version != version:
        words += ["--version", version]
    if words:
        kafka.upcall("update", "kafka", *words)


def _asked(kafka: Brokers, *words: str) -> str:
    return str(kafka.cluster.ask(*words, "--no-wait")["id"])


COURSES: Final = {
    "update": Course(
        lambda kafka: _set(kafka, brokers=3, memory_mib=448),
        lambda kafka: _asked(kafka, "update", "kafka", "--set", "memory_mib=464"),
    ),
    "replacement": Course(
        lambda kafka: _set(kafka, brokers=3), lambda kafka: _asked(kafka, "task", "replace", REPLACED)
    ),
    "scale_in": Course(lambda kafka: _set(kafka, brokers=4), lambda kafka: _asked(kafka, "scale", "kafka", "3")),
    "upgrade": Course(
        lambda kafka: _set(kafka, version=OLD, brokers=3),
        lambda kafka: _asked(kafka, "upgrade", "kafka", "--to", NEW),
    ),
}


# -- one run --------------------------------------------------------------------------------------------------------


@contextmanager
def opened() -> Iterator[Brokers]:
    with own_cluster(nodes=NODES, memory_mib_per_node=NODE_MEMORY_MIB) as cluster:
        kafka = Brokers(cluster)
        kafka.upcall("fetch", "kafka", f"kafka@{OLD}")
        sizes = ("--set", "brokers=3", "--set", "memory_mib=448", "--set", "replace_after_s=600")
        kafka.upcall("install", f"kafka@{OLD}", *sizes)
        yield kafka


def run(kafka: Brokers, name: str, cell: str, dies: Callable[[], str] | None, after_s: float) -> tuple[End, float]:
    """The end of the course, and how long it took. ``dies``: kills somebody, and says whom."""
    course = COURSES[name]
    course.prepare(kafka)
    topic = cell.replace("_", "-").replace(".", "-")
    kafka.topic(topic, PARTITIONS)
    kafka.until_whole()
    before = {task.member: task for task in kafka.members()}
    known = {each.id for each in kafka.cluster.client.operations(ended=True)}
    writes = Writes(kafka.cluster.kafka_client(), topic, RATE_HZ, DEADLINE_S, idempotent=True)
    writes.start()
    timer = threading.Timer(after_s, lambda: say(f"  killed {dies()} after {after_s:.1f} s")) if dies else None
    try:
        began = time.monotonic()
        if timer is not None:
            timer.start()
        asked = course.ask(kafka)
        kafka.until(f"{asked} over", lambda: kafka.cluster.operation(asked).state not in LIVE)
        kafka.until_whole()
        took_s = time.monotonic() - began
        if timer is not None:
            timer.join()
            kafka.until_whole()
    finally:
        if timer is not None:
            timer.cancel()
        writes.stop()
    stored = read_back(kafka.cluster.kafka_client(), topic)
    kafka.drop(topic)
    made = [each for each in kafka.cluster.client.operations(ended=True) if each.id not in known]
    service = kafka.cluster.client.service("kafka")
    now = kafka.members()
    end: End = {
        "brokers": [task.member for task in now],
        "started": {task.member: task.incarnation - before[task.member].incarnation for task in now},
        "moved": [task.member for task in now if task.node != before[task.member].node],
        "version": service.version,
        "size": [service.options["brokers"], service.options["memory_mib"]],
        "replicas at": sorted(kafka.holders()),
        "votes": sorted(each["node_id"] for each in _result(kafka, "voters")),
        "operations": sorted(f"{each.kind} {each.member} {each.state}" for each in made),
        "lost": len(set(writes.acknowledged) - set(stored)),
    }
    return end, took_s


def _result(kafka: Brokers, action: str) -> Any:
    return kafka.cluster.client.post(f"/v1/services/kafka/actions/{action}", {})


def killing(kafka: Brokers, drawn: random.Random, sabotage: str) -> Callable[[], str]:
    party = drawn.choice(("master", "host", f"agent-node-{drawn.randint(1, NODES)}"))

    def kill() -> str:
        if sabotage == "kills-a-broker":
            harm.kill(kafka.cluster, kafka.member(0))
            return "broker-0"
        os.kill(harm.process_of(kafka.cluster, party), signal.SIGKILL)
        return party

    return kill


def differences(undisturbed: End, other: End) -> str:
    differ = [name for name in undisturbed if undisturbed[name] != other.get(name)]
    return "; ".join(f"{name}: {undisturbed[name]} became {other.get(name)}" for name in differ)


# -- all of them ----------------------------------------------------------------------------------------------------


def points_of(kafka: Brokers, course: str, count: int, kept: Kept, sabotage: str) -> list[Figures]:
    plain = kept.find(f"{course}_{UNDISTURBED}")
    if plain is None:
        say(f"{course}: undisturbed")
        end, took_s = run(kafka, course, f"{course}_{UNDISTURBED}", None, 0.0)
        plain = {"end": end, "took_s": round(took_s, 1)}
        say(f"  {plain}")
        kept.keep(f"{course}_{UNDISTURBED}", plain)
    found: list[Figures] = []
    for number in range(count):
        cell = f"{course}_{number}"
        figures = kept.find(cell)
        if figures is None:
            drawn = random.Random(f"{SEED} {course} {number}")
            after_s = drawn.uniform(0.0, plain["took_s"])
            say(f"{course}: instant {number}")
            try:
                end, _ = run(kafka, course, cell, killing(kafka, drawn, sabotage), after_s)
                figures = {"wrong": differences(plain["end"], end)}
            except (Broken, TimeoutError) as broken:
                return [*found, {"wrong": f"after {after_s:.1f} s: {broken}".splitlines()[0]}]
            say(f"  {figures['wrong'] or 'as undisturbed'}")
            kept.keep(cell, figures)
        found.append(figures)
    return found


def main() -> int:
    try:
        sabotage = cells.sabotage(SABOTAGES)
        courses = cells.chosen(list(COURSES), ["update"] if sabotage else COURSES)
        count = 1 if sabotage else POINTS if os.environ.get(cells.ROUNDS) else QUICK_POINTS
    except Asked as error:
        print(error, file=sys.stderr)
        return 2
    target = f"{TARGET}-{sabotage}" if sabotage else TARGET
    promises = (
        Promise(f"{TARGET}_wrong", "none: each end as that of the undisturbed run", lambda value: value == 0),
        Promise(TARGET, "more than none", lambda value: value > 0),
    )
    report = Report(target, promises, seed=SEED)
    results: list[tuple[str, Figures]] = []
    with opened() as kafka:
        for course in courses:
            results += [(course, each) for each in points_of(kafka, course, count, Kept.of(target), sabotage)]
    wrong = [f"{course}: {each['wrong']}" for course, each in results if each["wrong"]]
    for each in wrong:
        print(each)
    report.figures |= {
        TARGET: len(results),
        f"{TARGET}_ok": len(results) - len(wrong),
        f"{TARGET}_wrong": len(wrong),
        **{f"{course}_points": count for course, count in Counter(course for course, _ in results).items()},
    }
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
