"""How many brokers Kafka says that it needs, by what is stored and by how far its readers are behind."""

from upcall.catalog.kafka.autoscale import Read, needed
from upcall.catalog.kafka.service import Kafka

MIB = 1 << 20

DISK = 1000 * MIB


def of(held_mib: int, before: Read | None = None, now: Read | None = None, has: int = 3) -> int:
    return needed(has, held_mib * MIB, DISK, before, now or Read(60.0, 0, 0)).count


def test_disks_are_to_be_at_most_so_full() -> None:
    assert of(2100) == 3
    assert of(2101) == 4
    assert of(100, has=5) == 3, "three make a quorum that spares one"


def test_a_lag_that_is_long_and_grows_wants_one_more() -> None:
    before, now = Read(0.0, 0, 9_000), Read(10.0, 1_000, 9_500)
    assert of(100, before, now) == 4
    assert "readers are 95 s behind, and more and more" in needed(3, 0, DISK, before, now).reason


def test_who_catches_up_keeps_what_is_there() -> None:
    assert of(100, Read(0.0, 0, 9_000), Read(10.0, 1_000, 8_000), has=5) == 5


def test_a_short_lag_and_a_cluster_that_nobody_writes_to_want_nothing() -> None:
    assert of(100, Read(0.0, 0, 100), Read(10.0, 1_000, 200), has=4) == 3
    assert of(100, Read(0.0, 0, 9_000), Read(10.0, 0, 9_000), has=4) == 3


def test_a_person_may_let_it_scale_itself() -> None:
    assert "autoscale" in Kafka.Options.model_fields
    assert "autoscale" in Kafka.at(Kafka.versions()[0]).Options.model_fields
