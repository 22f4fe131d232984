"""Every reachable state of a small world: one service of three members, two wishes, one crash of the master.

    python -m upcall.operations.checking.explore [WORLD ...]     walks the worlds (all: minutes), prints what it walked

It is the real ledger that is explored, not a model of it: from each state, everything that people, the service, the
tasks, time and bad luck can do next is done to a copy; between any two record writes the master may die once. States
that differ only in what cannot matter (numbers of incarnations and operations, versions, times that are past) are one
(:mod:`~upcall.operations.checking.explored`). In each state the promises are checked, and from each a fair environment
(tasks start and end, the service accepts, drains are lifted, time passes) must lead to rest: there is no dead end.

The rules were first found so, with a model; whoever changes one explores again.
"""

import sys
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec.structs import replace

from upcall.operations import inputs as given
from upcall.operations.checking.small_steps import Turn, steps
from upcall.operations.checking.small_world import (
    MEMBERS,
    SERVICE,
    Broken,
    Budget,
    State,
    after_writes,
    applied,
    beginning,
    handled,
    in_the_world,
    performed,
    reborn,
)
from upcall.operations.records import Operation
from upcall.operations.table import KINDS

FAIR_STEPS_MAX: Final = 300
STATES_MAX: Final = 1_000_000


class Unfinished(AssertionError):
    """The world has more states than the bound: what was walked proves nothing about the rest."""


class Explored(msgspec.Struct):
    states: int = 0
    transitions: int = 0
    deaths: int = 0


def explore(budget: Budget, *, minimum: int = 2, states_max: int = STATES_MAX) -> Explored:
    """Walks everything, or raises: :class:`Broken` at the first promise that does not hold, :class:`Unfinished` when
    there is more than ``states_max``."""
    found = Explored()
    first = beginning(budget, minimum=minimum)
    seen: dict[object, None] = {first.key(): None}
    front: list[tuple[State, tuple[str, ...]]] = [(first, ())]
    restful: set[object] = set()
    while front:
        if found.states >= states_max:
            raise Unfinished(f"more than {states_max} states: {len(front)} were seen and not walked")
        state, way = front.pop()
        found.states += 1
        _rests(state, way, restful)
        for name, successor in _successors(state, way):
            found.transitions += 1
            found.deaths += name.endswith("dies")
            key = successor.key()
            if key not in seen:
                seen[key] = None
                front.append((successor, (*way, name)))
    return found


# -- what can happen ------------------------------------------------------------------------------------------------


def _successors(state: State, way: tuple[str, ...]) -> Iterator[tuple[str, State]]:
    dead: set[object] = set()
    for step in steps(state):
        before = in_the_world(replace(state, budget=step.budget), step.item)
        outcome, after = handled(before, step.item)
        yield step.name, performed(after, outcome, (*way, step.name))
        if step.budget.deaths:
            # Each record is written alone: the master may die before, between and after the writes, before any effect.
            reduced = replace(before, budget=replace(step.budget, deaths=step.budget.deaths - 1))
            for written in range(len(outcome.changes) + 1):
                records = after_writes(state.ledger.records(), outcome.changes[:written])
                corpse = (
                    tuple(map(id, records)),
                    tuple(reduced.tasks.values()),
                    tuple(reduced.leaving.items()),
                    tuple(reduced.nodes.values()),
                    reduced.now_s,
                    reduced.budget,
                )
                if corpse in dead:
                    continue
                dead.add(corpse)
                yield f"{step.name}, {written} written, dies", reborn(reduced, records, (*way, step.name))


# -- no dead end ----------------------------------------------------------------------------------------------------


def _rests(state: State, way: tuple[str, ...], restful: set[object]) -> None:
    """A fair environment leads to rest from here; states on the way are known from then on."""
    passed: list[object] = []
    usual = Budget(
        deaths=0,
        deferrals=0,
        returns=state.budget.returns,
        leaves=state.budget.leaves,
        broken=state.budget.broken,
        lasting=state.budget.lasting,
        goes_on=True,
        hooks=state.budget.hooks,
        hands_over=state.budget.hands_over,
        twice=state.budget.twice,
        bad=state.budget.bad,
    )
    current = replace(state, budget=usual)
    for _ in range(FAIR_STEPS_MAX):
        key = current.key()
        if key in restful or _at_rest(current):
            restful.update(passed)
            return
        passed.append(key)
        item = _fair(current)
        if item is None:
            break
        current = applied(current, item, way)
    waits = [w.sentence() for o in current.ledger.operations() if o.live and (w := current.ledger.why(o.id))]
    raise Broken(f"a dead end: {waits}, {current.ledger.members()}\nafter: " + "\n       ".join(way))


def _at_rest(state: State) -> bool:
    """Nothing is wanted or in effect any more, and all that belongs to the service is ready. What is broken never is:
    then it is enough that nothing but its own coming back is under way; what holds it may stay."""
    broken = tuple(name for name in MEMBERS if state.broken(name))
    quiet = not any(
        (o.live and not _brings_back(o, broken)) or (not broken and _in_effect(state, o))
        for o in state.ledger.operations()
    )
    quiet = quiet and not any(state.hears(task) for task in state.leaving.values())
    at_rest = ("ready", "held") if broken else ("ready", "declared")
    return quiet and all(view.status in at_rest or view.name in broken for view in state.ledger.members(SERVICE))


def _brings_back(operation: Operation, broken: tuple[str, ...]) -> bool:
    back = KINDS[operation.kind].shape == "back" and operation.asked_by != "ann"
    return back and operation.target.members[0] in broken


def _in_effect(state: State, operation: Operation) -> bool:
    if operation.kind == "maintenance":
        return operation.state == "done" and any(state.nodes[node] != "gone" for node in operation.nodes)
    return operation.kind == "shutdown" and operation.state == "done"


def _fair(state: State) -> given.Input | None:
    """Tasks first, then nodes, answers, time; what people hold is given back when nothing else moves."""
    step = min(steps(state), key=lambda each: each.turn, default=None)
    return step.item if step is not None and step.turn != Turn.NEVER else None


# -- by hand --------------------------------------------------------------------------------------------------------


def main(wanted: list[str]) -> None:
    """Walks the named worlds (all without names), and prints what was walked."""
    from upcall.operations.checking.worlds import BIG, SMALL

    worlds = {**SMALL, **BIG}
    unknown = [name for name in wanted if name not in worlds]
    if unknown:
        sys.exit(f"no world {unknown[0]!r}; known are:\n  " + "\n  ".join(worlds))
    for name in wanted or worlds:
        print(f"{name} ...", end=" ", flush=True)
        found = explore(worlds[name])
        print(f"{found.states} states, {found.transitions} transitions, {found.deaths} deaths: all promises hold")


if __name__ == "__main__":
    main(sys.argv[1:])
