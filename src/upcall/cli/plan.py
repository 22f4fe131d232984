"""``upcall plan``: phases and steps of a service's plans, and their control."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from upcall.cli.output import ago, nearest
from upcall.cli.session import Session, command, commands
from upcall.client import paths
from upcall.protocol.errors import NotFound
from upcall.protocol.operator import PlanControl

plan_app = commands("Plans of a service: show, pause, resume, force, restart.")
APPS = {"plan": plan_app}

VERBS = {
    "pause": "Stop after the steps that run now.",
    "resume": "Go on with a paused plan.",
    "force": "Take a step for done, whatever it waits for.",
    "restart": "Begin a plan, a phase or a step again.",
}


@command(plan_app, "show")
def show(
    session: Session,
    service: Annotated[str, typer.Argument(metavar="SERVICE")],
    plan: Annotated[
        str, typer.Argument(metavar="PLAN", help="deploy, update, recovery or uninstall; default: all of them.")
    ] = "",
) -> None:
    """Plans with their phases and steps."""
    found: list[dict[str, Any]] = session.client.get(paths.of("services", service, "plans"))
    names = [str(one.get("name")) for one in found]
    if plan and plan not in names:
        raise NotFound(f"{service} has no plan {plan!r}", where=f"service {service}", expected=nearest(plan, names))
    found = [one for one in found if plan in ("", one.get("name"))]
    session.out.show(found, ("plan", "phase", "step", "state", "for", "reason"), plan_rows(found), empty="no plans yet")


def plan_rows(plans: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """A line for each plan, phase and step."""
    rows: list[tuple[str, ...]] = []
    for plan in plans:
        since = ago(plan["since"]) if plan.get("since") else ""
        rows.append((plan.get("name", ""), "", "", plan.get("state", ""), since, plan.get("reason", "")))
        for phase in plan.get("phases", ()):
            rows.append(("", phase.get("name", ""), "", phase.get("state", ""), "", phase.get("strategy", "")))
            for step in phase.get("steps", ()):
                since = ago(step.get("since", 0.0)) if step.get("state") not in ("pending", "done") else ""
                rows.append(("", "", step.get("name", ""), step.get("state", ""), since, step.get("reason", "")))
    return rows


def _verb(verb: str, words: str) -> Callable[..., None]:
    def control(
        session: Session,
        service: Annotated[str, typer.Argument(metavar="SERVICE")],
        plan: Annotated[str, typer.Argument(metavar="PLAN", help="deploy or update; what others show are operations.")],
        phase: Annotated[str, typer.Option("--phase", help="One phase only.")] = "",
        step: Annotated[str, typer.Option("--step", help="One step only.")] = "",
    ) -> None:
        path = paths.of("services", service, "plans", plan, verb)
        session.client.post(path, PlanControl(phase=phase, step=step))
        asked = {"asked": verb, "service": service, "plan": plan, "phase": phase, "step": step}
        session.out.say(asked, f"{verb} was asked of {' '.join(filter(None, (service, plan, phase, step)))}")

    control.__doc__ = words
    return control


for _name, _words in VERBS.items():
    command(plan_app, _name)(_verb(_name, _words))
