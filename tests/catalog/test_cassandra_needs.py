"""How many nodes Cassandra says that it needs, by what is stored and by how long clients wait."""

from upcall.catalog.cassandra.autoscale import Latency, needed
from upcall.catalog.cassandra.service import Cassandra

DISK_MIB = 1000


def of(used_mib: int, *latencies: Latency, has: int = 3) -> int:
    return needed(has, used_mib, DISK_MIB, latencies).count


def test_a_disk_is_half_full_at_most() -> None:
    assert of(1500) == 3
    assert of(1501) == 4


def test_a_table_in_use_that_is_too_slow_wants_one_more_and_says_which() -> None:
    slow = Latency("fast.rows", 200.0, 150.0)
    assert of(10, slow, Latency("fast.other", 10.0, 3.0)) == 4
    assert "the slowest hundredth of fast.rows takes 150 ms" in needed(3, 10, DISK_MIB, [slow]).reason


def test_nobody_leaves_while_it_is_not_well_below_that() -> None:
    assert of(10, Latency("fast.rows", 200.0, 60.0), has=5) == 5
    assert of(10, Latency("fast.rows", 200.0, 20.0), has=5) == 1


def test_what_nobody_asks_for_says_nothing() -> None:
    assert of(10, Latency("fast.rows", 0.1, 900.0)) == 1


def test_a_person_may_let_it_scale_itself() -> None:
    assert "autoscale" in Cassandra.Options.model_fields
