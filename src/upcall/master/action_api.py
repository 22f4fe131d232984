"""The door for what people ask of services: actions, begun in one call, looked at and cancelled in others."""

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Body, Depends, Query, Request
from fastapi.responses import JSONResponse

from upcall.master import goals, granting, revisions, services, unregistered
from upcall.master.driver import Driver
from upcall.master.http import caller, told_when_durable
from upcall.master.service_calls import ServiceCalls
from upcall.master.tokens import Principal
from upcall.master.views import Views
from upcall.protocol import operator as view
from upcall.protocol.errors import Conflict, Invalid, NotNow
from upcall.protocol.nearest import choice, nearest

SOON_S: Final = 30.0
"""For so long the one call that asks and answers holds its line open."""
WAIT_S_MAX: Final = 30.0
PATIENCE_S_MAX: Final = 7 * 86_400.0

Arguments = Annotated[dict[str, Any], Body(default_factory=dict)]


def router(calls: ServiceCalls, core: Driver, views: Views, principal: Callable[[Request], Principal]) -> APIRouter:
    actions = calls.actions
    api = APIRouter(prefix="/v1", tags=["operator API"], dependencies=[told_when_durable(core.durable)])

    Viewer = Annotated[Principal, Depends(caller(principal, "viewer"))]
    Operator = Annotated[Principal, Depends(caller(principal, "operator"))]

    def check(service: str, action: str) -> dict[str, Any]:
        """It is there; what its service says of it."""
        known = {each["name"]: each for each in views.service(services.find(core, service)).actions}
        if action not in known:
            raise Invalid(
                f"{service} has no action {action!r}{nearest(action, known)}",
                where="action",
                expected=choice(sorted(known), "a service with actions"),
            )
        return known[action]

    def may_name(service: str, arguments: dict[str, Any], who: Principal) -> None:
        """To name a secret in an action is to give it, for as long."""
        if isinstance(name := arguments.get("secret"), str) and name:
            granting.check(core, calls.secrets, service, [name], who)

    @api.post("/services/{service}/actions/{action}")
    async def act(service: str, action: str, who: Operator, arguments: Arguments) -> JSONResponse:
        """Begins it and gives its result. One that takes longer goes on, and is told by its id."""
        check(service, action)
        may_name(service, arguments, who)
        begun = await actions.begin(service, action, arguments, who.name)
        found = await actions.until_over(begun.id, SOON_S)
        if found.state == "running":
            raise Conflict(
                f"{action} of {service} goes on: {begun.id}",
                where=f"{service} {action}",
                expected=f"its end; GET /v1/actions/{begun.id} says how far it is",
            )
        if found.state != "done":
            kind, where = NotNow if found.waiting_helps else Conflict, f"{service} {action}"
            if (said := found.problem) is not None:
                raise kind(said.message, where=said.where or where, expected=said.expected)
            raise kind(found.error, where=where)
        return JSONResponse(found.result)

    @api.post("/services/{service}/actions/{action}/begin")
    async def begin(
        service: str,
        action: str,
        who: Operator,
        arguments: Arguments,
        patience_s: Annotated[float, Query(ge=0, le=PATIENCE_S_MAX)] = 0,
    ) -> view.ActionView:
        """With ``patience_s``: for so long its service tries it again where it says that it cannot be done now."""
        check(service, action)
        may_name(service, arguments, who)
        return await actions.begin(service, action, arguments, who.name, patience_s=patience_s)

    @api.post("/services/{service}/actions/{action}/check")
    async def would(service: str, action: str, who: Operator, asked: view.CheckAction) -> view.CheckedAction:
        """What it would refuse, as far as its service's code says so beforehand; nothing is begun or recorded."""
        known = check(service, action)
        may_name(service, asked.arguments, who)
        if not known.get("checks"):
            return view.CheckedAction(known=False)
        options = None
        if asked.update is not None:
            service_now = services.find(core, service)
            package = unregistered.manifest(core.store, asked.update)
            derived = await goals.of_update(core, calls.deriving, service, asked.update, package)
            with core.state.packages.beside(package):
                wanted = revisions.prepared(core, service_now, asked.update, who.name, core.wall(), derived)
            if wanted.version != service_now.record.version:
                return view.CheckedAction(known=False)  # Only the code that comes knows.
            options = wanted.options
        found = await calls.judge(service, action, asked.arguments, options, who.name)
        reasons = [view.ActionProblem.model_validate(msgspec.to_builtins(one)) for one in found]
        return view.CheckedAction(refused="; ".join(one.message for one in reasons), reasons=reasons)

    @api.get("/services/{service}/actions")
    async def list_actions(service: str, _: Viewer) -> list[view.ActionView]:
        services.find(core, service)
        return actions.of(service)

    @api.get("/actions/{action}")
    async def action(
        action: str, _: Viewer, wait_s: Annotated[float, Query(ge=0, le=WAIT_S_MAX)] = 0
    ) -> view.ActionView:
        """With ``wait_s``: as soon as there is news of it, or after that time."""
        return await actions.wait(action, wait_s)

    @api.post("/actions/{action}/cancel")
    async def cancel(action: str, who: Operator) -> view.ActionView:
        return await actions.cancel(action, who.name)

    return api
