"""A service whose code cannot say what it wants: what it raises, since when, and the ways out."""

from upcall.master import going_back
from upcall.master.core import Core
from upcall.master.state import Service
from upcall.operations.words import span
from upcall.protocol.errors import Conflict, NotFound
from upcall.protocol.service import PlanView


def words(core: Core, service: Service) -> str:
    """Empty: it can."""
    plan = next((plan for plan in service.plans if plan.name == "deploy"), None)
    if plan is None or not _failed_as_a_whole(plan) or _is_of_before(service, plan):
        return ""
    for_so_long = f" for {span(max(core.wall() - plan.since, 0))}" if plan.since else ""
    return f"its code cannot say what it wants{for_so_long}: {plan.reason}; {_ways_out(core, service)}"


def _is_of_before(service: Service, plan: PlanView) -> bool:
    """A change has begun since: the code that it brings has not said anything yet."""
    known = service.revisions.get(service.record.revision)
    return known is not None and not known.outcome and plan.since < known.began_at


def _failed_as_a_whole(plan: PlanView) -> bool:
    """None of its steps has: its code did not get as far as to say them."""
    return plan.state == "failed" and all(step.state != "failed" for phase in plan.phases for step in phase.steps)


def _ways_out(core: Core, service: Service) -> str:
    record = service.record
    again = f"`upcall update {record.name}` changes its options"
    try:
        if core.state.packages.find(record.package, record.version).source:
            again = "`upcall install FILE` brings the file once it is mended"
    except NotFound:
        pass
    try:
        back = going_back.where(core, service, 0).number
    except Conflict:  # There is none, or it is on its way back.
        return again
    return f"{again}, `upcall rollback {record.name}` goes back to revision {back}"
