"""Which token ranges a node's stop would put at risk, as a rule on what the ring describes."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.catalog.cassandra.ring import Range, at_risk, is_user_keyspace, on_the_way

NODES = ("a", "b", "c", "d", "e")


def test_one_of_three_replicas_may_go_and_the_second_may_not() -> None:
    ranges = [Range("k", ("a", "b", "c"))]
    assert at_risk(ranges, {"a", "b", "c"}, without="a") == {}
    assert at_risk(ranges, {"b", "c"}, without="b") == {"k": 1}


def test_ranges_that_have_no_replica_on_the_node_do_not_count() -> None:
    assert at_risk([Range("k", ("b", "c", "d"))], {"b"}, without="a") == {}


def test_a_keyspace_without_copies_is_always_at_risk_where_its_rows_are() -> None:
    ranges = [Range("single", ("a",)), Range("single", ("b",)), Range("k", ("a", "b", "c"))]
    assert at_risk(ranges, {"a", "b", "c"}, without="a") == {"single": 1}


def test_two_of_two_are_a_majority_so_none_of_them_may_go() -> None:
    assert Range("k", ("a", "b")).quorum == 2
    assert at_risk([Range("k", ("a", "b"))], {"a", "b"}, without="a") == {"k": 1}


def test_ranges_are_counted_by_keyspace() -> None:
    ranges = [Range("x", ("a", "b", "c")), Range("x", ("a", "b", "d")), Range("y", ("a", "c", "d"))]
    assert at_risk(ranges, {"a", "b"}, without="a") == {"x": 2, "y": 1}


@given(st.sets(st.sampled_from(NODES)), st.sampled_from(NODES), st.integers(1, 5))
def test_what_is_not_at_risk_keeps_a_majority_without_the_node(up: set[str], node: str, copies: int) -> None:
    ranges = [Range("".join(replicas), replicas) for replicas in combinations(NODES, copies)]
    endangered = at_risk(ranges, up, without=node)
    for each in ranges:
        if node in each.replicas:
            alive = len(set(each.replicas) & (up - {node}))
            assert (each.keyspace in endangered) == (2 * alive <= copies)


@pytest.mark.parametrize(
    ("state", "moves"),
    [
        ("NORMAL,-9223372036854775808", False),
        ("shutdown,true", False),
        ("", False),
        ("BOOT,1,2", True),
        ("BOOT_REPLACE,127.1.2.3", True),
        ("LEAVING,12", True),
        ("MOVING,12", True),
    ],
)
def test_a_node_is_on_its_way_by_its_word_in_gossip(state: str, moves: bool) -> None:
    assert on_the_way({"127.1.2.3": state}) == ({"127.1.2.3": state.split(",")[0]} if moves else {})


def test_cassandras_own_keyspaces_are_not_counted() -> None:
    assert [name for name in ("system", "system_auth", "systems", "fast") if is_user_keyspace(name)] == [
        "systems",
        "fast",
    ]
