"""A person is told, once, of whatever waits and is not moved by waiting: also of what is put off politely for long."""

from types import SimpleNamespace

import pytest

from upcall.master.open_turn import OpenTurn
from upcall.master.performing import perform
from upcall.operations import inputs as given
from upcall.operations.effects import Alert
from upcall.operations.records import AFTER_A_LOSS, Policy
from upcall.operations.views import PendingSet
from upcall.operations.waiting import LONG
from upcall.testing.simulated import SimulatedKind
from upcall.testing.world import World

STUCK_S = 40.0


def put_off(pending: PendingSet) -> dict[str, given.Answer]:
    """Each time in other words, and always in time."""
    answer = given.Answer(verdict="defer", reason=f"copying, as of {pending.version}", retry_after_s=10)
    return {one.operation.id: answer for one in pending.operations if one.asked}


@pytest.fixture
def world(kind: SimulatedKind) -> World:
    world = World(kind=kind)
    world.install("log", ["b0", "b1", "b2"], minimum=1, policy=Policy(stuck_after_s=STUCK_S, on_lost="wait"))
    world.advance(5)
    world.host("log", put_off)
    return world


@pytest.mark.parametrize("wish", ["restart", "stop", "replace", "scale_in"])
def test_a_wish_that_is_put_off_for_long_is_told_once_and_why_names_a_way_out(world: World, wish: str) -> None:
    operation = world.send(
        given.Propose(kind=wish, asked_by="ann", service="log", members=("b1",))  # type: ignore[arg-type]
    ).operation
    world.advance(LONG * STUCK_S - 10)
    assert world.alerts == []
    world.advance(20)
    assert [(one.operation, "deferred by log" in one.text) for one in world.alerts] == [(operation, True)]
    found = world.ledger.why(operation)
    assert found is not None
    assert found.stuck
    assert any("force" in way.command for way in found.ways)
    world.die()
    world.boot()
    world.advance(2 * LONG * STUCK_S)
    assert len(world.alerts) == 1, "it stands in the record that a person was told"


def test_a_loss_that_is_put_off_for_long_is_told_too(world: World) -> None:
    world.observe(world.substrate.crash("log.b1", world.now_s))
    loss = next(one for one in world.ledger.operations() if one.kind == "lost")
    assert "defer" in AFTER_A_LOSS
    world.advance(LONG * STUCK_S + 20)
    assert [one.operation for one in world.alerts] == [loss.id]


def test_a_drain_with_a_window_is_told_at_its_end_and_not_before(world: World) -> None:
    node = world.substrate.node_of("log.b1")
    world.send(given.Propose(kind="maintenance", node=node, asked_by="ann", window_s=3000))
    world.advance(2900)
    assert world.alerts == []
    world.advance(200)
    assert len(world.alerts) == 1


def test_an_alert_is_one_event_of_the_journal() -> None:
    made: list[tuple[str, str, str]] = []

    class Told(OpenTurn):
        def __init__(self) -> None:
            self.core = SimpleNamespace(substrate=None)  # type: ignore[assignment]

        def event(self, kind: str, subject: str, text: str, /, *, detail: bool = False, **data: object) -> None:
            made.append((kind, subject, text))

    perform(Told(), Alert(operation="op-1", text="waits for log: silent for 40 s", service="log"))
    assert made == [("alert", "op-1", "waits for log: silent for 40 s")]
