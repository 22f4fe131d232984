"""What a node's absence costs the token ranges, as a rule on what the ring describes."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.catalog.cassandra.ranges import Range, at_risk, missing_without, short_of_quorum, words
from upcall.catalog.cassandra.ring import is_user_keyspace, on_the_way

NODES = ("a", "b", "c", "d", "e")


def now(ranges: list[Range], up: set[str], without: str) -> dict[str, int]:
    return dict(at_risk(ranges, up, {without}).for_now)


def always(ranges: list[Range], up: set[str], without: str) -> dict[str, int]:
    return dict(at_risk(ranges, up, {without}).always)


def test_one_of_three_replicas_may_go_and_the_second_may_not() -> None:
    ranges = [Range("k", ("a", "b", "c"))]
    assert now(ranges, {"a", "b", "c"}, "a") == {}
    assert now(ranges, {"b", "c"}, "b") == {"k": 1}
    assert always(ranges, {"b", "c"}, "b") == {}, "the third comes back: waiting helps"


def test_what_has_no_majority_anyway_loses_none_by_one_more_stop() -> None:
    assert now([Range("k", ("a", "b", "c"))], {"b"}, "b") == {}


def test_ranges_that_have_no_replica_on_the_node_do_not_count() -> None:
    assert now([Range("k", ("b", "c", "d"))], {"b"}, "a") == {}


@pytest.mark.parametrize("replicas", [("a",), ("a", "b")])
def test_one_copy_or_two_never_spare_a_node_and_no_waiting_helps(replicas: tuple[str, ...]) -> None:
    ranges = [Range("few", replicas), Range("few", ("b",)), Range("k", ("a", "b", "c"))]
    assert always(ranges, {"a", "b", "c"}, "a") == {"few": 1}
    assert now(ranges, {"a", "b", "c"}, "a") == {}


def test_one_copy_of_the_roles_is_enough_to_log_in() -> None:
    assert now([Range("system_auth", ("a", "b", "c"))], {"a", "b"}, "a") == {}
    assert now([Range("system_auth", ("a", "b", "c"))], {"a"}, "a") == {"system_auth": 1}
    assert always([Range("system_auth", ("a", "b"))], {"a", "b"}, "a") == {}


def test_ranges_are_counted_by_keyspace() -> None:
    ranges = [Range("x", ("a", "b", "c")), Range("x", ("a", "b", "d")), Range("y", ("a", "b", "e"))]
    cost = at_risk(ranges, {"a", "b"}, {"a"})
    assert dict(cost.for_now) == {"x": 2, "y": 1}
    assert words(cost.for_now) == "2 of x, 1 of y"


@given(st.sets(st.sampled_from(NODES)), st.sampled_from(NODES), st.integers(1, 5))
def test_whatever_a_stop_costs_had_a_majority_and_has_none_without_the_node(
    up: set[str], node: str, copies: int
) -> None:
    ranges = [Range("".join(replicas), replicas) for replicas in combinations(NODES, copies)]
    cost = at_risk(ranges, up, {node})
    assert not cost.for_now.keys() & cost.always.keys()
    for each in ranges:
        if node in each.replicas:
            alive, left = len(set(each.replicas) & up), len(set(each.replicas) & (up - {node}))
            lost = 2 * alive > copies and 2 * left <= copies
            assert (each.keyspace in cost.for_now or each.keyspace in cost.always) == lost
            assert not lost or (each.keyspace in cost.always) == (copies < 3)


def test_a_rack_goes_as_a_whole_while_each_range_has_one_copy_in_it() -> None:
    racks = (("a", "b"), ("c", "d"), ("e", "f"))
    ranges = [Range("k", (a, c, e)) for a in racks[0] for c in racks[1] for e in racks[2]]
    ranges += [Range("system_auth", each.replicas) for each in ranges]
    everybody = {"a", "b", "c", "d", "e", "f"}
    for rack in racks:
        assert at_risk(ranges, everybody, set(rack)) == at_risk([], everybody, set())
    assert dict(at_risk(ranges, everybody - {"c"}, {"a", "b"}).for_now) == {"k": 4}
    assert dict(at_risk(ranges, everybody, {"a", "c"}).always) == {"k": 2}


def test_a_lost_nodes_ranges_without_a_majority_elsewhere_are_named() -> None:
    ranges = [Range("k", ("a", "b", "c")), Range("single", ("a",))]
    assert dict(short_of_quorum(ranges, {"b", "c"}, "a")) == {"single": 1}
    assert dict(short_of_quorum(ranges, {"c"}, "a")) == {"k": 1, "single": 1}


@pytest.mark.parametrize(
    ("state", "moves"),
    [
        ("NORMAL,-9223372036854775808", False),
        ("shutdown,true", False),
        ("LEFT,-123,1764000000000", False),
        ("removed,0b7a,1764000000000", False),
        ("", False),
        ("BOOT,1,2", True),
        ("BOOT_REPLACE,127.1.2.3", True),
        ("LEAVING,12", True),
        ("MOVING,12", True),
    ],
)
def test_a_node_is_on_its_way_by_its_word_in_gossip(state: str, moves: bool) -> None:
    assert on_the_way({"127.1.2.3": state}) == ({"127.1.2.3": state.split(",")[0]} if moves else {})


def test_cassandras_own_keyspaces_do_not_count_but_for_the_roles() -> None:
    names = ("system", "system_schema", "system_auth", "systems", "fast")
    assert [name for name in names if is_user_keyspace(name)] == ["system_auth", "systems", "fast"]


@pytest.mark.parametrize(
    ("ranges", "up", "missing"),
    [
        ([Range("k", ("a", "b", "c"))], {"b", "c"}, ""),
        ([Range("k", ("a", "b", "c"))] * 4, {"b"}, "token ranges have no majority without it: 4 of k"),
        (
            [Range("k", ("a",)), Range("l", ("a", "b"))],
            {"b", "c"},
            "token ranges have no majority without it: 1 of k, 1 of l",
        ),
        ([Range("k", ("b", "c", "d"))], {"b"}, ""),
        ([Range("system_auth", ("a", "b"))], {"b"}, ""),
        ([], {"b"}, ""),
    ],
)
def test_what_would_be_missing_without_node_a(ranges: list[Range], up: set[str], missing: str) -> None:
    assert missing_without(ranges, up, "a") == missing
