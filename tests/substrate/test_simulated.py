"""The simulated cluster keeps the substrate's promises, and breaks only what it says it breaks."""

import pytest

from upcall.protocol.declaration import Constraints, Declaration, Resources
from upcall.substrate.interface import (
    Disruption,
    DisruptionOver,
    NodeObserved,
    Observed,
    Substrate,
    TaskId,
    Unplaced,
    Wanted,
)
from upcall.substrate.simulated import SimulatedKind, SimulatedSubstrate, Timing, small_nodes
from upcall.substrate.world import World

KINDS: tuple[SimulatedKind, ...] = ("kernel", "delegated")
both_kinds = pytest.mark.parametrize("kind", KINDS)
TASK = Declaration(command=("run",), resources=Resources(memory_mib=1000), constraints=Constraints(apart="all"))


def cluster(kind: SimulatedKind, **more: object) -> SimulatedSubstrate:
    return SimulatedSubstrate(kind, small_nodes(3), **more)  # type: ignore[arg-type]


def run(substrate: SimulatedSubstrate, until_s: float) -> list[object]:
    """Everything observed until then."""
    seen: list[object] = []
    while (deadline := substrate.deadline()) is not None and deadline <= until_s:
        seen += substrate.tick(deadline).up
    return seen


def wanted(member: str, incarnation: int = 1, **more: object) -> Wanted:
    return Wanted(task=TaskId("kafka", member, incarnation), declaration=TASK, **more)  # type: ignore[arg-type]


def states(seen: list[object], member: str) -> list[str]:
    return [o.state for o in seen if isinstance(o, Observed) and o.task.member == member]


@both_kinds
def test_it_is_a_substrate(kind: SimulatedKind) -> None:
    substrate: Substrate = cluster(kind)
    assert substrate.capabilities.placement == kind
    assert not substrate.capabilities.stable_addresses


def test_a_plan_that_does_not_fit_reserves_nothing() -> None:
    substrate = cluster("kernel")
    too_many = {f"b{i}": TASK for i in range(4)}
    found = substrate.reserve("kafka", too_many, 0.0).up
    assert [type(up) for up in found] == [Unplaced]
    assert "node of its own" in found[0].reason  # type: ignore[union-attr]
    fits = substrate.reserve("kafka", {f"b{i}": TASK for i in range(3)}, 0.0).up
    assert sorted(up.node for up in fits) == ["n0", "n1", "n2"]  # type: ignore[union-attr]


@both_kinds
def test_a_task_lives_and_ends_and_nothing_is_launched_twice(kind: SimulatedKind) -> None:
    substrate = cluster(kind)
    seen: list[object] = [*substrate.launch(wanted("b0"), 0.0).up]
    seen += run(substrate, 10)
    assert states(seen, "b0") == ["pending", "placed", "starting", "ready"]
    assert states(list(substrate.launch(wanted("b0"), 10).up), "b0") == ["ready"], "a repeated wish is answered"
    seen = [*substrate.end(TaskId("kafka", "b0", 1), 30, 10).up, *run(substrate, 60)]
    assert states(seen, "b0") == ["ending", "ended"]
    assert states(list(substrate.launch(wanted("b0"), 60).up), "b0") == ["ended"], "an incarnation runs once"
    assert substrate.alive() == []


@both_kinds
def test_the_address_changes_at_every_restart(kind: SimulatedKind) -> None:
    substrate = cluster(kind)
    addresses = []
    for incarnation in range(1, 5):
        substrate.launch(wanted("b0", incarnation), incarnation * 100)
        seen = run(substrate, incarnation * 100 + 50)
        addresses.append(next(o.address for o in reversed(seen) if isinstance(o, Observed)))
        substrate.end(TaskId("kafka", "b0", incarnation), 1, incarnation * 100 + 60)
        run(substrate, incarnation * 100 + 90)
    assert len(set(addresses)) == 4


def test_a_member_stays_on_its_node_with_its_volumes_until_its_place_is_given_up() -> None:
    substrate = cluster("kernel")
    substrate.reserve("kafka", {"b0": TASK, "b1": TASK}, 0.0)
    nodes = []
    for incarnation, place in ((1, 1), (2, 1), (3, 2)):
        substrate.launch(wanted("b1", incarnation, place=place), incarnation * 100)
        run(substrate, incarnation * 100 + 50)
        nodes.append(substrate.node_of("kafka.b1"))
        substrate.crash("kafka.b1", incarnation * 100 + 60)
        substrate.cordon(nodes[-1], 0, closed=True)
    assert nodes[0] == nodes[1] != nodes[2]


@both_kinds
def test_what_is_not_wanted_after_a_start_is_ended_and_what_is_missing_is_launched(kind: SimulatedKind) -> None:
    substrate = cluster(kind)
    for name in ("b0", "b1"):
        substrate.launch(wanted(name), 0.0)
    run(substrate, 10)
    substrate.wanted([wanted("b1"), wanted("b2")], 10)
    run(substrate, 60)
    assert [task.member for task in substrate.alive()] == ["b1", "b2"]


@both_kinds
def test_a_silent_node_is_not_heard_and_says_everything_when_it_returns(kind: SimulatedKind) -> None:
    substrate = cluster(kind)
    substrate.launch(wanted("b0"), 0.0)
    run(substrate, 10)
    node = substrate.node_of("kafka.b0")
    substrate.silence(node, 10)
    assert not substrate.crash("kafka.b0", 12).up
    seen = run(substrate, 60)
    assert [(o.node, o.state) for o in seen if isinstance(o, NodeObserved)] == [(node, "silent")]
    back = substrate.recover(node, 60).up
    assert states(list(back), "b0") == ["ended"]


@both_kinds
def test_death_is_proven_only_where_it_can_be(kind: SimulatedKind) -> None:
    for prove_s, expected in ((None, []), (5.0, ["ended"])):
        substrate = cluster(kind, timing=Timing(prove_s=prove_s))
        substrate.launch(wanted("b0"), 0.0)
        run(substrate, 10)
        substrate.silence(substrate.node_of("kafka.b0"), 10)
        assert states(run(substrate, 1000), "b0") == expected
        assert substrate.capabilities.proves_death == (prove_s is not None)


@both_kinds
def test_an_eviction_is_held_until_its_notice_is_over(kind: SimulatedKind) -> None:
    substrate = cluster(kind)
    substrate.launch(wanted("b0"), 0.0)
    run(substrate, 10)
    first = substrate.disrupt("d1", "kafka.b0", 10, verb="evict", who="bob", reason="r", deadline_s=60).up[0]
    assert isinstance(first, Disruption)
    assert first.deadline_s == 60
    substrate.hold_disruption("d1", 10, hold=True)
    assert run(substrate, 69) == []
    seen = run(substrate, 71)
    assert DisruptionOver(id="d1", happened=True) in seen
    assert states(seen, "b0") == ["ended"]


@both_kinds
def test_lost_messages_are_said_again(kind: SimulatedKind) -> None:
    lost = 0
    for seed in range(20):
        substrate = cluster(kind, seed=seed, loss=0.5)
        substrate.launch(wanted("b0"), 0.0)
        early = states(run(substrate, 4.9), "b0")
        lost += early[-1:] != ["ready"]
        later = states(run(substrate, 60), "b0")
        assert [*early, *later][-1] == "ready"
    assert lost > 0, "none was lost: the seed does nothing"


@both_kinds
def test_the_same_seed_is_the_same_world(kind: SimulatedKind) -> None:
    def play() -> list[str]:
        world = World(kind=kind, seed=7, loss=0.3, repeat=0.3)
        world.install("kafka", ("b0", "b1", "b2"), minimum=2)
        world.advance(10)
        world.observe(world.substrate.crash("kafka.b1", world.now_s))
        world.advance(60)
        return [str(effect) for effect in world.log]

    assert play() == play()
