"""The controlling side of a real Kafka is killed at seeded instants of each change, and the end is the same.

    make crash-points REAL=1                 three instants of each; writes build/real_crash_points.json
    ROUNDS=1 make crash-points REAL=1        twenty of each
    CELLS=scale_in make crash-points REAL=1

A course is what a person asks of three or four brokers under load: an update that restarts each of them, a scale in,
an upgrade, a replacement. It is run undisturbed first, and its time measured. Then it is run again with three kills,
one in each third of that time: instant and party (master, host, the agent of a node) are drawn from the seed, and the
party is killed by SIGKILL. The end is compared with that of the undisturbed run: brokers, how often each was started,
who moved, version, which options differ, who has replicas and votes, what became of each operation, and that all that
was acknowledged is there. A right end says that each of its kills was survived; a wrong one counts for all of them.

    SABOTAGE=kills-a-broker      a broker is killed in place of the controlling side: it starts once more than it should
"""

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from threading import Event
from typing import Any, Final, NamedTuple

from benchmarks import cells, harm
from benchmarks.brokers import Brokers
from benchmarks.cells import BROKE, Asked, Figures, Kept, Measure, say
from benchmarks.cluster import Broken, OwnCluster, own_cluster
from benchmarks.load import Writes, read_back
from upcall.catalog.kafka.service import Kafka
from upcall.cli.figures import Promise, Report
from upcall.operations.table import LIVE

TARGET: Final = "real_crash_points"
SABOTAGES: Final = ("kills-a-broker",)
SEED: Final = 9
POINTS, QUICK_POINTS = 20, 3
"""Of each course."""
KILLS: Final = 3
"""Of one run."""
NODES: Final = 5
NODE_MEMORY_MIB: Final = 640
PARTITIONS: Final = 6
RATE_HZ: Final = 100
DEADLINE_S: Final = 120.0
"""What is compared is the end; how long a write waits is another target's."""
BACK_S: Final = 240.0
"""What was killed runs again, or is broken."""
LOOK_S: Final = 0.25
EVENTS: Final = 200
"""Told of a run whose end is wrong."""
OLD, NEW = Kafka.versions()[0], Kafka.version
SIZES_MIB: Final = (448, 464)
UNDISTURBED: Final = "undisturbed"
REPLACED: Final = "kafka.broker-1"

End = dict[str, Any]
"""All that is compared, by what it is."""


class Kill(NamedTuple):
    after_s: float
    party: str


@dataclass(frozen=True)
class Course:
    prepare: Callable[[Brokers], None]
    """The same start each time."""
    ask: Callable[[Brokers], list[str]]
    """What a person types."""
    kind: str
    """Of the operation that it begins."""


# -- the courses ----------------------------------------------------------------------------------------------------


def _set(kafka: Brokers, version: str = "", **options: Any) -> None:
    """As a person does: what is so already is not asked for."""
    service = kafka.cluster.client.service("kafka")
    differs = {name: value for name, value in options.items() if service.options.get(name) != value}
    words = [word for name, value in differs.items() for word in ("--set", f"{name}={value}")]
    if version and service.version != version:
        words += ["--version", version]
    if words:
        kafka.upcall("update", "kafka", *words)


def _other_size(kafka: Brokers) -> int:
    """To and fro, so that no run has to be undone before the next."""
    now = kafka.cluster.client.service("kafka").options["memory_mib"]
    return next(size for size in SIZES_MIB if size != now)


COURSES: Final = {
    "update": Course(
        lambda kafka: _set(kafka, brokers=3),
        lambda kafka: ["update", "kafka", "--set", f"memory_mib={_other_size(kafka)}"],
        "update",
    ),
    "replacement": Course(lambda kafka: _set(kafka, brokers=3), lambda _: ["task", "replace", REPLACED], "replace"),
    "scale_in": Course(lambda kafka: _set(kafka, brokers=4), lambda _: ["scale", "kafka", "3"], "update"),
    "upgrade": Course(
        lambda kafka: _set(kafka, version=OLD, brokers=3),
        lambda _: ["upgrade", "kafka", "--to", NEW],
        "upgrade",
    ),
}


def _asked(kafka: Brokers, words: list[str], kind: str, known: set[str], patient: bool) -> str:
    """The operation. ``patient``: who hears no answer, because the master was killed meanwhile, looks whether it
    stands, and asks again if it does not."""

    def look() -> str:
        try:
            return str(kafka.cluster.ask(*words, "--no-wait")["id"])
        except Broken:
            if not patient:
                raise
        made = [each for each in kafka.cluster.client.operations(ended=True) if each.id not in known]
        return next((each.id for each in made if kind_of(each.kind) == kind), "")

    return kafka.cluster.until(f"`upcall {' '.join(words)}` is answered", look)


def kind_of(kind: str) -> str:
    """A size that goes to and fro grows in one run and shrinks in the next: the course is the same."""
    return "update" if kind in ("grow", "shrink") else kind


# -- one run --------------------------------------------------------------------------------------------------------


@contextmanager
def opened() -> Iterator[Brokers]:
    with own_cluster(nodes=NODES, memory_mib_per_node=NODE_MEMORY_MIB) as cluster:
        kafka = Brokers(cluster)
        kafka.upcall("fetch", "kafka", f"kafka@{OLD}")
        sizes = ("--set", "brokers=3", "--set", f"memory_mib={SIZES_MIB[0]}", "--set", "replace_after_s=600")
        kafka.upcall("install", f"kafka@{OLD}", *sizes)
        yield kafka


def run(kafka: Brokers, name: str, cell: str, kills: list[Kill], sabotage: str = "") -> tuple[End, Figures]:
    """The end of the course, and beside it what is not compared."""
    course = COURSES[name]
    course.prepare(kafka)
    topic = cell.replace("_", "-").replace(".", "-")
    kafka.topic(topic, PARTITIONS)
    kafka.until_whole()
    service = kafka.cluster.client.service("kafka")
    before = {task.member: task for task in kafka.members()}
    known = {each.id for each in kafka.cluster.client.operations(ended=True)}
    words = course.ask(kafka)
    writes = Writes(kafka.cluster.kafka_client(), topic, RATE_HZ, DEADLINE_S, idempotent=True)
    writes.start()
    called_off = Event()
    with ThreadPoolExecutor(1) as beside:
        try:
            began = time.monotonic()
            killing = beside.submit(_kill, kafka, kills, called_off, sabotage)
            asked = _asked(kafka, words, course.kind, known, bool(kills))
            kafka.until(f"{asked} over", lambda: kafka.cluster.operation(asked).state not in LIVE)
            _until_over(kafka)
            took_s = time.monotonic() - began
            killed_s = killing.result()
            kafka.until("all nodes are up", lambda: all(node.state == "up" for node in kafka.cluster.client.nodes()))
            _until_over(kafka)
        finally:
            called_off.set()
            writes.stop()
    stored = read_back(kafka.cluster.kafka_client(), topic)
    made = [each for each in kafka.cluster.client.operations(ended=True) if each.id not in known]
    after, now = kafka.cluster.client.service("kafka"), kafka.members()
    end: End = {
        "brokers": [task.member for task in now],
        "started": {task.member: task.incarnation - before[task.member].incarnation for task in now},
        "moved": [task.member for task in now if task.node != before[task.member].node],
        "version": after.version if after.version != service.version else "as before",
        "options that differ": sorted(each for each in after.options if after.options[each] != service.options[each]),
        "replicas at": sorted(kafka.holders()),
        "votes": sorted(each["node_id"] for each in _voters(kafka)),
        "operations": sorted(f"{kind_of(each.kind)} {each.member} {each.state}" for each in made),
        "lost": len(set(writes.acknowledged) - set(stored)),
    }
    kafka.drop(topic)
    late = sum(at > took_s for at in killed_s)
    return end, {"took_s": round(took_s, 1), "writes": len(writes.acknowledged), "kills": len(killed_s), "late": late}


def _until_over(kafka: Brokers) -> None:
    """A broker that is ready again gets its vote after that, and an operation ends before."""
    kafka.until_whole()
    kafka.until("each broker votes", lambda: len(_voters(kafka)) == len(kafka.members()))
    kafka.until_whole()


def _voters(kafka: Brokers) -> Any:
    client = kafka.cluster.client
    return client.patient(lambda: client.post("/v1/services/kafka/actions/voters", {}), BACK_S)


def _kill(kafka: Brokers, kills: list[Kill], called_off: Event, sabotage: str) -> list[float]:
    """When each was killed."""
    began, killed_s = time.monotonic(), []
    for kill in kills:
        if called_off.wait(max(0.0, began + kill.after_s - time.monotonic())):
            break
        if sabotage == "kills-a-broker":
            harm.kill(kafka.cluster, kafka.member(0))
        else:
            _kill_ours(kafka.cluster, kill.party, called_off)
        killed_s.append(time.monotonic() - began)
        say(f"  killed {'a broker' if sabotage else kill.party} after {killed_s[-1]:.1f} s")
    return killed_s


def _kill_ours(cluster: OwnCluster, party: str, called_off: Event) -> None:
    """At once; or, where it was killed just before, as soon as it runs again."""
    until = time.monotonic() + BACK_S
    while True:
        try:
            return os.kill(harm.process_of(cluster, party), signal.SIGKILL)
        except (Broken, ProcessLookupError):
            if time.monotonic() > until or called_off.wait(LOOK_S):
                raise


def kills_of(course: str, first: int, count: int, took_s: float) -> list[Kill]:
    """One in each part of the time."""
    found = []
    for number in range(count):
        drawn = random.Random(f"{SEED} {course} {first + number}")
        party = drawn.choice(("master", "host", f"agent-node-{drawn.randint(1, NODES)}"))
        found.append(Kill(took_s * (number + drawn.random()) / count, party))
    return found


def differences(undisturbed: End, other: End) -> str:
    differ = [name for name in undisturbed if undisturbed[name] != other.get(name)]
    return "; ".join(f"{name}: {undisturbed[name]} became {other.get(name)}" for name in differ)


# -- all of them ----------------------------------------------------------------------------------------------------


def cells_of(courses: list[str], points: int) -> list[str]:
    """The undisturbed runs; then one run of each course after the other, so that what is interrupted has some of all.
    A cell is named by course, first point and number of its kills."""
    runs = [
        [f"{course}.{first}.{min(KILLS, points - first)}" for first in range(0, points, KILLS)] for course in courses
    ]
    return [
        *(f"{course}.{UNDISTURBED}" for course in courses),
        *(cell for each in zip_longest(*runs) for cell in each if cell),
    ]


def opening(plain: dict[str, Figures], sabotage: str) -> Callable[[str], Any]:
    """``plain``: figures of the undisturbed runs by course, of this run and of those before it."""

    @contextmanager
    def open_one(_: str) -> Iterator[Measure]:
        with opened() as kafka:

            def measure(cell: str) -> Figures:
                course, _, rest = cell.partition(".")
                if rest == UNDISTURBED:
                    end, beside = run(kafka, course, cell, [])
                    plain[course] = {"end": end, **beside}
                    return plain[course]
                first, count = (int(word) for word in rest.split("."))
                if course not in plain:
                    raise Broken(f"{course} was not seen undisturbed")
                end, beside = run(
                    kafka, course, cell, kills_of(course, first, count, plain[course]["took_s"]), sabotage
                )
                if wrong := differences(plain[course]["end"], end):
                    say("\n".join(event.text for event in kafka.cluster.client.events(limit=EVENTS, detail=True)))
                return {"wrong": wrong, **beside}

            yield measure

    return open_one


def main() -> int:
    try:
        sabotage = cells.sabotage(SABOTAGES)
        courses = cells.chosen(list(COURSES), ["update"] if sabotage else COURSES)
        points = 1 if sabotage else POINTS if os.environ.get(cells.ROUNDS) else QUICK_POINTS
    except Asked as error:
        print(error, file=sys.stderr)
        return 2
    target = f"{TARGET}-{sabotage}" if sabotage else TARGET
    promises = (
        Promise(f"{TARGET}_wrong", "none: each end as that of the undisturbed run", lambda value: value == 0),
        Promise(TARGET, "more than none", lambda value: value > 0),
    )
    report = Report(target, promises, seed=SEED)
    kept = Kept.of(target)
    plain = {course: found for course in courses if (found := kept.find(f"{course}.{UNDISTURBED}.1")) is not None}
    results = cells.played(cells_of(courses, points), kept, 1, opening(plain, sabotage))
    right, wrong = Counter[str](), Counter[str]()
    for cell, figures in results.items():
        course, _, rest = cell.partition(".")
        said = figures.get(BROKE) or figures.get("wrong")
        if said:
            print(f"{cell}: {said}")
        if rest != UNDISTURBED:
            (wrong if said else right)[course] += int(rest.partition(".")[2])
    report.figures |= {
        TARGET: right.total() + wrong.total(),
        f"{TARGET}_ok": right.total(),
        f"{TARGET}_wrong": wrong.total(),
        **{f"{course}_ok": right[course] for course in courses},
        "after_the_end": sum(figures.get("late", 0) for figures in results.values()),
        "writes": sum(figures.get("writes", 0) for figures in results.values()),
    }
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
