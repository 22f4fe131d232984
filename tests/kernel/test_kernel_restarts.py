"""What a restart, or a crash between any two writes, makes of the records; and the clock of a grace."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from kernel_plans import apply, cluster, load, need, node, replace_member, reserve

from upcall.kernel.events import (
    DeleteVolumes,
    Effect,
    NodeChanged,
    Release,
    Reserve,
    Tick,
    Write,
)
from upcall.kernel.kernel import Kernel


def test_a_restart_starts_silence_anew_and_leaves_graces_as_they_are() -> None:
    """The monotonic clock begins anew with each start; the wall clock goes on."""
    records: dict[tuple[str, str], Any] = {}
    kernel = cluster()
    for given in (node("n1"), Reserve("s", {"m": need(1, 1)}), Release("s.m", 60.0)):
        apply(records, kernel.handle(given, 5000.0, 100.0))
    again = load(records)
    assert again.deadline() == 0.0
    assert not [e for e in again.handle(Tick(), 0.0, 110.0) if not isinstance(e, Write)]
    assert not again.handle(Tick(), 14.0, 124.0)
    assert [e.state for e in again.handle(Tick(), 15.0, 125.0) if isinstance(e, NodeChanged)] == ["silent"]
    assert again.deadline() == 50.0
    assert DeleteVolumes("n1", "s.m", 1) in again.handle(Tick(), 50.0, 160.0)


def test_a_grace_ends_while_the_machine_sleeps() -> None:
    """A monotonic clock does not count that."""
    kernel = cluster(node("n1"), liveness_s=1000.0)
    reserve(kernel, m=need(100, 50))
    kernel.handle(Release("s.m", 3600.0), 10.0, 10_000.0)
    assert DeleteVolumes("n1", "s.m", 1) in kernel.handle(Tick(), 20.0, 13_700.0)


def test_the_ledger_may_shorten_a_grace() -> None:
    kernel = cluster(node("n1"), liveness_s=1000.0)
    reserve(kernel, m=need(100, 50))
    kernel.handle(Release("s.m", 600.0), 1.0)
    kernel.handle(Release("s.m", 60.0), 2.0)
    assert DeleteVolumes("n1", "s.m", 1) in kernel.handle(Tick(), 62.0)


def _moves(kernel: Kernel) -> list[Effect]:
    return replace_member(kernel, "m", 2)


def _released(kernel: Kernel) -> list[Effect]:
    return kernel.handle(Release("s.m", 60.0), 1.0)


def _taken_back(kernel: Kernel) -> list[Effect]:
    return kernel.handle(Reserve("s", {"k": need(100, 50)}), 1.0)


@pytest.mark.parametrize("act", [_moves, _released, _taken_back])
def test_a_crash_between_any_two_records_loses_no_volume(act: Callable[[Kernel], list[Effect]]) -> None:
    for count in itertools.count():
        records: dict[tuple[str, str], Any] = {}
        kernel = cluster()
        before = (node("n1"), node("n2"), Reserve("s", {"m": need(100, 50), "k": need(100, 50)}), Release("s.k", 60.0))
        for given in before:
            apply(records, kernel.handle(given, 0.0))
        effects = act(kernel)
        apply(records, effects, count)
        again = load(records)
        again.handle(Tick(), 0.0)
        volumes = {(r.node, m, r.fence) for m, r in again.books.reservations.items() if r.need.volumes}
        left = {(v.node, v.member_id, v.fence) for name in ("n1", "n2") for v in again.books.left.on_node(name)}
        assert not volumes & left, "no volume has two owners"
        assert {(n, m, f) for n, m, f in volumes | left if m == "s.m"} >= {("n1", "s.m", 1)}
        assert {(n, m, f) for n, m, f in volumes | left if m == "s.k"} == {("n1", "s.k", 1)}
        again.books.accounts.check()
        if count >= sum(isinstance(effect, Write) for effect in effects):
            break
    assert count >= 2


def test_a_reservation_whose_node_record_is_missing_is_kept_on_a_node_that_is_gone() -> None:
    records: dict[tuple[str, str], Any] = {}
    kernel = cluster()
    for given in (node("n1"), Reserve("s", {"m": need(1)})):
        apply(records, kernel.handle(given, 0.0))
    del records["node", "n1"]
    again = load(records)
    assert reserve(again, x=need(1)) == (
        "needs a node with 0.1 cpus, 1 MiB memory for x: n1 is gone".replace("memory for", "memory free for")
    )
    assert again.handle(node("n1"), 1.0)
    assert reserve(again, x=need(1)) == {"x": "n1"}
