"""What a broker's stop costs the partitions, as a rule on what the cluster describes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.catalog.kafka.partitions import (
    Cost,
    Partition,
    cost_of_stopping,
    counted,
    missing_without,
    named,
    only_there,
    out_of_sync,
    reassignment,
    with_more_copies,
)

THREE = (1, 2, 3)


def of(*in_sync: int, replicas: tuple[int, ...] = THREE, topic: str = "t", number: int = 0) -> Partition:
    return Partition(topic, number, replicas, in_sync)


def cost(*partitions: Partition, least: int, without: int | set[int]) -> Cost:
    return cost_of_stopping(partitions, lambda _topic: least, without if isinstance(without, set) else {without})


def test_the_third_of_three_may_stop_and_the_second_waits_for_the_first() -> None:
    assert cost(of(1, 2, 3), least=2, without=1) == Cost()
    assert cost(of(2, 3), least=2, without=2).for_now == [of(2, 3)]


def test_a_broker_without_a_replica_costs_nothing() -> None:
    assert cost(of(1, replicas=(1, 2)), least=2, without=3) == Cost()


def test_a_broker_that_is_in_no_in_sync_set_costs_nothing() -> None:
    """It hangs, or catches up: its restart may be the cure."""
    assert cost(of(2), of(2, 3, number=1), least=2, without=1) == Cost()


def test_what_is_below_its_minimum_anyway_loses_no_write_by_one_more_stop() -> None:
    assert cost(of(1, 2), least=3, without=1) == Cost()


def test_the_last_one_in_sync_is_waited_for_also_below_the_minimum() -> None:
    assert cost(of(1), least=2, without=1).for_now == [of(1)]
    assert cost(of(1, replicas=(1, 2)), least=3, without=1).for_now


def test_no_waiting_helps_what_has_too_few_replicas_and_it_is_said_how_many_would() -> None:
    alone = of(1, replicas=(1,))
    assert cost(alone, least=1, without=1) == Cost(always=[alone], wanted={"t": 2})
    assert cost(alone, least=2, without=1) == Cost(always=[alone], wanted={"t": 3})
    pair = of(1, 2, replicas=(1, 2))
    assert cost(pair, least=2, without=1) == Cost(always=[pair], wanted={"t": 3})


def test_each_topic_has_its_own_minimum() -> None:
    safe, strict = of(1, 2, 3, topic="safe"), of(1, 2, 3, topic="strict")
    assert cost_of_stopping([safe, strict], {"safe": 2, "strict": 3}.__getitem__, without={1}).always == [strict]


def test_what_nobody_alive_is_in_sync_with_is_there_alone() -> None:
    kept, gone = of(1, 2), of(2, number=1)
    assert only_there([kept, gone, of(3, replicas=(3,), number=2)], {1, 3}, lost=2) == [gone]
    assert only_there([kept], {3}, lost=2) == [kept], "the other one in sync is away"


def test_more_copies_go_to_the_brokers_that_have_the_fewest_and_nothing_moves_away() -> None:
    partitions = [of(1, replicas=(1,), number=number) for number in range(4)]
    wanted = with_more_copies(partitions, THREE, 2)
    assert [each[0] for each in wanted.values()] == [1] * 4
    assert sorted(each[1] for each in wanted.values()) == [2, 2, 3, 3]
    assert with_more_copies([of(1, 2, 3)], THREE, 2) == {}
    row = {"topic": "t", "partition": 0, "replicas": [1, 2]}
    assert reassignment({partitions[0]: [1, 2]}) == {"version": 1, "partitions": [row]}


def test_partitions_are_named_as_kafka_names_them() -> None:
    assert str(of(1, topic="frames", number=7)) == "frames-7"
    assert named([of(1, number=number) for number in range(4)]) == "t-0, t-1, t-2 ..."
    assert (counted([of(1)]), counted([of(1)] * 2)) == ("1 partition", "2 partitions")


def test_out_of_sync_are_those_with_fewer_in_sync_than_replicas() -> None:
    assert out_of_sync([of(1, 2, 3), of(1, 2, number=1)]) == [of(1, 2, number=1)]


@given(
    st.lists(st.sets(st.sampled_from(THREE), min_size=1), max_size=6),
    st.integers(1, 3),
    st.sampled_from(THREE),
)
def test_what_costs_nothing_is_written_and_read_without_the_broker_as_it_was_with_it(
    in_sync: list[set[int]], least: int, broker: int
) -> None:
    partitions = [of(*sorted(each), number=number) for number, each in enumerate(in_sync)]
    found = cost(*partitions, least=least, without=broker)
    costly = [*found.for_now, *found.always]
    for each in partitions:
        before, after = set(each.in_sync), set(each.in_sync) - {broker}
        is_worse = (len(before) >= least > len(after)) or not after
        assert (each in costly) == is_worse


def test_brokers_of_one_zone_go_together_where_no_partition_has_two_of_its_copies_there() -> None:
    """1 and 4 are in one zone, and so on: each partition has a copy in each zone, as Kafka places them by rack."""
    spread = [of(a, b, c, replicas=(a, b, c)) for a in (1, 4) for b in (2, 5) for c in (3, 6)]
    for zone in ({1, 4}, {2, 5}, {3, 6}):
        assert cost(*spread, least=2, without=zone) == Cost()
    behind = of(1, 2, replicas=(1, 2, 3))
    assert cost(behind, least=2, without={1, 4}).for_now == [behind]
    assert cost(behind, least=2, without={3, 6}) == Cost()


def test_what_has_two_copies_among_those_that_go_names_how_many_would_spare_them() -> None:
    both = of(1, 4, 2, replicas=(1, 4, 2))
    assert cost(both, least=2, without={1, 4}) == Cost(always=[both], wanted={"t": 4})
    assert cost(both, least=2, without=1) == Cost()


def test_ten_thousand_partitions_are_judged_within_a_second() -> None:
    """Counted in calls, not in time: each partition is looked at once, and each topic's minimum asked once a use."""
    asked = 0

    def minimum(_topic: str) -> int:
        nonlocal asked
        asked += 1
        return 2

    partitions = [of(1, 2, 3, topic=f"t{number // 10}", number=number % 10) for number in range(10_000)]
    assert cost_of_stopping(partitions, minimum, without={1}) == Cost()
    assert asked == len(partitions)


@pytest.mark.parametrize(
    ("in_sync", "voting", "alive", "ready", "missing"),
    [
        ([(1, 2, 3), (2, 3)], {1, 2, 3}, {1, 3}, {1, 3}, ""),
        ([(2,), (1, 2)], {1, 2, 3}, {1, 3}, {1, 3}, "1 partition would be gone: nobody else is in sync (t-0)"),
        ([(2, 3), (2, 3)], {1, 2, 3}, {1}, {1}, "a majority of the controllers is away without it (3 vote)"),
        ([(2, 3)], {1, 2, 3}, {1, 2}, {1}, "a majority of the controllers is away without it (3 vote)"),
        ([(2, 3)], {1, 2, 3, 4, 5}, {1, 3, 4}, {1, 4}, "1 partition would be gone: nobody else is in sync (t-0)"),
        ([], {1, 2, 3}, {1, 3}, {1, 3}, ""),
    ],
)
def test_what_would_be_missing_without_broker_2(
    in_sync: list[tuple[int, ...]], voting: set[int], alive: set[int], ready: set[int], missing: str
) -> None:
    partitions = [Partition("t", number, (1, 2, 3), each) for number, each in enumerate(in_sync)]
    assert missing_without(2, partitions, voting, alive, ready) == missing
