"""The door for what people ask of services: actions, begun in one call, looked at and cancelled in others."""

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Depends, Query, Request
from fastapi.responses import JSONResponse

from upcall.master import services
from upcall.master.actions import Actions
from upcall.master.driver import Driver
from upcall.master.http import caller, told_when_durable
from upcall.master.tokens import Principal
from upcall.master.views import Views
from upcall.protocol import operator as view
from upcall.protocol.errors import Conflict, Invalid
from upcall.protocol.nearest import nearest

SOON_S: Final = 30.0
"""For so long the one call that asks and answers holds its line open."""
WAIT_S_MAX: Final = 30.0

Arguments = Annotated[dict[str, Any], Body(default_factory=dict)]


def router(actions: Actions, core: Driver, views: Views, principal: Callable[[Request], Principal]) -> APIRouter:
    api = APIRouter(prefix="/v1", tags=["operator API"], dependencies=[told_when_durable(core.durable)])

    Viewer = Annotated[Principal, Depends(caller(principal, "viewer"))]
    Operator = Annotated[Principal, Depends(caller(principal, "operator"))]

    def check(service: str, action: str) -> None:
        known = {each["name"] for each in views.service(services.find(core, service)).actions}
        if action not in known:
            raise Invalid(
                f"{service} has no action {action!r}{nearest(action, known)}",
                where="action",
                expected=f"one of {', '.join(sorted(known))}" if known else "a service with actions",
            )

    @api.post("/services/{service}/actions/{action}")
    async def act(service: str, action: str, who: Operator, arguments: Arguments) -> JSONResponse:
        """Begins it and gives its result. One that takes longer goes on, and is told by its id."""
        check(service, action)
        begun = await actions.begin(service, action, arguments, who.name)
        found = await actions.until_over(begun.id, SOON_S)
        if found.state == "running":
            raise Conflict(
                f"{action} of {service} goes on: {begun.id}",
                where=f"{service} {action}",
                expected=f"its end; GET /v1/actions/{begun.id} says how far it is",
            )
        if found.state != "done":
            raise Conflict(found.error, where=f"{service} {action}")
        return JSONResponse(found.result)

    @api.post("/services/{service}/actions/{action}/begin")
    async def begin(service: str, action: str, who: Operator, arguments: Arguments) -> view.ActionView:
        check(service, action)
        return await actions.begin(service, action, arguments, who.name)

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
