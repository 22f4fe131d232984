"""The pure core of the substrate against a real API server, scheduler and controllers: what it asks is what they take,
and what they say is what it reads."""

import asyncio

from driving import LIMIT_S, TASK, Driven, wanted
from evicting import Asked, drain, read_until
from lab.control_plane import ControlPlane
from lab.nodes import PlayedNodes

from upcall.protocol.declaration import Constraints, Declaration, Resources
from upcall.substrate.interface import Disruption, DisruptionOver, Observed, StillHeld, TaskId, Wanted
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.kinds import BUDGET, NODE, POD
from upcall.substrate.kubernetes.evictions.objects import DISRUPTION, floor
from upcall.substrate.kubernetes.exits import NODE_GONE
from upcall.substrate.kubernetes.names import SPREAD


async def test_a_task_lives_and_ends_and_lives_again(driven: Driven, nodes: PlayedNodes) -> None:
    first, second = wanted(1), wanted(2)
    nodes.exit_code = lambda _: 143
    driven.take(lambda now_s: driven.core.launch(first, now_s))
    await driven.until(lambda: driven.states(first.task)[-1:] == ["ready"], "it is ready")
    assert driven.last(first.task).node in nodes.alive
    assert driven.last(first.task).address
    driven.take(lambda now_s: driven.core.end(first.task, 5, now_s))
    await driven.until(lambda: driven.states(first.task)[-1:] == ["ended"], "it has ended")
    ended = driven.last(first.task).exit
    assert ended is not None
    assert ended.number == 143
    assert driven.states(first.task)[0] == "pending"
    driven.take(lambda now_s: driven.core.launch(second, now_s))
    await driven.until(lambda: driven.states(second.task)[-1:] == ["ready"], "the next incarnation is ready")
    assert len(nodes.pods) == 1, "of one place there is one pod at a time"


async def test_one_that_fits_nowhere_has_the_schedulers_own_words(driven: Driven) -> None:
    large = wanted(cpus=64)
    driven.take(lambda now_s: driven.core.launch(large, now_s))
    await driven.until(
        lambda: any(isinstance(up, Observed) and "Insufficient cpu" in up.reason for up in driven.said),
        "the scheduler says why",
    )
    assert driven.last(large.task).state == "pending"


async def test_spread_over_zones_has_a_place_where_no_node_has_a_zone(
    driven: Driven, nodes: PlayedNodes, api: Api, namespace: str
) -> None:
    """As on kind, k3s and most clusters of one's own."""
    spread = Constraints(apart="broker", spread="zone")
    tasks = [TaskId("store", f"replica-{number}", 1) for number in range(3)]
    for task in tasks:
        declaration = Declaration(command=("serve",), resources=Resources(cpus=0.5), constraints=spread)
        one = Wanted(task=task, declaration=declaration)
        driven.take(lambda now_s, one=one: driven.core.launch(one, now_s))  # type: ignore[misc]
    await driven.until(lambda: all(driven.states(task)[-1:] == ["ready"] for task in tasks), "all have a place")
    assert len({driven.last(task).node for task in tasks}) == 3
    for each in (await api.list(POD, namespace)).objects:
        assert each["metadata"]["annotations"][SPREAD].startswith("over nodes: none has the label")


async def test_a_task_that_is_deleted_by_hand_is_told_with_how_it_ended(
    driven: Driven, nodes: PlayedNodes, api: Api, namespace: str
) -> None:
    one = wanted()
    driven.take(lambda now_s: driven.core.launch(one, now_s))
    await driven.until(lambda: driven.states(one.task)[-1:] == ["ready"], "it is ready")
    (pod,) = nodes.pods.values()
    await api.delete(POD, pod["metadata"]["name"], namespace)
    await driven.until(lambda: driven.states(one.task)[-1:] == ["ended"], "it has ended")
    assert any(isinstance(up, Disruption) and up.firmness == "observed" for up in driven.said)


async def test_a_drain_becomes_a_disruption_waits_for_the_ledger_and_ends(
    driven: Driven,
    nodes: PlayedNodes,
    api: Api,
    namespace: str,
    plane: ControlPlane,
    asked: Asked,
) -> None:
    one = wanted()
    await api.apply(BUDGET, floor(), namespace)
    driven.take(lambda now_s: driven.core.launch(one, now_s))
    await driven.until(lambda: driven.states(one.task)[-1:] == ["ready"], "it is ready")
    draining = await drain(plane, driven.last(one.task).node, "--delete-emptydir-data")
    await driven.until(lambda: any(isinstance(up, Disruption) for up in driven.said), "it is told")
    (told,) = [up for up in driven.said if isinstance(up, Disruption)]
    assert (told.task, told.verb, told.firmness, told.who) == (one.task, "evict", "intercepted", "admin")
    await read_until(draining, "store is asked whether replica-1 may go")
    for words in ("6 parts would have a single copy", "2 parts would have a single copy"):
        held = StillHeld(operation="op-7", waits_for="store", reason=f"deferred by store: {words}")
        driven.take(lambda now_s, held=held: driven.core.hold_disruption(told.id, now_s, held=held))  # type: ignore[misc]
        await read_until(draining, f"op-7 waits for store: deferred by store: {words}")
    assert driven.last(one.task).state == "ready"
    driven.take(lambda now_s: driven.core.hold_disruption(told.id, now_s, held=None))
    async with asyncio.timeout(LIMIT_S):
        rest, _ = await draining.communicate()
    assert draining.returncode == 0, rest.decode()
    await driven.until(lambda: driven.states(one.task)[-1:] == ["ended"], "it has ended")
    assert DisruptionOver(id=told.id, happened=True) in driven.said
    async with asyncio.timeout(LIMIT_S):
        while (await api.list(DISRUPTION, namespace)).objects:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def test_a_drain_that_waits_is_over_when_somebody_removes_its_node(
    driven: Driven,
    nodes: PlayedNodes,
    api: Api,
    namespace: str,
    plane: ControlPlane,
    asked: Asked,
) -> None:
    await api.apply(BUDGET, floor(), namespace)
    driven.take(lambda now_s: driven.core.launch(wanted(), now_s))
    await driven.until(lambda: driven.states(TASK)[-1:] == ["ready"], "it is ready")
    node = driven.last(TASK).node
    draining = await drain(plane, node, "--delete-emptydir-data")
    await read_until(draining, "store is asked whether replica-1 may go")
    (told,) = [up for up in driven.said if isinstance(up, Disruption)]
    nodes.alive.discard(node)
    await api.delete(NODE, node)
    ended = await driven.over()
    assert (ended.reason, ended.with_its_node) == (NODE_GONE, True)
    assert DisruptionOver(id=told.id, happened=True) in driven.said
    async with asyncio.timeout(LIMIT_S):
        rest, _ = await draining.communicate()
        while (await api.list(DISRUPTION, namespace)).objects:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    assert draining.returncode == 0, f"there is nothing to wait for any more: {rest.decode()}"
