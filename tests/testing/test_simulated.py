"""The simulated cluster keeps the substrate's promises, and breaks only what it says it breaks."""

import pytest

from upcall.protocol.declaration import Constraints, Declaration, Resources
from upcall.substrate.interface import (
    Disruption,
    DisruptionOver,
    NodeObserved,
    Observed,
    Placed,
    StillHeld,
    Substrate,
    TaskId,
    Unplaced,
    Wanted,
)
from upcall.testing.simulated import SimulatedKind, SimulatedSubstrate, Timing, small_nodes
from upcall.testing.world import World

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


def test_a_plan_that_does_not_fit_reserves_nothing() -> None:
    substrate = cluster("kernel")
    too_many = {f"b{i}": TASK for i in range(4)}
    found = substrate.reserve("kafka", too_many, 0.0).up
    assert [type(up) for up in found] == [Unplaced]
    assert found[0].reason.startswith("needs 4 nodes with 0.1 cpus, 1000 MiB memory free")  # type: ignore[union-attr]
    assert found[0].reason.endswith("would fit: 3 of 4")  # type: ignore[union-attr]
    fits = substrate.reserve("kafka", {f"b{i}": TASK for i in range(3)}, 0.0).up
    assert sorted(up.node for up in fits) == ["n0", "n1", "n2"]  # type: ignore[union-attr]


def test_a_refused_plan_holds_nothing_and_is_placed_whole_once_there_is_room() -> None:
    substrate = cluster("kernel")
    substrate.reserve("kafka", {f"b{i}": TASK for i in range(4)}, 0.0)
    substrate.launch(wanted("b0"), 1.0)
    run(substrate, 30)
    assert substrate.alive() == [], "a launch of one of its members waits for the plan"
    found = substrate.join(small_nodes(4)[3], 30.0).up
    assert sorted(up.node for up in found if isinstance(up, Placed)) == ["n0", "n1", "n2", "n3"]
    run(substrate, 60)
    assert [str(task) for task in substrate.alive()] == ["kafka.b0.1"]


def placed_by(kind: SimulatedKind, constraints: list[Constraints], memory_mib: int = 1000, nodes: int = 4) -> list[str]:
    """Where members with these constraints land, one after the other; or the reason of the first that does not."""
    substrate = SimulatedSubstrate(kind, small_nodes(nodes))
    wishes = {
        f"b{i}": Declaration(command=("run",), resources=Resources(memory_mib=memory_mib), constraints=each)
        for i, each in enumerate(constraints)
    }
    refused = [up.reason for up in substrate.reserve("kafka", wishes, 0.0).up if isinstance(up, Unplaced)]
    if refused:
        return refused
    seen: list[object] = []
    for name, wish in wishes.items():
        seen += substrate.launch(Wanted(task=TaskId("kafka", name, 1), declaration=wish), 0.0).up
    waits = [up.reason for up in seen if isinstance(up, Observed) and up.state == "pending" and up.reason]
    run(substrate, 10)
    return waits or [substrate.node_of(f"kafka.{name}") for name in wishes]


@both_kinds
def test_constraints_bind_whoever_places(kind: SimulatedKind) -> None:
    apart = Constraints(apart="web")
    assert len(set(placed_by(kind, [apart] * 4))) == 4
    zone = Constraints(attributes={"zone": "zone-2"})
    assert placed_by(kind, [zone, zone]) == ["n2", "n2"]
    first, second = placed_by(kind, [apart, Constraints(together="b0")])
    assert first == second
    assert len(set(placed_by(kind, [Constraints(spread="zone")] * 4))) == 4
    # No node says on which floor it is: that keeps nobody out.
    assert len(set(placed_by(kind, [Constraints(apart="web", spread="floor")] * 4))) == 4


@pytest.mark.parametrize(
    ("constraints", "memory_mib", "kernel", "delegated"),
    [
        (
            [Constraints(apart="web")] * 3,
            1000,
            "needs 3 nodes with 0.1 cpus, 1000 MiB memory free for b0, b1, b2 (each on another node): "
            "n0 would do, n1 would do; would fit: 2 of 3",
            "0 of 2 nodes will do: 2 with one that it keeps apart from",
        ),
        (
            [Constraints(apart="web")] * 2,
            6144,
            "needs 2 nodes with 6 GiB memory free for b0, b1 (each on another node): n0 has 4 GiB memory free, "
            "n1 has 4 GiB memory free; would fit: 2 with 4 GiB memory each",
            "0 of 2 nodes will do: 2 with too little memory",
        ),
        (
            [Constraints(attributes={"zone": "zone-7"})],
            1000,
            "needs a node with 0.1 cpus, 1000 MiB memory free and zone=zone-7 for b0: n0 has zone=zone-0, "
            "n1 has zone=zone-1",
            "0 of 2 nodes will do: 2 without the attributes that it asks for",
        ),
    ],
)
def test_each_kind_says_in_its_own_way_what_does_not_fit(
    constraints: list[Constraints], memory_mib: int, kernel: str, delegated: str
) -> None:
    assert placed_by("kernel", constraints, memory_mib, nodes=2) == [kernel]
    assert set(placed_by("delegated", constraints, memory_mib, nodes=2)) == {delegated}


@both_kinds
def test_a_task_without_a_place_waits_and_takes_the_first_that_there_is(kind: SimulatedKind) -> None:
    substrate = cluster(kind)
    for i in range(3):
        substrate.cordon(f"n{i}", 0.0, closed=True)
    seen = [*substrate.launch(wanted("b0"), 0.0).up, *run(substrate, 100)]
    reasons = {up.reason for up in seen if isinstance(up, Observed) and up.reason}
    assert len(reasons) == 1, "said once, not at every try"
    substrate.cordon("n1", 100.0, closed=False)
    run(substrate, 110)
    assert substrate.node_of("kafka.b0") == "n1"


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


@both_kinds
def test_an_eviction_is_held_until_its_notice_is_over(kind: SimulatedKind) -> None:
    substrate = cluster(kind)
    substrate.launch(wanted("b0"), 0.0)
    run(substrate, 10)
    first = substrate.disrupt("d1", "kafka.b0", 10, verb="evict", who="bob", reason="r", deadline_s=60).up[0]
    assert isinstance(first, Disruption)
    assert first.deadline_s == 60
    substrate.hold_disruption("d1", 10, held=StillHeld(operation="op-1", waits_for="kafka", reason="busy"))
    assert substrate.why_held("d1") == "op-1 waits for kafka: busy"
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
