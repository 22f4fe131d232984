"""The same course of a service whatever becomes of calls and watches: its end is that of the undisturbed run.

A service of three is deployed, a node is drained and given back, a member dies, one is replaced, and the service goes.
Each call of the API server in turn never arrives, is carried out without an answer, meets a conflict, or is refused
for now; watches break, are told that their version is forgotten, lag behind and repeat themselves; and the master dies.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pytest

from upcall.operations import inputs as given
from upcall.operations.views import PendingSet
from upcall.protocol.declaration import Constraints, Declaration, Resources, Volume
from upcall.substrate.kubernetes.requests import Request
from upcall.testing.kubernetes import PlayedKubernetes
from upcall.testing.kubernetes.cluster import Trouble
from upcall.testing.world import World

TROUBLES: Final[tuple[Trouble, ...]] = ("unreachable", "unanswered", "conflict", "throttled")
MEMBERS: Final = ("b0", "b1", "b2")
STORES: Final = Declaration(
    command=("serve",),
    resources=Resources(memory_mib=512),
    volumes=(Volume(name="data", size_mib=1024),),
    constraints=Constraints(apart="log"),
)


def accept_all(pending: PendingSet) -> dict[str, given.Answer]:
    return {one.operation.id: given.Answer(verdict="accept") for one in pending.operations if one.asked}


def cluster(world: World) -> PlayedKubernetes:
    assert isinstance(world.substrate, PlayedKubernetes)
    return world.substrate


class Run(NamedTuple):
    world: World
    replaced: dict[str, Any]
    """What there is before the service goes."""
    gone: dict[str, Any]

    @property
    def ends(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.replaced, self.gone


def course(disturb: Callable[[World], None], **more: Any) -> Run:
    world = World("kubernetes", node_count=4, **more)
    world.declarations = {f"log.{name}": STORES for name in MEMBERS}
    disturb(world)
    world.host("log", accept_all)
    world.install("log", MEMBERS, minimum=1)
    if len([view for view in world.ledger.members("log") if view.incarnation]) < len(MEMBERS):
        world.install("log", MEMBERS, minimum=1)  # The master died before all of it was on record.
    settle(world)
    node = cluster(world).node_of("log.b1")
    ask(world, kind="maintenance", node=node, window_s=600.0)
    world.send(given.Undrain(node=node, who="ann"))
    settle(world)
    world.observe(cluster(world).crash("log.b2", world.now_s))
    settle(world)
    ask(world, kind="replace", service="log", members=("b0",))
    replaced = end_of(world)
    ask(world, kind="uninstall", service="log")
    world.advance(2 * 86_400)  # What it had is kept for a day.
    return Run(world, replaced, end_of(world))


def ask(world: World, **wish: Any) -> None:
    """Asked until it was heard, as a person does; and then it is over."""
    known = {each.id for each in world.ledger.operations()}
    for _ in range(3):
        outcome = world.send(given.Propose(asked_by="ann", reason="a test", **wish))
        made = [each.id for each in world.ledger.operations() if each.id not in known and each.kind == wish["kind"]]
        if outcome.operation or made:
            break
    settle(world)


def settle(world: World) -> None:
    for _ in range(60):
        world.advance(10)
        if not any(each.live for each in world.ledger.operations()):
            break
    world.advance(60)


def end_of(world: World) -> dict[str, Any]:
    api = cluster(world).api
    return {
        "members": [(v.name, v.status, v.place) for v in world.ledger.members("log")],
        "alive": sorted(task.member_id for task in cluster(world).alive()),
        "pods": sorted(one["metadata"]["name"] for one in api.all("Pod")),
        "claims": sorted(one["metadata"]["name"] for one in api.all("PersistentVolumeClaim")),
        "closed": [one["metadata"]["name"] for one in api.all("Node") if one["spec"].get("unschedulable")],
        "done": sorted((each.kind, each.state) for each in world.ledger.operations() if each.state != "withdrawn"),
        "violations": cluster(world).violations,
    }


def nothing(world: World) -> None:
    pass


UNDISTURBED: Final = course(nothing)


def test_the_undisturbed_run_is_what_it_should_be() -> None:
    found, gone = UNDISTURBED.ends
    assert found["members"] == [("b0", "ready", 2), ("b1", "ready", 1), ("b2", "ready", 1)]
    assert found["pods"] == ["log.b0.p2", "log.b1.p1", "log.b2.p1"]
    assert found["claims"] == ["data.log.b0.1", "data.log.b0.2", "data.log.b1.1", "data.log.b2.1"]
    assert (found["closed"], found["violations"]) == ([], [])
    assert (gone["members"], gone["alive"], gone["pods"], gone["claims"]) == ([], [], [], [])


def one_call(number: int, trouble: Trouble) -> Callable[[World], None]:
    def disturb(world: World) -> None:
        calls = 0

        def becomes(request: Request) -> Trouble:
            nonlocal calls
            calls += 1
            return trouble if calls == number else ""

        cluster(world).trouble = becomes

    return disturb


def calls_of(world: World) -> int:
    return len([call for call in cluster(world).api.calls if "Node" not in call]) + 2


@pytest.mark.parametrize("trouble", TROUBLES)
def test_any_call_may_go_wrong(trouble: Trouble) -> None:
    numbers = range(1, calls_of(UNDISTURBED.world) + 1)
    ends = {number: course(one_call(number, trouble)).ends for number in numbers}
    assert {number: end for number, end in ends.items() if end != UNDISTURBED.ends} == {}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_every_first_call_about_an_object_may_go_wrong(trouble: Trouble) -> None:
    """A conflict on every write, and so on: each is tried again."""

    def disturb(world: World) -> None:
        wrong: dict[str, bool] = {}

        def becomes(request: Request) -> Trouble:
            key = f"{type(request).__name__} {request.kind} {request.name}"
            wrong[key] = not wrong.get(key, False)
            return trouble if wrong[key] else ""

        cluster(world).trouble = becomes

    assert course(disturb).ends == UNDISTURBED.ends


@pytest.mark.parametrize("seed", range(24))
def test_watches_may_break_forget_lag_and_repeat(seed: int) -> None:
    assert course(nothing, seed=seed, loss=0.3, repeat=0.4).ends == UNDISTURBED.ends


def test_a_store_that_is_compacted_under_us_again_and_again() -> None:
    def disturb(world: World) -> None:
        world.after.append(lambda: cluster(world).api.compact() if world.written % 3 == 0 else None)

    assert course(disturb, seed=3, loss=0.2).ends == UNDISTURBED.ends


def test_the_master_may_die_before_any_write_effect_or_call() -> None:
    points = UNDISTURBED.world.points

    def dies(after: int) -> Callable[[World], None]:
        def disturb(world: World) -> None:
            world.die_after = after

        return disturb

    numbers = range(points)
    ends = {number: course(dies(number)).ends for number in numbers}
    assert {number: end for number, end in ends.items() if end != UNDISTURBED.ends} == {}


def test_such_a_run_can_fail() -> None:
    """A substrate that takes its requests for carried out is found out."""

    def forgets(world: World) -> None:
        played = cluster(world)
        calls = 0

        def perform(send: Any) -> None:
            nonlocal calls
            calls += 1
            if calls != 9:
                type(played).perform(played, send)

        vars(played)["perform"] = perform

    assert course(forgets).ends != UNDISTURBED.ends
