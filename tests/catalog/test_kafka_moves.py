"""Which replicas move where, when brokers come and leave; and what forbids that one leaves."""

from collections import Counter

from upcall.catalog.kafka import moves, quorum
from upcall.catalog.kafka.partitions import Partition

ZONES = {1: "a", 2: "b", 3: "c", 4: "a"}


def parts(*replicas: tuple[int, ...]) -> list[Partition]:
    return [Partition("t", number, each, each) for number, each in enumerate(replicas)]


def after(partitions: list[Partition], targets: moves.Targets) -> list[list[int]]:
    return [targets.get(each, list(each.replicas)) for each in partitions]


def test_a_broker_that_comes_gets_its_share_of_replicas_and_of_leaders_by_as_few_moves_as_that_takes() -> None:
    found = parts(*[(1, 2, 3), (2, 3, 1), (3, 1, 2)] * 4)
    targets = moves.evened(found, [1, 2, 3, 4], {})
    assert Counter(each for to in after(found, targets) for each in to) == dict.fromkeys((1, 2, 3, 4), 9)
    assert len(targets) == 9
    assert sorted(Counter(to[0] for to in after(found, targets)).values()) == [3, 3, 3, 3]
    assert moves.evened(parts(*map(tuple, after(found, targets))), [1, 2, 3, 4], {}) == {}, "once is enough"


def test_no_partition_gets_into_fewer_zones() -> None:
    found = parts(*[(1, 2, 3)] * 6)
    targets = moves.evened(found, [1, 2, 3, 4], ZONES)
    assert all({ZONES[each] for each in to} == {"a", "b", "c"} for to in after(found, targets))
    assert Counter(each for to in after(found, targets) for each in to)[4] == 3, "from the broker of its own zone alone"


def test_all_that_a_leaving_broker_has_goes_to_those_that_stay_and_keeps_its_place_in_the_list() -> None:
    found = parts((4, 2, 3), (1, 4, 2), (1, 2, 3))
    targets = moves.away(found, {4}, [1, 2, 3], ZONES)
    assert targets == {found[0]: [1, 2, 3], found[1]: [1, 3, 2]}


def test_several_that_leave_give_nothing_to_each_other() -> None:
    targets = moves.away(parts((4, 5, 1), (5, 4, 2)), {4, 5}, [1, 2, 3], {})
    assert all(set(to) <= {1, 2, 3} and len(set(to)) == 3 for to in targets.values())


def test_what_has_more_replicas_than_brokers_would_be_left_is_named() -> None:
    assert moves.too_many_replicas(parts((1, 2, 3, 4), (1, 2, 3)), 3) == {"t": 4}


def test_room_is_counted_with_what_comes() -> None:
    found = parts((1, 2, 4), (1, 3, 4))
    sizes = {1: {"t-0": 60, "t-1": 40}, 2: {"t-0": 60}, 3: {"t-1": 40}, 4: {"t-0": 60, "t-1": 40}}
    wanted = moves.away(found, {4}, [1, 2, 3], {})
    assert wanted == {found[0]: [1, 2, 3], found[1]: [1, 3, 2]}
    assert moves.without_room(wanted, sizes, 100) == {}
    assert moves.without_room(wanted, sizes, 99) == {2: 100, 3: 100}


def test_sizes_are_read_as_kafkas_own_tool_prints_them() -> None:
    said = (
        "Querying brokers for log directories information\nReceived log directory information from brokers 1\n"
        '{"brokers":[{"broker":1,"logDirs":[{"partitions":[{"partition":"t-0","size":7,"offsetLag":0,"isFuture":false}]'
        ',"error":null,"logDir":"/d"}]}],"version":1}\n'
    )
    assert moves.parsed_sizes(said) == {1: {"t-0": 7}}


def test_an_odd_number_of_brokers_votes() -> None:
    assert [quorum.seats(brokers) for brokers in (1, 3, 4, 5, 6, 9)] == [1, 3, 3, 5, 5, 9]
