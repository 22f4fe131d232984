"""A next place where volumes are that were set aside, and that its member takes back."""

from kernel_plans import cluster, need, node, reserve

from upcall.kernel.events import (
    CallOff,
    DropVolumes,
    Promised,
    Refused,
    Reserve,
    Reserved,
    Write,
)
from upcall.kernel.kernel import Kernel


def _moved_once() -> Kernel:
    """``s.m`` is on n2, and what it had on n1 is set aside."""
    kernel = cluster(node("n1"), node("n2"))
    assert reserve(kernel, m=need(100, 50)) == {"m": "n1"}
    kernel.handle(Reserve("s", {"m": need(100, 50)}, {"m": 2}), 1.0)
    assert [(left.fence, left.node) for left in kernel.books.left.of_member("s.m")] == [(1, "n1")]
    return kernel


def test_a_next_place_is_held_where_volumes_are_that_are_taken_back_and_moved_into_with_them() -> None:
    kernel = _moved_once()
    taking = Reserve("s", {"m": need(100, 50)}, {"m": 3}, beside=True, takes={"m": 1})
    assert [e.node for e in kernel.handle(taking, 2.0) if isinstance(e, Promised)] == ["n1"]
    assert kernel.reservation("s.m").node == "n2", "nothing is given up yet"  # type: ignore[union-attr]
    assert kernel.handle(DropVolumes("s.m", 1), 2.0) == [], "it is held for its member"
    assert not [e for e in kernel.handle(taking, 2.0) if isinstance(e, Write)], "the same again changes nothing"
    effects = kernel.handle(Reserve("s", {"m": need(100, 50)}, {"m": 3}), 3.0)
    (reserved,) = [e for e in effects if isinstance(e, Reserved)]
    assert (reserved.node, reserved.moved, reserved.taken_back) == ("n1", True, True)
    assert kernel.reservation("s.m").fence == 1  # type: ignore[union-attr]
    assert [(left.fence, left.node, left.state) for left in kernel.books.left.of_member("s.m")] == [(2, "n2", "aside")]
    kernel.books.accounts.check()


def test_a_place_for_volumes_that_is_called_off_leaves_them_set_aside() -> None:
    kernel = _moved_once()
    kernel.handle(Reserve("s", {"m": need(100, 50)}, {"m": 3}, beside=True, takes={"m": 1}), 2.0)
    kernel.handle(CallOff("s.m"), 3.0)
    assert [(left.fence, left.state) for left in kernel.books.left.of_member("s.m")] == [(1, "aside")]
    kernel.books.accounts.check()


def test_volumes_that_are_not_there_are_not_taken_back_and_nothing_is_given_up() -> None:
    kernel = _moved_once()
    effects = kernel.handle(Reserve("s", {"m": need(100, 50)}, {"m": 3}, beside=True, takes={"m": 7}), 2.0)
    (refused,) = [e for e in effects if isinstance(e, Refused)]
    assert refused.reason == "volumes 7 of s.m are not set aside (any more)"
    assert kernel.coming("s.m") is None
