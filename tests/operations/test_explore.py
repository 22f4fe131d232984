"""Every reachable state of small worlds: the promises hold in each, and none is a dead end.

The usual run takes seconds; ``UPCALL_EXPLORE=1`` walks the bigger worlds (minutes).
"""

import os

import pytest

from upcall.operations import guard
from upcall.operations import inputs as given
from upcall.operations.explore import explore
from upcall.operations.small_world import Broken, Budget


def drain(node: str) -> given.Input:
    return given.Propose(kind="maintenance", asked_by="ann", node=node, window_s=15, on_deadline="hold")


def restart(member: str) -> given.Input:
    return given.Propose(kind="restart", asked_by="ann", service="log", members=(member,))


UNINSTALL = given.Propose(kind="uninstall", asked_by="ann", service="log")
SHUTDOWN = given.Propose(kind="shutdown", asked_by="ann")

SMALL = {
    "two restarts, a deferral, a death": Budget(wishes=(restart("b0"), restart("b1")), deaths=1),
    "a restart and a drain of its node, a deferral, a death": Budget(wishes=(restart("b0"), drain("n0")), deaths=1),
    "a restart, a failing task, a death": Budget(wishes=(restart("b0"),), deaths=1, failures=1, deferrals=0),
    "two drains": Budget(wishes=(drain("n0"), drain("n1")), deaths=0, deferrals=0),
    "uninstall and a drain": Budget(wishes=(UNINSTALL, drain("n0")), deaths=0, deferrals=0),
    "shutdown and a restart, forced": Budget(wishes=(SHUTDOWN, restart("b0")), deaths=0, deferrals=0, forces=1),
}
BIG = {
    "two drains, a death": Budget(wishes=(drain("n0"), drain("n1")), deaths=1),
    "uninstall and a drain, a death": Budget(wishes=(UNINSTALL, drain("n0")), deaths=1),
    "shutdown and a restart, a death": Budget(wishes=(SHUTDOWN, restart("b0")), deaths=1, deferrals=0),
    "a drain, a failing task, a death": Budget(wishes=(drain("n0"),), deaths=1, failures=1, deferrals=0),
    "a restart and a drain, a failing task": Budget(wishes=(restart("b0"), drain("n1")), deaths=0, failures=1),
    "two restarts, a slow start, a failing task": Budget(
        wishes=(restart("b0"), restart("b1")), deaths=0, failures=1, slow=1
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_world_keeps_its_promises_and_has_no_dead_end(name: str) -> None:
    found = explore(SMALL[name])
    assert found.states > 100
    assert found.deaths > 0 or SMALL[name].deaths == 0


@pytest.mark.skipif(not os.environ.get("UPCALL_EXPLORE"), reason="minutes; UPCALL_EXPLORE=1 walks the bigger worlds")
@pytest.mark.parametrize("name", BIG)
def test_bigger_world_keeps_its_promises_and_has_no_dead_end(name: str) -> None:
    assert explore(BIG[name]).states > 1000


def test_the_explorer_finds_a_ledger_without_a_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "objection", lambda book, operation: "")
    with pytest.raises(Broken, match="leaves 1 of 2"):
        explore(Budget(wishes=(drain("n0"), drain("n1")), deaths=0, deferrals=0))
