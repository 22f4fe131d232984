"""Disruptions that others began, and news of them that a crash of the master loses."""

import pytest
from answering import accept_all

from upcall.operations import inputs as given
from upcall.operations.effects import HoldDisruption
from upcall.operations.views import PendingSet
from upcall.testing.simulated import SimulatedKind
from upcall.testing.world import World


def evicted(kind: SimulatedKind, *, verdict: str = "") -> World:
    """Three ready members, and an eviction of the first."""
    world = World(kind=kind, node_count=4)
    world.install("log", ["b0", "b1", "b2"], minimum=2)
    if verdict:

        def says(pending: PendingSet) -> dict[str, given.Answer]:
            asked = [one.operation.id for one in pending.operations if one.asked]
            return {o: given.Answer(verdict=verdict, reason="busy", retry_after_s=5) for o in asked}  # type: ignore[arg-type]

        world.host("log", says)
    world.advance(5)
    world.observe(
        world.substrate.disrupt(
            "drain-7", "log.b0", world.now_s, verb="evict", who="somebody", reason="upgrade", deadline_s=600
        )
    )
    world.advance(1)
    return world


def state_of(world: World, kind: str) -> str:
    return next(one.state for one in world.ledger.operations() if one.kind == kind)


@pytest.mark.parametrize("heard", [True, False])
def test_an_eviction_that_was_called_off_is_over_also_when_the_news_of_it_was_lost(
    kind: SimulatedKind, heard: bool
) -> None:
    world = evicted(kind, verdict="defer")
    assert state_of(world, "evict") == "open"
    if not heard:
        world.die()
    called_off = world.substrate.call_off("drain-7")
    if heard:
        world.observe(called_off)
    else:
        world.boot()
    assert state_of(world, "evict") == "withdrawn"


@pytest.mark.parametrize("die_after", range(8))
def test_an_eviction_that_is_called_off_in_a_crash_never_keeps_its_member_from_others(
    kind: SimulatedKind, die_after: int
) -> None:
    """Begun, it takes the member from everybody else: a drain would wait behind it without end."""
    world = evicted(kind, verdict="defer")
    die = world.die

    def dies_and_it_is_called_off() -> None:
        die()
        world.substrate.call_off("drain-7")

    world.die = dies_and_it_is_called_off  # type: ignore[method-assign]
    world.die_after = die_after
    world.scripts["log"] = accept_all
    world.advance(30)
    assert state_of(world, "evict") in ("done", "withdrawn")
    drain = given.Propose(kind="maintenance", node=_node_of_b0(world), asked_by="ann", window_s=600)
    asked = world.send(drain).operation
    world.advance(60)
    done = world.ledger.operation(asked)
    assert done is not None
    assert done.state == "done"


def _node_of_b0(world: World) -> str:
    return next(member.node for member in world.ledger.members("log") if member.name == "b0")


def test_an_eviction_that_stands_is_told_again_and_stays_the_same_operation(kind: SimulatedKind) -> None:
    world = evicted(kind, verdict="defer")
    world.die()
    world.boot()
    world.advance(3)
    found = [one for one in world.ledger.operations() if one.kind == "evict"]
    assert [one.state for one in found] == ["open"]


@pytest.mark.parametrize("restarted", [False, True])
def test_whoever_disturbs_is_told_what_why_says(kind: SimulatedKind, restarted: bool) -> None:
    world = evicted(kind, verdict="defer")
    if restarted:
        world.die()
        world.boot()
    world.advance(3)
    (operation,) = (one.id for one in world.ledger.operations() if one.kind == "evict")
    why = world.ledger.why(operation)
    assert why is not None
    assert why.reason == "deferred by log: busy"
    assert world.substrate.why_held("drain-7") == f"{operation} waits for log: {why.reason}"


def test_whoever_disturbs_is_told_a_reason_once(kind: SimulatedKind) -> None:
    """The service renews its answer every few seconds, and the clock goes on."""
    world = evicted(kind, verdict="defer")
    told: list[HoldDisruption] = []
    world.watchers.append(lambda _, effect: told.append(effect) if isinstance(effect, HoldDisruption) else None)
    world.advance(120)
    assert told == []
    world.scripts["log"] = accept_all
    world.advance(30)
    assert [one.held for one in told] == [None]
