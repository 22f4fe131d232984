"""Which partitions a broker's stop would put at risk, as a rule on what the cluster describes."""

from hypothesis import given
from hypothesis import strategies as st

from upcall.catalog.kafka.partitions import Partition, at_risk, out_of_sync

THREE = (1, 2, 3)


def of(*in_sync: int, replicas: tuple[int, ...] = THREE, topic: str = "t", number: int = 0) -> Partition:
    return Partition(topic, number, replicas, in_sync)


def minimum(count: int):
    return lambda _topic: count


def test_the_third_of_three_may_stop_and_the_second_may_not() -> None:
    assert at_risk([of(1, 2, 3)], minimum(2), without=1) == []
    assert at_risk([of(2, 3)], minimum(2), without=2) == [of(2, 3)]


def test_a_broker_without_a_replica_puts_nothing_at_risk() -> None:
    assert at_risk([of(1, replicas=(1, 2))], minimum(2), without=3) == []


def test_a_broker_that_is_out_of_sync_already_still_may_not_stop_below_the_minimum() -> None:
    """Its stop changes nothing now, but the partition waits for it to come back."""
    assert at_risk([of(2, replicas=THREE)], minimum(2), without=1) == [of(2, replicas=THREE)]


def test_one_replica_alone_is_always_at_risk_and_a_minimum_of_none_never() -> None:
    assert at_risk([of(1, replicas=(1,))], minimum(1), without=1)
    assert not at_risk([of(1, replicas=(1,))], minimum(0), without=1)


def test_each_topic_has_its_own_minimum() -> None:
    safe, strict = of(1, 2, 3, topic="safe"), of(1, 2, 3, topic="strict")
    minimums = {"safe": 2, "strict": 3}
    assert at_risk([safe, strict], minimums.__getitem__, without=1) == [strict]


def test_partitions_are_named_as_kafka_names_them() -> None:
    assert str(of(1, topic="frames", number=7)) == "frames-7"


def test_out_of_sync_are_those_with_fewer_in_sync_than_replicas() -> None:
    assert out_of_sync([of(1, 2, 3), of(1, 2, number=1)]) == [of(1, 2, number=1)]


@given(
    st.lists(st.sets(st.sampled_from(THREE), min_size=1), max_size=6),
    st.integers(1, 3),
    st.sampled_from(THREE),
)
def test_what_is_not_at_risk_keeps_its_minimum_without_the_broker(
    in_sync: list[set[int]], least: int, broker: int
) -> None:
    partitions = [of(*sorted(each), number=number) for number, each in enumerate(in_sync)]
    endangered = at_risk(partitions, minimum(least), broker)
    for each in partitions:
        assert (each in endangered) == (len(set(each.in_sync) - {broker}) < least)
