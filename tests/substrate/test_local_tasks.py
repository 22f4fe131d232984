"""What the local substrate tells agents and the ledger of a task, call by call."""

import pytest
from played_substrate import Cluster, running, wanted, words

from upcall.protocol import agent as wire
from upcall.protocol.errors import Invalid
from upcall.substrate.interface import Substrate


def test_is_a_substrate() -> None:
    substrate: Substrate = Cluster().substrate
    assert substrate.capabilities.placement == "kernel"
    assert substrate.capabilities.firmness == {"*": "enforced"}


def test_places_launches_and_follows_a_task(cluster: Cluster) -> None:
    cluster.launch("kafka.broker-1.1")
    assert cluster.told() == ["node-1 launch kafka.broker-1.1 place 1 at 127.40.7.10"]
    cluster.status("node-1", "kafka.broker-1.1", "fetching")
    cluster.status("node-1", "kafka.broker-1.1", "ready")
    cluster.status("node-1", "kafka.broker-1.1", "ready")
    cluster.end("kafka.broker-1.1")
    assert cluster.told() == ["node-1 ack"] * 3 + ["node-1 end kafka.broker-1.1 within 5 s"]
    cluster.status("node-1", "kafka.broker-1.1", "ended", exit=wire.TaskExit(code=143))
    assert cluster.said() == [
        "kafka.broker-1 on node-1 at 127.40.7.10",
        "kafka.broker-1.1 placed",
        "kafka.broker-1.1 fetching",
        "kafka.broker-1.1 ready",
        "kafka.broker-1.1 ending",
        "kafka.broker-1.1 ended [143]",
    ]


def test_an_acknowledgement_travels_with_what_it_acknowledges(cluster: Cluster) -> None:
    """One output: the master commits what follows from ``up`` before it releases ``send``."""
    cluster.launch("a.m.1")
    status = wire.TaskStatus(task="a.m.1", state="ready")
    out = cluster.substrate.agent("node-1", wire.Status(number=42, status=status), cluster.now_s)
    assert [words(item) for item in out.up] == ["a.m.1 ready"]
    assert [send.message for send in out.send] == [wire.Ack(number=42)]


def test_an_incarnation_keeps_address_and_place_of_the_one_before(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ended", exit=wire.TaskExit(code=1))
    cluster.told()
    cluster.launch("a.m.2")
    assert cluster.told() == ["node-1 launch a.m.2 place 1 at 127.40.7.10"]


def test_a_member_never_runs_twice(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ready")
    cluster.said(), cluster.told()
    cluster.launch("a.m.2")
    assert cluster.said() == ["a.m.2 placed: waits for the end of a.m.1"]
    assert cluster.told() == []
    cluster.end("a.m.1")
    cluster.status("node-1", "a.m.1", "ended", exit=wire.TaskExit(code=0))
    assert cluster.told()[-2:] == ["node-1 ack", "node-1 launch a.m.2 place 1 at 127.40.7.10"]


def test_repeated_wishes_are_harmless(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.told()
    cluster.launch("a.m.1")
    assert cluster.told() == []
    cluster.status("node-1", "a.m.1", "ended", exit=wire.TaskExit(code=3))
    cluster.told(), cluster.said()
    cluster.launch("a.m.1")
    cluster.end("a.m.1")
    assert cluster.told() == []
    assert cluster.said() == ["a.m.1 ended [3]"] * 2


def test_an_incarnation_that_was_never_launched_gives_way_to_the_next(cluster: Cluster) -> None:
    """After a restart of the master, on a person's word that the old one is dead: it must not be launched after all."""
    cluster.launch("a.m.1")
    cluster.start(wanted("a.m.1"))
    cluster.launch("a.m.2", place=2)
    cluster.register("node-1", zone="a")
    cluster.register("node-2", zone="b")
    assert [line for line in cluster.told() if "launch" in line] == ["node-2 launch a.m.2 place 2 at 127.40.7.11"]


@pytest.mark.parametrize(
    "status",
    [running("nonsense"), running("a.b.x"), wire.TaskStatus(task="a.b.1", state="flying")],
)
def test_a_malformed_message_is_refused_and_changes_nothing(cluster: Cluster, status: wire.TaskStatus) -> None:
    records = dict(cluster.records)
    with pytest.raises(Invalid, match="node-9"):
        cluster.register("node-9", status)
    with pytest.raises(Invalid):
        cluster.take(cluster.substrate.agent("node-1", wire.Status(number=1, status=status), cluster.now_s))
    assert cluster.records == records
    assert cluster.substrate.kernel.node("node-9") is None


def test_an_impossible_machine_is_refused(cluster: Cluster) -> None:
    with pytest.raises(Invalid, match="makes no sense"):
        cluster.register("node-9", memory_mib=-1)
    assert cluster.substrate.kernel.node("node-9") is None
