"""With a thousand services and ten thousand members a turn costs what it costs with ten and a hundred.

What is counted are calls of Python functions, which no machine makes faster or slower.
"""

import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import pytest
from benchmarks import large_cluster as large
from benchmarks.turn_master import NODE_NAMES, Size, heard, node_of, recorded, register_all, started, status

from upcall.master.driver import Driver
from upcall.operations import effects as fx
from upcall.operations import inputs as given
from upcall.operations.records import Put
from upcall.protocol import agent as wire
from upcall.protocol import service as service_wire

ALLOWED = 1.3
"""Bisections, and names that are a digit longer."""
MOST = {
    "heartbeat": 54,
    "observation": 332,
    "declare": 332,
    "propose": 756,
    "answer": 196,
    "cancel": 260,
    "drain": 743,
    "start": 1575,
}
"""Calls of each kind of input, of a start for each member, of a drain for each on its node: as it was counted, and a
tenth more."""


class Counted:
    """How many functions are called meanwhile."""

    calls = 0

    def __enter__(self) -> "Counted":
        sys.setprofile(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _count(self, _frame: FrameType, event: str, _argument: object) -> None:
        self.calls += event == "call"


def calls(work: Callable[[], Any]) -> tuple[int, Any]:
    with Counted() as counted:
        result = work()
    return counted.calls, result


async def test_no_input_and_no_start_looks_at_what_it_does_not_concern(tmp_path: Path) -> None:
    few, many = await inputs(10), await inputs(1_000)
    assert {name: (few[name], cost) for name, cost in many.items() if cost > ALLOWED * few[name]} == {}


async def test_no_input_calls_more_than_it_did() -> None:
    assert {name: (cost, MOST[name]) for name, cost in (await inputs(10)).items() if cost > MOST[name]} == {}


async def inputs(services: int) -> dict[str, float]:
    """Calls for each kind of input; of a start for each member, of a drain for each member on its node."""
    size = Size(services, large.MEMBERS_EACH)
    async with recorded(size) as folder, AsyncExitStack() as running:
        with Counted() as start:
            core, _ = await running.enter_async_context(started(folder))
        register_all(core, size)
        await core.durable()
        core.state.packages.put(service_wire.Package(name="none", version="1"))
        for at in range(services):
            large.host_is_there(core, f"service-{at}")
        await core.durable()
        all_heard(core)
        members = services * large.MEMBERS_EACH
        on_node = len(core.state.ledger.book.members_on(node_of(1)))
        found = {name: calls(work)[0] for name, work in simple(core).items()}
        found["propose"], operation = calls(partial(large.propose, core, "service-1"))
        found["answer"], _ = calls(partial(large.answer, core, "service-1", operation))
        found["cancel"], _ = calls(partial(large.cancel, core, operation))
        await core.durable()
        all_heard(core)
        found["drain"] = calls(partial(large.drain, core, node_of(1)))[0] // on_node
        await core.durable()
        found["start"] = start.calls // members
        return found  # type: ignore[return-value]


def all_heard(core: Driver) -> None:
    """On a slow machine a node has been silent for long enough by now, and its next word changes more."""
    for node in NODE_NAMES:
        large.beat(core, node)


def simple(core: Driver) -> dict[str, Callable[[], Any]]:
    unready = wire.Status(number=1, status=status("service-0", 0, "unready"))
    return {
        "heartbeat": partial(large.beat, core, node_of(0)),
        "observation": partial(heard, core, node_of(0), unready),
        "declare": partial(large.declare, core, "service-2", 1),
    }


def watched(core: Driver, monkeypatch: pytest.MonkeyPatch) -> list[tuple[given.Input, fx.Outcome]]:
    """What the ledger takes from now on, and what it gave."""
    taken: list[tuple[given.Input, fx.Outcome]] = []
    handle = core.state.ledger.handle

    def watch(item: given.Input, now_s: float, wall_s: float) -> fx.Outcome:
        taken.append((item, outcome := handle(item, now_s, wall_s)))
        return outcome

    monkeypatch.setattr(core.state.ledger, "handle", watch)
    return taken


async def test_what_is_said_of_many_places_in_one_moment_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain asks for a place for each member that can move."""
    async with recorded(size := Size(40, large.MEMBERS_EACH)) as folder, started(folder) as (core, _):
        register_all(core, size)
        taken = watched(core, monkeypatch)
        large.drain(core, node_of(0))
        assert len(core.state.ledger.live("service-0")) == large.MEMBERS_EACH
        assert [type(item) for item, _ in taken] == [given.Propose, given.PlacesObserved]
        await core.durable()


async def test_a_declaration_writes_and_reserves_for_those_alone_that_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with recorded(size := Size(2, large.MEMBERS_EACH)) as folder, started(folder) as (core, _):
        register_all(core, size)
        core.state.packages.put(service_wire.Package(name="none", version="1"))
        taken = watched(core, monkeypatch)
        large.declare(core, "service-1", 1)
        changes = [change for _, outcome in taken for change in outcome.changes]
        reserved = [effect for _, outcome in taken for effect in outcome.effects if isinstance(effect, fx.Reserve)]
        assert [change.record.key for change in changes if isinstance(change, Put)] == ["service-1.member-0"]
        assert [reserve.places for reserve in reserved] == [{"member-0": 1}]
        taken.clear()
        large.declare(core, "service-1", 1)
        assert [(*outcome.changes, *outcome.effects) for _, outcome in taken] == [(), ()]
        await core.durable()
