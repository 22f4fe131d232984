"""Every reachable state of a small world: one service of three members, two wishes, one crash of the master.

It is the real ledger that is explored, not a model of it: from each state, everything that people, the service, the
tasks, time and bad luck can do next is done to a copy; between any two record writes the master may die once. States
that differ only in what cannot matter (numbers of incarnations and operations, versions, times that are past) are one
(:mod:`upcall.operations.explored`). In each state the promises are checked, and from each a fair environment (tasks
start and end, the service accepts, drains are lifted, time passes) must lead to rest: there is no dead end.

The rules were first found so, with a model; whoever changes one explores again.
"""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec
from msgspec.structs import replace

from upcall.operations import inputs as given
from upcall.operations.small_world import (
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
    steps,
)

FAIR_STEPS_MAX: Final = 300


class Explored(msgspec.Struct):
    states: int = 0
    transitions: int = 0
    deaths: int = 0


def explore(budget: Budget, *, minimum: int = 2, states_max: int = 1_000_000) -> Explored:
    """Walks everything; raises :class:`Broken` at the first promise that does not hold."""
    found = Explored()
    first = beginning(budget, minimum=minimum)
    seen: dict[object, None] = {first.key(): None}
    front: list[tuple[State, tuple[str, ...]]] = [(first, ())]
    restful: set[object] = set()
    while front:
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
        if found.states >= states_max:
            break
    return found


# -- what can happen ------------------------------------------------------------------------------------------------


def _successors(state: State, way: tuple[str, ...]) -> Iterator[tuple[str, State]]:
    dead: set[object] = set()
    for name, item, budget in steps(state):
        before = replace(state, budget=budget)
        if item is None:
            yield name, reborn(before, state.ledger.records(), way)
            continue
        before = in_the_world(before, name, item)
        outcome, after = handled(before, item)
        yield name, performed(after, outcome, (*way, name))
        if budget.deaths:
            # Each record is written alone: the master may die before, between and after the writes, before any effect.
            for written in range(len(outcome.changes) + 1):
                records = after_writes(state.ledger.records(), outcome.changes[:written])
                reduced = replace(before, budget=replace(budget, deaths=budget.deaths - 1))
                corpse = (tuple(map(id, records)), tuple(reduced.tasks.values()), reduced.now_s, reduced.budget)
                if corpse in dead:
                    continue
                dead.add(corpse)
                yield f"{name}, {written} written, dies", reborn(reduced, records, way)


# -- no dead end ----------------------------------------------------------------------------------------------------


def _rests(state: State, way: tuple[str, ...], restful: set[object]) -> None:
    """A fair environment leads to rest from here; states on the way are known from then on."""
    passed: list[object] = []
    current = replace(state, budget=Budget(deaths=0, deferrals=0))
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
    quiet = not any(
        o.live or (o.kind in ("maintenance", "shutdown") and o.state == "done") for o in state.ledger.operations()
    )
    return quiet and all(view.status == "ready" for view in state.ledger.members(SERVICE))


_FAIR: Final[tuple[Callable[[str], bool], ...]] = (
    lambda name: name.endswith((" ready", " ended")) and "fails" not in name,
    lambda name: name.endswith("fails: ready"),
    lambda name: name.startswith("accept "),
    lambda name: name == "time passes",
    lambda name: name.startswith("lift ") or name == "up",
)


def _fair(state: State) -> given.Input | None:
    """Tasks first, then answers, then time; drains are lifted when nothing else moves."""
    possible = list(steps(state))
    for wanted in _FAIR:
        for name, item, _ in possible:
            if wanted(name):
                return item
    return None
