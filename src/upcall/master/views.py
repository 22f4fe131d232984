"""What people see: the operator API's views, made from the state. Wall times are seconds since 1970."""

import math
from collections.abc import Collection
from typing import Any

import msgspec

from upcall.master import code_trouble, finalizing, health, past, revisions, schedules, whereabouts
from upcall.master import records as r
from upcall.master.core import Core
from upcall.master.services import endpoint_addresses
from upcall.master.state import Service
from upcall.master.streams import Streams
from upcall.master.to_wire import member_state
from upcall.operations.records import Mark, Operation, Way
from upcall.operations.table import CHANGES, CLASSES
from upcall.operations.views import MemberView
from upcall.operations.views import Why as LedgerWhy
from upcall.operations.waiting import RESTART_PAUSE
from upcall.protocol import operator as view
from upcall.protocol.agent import ENDED_KEPT_S
from upcall.protocol.errors import NotFound
from upcall.protocol.service import PlanView
from upcall.substrate.interface import NodeExpected, NodeObserved
from upcall.substrate.machines import Machines

AWAY_NAMED_MAX = 3
AT_THEIR_END = ("finished", "failed")
"""They do not run, and nobody waits for them to."""
GONE = "gone"
"""The state of members that have left."""


KEPT_WORDS = (
    f"what has left is remembered for {ENDED_KEPT_S / 86_400:.0f} days, the last {past.MEMBERS_MAX} members, "
    "until its service is installed again"
)


class Views:
    def __init__(self, core: Core, machines: Machines, streams: Streams) -> None:
        self._core, self._machines, self._streams = core, machines, streams

    # -- tasks ------------------------------------------------------------------------------------------------------

    def tasks(self, service: str = "") -> list[view.TaskView]:
        return [self._task(member) for member in self._core.state.ledger.members(service)]

    def task(self, name: str) -> view.TaskView:
        """By member (``store.replica-2``) or by task (``store.replica-2.7``)."""
        for task in self.tasks(name.partition(".")[0]):
            if name in (task.member, task.task):
                return task
        known = ", ".join(sorted(task.member for task in self.tasks())[:20])
        raise NotFound(f"no member {name!r}", where="member", expected=f"one of {known}" if known else "a member")

    def task_or_past(self, name: str) -> view.TaskView:
        """As :meth:`task`, also of a member that has left."""
        try:
            return self.task(name)
        except NotFound as missing:
            for member, one in self._core.state.past.items():
                if name in (member, one.task):
                    return _of_the_past(member, one)
            said = missing.problem
            raise NotFound(said.message, where=said.where, expected=f"{said.expected}; {KEPT_WORDS}") from None

    def with_logs(self, name: str) -> view.TaskView:
        """Whose logs can be read, as far as is known here."""
        found = self.task_or_past(name)
        if not found.incarnation:
            raise NotFound(f"{found.member} was never started", where=name, expected="a member that was")
        if found.state == GONE and found.node not in self._core.known_nodes():
            raise NotFound(
                f"the logs of {found.task} lay on {found.node or 'a node that is not known'}, which is gone",
                where=name,
                expected=f"`upcall task show {found.member}` for its last lines",
            )
        return found

    def _task(self, member: MemberView) -> view.TaskView:
        state = self._core.state
        member_id = f"{member.service}.{member.name}"
        task = f"{member_id}.{member.incarnation}"
        node, address = whereabouts.of_newest(self._core, member)
        service = state.services.get(member.service)
        declaration = service.declaration(member.name, member.generation) if service else None
        seen = state.seen.get(member_id)
        usage = self._machines.usage(task)
        filling = "; ".join(map(str, usage.filling)) if usage else ""
        shown = member_state(member)
        reason = member.reason
        if shown == "fetching":
            reason = self._machines.progress(task) or reason
        if member.status == "declared" and service and service.unplaced:
            reason = service.unplaced
        reason = "; ".join(filter(None, (reason, filling)))
        return view.TaskView(
            member=member_id,
            service=member.service,
            name=member.name,
            incarnation=member.incarnation,
            task=task,
            state=shown,
            reason=reason,
            node=node,
            zone=self._core.zone(node),
            address=address,
            ports={port.name: port.number for port in declaration.ports} if declaration else {},
            since=seen.since if seen else 0.0,
            cpus=declaration.resources.cpus if declaration else 0.0,
            memory_mib=declaration.resources.memory_mib if declaration else 0,
            cpu_used=usage.cpu_cores if usage else 0.0,
            memory_used_mib=usage.memory_mib if usage else 0.0,
            disk_mib=sum(volume.size_mib for volume in declaration.volumes) if declaration else 0,
            disk_used_mib=usage.disk_mib if usage else 0.0,
            filling=[str(one) for one in usage.filling] if usage else [],
            exit_code=seen.exit_code if seen else None,
            exit_reason=seen.exit_reason if seen else "",
            last_lines=list(seen.last_lines) if seen else [],
            ended=seen.ended if seen else 0,
            ended_at=seen.ended_at if seen else 0.0,
        )

    # -- services ---------------------------------------------------------------------------------------------------

    def services(self) -> list[view.ServiceView]:
        return [self.service(service) for _, service in sorted(self._core.state.services.items())]

    def service(self, service: Service) -> view.ServiceView:
        record = service.record
        tasks = self.tasks(record.name)
        counted = [task for task in tasks if (wanted := service.declared(task.name)) is None or wanted.minimum]
        ready = sum(task.state in ("ready", "finished") for task in counted)
        state, reason = self._service_state(service, counted, ready, len(counted))
        package = self._package(record.package, record.version)
        return view.ServiceView(
            name=record.name,
            package=record.package,
            version=record.version,
            revision=record.revision,
            options=revisions.by_a_person(record),
            derived=msgspec.to_builtins(record.derived),
            bindings=record.bindings,
            secrets=list(record.secrets),
            platform=record.platform,
            made={
                platform: {kind: list(names) for kind, names in kinds.items()}
                for platform, kinds in record.made.items()
            },
            desired=self._core.desired(record.name),
            state=state,
            reason=reason,
            ready=ready,
            wanted=len(counted),
            degraded=[view.DegradedView(**msgspec.structs.asdict(one)) for one in health.of(self._core, service)],
            members=tasks,
            plans=[msgspec.to_builtins(plan) for plan in service.plans],
            endpoints=self.endpoints(service),
            actions=package.actions if package else [],
            schedules=schedules.views(self._core, service),
            came_from=finalizing.came_from(self._core, service),
            unfinished="; ".join(_unfinished(service)),
        )

    def _service_state(self, service: Service, tasks: list[view.TaskView], ready: int, wanted: int) -> tuple[str, str]:
        """``tasks``: those that count."""
        desired = self._core.desired(service.record.name)
        if desired == "uninstalling":
            return "uninstalling", ""
        if desired == "shut_down":
            return "shut down", ""
        if not self._streams.connected(service.record.name):
            return "no host", "its code is not connected; its tasks run on"
        if changing := self._changing(service):
            return "updating", changing
        if service.unplaced:
            return "blocked", service.unplaced
        plan = next((plan for plan in service.plans if plan.name == "deploy"), None)
        beside = self._failed_beside(service)
        trouble = code_trouble.words(self._core, service)
        if plan is None or not _is_over(plan, beside):
            if trouble:
                return "blocked", _on_which_it_failed(service) + trouble
            if plan is not None and _stands_still(plan, beside):
                return "blocked", f"its deploy plan is {plan.state}: {plan.reason}"
            if recovering := self._recovering(service.record.name):
                return "recovering", recovering
            if homeless := _without_place(tasks):
                return "blocked", homeless
            return "deploying", _first_reason(plan)
        if recovering := self._recovering(service.record.name):
            return "recovering", "; ".join([recovering, *_unfinished(service)])
        if ready < wanted:
            away = [_away(task) for task in tasks if task.state not in ("ready", "finished")]
            named = ", ".join(away[:AWAY_NAMED_MAX]) + (" ..." if len(away) > AWAY_NAMED_MAX else "")
            return "degraded", f"{ready} of {wanted} members ready; {named}"
        if wrong := health.brief(service):
            return "degraded", wrong
        if trouble:
            return "degraded", _on_which_it_failed(service) + trouble
        failed = [f"{name} has failed: {reason}" for name, reason in beside.items()]
        failed += _unfinished(service)
        return "running", "; ".join([*failed, *(f"{task.name}: {text}" for task in tasks for text in task.filling)])

    def _changing(self, service: Service) -> str:
        """The change that is being carried out, and how far it is."""
        for operation in self._core.state.ledger.live(service.record.name):
            if operation.kind in CHANGES and operation.begun:
                held = "paused" if operation.paused else self._change_waits_for(service)
                return f"{operation.kind} to revision {operation.revision} ({operation.id})" + (
                    f": {held}" if held else ""
                )
        return ""

    def _change_waits_for(self, service: Service) -> str:
        """In the words of its code, which carries the change out, or that it cannot."""
        if trouble := code_trouble.words(self._core, service):
            return trouble
        return _first_reason(next((plan for plan in service.plans if plan.name == "update"), None))

    def _failed_beside(self, service: Service) -> dict[str, str]:
        """Jobs beside the service (they do not count for it) that have failed, and why: told, and no fault of it."""
        return {
            member.name: member.reason
            for member in self._core.state.ledger.members(service.record.name)
            if member.status == "failed" and (wanted := service.declared(member.name)) and not wanted.minimum
        }

    def _recovering(self, service: str) -> str:
        """The members that end again and again. One word for it, whether they are down, starting or ready for a
        moment."""
        found = []
        for member in self._core.state.ledger.members(service, self._core.monotonic()):
            if member.ended_times and member.status != "unknown":  # Of one on a silent node that is what is wrong.
                now = f"next try in {math.ceil(member.pause_s)} s" if member.pause_s else f"now {member_state(member)}"
                found.append(f"{member.name} ended {member.ended_times} times, last: {member.ended_how}; {now}")
        return "; ".join(found[:AWAY_NAMED_MAX]) + (" ..." if len(found) > AWAY_NAMED_MAX else "")

    def _package(self, name: str, version: str) -> view.PackageView | None:
        try:
            return package_view(self._core.state.packages.find(name, version))
        except NotFound:
            return None

    def endpoints(self, service: Service) -> list[view.EndpointView]:
        return [
            view.EndpointView(
                service=service.record.name,
                name=endpoint.name,
                protocol=endpoint.protocol,
                addresses=endpoint_addresses(self._core, service, endpoint),
                description=endpoint.description,
                user=endpoint.user,
            )
            for endpoint in service.endpoints
        ]

    # -- nodes ------------------------------------------------------------------------------------------------------

    def nodes(self) -> list[view.NodeView]:
        tasks: dict[str, list[view.TaskView]] = {}
        for task in self.tasks():
            if task.state not in AT_THEIR_END:
                tasks.setdefault(task.node, []).append(task)
        return [self._node(name, seen, tasks.get(name, [])) for name, seen in self._core.known_nodes().items()]

    def node(self, name: str) -> view.NodeView:
        for node in self.nodes():
            if node.name == name:
                return node
        known = ", ".join(self._core.known_nodes())
        raise NotFound(f"no node {name!r}", where="node", expected=f"one of {known}" if known else "a node")

    def _node(self, name: str, seen: NodeObserved | NodeExpected, here: list[view.TaskView]) -> view.NodeView:
        described = seen.description
        if isinstance(seen, NodeExpected):
            state, reason = "silent", "it has not registered yet since the master's start"
        else:
            state, reason = seen.state, seen.reason
        drain = self._core.state.ledger.maintenance(name)
        shown: str = state
        if state == "up" and drain is not None:
            shown = "drained" if drain.state == "done" else "draining"
            reason = f"{drain.id}{_because(drain)}"
        elif state == "up" and isinstance(seen, NodeObserved) and seen.closed:
            shown, reason = "cordoned", seen.closed
        return view.NodeView(
            name=name,
            state=shown,
            reason=reason,
            zone=self._core.zone(name),
            attributes=dict(described.attributes) if described else {},
            cpus=described.cpus if described else 0.0,
            memory_mib=described.memory_mib if described else 0,
            disk_mib=described.disk_mib if described else 0,
            disk_used_mib=sum(task.disk_used_mib for task in here),
            memory_reserved_mib=sum(task.memory_mib for task in here),
            memory_used_mib=sum(task.memory_used_mib for task in here),
            cpu_used=sum(task.cpu_used for task in here),
            members=sorted(task.member for task in here),
            features=list(self._machines.features(name)),
        )

    # -- operations -------------------------------------------------------------------------------------------------

    def operations(self, *, ended: bool = False) -> list[view.OperationView]:
        """The live ones (a drain that stands is live); with ``ended`` those of the past too. Newest first."""
        ledger = self._core.state.ledger
        return [self.operation(each) for each in reversed(ledger.operations() if ended else ledger.standing())]

    def find_operation(self, operation: str) -> Operation:
        found = self._core.state.ledger.operation(operation)
        if found is None:
            raise NotFound(f"no operation {operation!r}", where="operation", expected="an id such as op-12")
        return found

    def operation(self, operation: Operation) -> view.OperationView:
        why = self._why(operation) if operation.live else None
        target = operation.target
        member = f"{target.service}.{target.members[0]}" if len(target.members) == 1 else ""
        wall_s = self._core.wall()
        children = [each.id for each in self._core.state.ledger.children(operation.id)]
        forced = operation.forced or self._forced_at_end(operation)
        return view.OperationView(
            id=operation.id,
            kind=operation.kind,
            klass=operation.class_,
            who_wins=CLASSES[operation.class_],
            state=operation.state,
            target=target.node or _target(operation),
            nodes=list(operation.nodes),
            service=target.service,
            member=member if operation.kind != "uninstall" else "",
            reason=operation.reason,
            asked_by=operation.asked_by,
            origin=operation.origin,
            parent=operation.parent,
            children=children,
            removes_node=operation.removes_node,
            firmness=operation.firmness,
            on_deadline=operation.on_deadline or "",
            deadline_at=operation.deadline_wall_s,
            since=operation.since_wall_s,
            ended_at=None if operation.live else operation.since_wall_s,
            outcome=operation.outcome,
            waits_for=self._plan_says(operation, why) or _waits_for(why),
            next_look_at=wall_s + why.next_look_s if why and why.next_look_s is not None else None,
            next_look_is=why.next_look_is if why and why.next_look_s is not None else "",
            forced_by=forced.who if forced else "",
            forced_reason=forced.why if forced else "",
        )

    def _forced_at_end(self, operation: Operation) -> Mark | None:
        """Its window's end forced it, as was chosen beforehand. A service whose silence lets it proceed may have begun
        before that end, which the record does not tell apart: nothing is claimed then."""
        deadline_s = operation.deadline_wall_s
        if not operation.over_consent or operation.on_deadline != "force" or deadline_s is None:
            return None
        silence = [each.silence for each in self._core.state.ledger.services() if each.name == operation.target.service]
        if operation.since_wall_s < deadline_s or silence != ["hold"]:
            return None
        return Mark(who="its deadline", why="--on-deadline force", wall_s=deadline_s)

    def _plan_says(self, operation: Operation, why: LedgerWhy | None) -> str:
        """Of a change that its service carries out, and that waits for no step: what its plan waits for."""
        service = self._core.state.services.get(operation.target.service)
        if why is None or service is None or operation.kind not in CHANGES or not operation.begun:
            return ""
        if why.waits_for != service.record.name or not (said := self._change_waits_for(service)):
            return ""
        return f"{service.record.name}: {said}"

    def _why(self, operation: Operation) -> LedgerWhy | None:
        """As of now, not of the last input."""
        return self._core.state.ledger.why(operation.id, self._core.monotonic(), self._core.wall())

    def why(self, operation: Operation) -> view.Why:
        ledger = self._core.state.ledger
        why = self._why(operation)
        lines = [why.account()] if why else [_ended(operation)]
        lines += filter(None, [self._plan_says(operation, why)])
        if operation.state == "open" and (said := self._core.notes.get(operation.id)):
            lines.append(f"{operation.target.service}: {said}")
        if operation.reason:
            lines.append(f"{'seen' if operation.seen else 'asked for'} by {operation.asked_by}{_because(operation)}")
        lines += [_way(each) for each in why.ways] if why else []
        children = [self.why(each) for each in ledger.children(operation.id)]
        return view.Why(operation=self.operation(operation), lines=lines, children=children)

    def waiting(self) -> list[str]:
        """What waits for somebody, in words, oldest first. Of a drain, what lies below it says so itself. A pause
        before the next start waits for nobody, and its service says it."""
        found = []
        ledger = self._core.state.ledger
        for operation in ledger.standing():
            if operation.kind == "maintenance" and any(each.state == "open" for each in ledger.children(operation.id)):
                continue
            why = self._why(operation) if operation.state == "open" else None
            if why and why.waits_for and why.waits_for != RESTART_PAUSE:
                found.append(why.brief())
        return found


def _of_the_past(member: str, one: r.PastRecord) -> view.TaskView:
    service, _, name = member.partition(".")
    return view.TaskView(
        member=member,
        service=service,
        name=name,
        incarnation=int(one.task.rpartition(".")[2]),
        task=one.task,
        state=GONE,
        reason="it has left",
        node=one.node,
        since=one.ended_at,
        exit_code=one.exit_code,
        exit_reason=one.exit_reason,
        last_lines=list(one.last_lines),
        ended=int(one.task.rpartition(".")[2]),
        ended_at=one.ended_at,
    )


def _way(way: Way) -> str:
    """``possible: give orders a second copy: `upcall ...`; costs: room for it``."""
    text = f"possible now: {way.does}" + (f": `{way.command}`" if way.command else "")
    return text + (f". Costs: {way.costs}" if way.costs else "")


def package_view(package: Any) -> view.PackageView:
    return view.PackageView.of(package)


def _target(operation: Operation) -> str:
    target = operation.target
    if not target.service:
        return target.words() if target.nodes else "the system"
    if len(target.members) != 1 or operation.kind == "uninstall":
        return target.service
    incarnation = target.incarnation_of(target.members[0])
    return f"{target.service}.{target.members[0]}" + (f".{incarnation}" if incarnation else "")


def _waits_for(why: LedgerWhy | None) -> str:
    if why is None or not why.waits_for:
        return ""
    if why.answered:
        return why.reason  # Whose answer it is stands in it.
    return why.waits_for + (f": {why.reason}" if why.reason else "")


def _because(operation: Operation) -> str:
    """Its reason, where that is more than what it is."""
    return f": {operation.reason}" if operation.reason != operation.kind else ""


def _ended(operation: Operation) -> str:
    return f"{operation.id} {operation.kind} is {operation.state}" + (
        f": {operation.outcome}" if operation.outcome else ""
    )


def _is_over(plan: PlanView, failed_beside: Collection[str]) -> bool:
    """A plan that failed before it had a step is not: its code did not say what it wants."""
    steps = [step for phase in plan.phases for step in phase.steps]
    return plan.state == "done" or (
        bool(steps)
        and all(
            step.state in ("done", "forced") or (step.state == "failed" and step.name in failed_beside)
            for step in steps
        )
    )


def _stands_still(plan: PlanView, failed_beside: Collection[str]) -> bool:
    """It goes no further by itself. That a job beside the service has failed holds nobody else."""
    failed = [step.name for phase in plan.phases for step in phase.steps if step.state == "failed"]
    alone = bool(failed) and all(name in failed_beside for name in failed)
    return plan.state == "paused" or (plan.state == "failed" and not alone)


def _without_place(tasks: list[view.TaskView]) -> str:
    """Who is to run and has no place, in the words of whoever places; where that is somebody else, a service begins
    before all of it has places."""
    found = [f"{task.name}: {task.reason}" for task in tasks if task.state == "pending" and task.reason]
    return "; ".join(found[:AWAY_NAMED_MAX]) + (" ..." if len(found) > AWAY_NAMED_MAX else "")


def _away(task: view.TaskView) -> str:
    """One that failed does not come back by itself: how it ended is why. One that is lost waits for its node."""
    told = task.state in ("failed", "lost") and task.reason
    return f"{task.name} {task.state}" + (f": {task.reason}" if told else "")


def _unfinished(service: Service) -> list[str]:
    """The revision that stands is not what all members run."""
    known = service.revisions.get(service.record.revision)
    if known is None or known.outcome not in ("failed", "cancelled"):
        return []
    what = "has failed" if known.outcome == "failed" else "was cancelled"
    why = f": {known.why}" if known.why else ""
    way = (
        f"`upcall rollback {known.service}` goes back, another value goes on"
        if known.outcome == "failed"
        else f"`upcall rollback {known.service}` goes back, another update goes on"
    )
    return [f"the change to revision {known.number} {what}{why}; {way}"]


def _on_which_it_failed(service: Service) -> str:
    known = service.revisions.get(service.record.revision)
    failed = known is not None and known.outcome == "failed"
    return f"the change to revision {service.record.revision} has failed: " if failed else ""


def _first_reason(plan: PlanView | None) -> str:
    if plan is None:
        return "its plan is being made"
    for phase in plan.phases:
        for step in phase.steps:
            if step.state not in ("done", "forced"):
                return f"{phase.name} / {step.name}" + (f": {step.reason}" if step.reason else "")
    return plan.reason
