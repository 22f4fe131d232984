"""An event costs what it changes, not what exists."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
from kernel_plans import amount, need, reserve

from upcall.kernel.events import (
    Heard,
    Release,
    Reserve,
    Tick,
)
from upcall.kernel.kernel import Kernel
from upcall.kernel.records import RESERVATION


def _lines(work: Callable[[], object]) -> int:
    """Lines of Python that ``work`` executes: a count, so it does not depend on the machine."""
    count = 0

    def trace(frame: Any, event: str, arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def _crowded(members: int) -> Kernel:
    """``members`` on record, all of one service, on as many nodes as are needed; from records, for the range of
    addresses is small on purpose."""
    from upcall.kernel.records import NODE, NodeRecord, Reservation

    records: list[tuple[str, str, Any]] = []
    for number in range(max(1, members // 50)):
        record = NodeRecord(f"n{number:03}", amount(100_000, 100.0, 10**6), {"zone": "abc"[number % 3]})
        records.append((NODE, record.name, record))
    for number in range(members):
        address = f"10.0.{number // 250}.{number % 250}"
        wants = need(100, 10, apart=f"w{number}", spread="zone")
        reservation = Reservation("s", f"x{number}", f"n{number // 50:03}", address, 1, 1, wants)
        records.append((RESERVATION, reservation.member_id, reservation))
    kernel = Kernel("127.40.8", 15.0, records)
    kernel.handle(Tick(), 0.0)
    return kernel


@pytest.mark.parametrize(
    "act",
    [
        lambda kernel: reserve(kernel, new=need(100, 10, apart="new")),
        lambda kernel: kernel.handle(Reserve("s", {"x7": need(200, 10, apart="w7", spread="zone")}), 1.0),
        lambda kernel: kernel.handle(Release("s.x7", 60.0), 1.0),
        lambda kernel: kernel.handle(Heard("n000"), 1.0),
        lambda kernel: kernel.handle(Tick(), 1.0),
    ],
    ids=["reserve", "resize", "release", "heard", "tick"],
)
def test_an_event_costs_what_it_changes_not_what_exists(act: Callable[[Kernel], object]) -> None:
    few, many = _crowded(50), _crowded(2000)
    few_lines, many_lines = _lines(lambda: act(few)), _lines(lambda: act(many))
    assert many_lines <= few_lines + 60, (few_lines, many_lines)
