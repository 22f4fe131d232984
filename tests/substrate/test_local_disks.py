"""What is held beyond its size is told once at each mark, ends nothing, and is promised to nobody else."""

from typing import Any

from played_substrate import Cluster, running, wanted

from upcall.protocol import agent as wire
from upcall.substrate.interface import DiskUse, Filling, Observed, TaskId


def measured(cluster: Cluster, used_mib: int, *, bound_mib: int = 1024) -> list[Any]:
    """The agent measured the store's volume; what went up for that."""
    full = used_mib >= 0.9 * bound_mib
    filling = (wire.DiskUse(volume="data", used_mib=used_mib, bound_mib=bound_mib),) if full else ()
    usage = wire.TaskUsage(task="store.m.1", cpu_s=1.0, memory_mib=1.0, disk_mib=used_mib, filling=filling)
    cluster.up.clear()
    cluster.take(cluster.substrate.agent("node-1", wire.Usage(tasks=(usage,)), cluster.now_s))
    return list(cluster.up)


def store(cluster: Cluster) -> None:
    """On a node with 10,000 MiB, of which 1,024 are its volume's."""
    cluster.register("node-1")
    cluster.take(cluster.substrate.wanted([], cluster.now_s))
    cluster.launch("store.m.1", volume_mib=1024)
    cluster.status("node-1", "store.m.1", "ready")


def test_each_mark_is_told_once_and_nothing_ends_for_it() -> None:
    cluster = Cluster()
    store(cluster)
    task = TaskId("store", "m", 1)
    assert measured(cluster, 800) == []
    near = DiskUse(volume="data", used_mib=950, bound_mib=1024)
    assert measured(cluster, 950) == [Filling(task=task, disks=(near,))]
    assert measured(cluster, 951) == []
    over = DiskUse(volume="data", used_mib=1200, bound_mib=1024, over=True)
    assert measured(cluster, 1200) == [Filling(task=task, disks=(over,))]
    assert str(over) == "volume data holds 1,200 MiB of 1,024"
    assert measured(cluster, 1300) == []
    assert measured(cluster, 1000) == [], "what lives around its bound is not told again and again"
    assert measured(cluster, 1100) == []
    assert measured(cluster, 100) == [Filling(task=task)]
    assert not any(isinstance(message, wire.End) for _, message in cluster.sent)
    cluster.take(cluster.substrate.launch(wanted("store.m.1", volume_mib=1024), cluster.now_s))
    assert [item.state for item in cluster.up if isinstance(item, Observed)] == ["ready"]


def test_what_is_used_beyond_its_size_is_promised_to_nobody_else() -> None:
    cluster = Cluster()
    store(cluster)
    measured(cluster, 4000)  # of 10,000: 6,000 are left, not 8,976
    cluster.said()
    cluster.launch("other.m.1", volume_mib=7000)
    (said,) = cluster.said()
    assert "other.m.1 pending" in said
    assert "needs a node with 6.8 GiB disk free for m: node-1 has 5.8 GiB disk free" in said
    cluster.launch("small.m.1", volume_mib=5000)
    assert any("small.m.1 placed" in words for words in cluster.said()), "what fits is placed"
    cluster.take(cluster.substrate.release("small.m", cluster.now_s))
    assert not any("other.m.1 placed" in words for words in cluster.said())
    measured(cluster, 10)
    assert any("other.m.1 placed" in words for words in cluster.said()), "there is room again, so it is looked for"


def test_what_is_away_is_as_full_as_it_was() -> None:
    cluster = Cluster()
    store(cluster)
    measured(cluster, 4000)
    cluster.launch("other.m.1", volume_mib=7000)
    cluster.up.clear()
    cluster.take(cluster.substrate.agent("node-1", wire.Usage(tasks=()), cluster.now_s))
    assert not any(isinstance(item, Filling) for item in cluster.up)
    assert not any("other.m.1 placed" in words for words in cluster.said()), "its room is not there for others"
    cluster.end("store.m.1")
    cluster.status("node-1", "store.m.1", "ended")
    cluster.take(cluster.substrate.release("store.m", cluster.now_s))
    cluster.take(cluster.substrate.tick(cluster.now_s))
    assert any("other.m.1 placed" in words for words in cluster.said()), "it has given its place up"


def test_a_node_that_was_overfull_can_leave_and_come_back_empty() -> None:
    cluster = Cluster()
    store(cluster)
    measured(cluster, 4000)
    cluster.end("store.m.1")
    cluster.status("node-1", "store.m.1", "ended")
    cluster.take(cluster.substrate.release("store.m", cluster.now_s))
    cluster.take(cluster.substrate.node_removed("node-1", cluster.now_s))
    cluster.take(cluster.substrate.forget_node("node-1", cluster.now_s))
    cluster.register("node-1", running("nobody.m.1"))
    cluster.launch("large.m.1", volume_mib=9500)
    assert any("large.m.1 placed" in words for words in cluster.said())
