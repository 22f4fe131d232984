"""The controlling side is killed at every point of every change of a service, and each time the end is the same.

    python -m benchmarks.crash_points            writes build/crash_points.json

A service of three members with data is updated, scaled in, upgraded, and a member of it is replaced, on both kinds of
the simulated cluster. Its master dies once before every durable write and every call of the machines, its host once
after every call that it makes (:mod:`upcall.testing.crashes`), and both start again. The end of each run is compared
with that of the undisturbed one: members, incarnations, places, tasks, revisions, operations and their outcomes.

    SABOTAGE=forgets        what the master wrote last before its death is lost with it (``crash_points_ok``)
"""

import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from upcall.cli.figures import Promise, Report
from upcall.service import Service, package
from upcall.testing import KINDS, SimulatedKind, crashes
from upcall.testing.crashes import Course, Point

SABOTAGES: Final = ("forgets",)
VERSIONS: Final = ("1.0", "2.0")
SHOWN_MAX: Final = 10

COURSES: Final = {
    course.name: course
    for course in (
        Course("update", "update", lambda life: life.master.change(size_mib=32), version="1.0"),
        Course("scale_in", "update", lambda life: life.master.change(count=2), version="1.0"),
        Course("upgrade", "upgrade", lambda life: life.master.upgrade("2.0"), version="1.0"),
        Course("replace", "replace", lambda life: life.master.propose("replace", "shelf-1"), version="1.0"),
    )
}

PROMISES: Final = (
    Promise("crash_points", "more than none", lambda points: points > 0),
    Promise("crash_points_wrong", "none", lambda wrong: wrong == 0),
)


class Tried(NamedTuple):
    course: str
    kind: SimulatedKind
    point: Point
    wrong: str
    """Empty: the end was that of the undisturbed run."""


# -- the service ----------------------------------------------------------------------------------------------------


@contextmanager
def shelf() -> Iterator[type[Service]]:
    """The service, as a package of two versions."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "shelf"
        for version in VERSIONS:
            lock = folder / "versions" / version / "lock" / "shelf.json"
            lock.parent.mkdir(parents=True)
            lock.write_bytes(msgspec.json.encode({"format": 1, "kind": "maven", "name": "shelf", "version": version}))
        (folder / "__init__.py").touch()
        shutil.copy(Path(__file__).with_name("crash_service.py"), folder / "service.py")
        built = package.build(folder)
        yield package.load(built.package.entry, folder.parent, built.package.source)


_kept: list[object] = []
"""Of a process that tries points: the folder of its package, for as long as it lives."""


@cache
def service() -> type[Service]:
    """One for this process."""
    opened = shelf()
    _kept.append(opened)
    return opened.__enter__()


# -- the points -----------------------------------------------------------------------------------------------------


@cache
def undisturbed(course: str, kind: SimulatedKind) -> crashes.Points:
    return crashes.count(service(), COURSES[course], kind=kind)


def tried(course: str, kind: SimulatedKind, point: Point, *, forgets: bool = False) -> Tried:
    try:
        end = crashes.ends(service(), COURSES[course], kind=kind, dies=point, forgets=forgets)
    except Exception as error:  # Whatever it is, this point was not survived.
        return Tried(course, kind, point, f"{type(error).__name__}: {error}")
    found = crashes.differences(undisturbed(course, kind).end, end)
    return Tried(course, kind, point, "; ".join(f"{what}: {was} became {now}" for what, (was, now) in found.items()))


def everything() -> list[tuple[str, SimulatedKind, Point]]:
    return [(course, kind, point) for course in COURSES for kind in KINDS for point in undisturbed(course, kind).all()]


def main() -> int:
    sabotage = os.environ.get("SABOTAGE", "")
    if sabotage and sabotage not in SABOTAGES:
        print(f"SABOTAGE={sabotage} is not known here; one of {', '.join(SABOTAGES)}", file=sys.stderr)
        return 2
    report = Report("crash_points", PROMISES)
    with ProcessPoolExecutor() as pool:
        found = [pool.submit(tried, *each, forgets=sabotage == "forgets") for each in everything()]
        results = [each.result() for each in found]
    wrong = [each for each in results if each.wrong]
    for each in wrong[:SHOWN_MAX]:
        print(f"{each.course} on {each.kind}, {each.point.who} dies at {each.point.number}: {each.wrong}")
    report.figures |= {
        "crash_points": len(results),
        "crash_points_ok": len(results) - len(wrong),
        "crash_points_wrong": len(wrong),
        **{f"{course}_points": points for course, points in Counter(each.course for each in results).items()},
    }
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
