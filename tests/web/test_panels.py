"""What each panel shows: pure functions of a snapshot."""

import time

from fake_master import FakeMaster
from upcall.protocol import operator as api
from upcall.web import panels

NOW = 1_796_000_000.0
"""A Sunday, 02:53 UTC."""


def status(master: FakeMaster, **more: object) -> api.Status:
    known = {
        "cluster": "upcall-test",
        "version": "1",
        "master_since": 0.0,
        "event_sequence": 1,
        "nodes": list(master.nodes.values()),
        "services": list(master.services.values()),
        "operations": list(master.operations.values()),
    }
    return api.Status.model_validate({**known, **more})


def operation(name: str, **more: object) -> api.OperationView:
    known = {"kind": "stop", "klass": "windowed", "state": "open", "target": name, "reason": "", "asked_by": "operator"}
    return api.OperationView.model_validate({"id": name, **known, **more})


def test_members_stand_at_their_nodes(master: FakeMaster) -> None:
    master.add_service("panels", 2, steps_done=1)
    shown = panels.nodes(status(master))
    first = next(one for one in shown if one["name"] == "node-1")
    assert [one["member"] for one in first["members"] if one["member"].startswith("panels")] == ["panels.m-0"]
    summary = panels.summary(status(master), connected=True, trouble="")
    assert (summary["nodes_up"], summary["nodes"]) == (3, 3)


def test_nothing_changes_while_only_time_passes_and_usage_trembles(master: FakeMaster) -> None:
    before = panels.nodes(status(master))
    master.nodes["node-1"].memory_used_mib += 1.4
    master.nodes["node-1"].cpu_used += 0.001
    assert panels.nodes(status(master)) == before


def test_a_plan_counts_its_steps_and_an_empty_one_is_left_out(master: FakeMaster) -> None:
    view = master.add_service("counted", 3, steps_done=2)
    view.plans.append({"name": "recovery", "state": "done", "reason": "", "phases": []})
    shown = next(one for one in panels.services(status(master), NOW) if one["name"] == "counted")
    assert [(one["name"], one["done"], one["steps"]) for one in shown["plans"]] == [("deploy", 2, 3)]


def test_services_that_want_a_look_come_first() -> None:
    def service(name: str, state: str) -> api.ServiceView:
        return api.ServiceView(name=name, package=name, version="1", revision=1, state=state)

    found = api.Status(
        cluster="c", version="1", master_since=0, event_sequence=0, nodes=[], operations=[],
        services=[service("a", "running"), service("z", "blocked")],
    )  # fmt: skip
    assert [one["name"] for one in panels.services(found, NOW)] == ["z", "a"]


def test_operations_are_a_tree_and_what_is_over_comes_last() -> None:
    now = time.time()
    drain = operation("op-1", kind="maintenance", since=now - 10)
    child = operation("op-2", parent="op-1", since=now - 9)
    over = operation("op-3", state="done", since=now, ended_at=now)
    shown = panels.operations([drain, child], [over])
    assert [one["id"] for one in shown] == ["op-1", "op-3"]
    assert [one["id"] for one in shown[0]["children"]] == ["op-2"]


def test_a_reason_is_said_once_and_not_where_it_is_what_the_operation_is() -> None:
    drain = operation("op-1", kind="maintenance", target="node-2", reason="maintenance")
    below = [
        operation("op-2", parent="op-1", reason="maintenance"),
        operation("op-3", parent="op-1", reason="moved (late)"),
    ]
    [shown] = panels.operations([drain, *below], [])
    assert (shown["reason"], [one["reason"] for one in shown["children"]]) == ("", ["", "moved (late)"])
    below[0].reason = "maintenance (held: nothing fits (3 nodes))"
    assert panels.operations([drain, *below], [])[0]["children"][0]["reason"] == below[0].reason
    drain.reason, below[0].reason = "new disks", "new disks"
    [shown] = panels.operations([drain, *below], [])
    assert (shown["reason"], shown["children"][0]["reason"]) == ("new disks", "")
    drain.reason, drain.removes_node, below[0].reason = "", True, "removal of node-2"
    assert panels.operations([drain, *below], [])[0]["children"][0]["reason"] == ""


def test_only_what_follows_from_nothing_is_cancelled_alone() -> None:
    [drain] = panels.operations([operation("op-1", kind="maintenance"), operation("op-2", parent="op-1")], [])
    assert (drain["cancels_alone"], drain["children"][0]["cancels_alone"]) == (True, False)
    [orphan] = panels.operations([operation("op-9", parent="op-1")], [])
    assert orphan["cancels_alone"] is False  # its parent is not listed, and still is its parent


def test_a_drain_that_stands_is_not_of_the_past() -> None:
    drain = operation("op-1", kind="maintenance", state="done", ended_at=1.0)
    assert panels.operations([drain], [])[0]["stands"] is True
    assert panels.operations([], [drain])[0]["stands"] is False


def test_a_child_whose_parent_is_not_known_is_shown_all_the_same() -> None:
    assert [one["id"] for one in panels.operations([operation("op-9", parent="op-1")], [])] == ["op-9"]


def test_what_is_wrong_with_a_service_is_shown_once_with_its_instant(master: FakeMaster) -> None:
    view = master.add_service("ill", 2, steps_done=2)
    view.degraded = [api.DegradedView(what="2 partitions lag", doing="they catch up", since=5.0, key="lag")]
    view.state, view.reason, view.ready = "degraded", "2 partitions lag (they catch up)", 2
    shown = next(one for one in panels.services(status(master), NOW) if one["name"] == "ill")
    assert shown["degraded"] == [{"key": "lag", "what": "2 partitions lag", "doing": "they catch up", "since": 5.0}]
    assert not shown["reason"]
    view.ready, view.reason = 1, "1 of 2 members ready"
    assert next(one for one in panels.services(status(master), NOW) if one["name"] == "ill")["reason"] == view.reason


def schedule(name: str, **more: object) -> api.ScheduleView:
    known = {
        "service": "again",
        "name": name,
        "every": "7 days",
        "by": "package",
        "due": NOW + 3600,
        "next": NOW + 3600,
    }
    return api.ScheduleView.model_validate({**known, **more})


def test_what_comes_again_says_what_is_due_next_last_and_what_failed(master: FakeMaster) -> None:
    view = master.add_service("again", 1, steps_done=1)
    view.options = {"windows": ["sun 02:00-04:00"]}
    view.schedules = [
        schedule("later", next=NOW + 7200),
        schedule("hidden", every="never"),
        schedule("never", every="never", by="option"),
        schedule("waits", due=NOW - 60, next=NOW + 3600, windows=["sun 02:00-04:00"]),
        schedule("failed", outcome="failed", error="no room", ended=NOW - 60, took_s=3.2, due=NOW - 1),
        schedule("late", late=True, outcome="failed"),
        schedule("runs", running="act-1", began=NOW - 5, due=0.0, next=0.0),
    ]
    shown = next(one for one in panels.services(status(master), NOW) if one["name"] == "again")
    states = {one["name"]: one["state"] for one in shown["schedules"]}
    assert states == {
        "runs": "running", "failed": "failed", "waits": "due", "late": "late", "later": "planned", "never": "never",
    }  # fmt: skip
    assert list(states)[-1] == "never"
    failed = next(one for one in shown["schedules"] if one["name"] == "failed")
    assert (failed["error"], failed["took_s"], failed["due"]) == ("no room", 3, True)
    assert shown["windows"]["open"] is (shown["windows"]["opens"] <= NOW)


def test_windows_say_until_when_or_from_when(master: FakeMaster) -> None:
    view = master.add_service("again", 1, steps_done=1)

    def shown() -> panels.Item:
        return next(one for one in panels.services(status(master), NOW) if one["name"] == "again")

    view.options = {}
    assert shown()["windows"] is None
    view.options = {"windows": ["00:00-24:00"], "time_zone": "Europe/Berlin"}
    assert (shown()["windows"]["open"], shown()["windows"]["zone"]) == (True, "Europe/Berlin")
    view.options = {"windows": ["feb 28 02:00-04:00"]}
    known = shown()["windows"]
    assert not known["open"]
    assert known["opens"] > NOW
    view.options = {"windows": ["of another release"]}
    assert shown()["windows"]["texts"] == ["of another release"]


def test_schedules_do_not_change_while_only_time_passes(master: FakeMaster) -> None:
    view = master.add_service("again", 1, steps_done=1)
    view.options = {"windows": ["sun 02:00-04:00"]}
    view.schedules = [schedule("repair", due=NOW + 1e6, next=NOW + 1e6), schedule("spread", due=NOW - 9, next=NOW)]
    before = panels.services(status(master), NOW)
    view.schedules[1].next = NOW + 4
    assert panels.services(status(master), NOW + 4) == before
