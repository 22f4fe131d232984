"""A whole plan at once or not at all; exact when it is small; the reason when not."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_plans import cluster, need, node, placed, reserve, reserve_all

from upcall.kernel.events import Register, Reserve
from upcall.kernel.records import Need


def three(memory_mib: int = 4096) -> list[Register]:
    return [node(f"node-{n}", memory_mib, zone) for n, zone in ((1, "a"), (2, "b"), (3, "c"))]


def test_apart_members_are_on_different_nodes() -> None:
    kernel = cluster(*three())
    found = reserve_all(kernel, {f"b{n}": need(100, apart="b") for n in range(3)})
    assert sorted(found.values()) == ["node-1", "node-2", "node-3"]  # type: ignore[union-attr]


def test_apart_counts_members_that_are_there_already_and_only_of_the_same_word_and_service() -> None:
    kernel = cluster(*three())
    assert reserve(kernel, a=need(100, apart="x")) == {"a": "node-1"}
    assert reserve(kernel, b=need(100, apart="x")) == {"b": "node-2"}
    assert reserve(kernel, c=need(100, apart="y")) == {"c": "node-1"}
    assert reserve(kernel, "other", d=need(100, apart="x")) == {"d": "node-1"}


def test_without_constraints_the_fullest_node_that_fits_is_taken() -> None:
    kernel = cluster(node("node-1", 4000), node("node-2", 1000), node("node-3", 2000))
    assert reserve(kernel, a=need(900)) == {"a": "node-2"}
    assert reserve(kernel, b=need(900)) == {"b": "node-3"}
    assert reserve(kernel, c=need(3000)) == {"c": "node-1"}


def test_spread_fills_the_emptiest_zone_first() -> None:
    kernel = cluster(
        node("a1", 8000, "a"), node("a2", 8000, "a"), node("b1", 8000, "b"), node("b2", 8000, "b"), node("c1", 900, "c")
    )
    found = reserve_all(kernel, {f"m{n}": need(500, apart="m", spread="zone") for n in range(5)})
    assert isinstance(found, dict)
    zones = sorted(name[0] for name in found.values())
    assert zones == ["a", "a", "b", "b", "c"]
    assert reserve_all(kernel, service="t", needs={f"m{n}": need(100, spread="zone") for n in range(3)}) == {
        "m0": "a1",
        "m1": "b1",
        "m2": "c1",
    }


def test_spread_gives_way_to_room_but_never_apart() -> None:
    kernel = cluster(node("a1", 4000, "a"), node("a2", 4000, "a"), node("b1", 100, "b"))
    assert reserve(kernel, x=need(1000, apart="m", spread="zone"), y=need(1000, apart="m", spread="zone")) == {
        "x": "a1",
        "y": "a2",
    }
    assert reserve(kernel, z=need(1000, apart="m", spread="zone")) == (
        "needs a node with 1000 MiB memory free for z: a1 already has one, a2 already has one, "
        "b1 has 100 MiB memory free; would fit: 100 MiB memory"
    )


def test_as_many_as_a_node_may_have_is_said_by_their_number() -> None:
    kernel = cluster(node("n", 4000))
    two = {name: need(100, apart="m", per_node=2) for name in "abc"}
    assert reserve_all(kernel, {name: two[name] for name in "ab"}) == {"a": "n", "b": "n"}
    assert reserve(kernel, c=two["c"]) == "needs a node with 0.1 cpus, 100 MiB memory free for c: n already has 2"


def test_spread_asks_for_the_attribute_where_any_node_has_it() -> None:
    kernel = cluster(node("n", 4000), node("z", 50, "a"))
    assert reserve(kernel, a=need(100, spread="zone")) == (
        "needs a node with 100 MiB memory free for a: n has no zone, z has 50 MiB memory free; would fit: 50 MiB memory"
    )


def test_where_no_node_has_it_members_are_spread_over_nodes() -> None:
    kernel = cluster(node("n1", 4000), node("n2", 4000), node("n3", 100))
    found = reserve_all(kernel, {f"m{n}": need(500, apart="m", per_node=2, spread="zone") for n in range(4)})
    assert sorted(found.values()) == ["n1", "n1", "n2", "n2"]  # type: ignore[union-attr]
    assert reserve(kernel, x=need(500, apart="m", spread="zone")) == (
        "needs a node with 500 MiB memory free for x: n1 already has one, n2 already has one, "
        "n3 has 100 MiB memory free; would fit: 100 MiB memory"
    )


def test_together_is_one_node_for_both_also_with_a_member_that_is_there() -> None:
    kernel = cluster(*three(2000))
    found = reserve(kernel, a=need(1200), b=need(700, together="a"), c=need(1200, apart="x"))
    assert isinstance(found, dict)
    assert found["a"] == found["b"] != found["c"]
    assert reserve(kernel, d=need(500, together="c")) == {"d": found["c"]}
    assert "needs a node with 500 MiB memory free for e" in str(reserve(kernel, e=need(500, together="a")))


def test_contradictions_are_named() -> None:
    kernel = cluster(*three())
    assert reserve(kernel, a=need(1, apart="x"), b=need(1, apart="x", together="a")) == (
        "a, b are to be together and, by the word 'x', apart"
    )
    assert "wants zone=b" in str(
        reserve(kernel, a=need(1, attributes={"zone": "a"}), b=need(1, together="a", attributes={"zone": "b"}))
    )
    assert reserve(kernel, a=need(1, together="nobody")) == (
        "a is to be together with nobody, which has no place and is not asked for"
    )


def test_attributes_must_match() -> None:
    kernel = cluster(node("a", zone="x", ssd="no"), node("b", zone="x", ssd="yes"), node("c", zone="x"))
    assert reserve(kernel, m=need(1, attributes={"ssd": "yes"})) == {"m": "b"}
    assert reserve(kernel, o=need(1, attributes={"ssd": "very"})) == (
        "needs a node with 0.1 cpus, 1 MiB memory and ssd=very for o: a has ssd=no, b has ssd=yes, c has no ssd"
    ).replace(" and ssd", " free and ssd")


def test_says_what_is_missing_and_what_would_fit() -> None:
    kernel = cluster(node("node-1", 1229), node("node-2", 4096), node("node-3", 1024))
    assert reserve_all(kernel, {f"b{n}": need(2048, apart="b") for n in range(3)}) == (
        "needs 3 nodes with 2 GiB memory free for b0, b1, b2 (each on another node): "
        "node-1 has 1.2 GiB memory free, node-2 has 4 GiB memory free, node-3 has 1 GiB memory free; "
        "would fit: 1 of 3 or 3 with 1 GiB memory each"
    )
    assert reserve(kernel, a=need(100), b=need(5000)) == (
        "needs a node with 4.8 GiB memory free for b: node-1 has 1.2 GiB memory free, node-2 has 4 GiB memory free, "
        "node-3 has 1 GiB memory free; would fit: 4 GiB memory"
    )


def test_says_when_each_would_fit_but_not_all_together() -> None:
    kernel = cluster(node("n", 1000))
    assert reserve(kernel, a=need(600), b=need(500)) == (
        "needs 0.2 cpus, 1 GiB memory for 2 members altogether: n has 8 cpus, 97.6 GiB disk, 1000 MiB memory free"
    )


def test_says_how_many_of_many_fit() -> None:
    kernel = cluster(node("n1", 1000), node("n2", 2000))
    assert reserve_all(kernel, {f"m{i}": need(700) for i in range(4)}) == (
        "needs nodes with 0.1 cpus, 700 MiB memory free for m0, m1, m2, m3: n1 has 8 cpus and 1000 MiB memory free, "
        "n2 has 8 cpus and 1.9 GiB memory free; would fit: 3 of 4"
    )


def test_an_empty_cluster_says_so_and_long_lists_are_cut() -> None:
    assert reserve(cluster(), a=need(1)) == "needs 0.1 cpus, 1 MiB memory for a: no node has registered"
    many = cluster(*(node(f"n{n:02}", 10) for n in range(30)))
    assert str(reserve(many, a=need(11))).endswith("and 22 more; would fit: 10 MiB memory")


def test_a_refused_plan_changes_nothing() -> None:
    kernel = cluster(*three(1000))
    reserve(kernel, keep=need(500, apart="x"))
    before = dict(kernel.books.reservations), list(kernel.books.pool), kernel.books.addresses.room()
    occupied = repr(kernel.books.occupied("s"))
    assert isinstance(reserve(kernel, a=need(900), b=need(900), c=need(900), keep=need(500, apart="x")), str)
    assert before == (
        dict(kernel.books.reservations),
        list(kernel.books.pool),
        kernel.books.addresses.room(),
    )
    assert occupied == repr(kernel.books.occupied("s"))
    kernel.books.accounts.check()


def test_goes_back_where_a_greedy_choice_leads_nowhere() -> None:
    """By memory, x is placed first and fits best on the only node on which y may be."""
    kernel = cluster(node("small", 1000, ssd="yes"), node("large", 2000))
    found = reserve(kernel, x=need(900), y=need(800, attributes={"ssd": "yes"}))
    assert found == {"x": "large", "y": "small"}


def test_a_large_plan_is_placed_in_one_descent() -> None:
    kernel = cluster(*(node(f"n{n}", 1000, "abc"[n % 3]) for n in range(30)))
    found = reserve_all(kernel, {f"m{n}": need(300, apart=f"w{n % 4}", spread="zone") for n in range(60)})
    assert isinstance(found, dict)
    assert len(found) == 60


def test_same_input_same_answer() -> None:
    plans = {f"m{n}": need(100 + 7 * n, apart="x" if n % 2 else "", spread="zone") for n in range(6)}
    answers = [reserve(cluster(*three()), **plans) for _ in range(2)]  # type: ignore[arg-type]
    backwards = placed(cluster(*reversed(three())).handle(Reserve("s", dict(reversed(plans.items()))), 1.0))
    assert answers[0] == answers[1] == backwards


def test_nodes_that_are_alike_are_tried_once() -> None:
    """100 equal nodes and 10 members of which two exclude each other on all of them: refused without 100^10 tries."""
    kernel = cluster(*(node(f"n{n:02}", 1000) for n in range(100)), node("only", 1000, ssd="yes"))
    plan = {f"m{n}": need(400) for n in range(8)}
    plan |= {name: need(600, attributes={"ssd": "yes"}) for name in ("x", "y")}
    kernel.books.pool.looked_at = 0
    assert isinstance(reserve(kernel, **plan), str)  # type: ignore[arg-type]
    assert kernel.books.pool.looked_at < 50_000


# -- against brute force --------------------------------------------------------------------------------------------

needs = st.builds(
    lambda memory, apart, attribute: need(
        memory * 100, apart=apart, attributes={"ssd": attribute} if attribute else {}
    ),
    st.integers(1, 6),
    st.sampled_from(["", "x", "y"]),
    st.sampled_from(["", "", "yes"]),
)


def fits_by_brute_force(nodes: list[tuple[int, str]], plan: list[Need]) -> bool:
    for choice in itertools.product(range(len(nodes)), repeat=len(plan)):
        used = [0] * len(nodes)
        words: set[tuple[int, str]] = set()
        for index, each in zip(choice, plan, strict=True):
            used[index] += each.amount.scalar("memory_mib")
            clash = each.apart and (index, each.apart) in words
            if clash or any(nodes[index][1] != value for value in each.attributes.values()):
                break
            words.add((index, each.apart))
        else:
            if all(amount <= memory * 100_000 for amount, (memory, _) in zip(used, nodes, strict=True)):
                return True
    return False


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 8), st.sampled_from(["yes", "no"])), min_size=1, max_size=4),
    st.lists(needs, min_size=1, max_size=5),
)
def test_a_small_plan_is_placed_exactly_when_it_can_be(nodes: list[tuple[int, str]], plan: list[Need]) -> None:
    kernel = cluster(*(node(f"n{i}", memory * 100, ssd=ssd) for i, (memory, ssd) in enumerate(nodes)))
    found = reserve_all(kernel, {f"m{i}": each for i, each in enumerate(plan)})
    assert isinstance(found, dict) == fits_by_brute_force(nodes, plan), found
    kernel.books.accounts.check()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), st.integers(1, 7))
def test_spread_is_even_when_there_is_room(zones: list[str], count: int) -> None:
    kernel = cluster(*(node(f"n{i}", 100_000, zone) for i, zone in enumerate(zones)))
    found = reserve_all(kernel, {f"m{i}": need(10, spread="zone") for i in range(count)})
    assert isinstance(found, dict)
    per_zone = dict.fromkeys(zones, 0)
    for name in found.values():
        per_zone[zones[int(name[1:])]] += 1
    assert max(per_zone.values()) - min(per_zone.values()) <= 1


@pytest.mark.parametrize("existing", [10, 2000])
def test_placing_one_member_looks_at_few_nodes_however_many_there_are(existing: int) -> None:
    kernel = cluster(*(node(f"n{i:04}", 1000 + i) for i in range(existing)))
    kernel.books.pool.looked_at = 0
    assert isinstance(reserve(kernel, m=need(900)), dict)
    assert kernel.books.pool.looked_at == 1
