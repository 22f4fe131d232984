"""Plans that nobody wrote: recovery and uninstall, derived from the operations under way and the members as observed.

They are shown like any other plan, but hold no state of their own: what they show is owned by the ledger. So there is
nothing in them to lose, and nothing to launch twice.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from upcall.protocol.service import Member, Operation, PhaseView, PlanView, StepView
from upcall.service.moving import on_its_way
from upcall.service.plans import summary
from upcall.service.stranger import BEGUN, ENDED

RECOVERING: Final = ("lost", "replace", "restart", "vacate", "move")
DOWN: Final = ("lost", "ended", "unready", "pending", "placed", "fetching", "starting", "running")
"""States of a member that was ready once and is on its way back."""


def recovery(members: Mapping[str, Member], operations: Iterable[Operation], once_ready: frozenset[str]) -> PlanView:
    """A step for each member that is being brought back. Members of an unfinished deployment are not in it."""
    open_ones = {op.member: op for op in operations if op.kind in RECOVERING and op.state not in ENDED and op.member}
    steps = []
    for name, member in members.items():
        operation = open_ones.get(name)
        if operation is not None:
            steps.append(_under(operation, member))
        elif name in once_ready and member.state in DOWN:
            steps.append(_back(name, member))
    return _plan("recovery", "members", steps)


def uninstall(members: Mapping[str, Member], operations: Iterable[Operation]) -> PlanView | None:
    """A step for each member that goes; None while no uninstall is asked for."""
    operation = next((op for op in operations if op.kind == "uninstall" and op.state not in ENDED), None)
    if operation is None:
        return None
    if operation.state not in BEGUN:
        steps = [StepView(name="consent", state="waiting", reason=operation.reason or "waits for the service's answer")]
        return _plan("uninstall", "service", steps)
    steps = []
    for name, member in members.items():
        gone = member.state in ("ended", "finished", "failed", "wanted", "held")
        steps.append(StepView(name=name, state="done" if gone else "running", reason="" if gone else member.state))
    return _plan("uninstall", "service", steps)


def _under(operation: Operation, member: Member) -> StepView:
    name = f"loss of {member.name}" if operation.kind == "lost" else f"{operation.kind} {member.name}"
    if operation.state in BEGUN:
        return _back(name, member)
    answered = f"answered: {operation.answer}" if operation.answer else "is asked"
    if member.reason and member.state != "ready" and member.reason not in operation.reason:
        answered += f"; {member.reason}"
    return StepView(
        name=name, state="waiting", reason=f"{operation.reason} ({answered})" if operation.reason else answered
    )


def _back(name: str, member: Member) -> StepView:
    state, reason = on_its_way(member)
    if member.state == "ended" and member.exit_code is not None:
        reason = f"ended with code {member.exit_code}; is started again"
    return StepView(name=name, state=state, reason=reason)


def _plan(name: str, phase: str, steps: list[StepView]) -> PlanView:
    state = summary([step.state for step in steps])
    phases = (PhaseView(name=phase, strategy="parallel", state=state, steps=tuple(steps)),) if steps else ()
    reason = next((step.reason for step in steps if step.state != "done"), "")
    return PlanView(name=name, state=state, reason=reason, phases=phases)
