"""What people see of services: how each one is, in one word and why, and all that belongs to it."""

import math
from collections.abc import Collection
from typing import Any

import msgspec

from upcall.master import code_trouble, finalizing, health, revisions, schedules
from upcall.master.core import Core
from upcall.master.services import endpoint_addresses
from upcall.master.state import Service
from upcall.master.task_views import TaskViews
from upcall.master.to_wire import member_state
from upcall.operations.records import Operation
from upcall.operations.table import CHANGES
from upcall.protocol import operator as view
from upcall.protocol.errors import NotFound
from upcall.protocol.service import PlanView

AWAY_NAMED_MAX = 3


class ServiceViews(TaskViews):
    """Of all services, with their members."""

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
            keeper=self._keeper(service),
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
            commands=package.commands if package else [],
            clients=package.clients if package else [],
            schedules=schedules.views(self._core, service),
            came_from=finalizing.came_from(self._core, service),
            unfinished="; ".join(_unfinished(service)),
        )

    def _keeper(self, service: Service) -> view.KeeperView | None:
        keeper = service.record.keeper
        if keeper is None:
            return None
        became = service.revisions.get(keeper.revision)
        return view.KeeperView(
            **msgspec.structs.asdict(keeper),
            operation=revisions.carried_out_by(self._core, became) if became is not None else "",
            outcome=became.outcome if became is not None else "",
            why=became.why if became is not None else "",
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
                held = "paused" if operation.paused else change_waits_for(self._core, service, operation)
                return f"{operation.kind} to revision {operation.revision} ({operation.id})" + (
                    f": {held}" if held else ""
                )
        return ""

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


def change_waits_for(core: Core, service: Service, operation: Operation) -> str:
    """In the words of its code, which carries this change out, or that it cannot. What became of the one before is
    nothing that this one waits for."""
    if trouble := code_trouble.words(core, service):
        return trouble
    of_this = (plan for plan in service.plans if plan.name == "update" and plan.revision in (0, operation.revision))
    return _first_reason(next(of_this, None))


def package_view(package: Any) -> view.PackageView:
    return view.PackageView.of(package)


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
