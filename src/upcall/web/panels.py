"""What each panel shows, from one snapshot: pure, small, and equal when nothing that is seen has changed.

Times leave as instants (seconds since 1970); the browser counts the seconds, so a panel does not change each second.
Usage figures are rounded to what is drawn, for the same reason.
"""

from collections.abc import Collection, Iterable
from typing import Any, Final

from upcall.protocol.operator import Event, NodeView, OperationView, ServiceView, Status, TaskView
from upcall.web import again

Item = dict[str, Any]

DONE: Final = frozenset({"done", "forced"})
SHOWN: Final = {"id", "kind", "klass", "who_wins", "state", "target", "reason", "asked_by", "origin", "firmness"} | {
    "on_deadline", "deadline_at", "since", "ended_at", "outcome", "waits_for", "next_look_is",
    "forced_by", "forced_reason"
}  # fmt: skip
"""Of an operation."""


def summary(status: Status | None, *, connected: bool, trouble: str) -> Item:
    """The head: how it is, in one look."""
    if status is None:
        return {"connected": connected, "trouble": trouble}
    return {
        "connected": connected,
        "trouble": trouble,
        "cluster": status.cluster,
        "nodes": len(status.nodes),
        "nodes_up": sum(one.state == "up" for one in status.nodes),
        "members": sum(one.wanted for one in status.services),
        "members_ready": sum(one.ready for one in status.services),
        "services": len(status.services),
        "cpus": round(status.cpus, 1),
        "cpu_used": round(sum(one.cpu_used for one in status.nodes), 1),
        "memory_mib": sum(one.memory_mib for one in status.nodes),
        "memory_used_mib": _tens(sum(one.memory_used_mib for one in status.nodes)),
        "waiting": status.waiting,
    }


def nodes(status: Status) -> list[Item]:
    """Nodes, each with the members that are there."""
    members = {task.member: task for service in status.services for task in service.members}
    return [_node(one, [members[name] for name in one.members if name in members]) for one in status.nodes]


def _node(one: NodeView, tasks: list[TaskView]) -> Item:
    return {
        "name": one.name,
        "state": one.state,
        "reason": "" if one.state == "up" else one.reason,
        "zone": one.zone,
        "attributes": one.attributes,
        "cpus": one.cpus,
        "cpu_used": round(one.cpu_used, 2),
        "memory_mib": one.memory_mib,
        "reserved_mib": one.memory_reserved_mib,
        "used_mib": _tens(one.memory_used_mib),
        "members": [_member(task) for task in tasks],
    }


def _member(task: TaskView) -> Item:
    return {
        "member": task.member,
        "incarnation": task.incarnation,
        "state": task.state,
        "reason": task.reason,
        "node": task.node,
        "address": task.address,
        "since": task.since,
        "cpu_used": round(task.cpu_used, 2),
        "used_mib": _tens(task.memory_used_mib),
        "memory_mib": task.memory_mib,
    }


def services(status: Status, now_s: float) -> list[Item]:
    """Services with their plans; a plan that is done is one line."""
    return [
        {
            "name": one.name,
            "package": one.package,
            "version": one.version,
            "revision": one.revision,
            "state": one.state,
            "reason": "" if one.degraded and one.state == "degraded" and one.ready >= one.wanted else one.reason,
            "degraded": [wrong.model_dump(include={"key", "what", "doing", "since"}) for wrong in one.degraded],
            "ready": one.ready,
            "wanted": one.wanted,
            "plans": [_plan(plan) for plan in one.plans if _worth_showing(plan)],
            "endpoints": [
                {"name": end.name, "protocol": end.protocol, "addresses": end.addresses} for end in one.endpoints
            ],
            "windows": again.windows(one, now_s),
            "schedules": again.schedules(one, now_s),
            "unplaced": [_member(task) for task in one.members if not task.node],
        }
        for one in sorted(status.services, key=_by_need)
    ]


def _by_need(one: ServiceView) -> tuple[bool, str]:
    """Those that want a look come first."""
    return one.state in ("running", "shut down"), one.name


def _worth_showing(plan: dict[str, Any]) -> bool:
    """A plan without a step, and nothing to say, is only a name."""
    return bool(plan.get("reason")) or any(phase.get("steps") for phase in plan.get("phases", ()))


def _plan(plan: dict[str, Any]) -> Item:
    phases = plan.get("phases", ())
    steps = [step for phase in phases for step in phase.get("steps", ())]
    return {
        "name": plan.get("name", ""),
        "state": plan.get("state", ""),
        "reason": plan.get("reason", ""),
        "done": sum(step.get("state") in DONE for step in steps),
        "steps": len(steps),
        "phases": [
            {
                "name": phase.get("name", ""),
                "strategy": phase.get("strategy", ""),
                "state": phase.get("state", ""),
                "steps": [
                    {key: step.get(key, "") for key in ("name", "state", "reason", "since")}
                    for step in phase.get("steps", ())
                ],
            }
            for phase in phases
        ],
    }


def operations(live: Iterable[OperationView], ended: Iterable[OperationView]) -> list[Item]:
    """A tree: each operation with those that it caused; live ones first, the newest first among them."""
    current = {one.id: one for one in live}
    found = {**{one.id: one for one in ended}, **current}
    order = sorted(found.values(), key=lambda one: (one.id not in current, one.ended_at is not None, -one.since))
    children: dict[str, list[OperationView]] = {}
    for one in order:
        if one.parent in found:
            children.setdefault(one.parent, []).append(one)
    return [_operation(one, children, current) for one in order if one.parent not in found]


def _operation(
    one: OperationView,
    children: dict[str, list[OperationView]],
    current: Collection[str],
    parent: OperationView | None = None,
) -> Item:
    known = one.model_dump(include=SHOWN) | {"target": one.member or one.target}
    known["reason"] = _reason(one, parent)
    # The instant of the next look moves a little with every answer; seconds are what is shown.
    known["next_look_at"] = None if one.next_look_at is None else round(one.next_look_at)
    known["stands"] = one.ended_at is not None and one.id in current and not one.removes_node
    # What follows from another is not cancelled alone: while the other is open, the API refuses.
    known["cancels_alone"] = not one.parent
    known["children"] = [_operation(child, children, current, one) for child in children.get(one.id, ())]
    return known


def _reason(one: OperationView, parent: OperationView | None) -> str:
    """What is not said already by what it is, or by the operation that it is shown below."""
    if parent is None:
        return "" if one.reason == one.kind else one.reason
    said = (parent.reason, f"removal of {parent.target}", f"{parent.kind} of {parent.target}", parent.kind, one.kind)
    return "" if one.reason in said else one.reason


def event(one: Event) -> Item:
    """The subject stands before the text, which says the rest."""
    return {"sequence": one.sequence, "at": one.at, "kind": one.kind, "subject": one.subject, "text": one.text}


def _tens(mib: float) -> int:
    return round(mib / 10) * 10
