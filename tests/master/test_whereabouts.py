"""Where a member's newest incarnation is, while an older one that leaves still has its names."""

from types import SimpleNamespace
from typing import Any

from upcall.master.records import SeenRecord
from upcall.master.whereabouts import of_newest

WEB: Any = SimpleNamespace(service="hello", name="web-1", incarnation=2, node="node-1")


def known(leaving: int, **more: Any) -> Any:
    ledger = SimpleNamespace(leaving=lambda service, member: leaving)
    state = {"places": {"hello.web-1": ("node-1", "127.0.0.1")}, "seen": {}, "next_nodes": {}}
    return SimpleNamespace(state=SimpleNamespace(ledger=ledger, **(state | more)))


def test_alone_it_is_at_its_place() -> None:
    assert of_newest(known(0), WEB) == ("node-1", "127.0.0.1")


def test_beside_one_that_leaves_it_is_where_it_was_seen_else_where_its_place_is_held() -> None:
    held = known(1, next_nodes={"hello.web-1": "node-2"})
    assert of_newest(held, WEB) == ("node-2", "")
    starts = SeenRecord(incarnation=2, state="starting", since=1.0, node="node-3", address="127.0.0.3")
    assert of_newest(known(1, seen={"hello.web-1": starts}), WEB) == ("node-3", "127.0.0.3")
    older = SeenRecord(incarnation=1, state="ready", since=1.0, node="node-1", address="127.0.0.1")
    assert of_newest(known(1, seen={"hello.web-1": older}, next_nodes={"hello.web-1": "node-2"}), WEB)[0] == "node-2"
