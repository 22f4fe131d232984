"""Next places beside present ones, closed nodes, and volumes that were left."""

import msgspec
from played_substrate import Cluster, running, task_id, volume, wanted

from upcall.protocol import agent as wire
from upcall.protocol.declaration import Constraints, Declaration, Resources
from upcall.substrate.interface import Promised, Unpromised


def test_nothing_new_comes_to_a_cordoned_node_and_what_is_there_stays(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ready")
    cluster.take(cluster.substrate.cordon("node-1", cluster.now_s, closed=True))
    cluster.said(), cluster.told()
    cluster.launch("a.n.1")
    assert cluster.told() == ["node-2 launch a.n.1 place 1 at 127.40.7.11"]
    cluster.launch("a.o.1", memory_mib=4000)
    assert cluster.said()[-1].endswith("node-1 is kept free for its maintenance; would fit: 3 GiB memory")
    cluster.status("node-1", "a.m.1", "ended", exit=wire.TaskExit(code=0))
    cluster.told()
    cluster.take(cluster.substrate.cordon("node-1", cluster.now_s, closed=False))
    assert cluster.told() == [], "3 GiB are free there, for a.m keeps its place"
    cluster.launch("a.m.2")
    assert cluster.told() == ["node-1 launch a.m.2 place 1 at 127.40.7.10"]


def test_released_volumes_are_kept_for_a_grace_and_taken_back(cluster: Cluster) -> None:
    cluster.launch("a.m.1", volume_mib=100)
    cluster.status("node-1", "a.m.1", "ended", exit=wire.TaskExit(code=0))
    cluster.take(cluster.substrate.release("a.m", cluster.now_s, keep_volumes_s=60.0))
    cluster.wait(30.0, hear=("node-1", "node-2"))
    cluster.told()
    cluster.launch("a.m.1", volume_mib=100)
    assert cluster.told() == ["node-1 launch a.m.1 place 1 at 127.40.7.10"]
    cluster.wait(120.0, hear=("node-1", "node-2"))
    assert cluster.told() == []


def test_released_volumes_are_deleted_after_the_grace_also_on_a_node_that_is_away(cluster: Cluster) -> None:
    cluster.launch("a.m.1", volume_mib=100)
    cluster.status("node-1", "a.m.1", "ended", exit=wire.TaskExit(code=0))
    cluster.take(cluster.substrate.release("a.m", cluster.now_s, keep_volumes_s=10.0))
    cluster.take(cluster.substrate.agent_disconnected("node-1", cluster.now_s))
    cluster.told()
    cluster.wait(12.0, hear=("node-1", "node-2"))
    assert cluster.told() == []
    cluster.start()
    cluster.take(cluster.substrate.wanted((), cluster.now_s))
    cluster.register("node-1", volumes=(volume("a.m"),))
    assert cluster.told() == ["node-1 registered", "node-1 delete volumes a.m/1", "node-1 synced"]
    cluster.register("node-1")
    assert [kind for kind, _ in cluster.records if kind == "left_volumes"] == []


def test_volumes_that_nobody_knows_are_set_aside_and_shown_and_a_person_drops_them(cluster: Cluster) -> None:
    cluster.register("node-1", volumes=(volume("old.m", place=3),))
    assert cluster.said() == ["volumes old.m/3 aside on node-1: no such member is known"]
    cluster.told()
    cluster.take(cluster.substrate.drop_volumes("old.m", 3, cluster.now_s))
    assert cluster.told() == ["node-1 delete volumes old.m/3"]


def test_a_next_place_is_held_and_used_by_the_launch_that_names_it(cluster: Cluster) -> None:
    """Held beside the present one, which is given up only then."""
    first = wanted("a.m.1", volume_mib=10)
    cluster.take(cluster.substrate.launch(first, cluster.now_s))
    present = cluster.substrate.reservation("a.m")
    assert present is not None
    cluster.take(cluster.substrate.hold_place("a.m", first.declaration, 2, cluster.now_s))
    (promised,) = [up for up in cluster.up if isinstance(up, Promised)]
    assert (promised.member_id, promised.place) == ("a.m", 2)
    assert promised.node != present.node
    assert cluster.substrate.reservation("a.m") == present
    cluster.start(first)
    assert [up.node for up in cluster.up if isinstance(up, Promised)] == [promised.node], "said again after a start"
    second = msgspec.structs.replace(first, task=task_id("a.m.2"), place=2)
    cluster.take(cluster.substrate.launch(second, cluster.now_s))
    assert cluster.substrate.reservation("a.m").node == promised.node  # type: ignore[union-attr]


def test_a_next_place_on_its_own_node_has_volumes_of_its_own(cluster: Cluster) -> None:
    first = wanted("a.m.1", volume_mib=10)
    cluster.take(cluster.substrate.launch(first, cluster.now_s))
    present = cluster.substrate.reservation("a.m")
    assert present is not None
    cluster.take(cluster.substrate.hold_place("a.m", first.declaration, 2, cluster.now_s))
    cluster.take(cluster.substrate.call_off_place("a.m", 2, cluster.now_s))
    cluster.take(cluster.substrate.hold_place("a.m", first.declaration, 2, cluster.now_s, same_node=True))
    promised = [up for up in cluster.up if isinstance(up, Promised)]
    assert promised[0].node != present.node
    assert promised[-1].node == present.node
    second = msgspec.structs.replace(first, task=task_id("a.m.2"), place=2)
    cluster.take(cluster.substrate.launch(second, cluster.now_s))
    renewed = cluster.substrate.reservation("a.m")
    assert renewed is not None
    assert (renewed.node, renewed.fence > present.fence) == (present.node, True)


def test_a_next_place_that_does_not_fit_is_looked_for_until_it_is_called_off(cluster: Cluster) -> None:
    first = wanted("a.m.1")
    cluster.take(cluster.substrate.launch(first, cluster.now_s))
    for node in ("node-1", "node-2"):
        cluster.take(cluster.substrate.cordon(node, cluster.now_s, closed=True))
    cluster.take(cluster.substrate.hold_place("a.m", first.declaration, 2, cluster.now_s))
    (refused,) = [up for up in cluster.up if isinstance(up, Unpromised)]
    assert "node-2 is kept free for its maintenance" in refused.reason
    cluster.take(cluster.substrate.cordon("node-2", cluster.now_s, closed=False))
    assert [up.node for up in cluster.up if isinstance(up, Promised)] == ["node-2"]
    cluster.take(cluster.substrate.call_off_place("a.m", 2, cluster.now_s))
    assert cluster.substrate.kernel.coming("a.m") is None


def test_a_newer_one_is_launched_beside_the_older_and_both_places_are_its_members_until_that_has_ended(
    cluster: Cluster,
) -> None:
    first = wanted("a.m.1", volume_mib=10)
    cluster.take(cluster.substrate.launch(first, cluster.now_s))
    old = cluster.substrate.reservation("a.m")
    assert old is not None
    cluster.status(old.node, "a.m.1", "ready")
    cluster.take(cluster.substrate.hold_place("a.m", first.declaration, 2, cluster.now_s))
    new = cluster.substrate.coming("a.m")
    assert new is not None
    second = msgspec.structs.replace(first, task=task_id("a.m.2"), place=2, beside=True)
    cluster.told()
    cluster.take(cluster.substrate.launch(second, cluster.now_s))
    assert cluster.told() == [f"{new.node} launch a.m.2 place {new.fence} at {new.address}"]
    cluster.status(new.node, "a.m.2", "ready", place=new.fence)
    # The plan is declared again meanwhile, and the master starts again.
    cluster.take(cluster.substrate.reserve("a", {"m": first.declaration}, cluster.now_s, places={"m": 1}))
    cluster.start(first, second)
    cluster.said()
    held = {old.node: ("a.m.1", old.fence), new.node: ("a.m.2", new.fence)}
    for node, (task, fence) in held.items():
        cluster.register(node, running(task, place=fence), volumes=(volume("a.m", fence),))
    assert not [words for words in cluster.told() if " end " in words], "both stay"
    assert not [words for words in cluster.said() if "aside" in words], "and so do the volumes of both"
    assert (cluster.substrate.reservation("a.m"), cluster.substrate.coming("a.m")) == (old, new)
    cluster.end("a.m.1")
    cluster.status(old.node, "a.m.1", "ended", place=old.fence)
    cluster.told()
    cluster.take(cluster.substrate.reserve("a", {"m": first.declaration}, cluster.now_s, places={"m": 2}))
    assert (cluster.substrate.reservation("a.m"), cluster.substrate.coming("a.m")) == (new, None)
    assert cluster.told() == [], "what runs there runs on"


def test_a_newer_one_comes_back_beside_the_older_though_its_place_was_exchanged_for_a_third_that_nobody_uses(
    cluster: Cluster,
) -> None:
    cluster.register("node-3")
    first = wanted("a.m.1")
    cluster.take(cluster.substrate.launch(first, cluster.now_s))
    old = cluster.substrate.reservation("a.m")
    assert old is not None
    cluster.take(cluster.substrate.hold_place("a.m", first.declaration, 2, cluster.now_s))
    second = msgspec.structs.replace(first, task=task_id("a.m.2"), place=2, beside=True)
    cluster.take(cluster.substrate.launch(second, cluster.now_s))
    before = cluster.substrate.coming("a.m")
    assert before is not None
    cluster.status(before.node, "a.m.2", "ended", place=before.fence)
    cluster.take(cluster.substrate.hold_place("a.m", first.declaration, 3, cluster.now_s))
    third = cluster.substrate.coming("a.m")
    assert third is not None
    assert third.node not in (old.node, before.node), "it was no good there"
    cluster.told()
    again = msgspec.structs.replace(second, task=task_id("a.m.3"))
    cluster.take(cluster.substrate.launch(again, cluster.now_s))
    now = cluster.substrate.coming("a.m")
    assert now is not None
    assert cluster.told() == [f"{now.node} launch a.m.3 place {now.fence} at {now.address}"]
    cluster.take(cluster.substrate.call_off_place("a.m", 3, cluster.now_s))
    assert (cluster.substrate.reservation("a.m"), cluster.substrate.coming("a.m")) == (old, now)


def test_whether_more_members_would_have_a_place_is_said_and_nothing_is_reserved(cluster: Cluster) -> None:
    def of(memory_mib: int) -> Declaration:
        apart = Constraints(apart="m")
        return Declaration(command=("run",), resources=Resources(memory_mib=memory_mib), constraints=apart)

    before = dict(cluster.substrate.places())
    assert cluster.substrate.fits("a", {"m": of(1000), "n": of(1000)}) == ""
    reason = cluster.substrate.fits("a", {"m": of(1000), "n": of(1000), "o": of(1000)})
    assert "needs 3 nodes" in reason
    assert "would fit: 2 of 3" in reason
    assert reason.endswith(" (`upcall node add` brings a node more)")
    assert dict(cluster.substrate.places()) == before
    assert cluster.told() == []
