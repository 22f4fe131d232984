"""Every point at which the controlling side may die in the course of something, one after the other.

A *course* is what a person asks of a service that runs: an update, a scale in. It is run undisturbed once, and its
points are counted: for the master each durable write and each call of the machines (an effect), for the service's host
each call that its code makes of the master. Then it is run again for each of them, with a SIGKILL at that point and a
new start on what is durable. What the world looks like in the end must be what it looks like undisturbed: the same
members in the same incarnations, places and declarations, the same tasks, the same revisions, and each operation with
the same outcome, once.

    points = count(Store, UPDATE, kind="kernel")
    for point in points.all():
        assert ends(Store, UPDATE, kind="kernel", dies=point) == points.end
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from upcall.operations.records import Operation
from upcall.operations.table import LIVE
from upcall.service import Service
from upcall.testing.driver import Reborn
from upcall.testing.life import Life, live
from upcall.testing.simulated import SimulatedKind

Who = Literal["master", "host"]

QUIET_S: Final = 120.0
"""What is not over after so long without a change is not waited for."""
ASKED_MAX: Final = 3
FORGOTTEN: Final = 20
"""Writes that a forgetful master loses."""

End = dict[str, Any]
"""All that is compared, by what it is."""


class Course(NamedTuple):
    name: str
    kind: str
    """Of the operation that it is."""
    ask: Callable[[Life], str]
    """A person asks for it; gives the operation. Whoever hears nothing looks whether it is there, and asks again."""
    options: Mapping[str, Any] = {}
    version: str = ""
    """Of the package, before."""
    nodes: int = 4


class Point(NamedTuple):
    who: Who
    number: int
    """Right before its so many-th write or effect; right after its so many-th call was carried out."""


class Points(NamedTuple):
    master: int
    host: int
    end: End

    def all(self) -> Iterator[Point]:
        yield from (Point("master", number) for number in range(self.master))
        yield from (Point("host", number) for number in range(self.host))


def count(service: type[Service], course: Course, *, kind: SimulatedKind) -> Points:
    """The undisturbed run."""
    found: list[Points] = []
    _play(service, course, kind, None, lambda life, writes, calls: found.append(Points(writes, calls, end_of(life))))
    return found[0]


def ends(service: type[Service], course: Course, *, kind: SimulatedKind, dies: Point, forgets: bool = False) -> End:
    """The run with one death. ``forgets``: what the master wrote last is lost with it, which breaks what it
    has promised."""
    found: list[End] = []
    arm = _forgetful if forgets else _armed
    _play(service, course, kind, lambda life: arm(life, dies), lambda life, *_: found.append(end_of(life)))
    return found[0]


def differences(undisturbed: End, other: End) -> dict[str, tuple[Any, Any]]:
    """By what it is: as it should be, and as it is."""
    names = sorted(undisturbed.keys() | other.keys())
    return {n: (undisturbed.get(n), other.get(n)) for n in names if undisturbed.get(n) != other.get(n)}


# -- one run --------------------------------------------------------------------------------------------------------


def _play(
    service: type[Service],
    course: Course,
    kind: SimulatedKind,
    arm: Callable[[Life], None] | None,
    over: Callable[[Life, int, int], None],
) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await _quiet(life)
        world = life.master.world
        writes, calls = world.points, len(life.master.calls)
        if arm is not None:
            arm(life)
        operation = _asked(life, course)
        await life.master.until(lambda: life.master.operations[operation].state not in LIVE)
        await _quiet(life)
        over(life, world.points - writes, len(life.master.calls) - calls)

    live(service, script, kind=kind, options=course.options, version=course.version, nodes=course.nodes)


def _asked(life: Life, course: Course) -> str:
    """Asked until it was heard, as a person does who gets no answer."""
    for _ in range(ASKED_MAX):
        try:
            return course.ask(life)
        except Reborn:
            made = [o for o in life.master.world.ledger.operations() if o.kind == course.kind and not _unheard(o)]
            if made:
                return made[-1].id
    raise AssertionError(f"{course.name} was asked for {ASKED_MAX} times in vain")


async def _quiet(life: Life) -> None:
    """Nothing happens any more."""
    world = life.master.world
    before = -1
    while before != world.written:
        before = world.written
        await asyncio.sleep(QUIET_S)


# -- the death ------------------------------------------------------------------------------------------------------


def _armed(life: Life, dies: Point) -> None:
    if dies.who == "master":
        life.master.world.die_after = dies.number
        return
    left = dies.number

    def killed() -> None:
        life.kill_host()
        life.start_host()

    def carried_out() -> bool:
        nonlocal left
        left -= 1
        if left == -1:
            asyncio.get_running_loop().call_soon(killed)
        return left != -1

    life.master.carried_out = carried_out


def _forgetful(life: Life, dies: Point) -> None:
    """A master whose last writes before its death were not durable, although what follows from them was done."""
    world = life.master.world
    write = world.write
    last: deque[tuple[str, str, bytes | None]] = deque(maxlen=FORGOTTEN)

    def remembered(change: Any) -> None:
        known = world.store.get(change.kind, change.key)
        last.append((change.kind, change.key, known.value if known is not None else None))
        write(change)

    def lost() -> None:
        for kind, key, value in reversed(last):
            if value is None:
                world.store.delete(kind, key)
            else:
                world.store.put(kind, key, value)

    vars(world)["write"] = remembered
    world.died.insert(0, lost)
    _armed(life, dies)


# -- what is compared -----------------------------------------------------------------------------------------------


def end_of(life: Life) -> End:
    master, ledger = life.master, life.master.world.ledger
    known = master.known
    members = {
        view.name: (view.status, view.incarnation, view.place, view.generation, view.target, view.revision)
        for view in ledger.members(master.service)
    }
    declared = {name: known.declared(name, view[3]) for name, view in members.items()}
    return {
        "members": members,
        "declared": {name: each.declaration if each is not None else None for name, each in declared.items()},
        "nodes": {name: member.node for name, member in master.members.items()},
        "tasks": sorted(map(str, master.cluster.alive())),
        "wanted": (known.record.version, known.record.options, known.record.revision),
        "revisions": [(n, each.version, each.options, each.outcome) for n, each in sorted(known.revisions.items())],
        "operations": sorted(_operation(each) for each in ledger.operations() if not _unheard(each)),
        "plans": {plan.name: plan.state for plan in known.plans},
        "memory": {key: entry.value for key, entry in master.memory.items()},
    }


def _operation(operation: Operation) -> tuple[str, ...]:
    return (operation.kind, *operation.target.members, operation.state)


def _unheard(operation: Operation) -> bool:
    """The master died before all of it was on record, and nobody was told of it: withdrawn, and asked for again."""
    return operation.cancelled is not None and operation.cancelled.who == "upcall"


__all__ = ["Course", "End", "Point", "Points", "count", "differences", "end_of", "ends"]
