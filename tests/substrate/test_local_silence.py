"""Nodes that fall silent, are lost, return or are removed."""

from played_substrate import Cluster, running, volume

from upcall.protocol import agent as wire
from upcall.substrate.local import PROVE_AGAIN_S


def test_silence_ends_nothing_and_is_told_once(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ready")
    cluster.said(), cluster.told()
    cluster.wait(40.0, hear=("node-2",))
    assert cluster.said() == ["node-1 is silent: nothing heard for 15 s"]
    assert cluster.told() == []
    assert cluster.prove == []
    cluster.register("node-1", running("a.m.1"))
    assert cluster.said() == ["node-1 is up: back after 40 s", "a.m.1 ready"]


def test_what_runs_is_told_again_after_a_silence_whether_the_connection_held_or_not(cluster: Cluster) -> None:
    """Whoever listens forgot what it knew of a silent node's tasks."""
    silent, heard = "node-1 is silent: nothing heard for 15 s", "node-1 is up: heard again after 40 s"
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ready")
    cluster.said()
    cluster.wait(40.0, hear=("node-2",))
    cluster.take(cluster.substrate.agent("node-1", wire.Usage(tasks=()), cluster.now_s))
    assert cluster.said() == [silent, heard, "a.m.1 ready"]
    cluster.wait(40.0, hear=("node-2",))
    cluster.take(cluster.substrate.agent_disconnected("node-1", cluster.now_s))
    cluster.take(cluster.substrate.agent_heard("node-1", cluster.now_s))
    assert cluster.said() == [silent, heard]
    cluster.register("node-1", running("a.m.1"))
    assert cluster.said() == ["a.m.1 ready"]
    cluster.register("node-1", running("a.m.1"))
    assert cluster.said() == []


def test_any_message_is_a_sign_of_life(cluster: Cluster) -> None:
    for _ in range(6):
        cluster.wait(10.0, hear=("node-2",))
        cluster.take(cluster.substrate.agent("node-1", wire.Usage(tasks=()), cluster.now_s))
    assert cluster.said() == []


def test_a_silent_node_is_proven_dead_and_replaced_elsewhere_and_its_return_is_cleaned_up(cluster: Cluster) -> None:
    cluster.launch("a.m.1", volume_mib=100)
    cluster.status("node-1", "a.m.1", "ready")
    cluster.wait(20.0, hear=("node-2",))
    cluster.said(), cluster.told()
    cluster.take(cluster.substrate.prove_death("node-1", cluster.now_s))
    assert cluster.prove == ["node-1"]
    cluster.wait(PROVE_AGAIN_S, hear=("node-2",))
    assert cluster.prove == ["node-1", "node-1"], "asked again until it is proven"
    cluster.take(cluster.substrate.death_proven("node-1", cluster.now_s))
    assert cluster.said() == [
        "a.m.1 ended [no code]: node-1 was lost, and what was left of it was ended",
    ]
    cluster.launch("a.m.2", place=2, volume_mib=100)
    assert cluster.told() == ["node-2 launch a.m.2 place 2 at 127.40.7.11"]
    assert cluster.said() == [
        "volumes a.m/1 aside on node-1: a.m was placed anew on node-2",
        "a.m on node-2 at 127.40.7.11",
        "a.m.2 placed",
    ]
    cluster.register("node-1", running("a.m.1"), volumes=(volume("a.m"),))
    assert cluster.told() == ["node-1 registered", "node-1 end a.m.1 within 0 s", "node-1 synced"]
    cluster.wait(60.0, hear=("node-1", "node-2"))
    assert cluster.prove == ["node-1", "node-1"]


def test_without_proof_a_person_may_replace_and_what_is_left_is_ended_unasked(cluster: Cluster) -> None:
    cluster.launch("a.m.1", volume_mib=100)
    cluster.status("node-1", "a.m.1", "ready")
    cluster.wait(20.0, hear=("node-2",))
    cluster.told(), cluster.said()
    cluster.launch("a.m.2", place=2, volume_mib=100)
    assert cluster.told() == ["node-1 end a.m.1 within 0 s", "node-2 launch a.m.2 place 2 at 127.40.7.11"]
    cluster.take(cluster.substrate.agent_disconnected("node-1", cluster.now_s))
    cluster.register("node-1", running("a.m.1"), volumes=(volume("a.m"),))
    assert cluster.told() == ["node-1 registered", "node-1 end a.m.1 within 0 s", "node-1 synced"]
    cluster.status("node-1", "a.m.1", "ended", exit=wire.TaskExit(signal=9))
    assert cluster.said()[-1] == "a.m.1 ended [no code]"


def test_what_is_left_on_the_only_node_is_ended_unasked_when_its_member_comes_back_there(cluster: Cluster) -> None:
    """Its place was given up on a person's word while no node was there; the launch that was told is on its way."""
    cluster.launch("a.m.1", volume_mib=100)
    cluster.wait(20.0)
    cluster.launch("a.m.2", place=2, volume_mib=100)
    cluster.told(), cluster.said()
    cluster.status("node-1", "a.m.1", "running")
    assert "node-1 end a.m.1 within 0 s" in cluster.told()
    cluster.status("node-1", "a.m.1", "ended", exit=wire.TaskExit(signal=9))
    assert "node-1 launch a.m.2 place 1 at 127.40.7.10" in cluster.told(), "with its volumes"


def test_a_late_death_proof_does_not_end_a_node_that_is_back(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ready")
    cluster.wait(20.0, hear=("node-2",))
    cluster.take(cluster.substrate.prove_death("node-1", cluster.now_s))
    cluster.register("node-1", running("a.m.1"))
    cluster.said()
    cluster.take(cluster.substrate.death_proven("node-1", cluster.now_s))
    assert cluster.said() == []


def test_a_removed_node_is_gone_and_can_be_forgotten_and_added_again(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.take(cluster.substrate.node_removed("node-1", cluster.now_s))
    assert cluster.prove == ["node-1"]
    assert cluster.said()[-1] == "node-1 is gone: removed"
    cluster.take(cluster.substrate.forget_node("node-1", cluster.now_s))
    assert ("node", "node-1") in cluster.records, "a.m is still reserved there"
    cluster.take(cluster.substrate.death_proven("node-1", cluster.now_s))
    cluster.take(cluster.substrate.release("a.m", cluster.now_s))
    cluster.take(cluster.substrate.forget_node("node-1", cluster.now_s))
    assert ("node", "node-1") not in cluster.records
    cluster.register("node-1")
    assert cluster.said()[-1] == "node-1 is up: registered"


def test_a_master_that_slept_judges_nobody(cluster: Cluster) -> None:
    cluster.now_s += 3600.0
    cluster.take(cluster.substrate.tick(cluster.now_s))
    assert cluster.said() == []
    cluster.wait(14.0, hear=("node-1",))
    assert cluster.said() == []
    cluster.wait(2.0, hear=("node-1",))
    assert cluster.said() == ["node-2 is silent: nothing heard for 15 s"]
