"""Amounts are exact, and what was taken and given back sums to what was there."""

import itertools
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.kernel.resources import NOTHING, Resources, milli, ranges, say

amounts = st.builds(
    Resources,
    st.dictionaries(st.sampled_from(["cpus", "memory_mib", "disk_mib"]), st.integers(0, 10**9)),
    st.dictionaries(
        st.just("ports"),
        st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10)).map(lambda p: (p[0], p[0] + p[1])), max_size=4),
    ),
    st.dictionaries(st.just("gpus"), st.lists(st.sampled_from("abcd"), max_size=4).map(tuple)),
)


def test_a_tenth_is_a_tenth() -> None:
    assert sum([milli(0.1)] * 3) == milli(0.3) == 300
    assert milli("1.0005") == 1000
    assert milli("1.0015") == 1002
    assert milli(Decimal("2.5")) == 2500


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), 1e15, "-0.001"])
def test_refuses_what_is_no_amount(value: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        milli(value)


@given(st.decimals(0, 10**6, places=3))
def test_thousandths_are_exact(value: Decimal) -> None:
    assert Fraction(milli(value), 1000) == Fraction(value)


@given(amounts, amounts)
def test_taking_away_what_was_added_gives_the_same(a: Resources, b: Resources) -> None:
    assert (a + b).scalars == (b + a).scalars
    if not a.overlaps(b):
        assert (a + b) - b == a
    assert a - NOTHING == a
    assert a - a == NOTHING


@given(amounts, amounts)
def test_fits_is_nothing_lacking(a: Resources, b: Resources) -> None:
    assert a.fits(b) == (not list(a.lacking(b)))
    assert a.fits(a + b)
    if a.fits(b):
        assert (b - a) + a == b


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=8))
def test_ranges_are_the_set_of_their_numbers(pairs: list[tuple[int, int]]) -> None:
    normal = ranges((low, low + more) for low, more in pairs)
    assert {n for low, high in normal for n in range(low, high + 1)} == {
        n for low, more in pairs for n in range(low, low + more + 1)
    }
    assert all(a[1] + 1 < b[0] for a, b in itertools.pairwise(normal))


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match="5-4"):
        ranges([(5, 4)])


def test_words_never_promise_more_than_there_is() -> None:
    assert say("memory_mib", milli(1279)) == "1.2 GiB memory"
    assert say("memory_mib", milli(2048)) == "2 GiB memory"
    assert say("memory_mib", milli(700)) == "700 MiB memory"
    assert say("cpus", 1500) == "1.5 cpus"
    assert say("cpus", 10_000) == "10 cpus"
    assert str(Resources({"cpus": 500}, {"ports": ((1, 3),)}, {"gpus": ("a", "b")})) == "0.5 cpus, ports 1-3, gpus a, b"
    assert str(NOTHING) == "nothing"
