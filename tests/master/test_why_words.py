"""What ``upcall why`` is told by the master: who went over a service's answer, and that nobody asked for a loss."""

from types import SimpleNamespace

import pytest

from upcall.master.views import Views
from upcall.operations import inputs as given
from upcall.testing import KINDS
from upcall.testing.simulated import SimulatedKind
from upcall.testing.world import World

both_kinds = pytest.mark.parametrize("kind", KINDS)


def shown(world: World) -> Views:
    core = SimpleNamespace(
        state=SimpleNamespace(ledger=world.ledger, services={}),
        monotonic=lambda: world.now_s,
        wall=lambda: world.wall_s,
        notes={},
    )
    return Views(core, SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]


def made(kind: SimulatedKind) -> World:
    world = World(kind=kind)
    world.install("log", ["b0", "b1", "b2"], minimum=2)
    world.advance(10)
    return world


@both_kinds
def test_a_stop_that_its_window_forced_says_so_while_it_runs_and_after(kind: SimulatedKind) -> None:
    world = made(kind)
    views = shown(world)
    node = next(each.node for each in world.ledger.members("log") if each.name == "b0")
    world.send(given.Propose(kind="maintenance", asked_by="ann", node=node, window_s=20, on_deadline="force"))
    world.advance(5)
    stop = next(each for each in views.operations() if each.kind == "stop")
    assert (stop.state, stop.forced_by) == ("open", "")
    assert "Who wins" not in views.why(views.find_operation(stop.id)).lines[0]
    world.advance(60)
    stop = views.operation(views.find_operation(stop.id))
    assert stop.state != "open"
    assert (stop.forced_by, stop.forced_reason) == ("its deadline", "--on-deadline force")


@both_kinds
def test_who_answered_is_named_once_and_who_was_only_asked_stands_before_why(kind: SimulatedKind) -> None:
    world = made(kind)
    views = shown(world)
    world.send(given.HostSubscribed(service="log"))
    stop = world.send(given.Propose(kind="stop", asked_by="ann", service="log", members=("b0",))).operation
    assert views.operation(views.find_operation(stop)).waits_for == "log: asked 0 s ago"
    answer = {stop: given.Answer(verdict="defer", reason="a copy is behind")}
    world.send(given.Answers(service="log", epoch=world.ledger.pending("log").epoch, answers=answer))
    assert views.operation(views.find_operation(stop)).waits_for == "deferred by log: a copy is behind"


@both_kinds
def test_a_loss_is_seen_not_asked_for(kind: SimulatedKind) -> None:
    world = made(kind)
    views = shown(world)
    world.observe(world.substrate.crash("log.b1", world.now_s))
    world.advance(30)
    loss = next(each for each in views.operations(ended=True) if each.kind == "lost")
    lines = views.why(views.find_operation(loss.id)).lines
    assert any(line.startswith("seen by upcall: ") for line in lines)
    assert not any("asked for" in line for line in lines)
