"""The door for people and programs: the operator API, with its OpenAPI description."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response, StreamingResponse

from upcall.cluster.folder import Cluster
from upcall.master import due, goals, granting, keeping, services
from upcall.master.credentials import allow_page
from upcall.master.driver import Driver
from upcall.master.events import Event
from upcall.master.host_api import HostDoor
from upcall.master.http import Calls, caller, told_when_durable
from upcall.master.logins import CODE_VALID_S, Logins
from upcall.master.secrets import Secrets
from upcall.master.service_calls import ServiceCalls
from upcall.master.service_views import package_view
from upcall.master.state import Service
from upcall.master.tokens import Principal, Tokens
from upcall.master.transaction import Transaction
from upcall.master.views import Views
from upcall.operations import inputs as given
from upcall.operations.effects import Outcome
from upcall.protocol import operator as view
from upcall.protocol import read_before
from upcall.protocol.errors import Invalid, NotNow
from upcall.protocol.numbers import whole
from upcall.protocol.versions import WIRE
from upcall.substrate.machines import Machines

PlanVerb = Literal["pause", "resume", "force", "restart"]
TaskVerb = Literal["restart", "replace", "stop", "start"]
OperationVerb = Literal["force", "cancel", "pause", "resume", "assume_dead"]
LogStream = Literal["stdout", "stderr", "both"]
LINES_MAX = 100_000


class OperatorDoor:
    def __init__(
        self,
        core: Driver,
        views: Views,
        hosts: HostDoor,
        services: ServiceCalls,
        cluster: Cluster,
        machines: Machines,
        tokens: Tokens,
        secrets: Secrets,
        logins: Logins,
        calls: Calls,
    ) -> None:
        self.core, self.views, self.hosts, self.services = core, views, hosts, services
        self.cluster, self.machines = cluster, machines
        self.tokens, self.secrets, self.logins, self.calls = tokens, secrets, logins, calls
        self.since_wall_s = time.time()

    async def propose(self, item: given.Propose) -> view.OperationView:
        outcome = await self.core.turn(lambda tx: tx.ledger(item))
        return self.operation_of(outcome)

    def operation_of(self, outcome: Outcome) -> view.OperationView:
        return self.views.operation(self.views.find_operation(outcome.operation))

    def check_node(self, node: str) -> None:
        """Refuses a node that there is not; of one that is only late (the master has just started) it says so."""
        if node in self.machines.declared() and node not in self.core.nodes:
            raise NotNow(f"{node} has not registered yet", where="node", expected="the same call in a moment")
        self.views.node(node)

    async def maintenance(self, node: str, ask: view.Drain, who: str, *, remove: bool) -> view.OperationView:
        self.check_node(node)
        return await self.propose(
            given.Propose(
                kind="maintenance",
                asked_by=who,
                reason=ask.reason,
                node=node,
                window_s=ask.window_s,
                on_deadline=ask.on_deadline,
                remove=remove,
            )
        )


def router(door: OperatorDoor, principal: Callable[[Request], Principal]) -> APIRouter:
    core, views = door.core, door.views
    api = APIRouter(prefix="/v1", tags=["operator API"], dependencies=[told_when_durable(core.durable)])

    Viewer = Annotated[Principal, Depends(caller(principal, "viewer"))]
    Operator = Annotated[Principal, Depends(caller(principal, "operator"))]
    Admin = Annotated[Principal, Depends(caller(principal, "admin"))]

    # -- the whole --------------------------------------------------------------------------------------------------

    @api.get("/status")
    async def status(_: Viewer) -> view.Status:
        nodes = views.nodes()
        together = max if core.substrate.capabilities.shared_cores else sum
        return view.Status(
            cpus=together((0, *(one.cpus for one in nodes))),
            cluster=door.cluster.cluster,
            version=str(WIRE),
            master_since=door.since_wall_s,
            url=door.cluster.url,
            page_url=door.cluster.page_url,
            packages_registered=door.hosts.packages_registered,
            event_sequence=core.journal.last,
            nodes=nodes,
            services=views.services(),
            operations=views.operations(),
            waiting=views.waiting(),
        )

    @api.post("/shutdown")
    async def shutdown(who: Admin, ask: view.Ask) -> view.OperationView:
        return await door.propose(given.Propose(kind="shutdown", asked_by=who.name, reason=ask.reason))

    @api.post("/startup")
    async def startup(who: Admin, ask: view.Ask) -> dict[str, Any]:
        await core.turn(lambda tx: tx.ledger(given.Up(who=who.name)))
        return {}

    # -- packages and services --------------------------------------------------------------------------------------

    @api.get("/packages")
    async def packages(_: Viewer) -> list[view.PackageView]:
        return [package_view(package) for package in core.state.packages.all()]

    @api.delete("/packages/{name}")
    async def remove_package(
        name: str, who: Admin, version: Annotated[str, Query(max_length=40)] = ""
    ) -> list[view.PackageView]:
        """All versions of a package of one's own, or one; those that are left."""
        await core.turn(lambda tx: services.remove_package(tx, name, version, who.name))
        return [package_view(package) for package in core.state.packages.all()]

    @api.get("/services")
    async def list_services(_: Viewer) -> list[view.ServiceView]:
        return views.services()

    @api.post("/services")
    async def install(who: Operator, request: view.Install) -> view.ServiceView:
        derived = await goals.of_install(core, door.services.deriving, request)

        def installed(tx: Transaction) -> Service:
            granting.check(core, door.secrets, request.name or request.package, request.secrets, who)
            return services.install(tx, request, who.name, derived)

        return views.service(await core.turn(installed))

    @api.post("/services/preview")
    async def preview_install(who: Operator, request: view.Install) -> dict[str, view.DerivedView]:
        """Refused as the install would be, before anything is recorded; what would follow from its goals."""
        derived = await goals.of_install(core, door.services.deriving, request)
        granting.check(core, door.secrets, request.name or request.package, request.secrets, who)
        found = services.wanted_record(core, request, who.name, core.wall(), derived)
        return {name: view.DerivedView(**msgspec.to_builtins(one)) for name, one in found.derived.items()}

    @api.get("/services/{service}")
    async def service(service: str, _: Viewer) -> view.ServiceView:
        return views.service(services.find(core, service))

    @api.post("/services/{service}/uninstall")
    async def uninstall(service: str, who: Operator, ask: view.Uninstall) -> view.OperationView:
        keeping.must_end(services.find(core, service), ask.keeper)
        item = given.Propose(kind="uninstall", asked_by=who.name, reason=ask.reason, service=service, force=ask.force)
        return await door.propose(item)

    @api.post("/services/{service}/rebalance")
    async def rebalance(service: str, who: Operator, ask: view.Ask) -> view.OperationView:
        in_window = due.asked_in_window(services.find(core, service), ask.in_window)
        item = given.Propose(
            kind="rebalance",
            asked_by=who.name,
            reason=ask.reason or "rebalance",
            service=service,
            force=ask.force,
            in_window=in_window,
        )
        return await door.propose(item)

    @api.get("/services/{service}/plans")
    async def plans(service: str, _: Viewer) -> list[dict[str, Any]]:
        return views.service(services.find(core, service)).plans

    @api.post("/services/{service}/plans/{plan}/{verb}")
    async def control_plan(
        service: str, plan: str, verb: PlanVerb, who: Operator, control: view.PlanControl
    ) -> dict[str, Any]:
        services.find(core, service)
        arguments = {"plan": plan, "phase": control.phase, "step": control.step}
        await door.services.control(service, f"plan/{verb}", arguments, who.name)
        return {}

    @api.get("/endpoints")
    async def endpoints(_: Viewer) -> list[view.EndpointView]:
        return [endpoint for each in core.state.services.values() for endpoint in views.endpoints(each)]

    @api.get("/endpoints/{service}/{endpoint}/credentials")
    async def endpoint_credentials(service: str, endpoint: str, who: Viewer) -> view.CredentialsView:
        if who.role == "page":
            allow_page(core, service, endpoint)
        else:
            who.must_be("operator")
        services.find(core, service)
        found = await door.services.credentials("", f"endpoint:{service}.{endpoint}")
        return view.CredentialsView(user=found.user, password=found.password)

    # -- nodes ------------------------------------------------------------------------------------------------------

    @api.get("/nodes")
    async def nodes(_: Viewer) -> list[view.NodeView]:
        return views.nodes()

    @api.post("/nodes")
    async def add_node(who: Admin, request: view.AddNode) -> dict[str, Any]:
        def wanted(tx: Transaction, name: str) -> None:
            # A node of that name was removed once: what kept it away is over, or the new one would be removed too.
            if tx.core.state.ledger.maintenance(name) is not None:
                tx.ledger(given.Undrain(node=name, who=who.name, why="the node is added anew"))

        name = await door.machines.add_node(request, lambda name: core.turn(lambda tx: wanted(tx, name)))
        await core.turn(lambda tx: tx.event("node", name, f"added by {who.name}"))
        return {"name": name}

    @api.post("/nodes/{node}/drain")
    async def drain(node: str, who: Operator, ask: view.Drain) -> view.OperationView:
        return await door.maintenance(node, ask, who.name, remove=False)

    @api.post("/nodes/{node}/undrain")
    async def undrain(node: str, who: Operator, ask: view.Ask) -> view.OperationView:
        door.check_node(node)
        outcome = await core.turn(lambda tx: tx.ledger(given.Undrain(node=node, who=who.name, why=ask.reason)))
        return door.operation_of(outcome)

    @api.post("/nodes/{node}/remove")
    async def remove_node(node: str, who: Admin, ask: view.Drain) -> view.OperationView:
        return await door.maintenance(node, ask, who.name, remove=True)

    # -- tasks ------------------------------------------------------------------------------------------------------

    @api.get("/tasks")
    async def tasks(_: Viewer, service: str = "") -> list[view.TaskView]:
        return views.tasks(service)

    @api.get("/tasks/{member}")
    async def task(member: str, _: Viewer) -> view.TaskView:
        """By member or by task; also one that has left, for a week."""
        return views.task_or_past(member)

    @api.post("/tasks/{member}/{verb}")
    async def task_verb(member: str, verb: TaskVerb, who: Operator, ask: view.Ask) -> view.OperationView:
        task = views.task(member)
        if verb == "start":
            item = given.GiveBack(service=task.service, member=task.name, who=who.name, why=ask.reason)
            return door.operation_of(await core.turn(lambda tx: tx.ledger(item)))
        return await door.propose(
            given.Propose(
                kind=verb,
                asked_by=who.name,
                reason=ask.reason or verb,
                service=task.service,
                members=(task.name,),
                force=ask.force,
            )
        )

    @api.get("/tasks/{member}/logs", response_class=StreamingResponse)
    async def logs(
        member: str,
        _: Viewer,
        lines: Annotated[int, Query(ge=0, le=LINES_MAX)] = 100,
        follow: bool = False,
        stream: LogStream = "both",
        after: Annotated[str, Query(pattern=rf"{read_before.PATTERN}|^$")] = "",
    ) -> StreamingResponse:
        task = views.with_logs(member)
        text = door.machines.read_log(task.task, task.node, stream, lines, follow=follow, after=after)
        # The first part is awaited here, so that an error still has its status.
        first = await anext(text, "")

        async def body() -> AsyncIterator[str]:
            yield first
            async for part in text:
                yield part

        return StreamingResponse(body(), media_type="text/plain; charset=utf-8")

    # -- operations -------------------------------------------------------------------------------------------------

    @api.get("/operations")
    async def operations(_: Viewer, all: bool = False) -> list[view.OperationView]:
        return views.operations(ended=all)

    @api.get("/operations/{operation}")
    async def operation(operation: str, _: Viewer) -> view.OperationView:
        return views.operation(views.find_operation(operation))

    @api.get("/operations/{operation}/why")
    async def why(operation: str, _: Viewer) -> view.Why:
        return views.why(views.find_operation(operation))

    @api.post("/operations/{operation}/{verb}")
    async def operation_verb(operation: str, verb: OperationVerb, who: Operator, ask: view.Ask) -> view.OperationView:
        views.find_operation(operation)
        item: given.Input
        if verb == "force":
            if not ask.reason:
                raise Invalid("forcing wants a reason", where="reason", expected="why it is right, for the record")
            item = given.Force(operation=operation, who=who.name, why=ask.reason)
        elif verb == "cancel":
            item = given.Cancel(operation=operation, who=who.name, why=ask.reason)
        elif verb in ("pause", "resume"):
            item = given.Pause(operation=operation, who=who.name, why=ask.reason, on=verb)
        else:
            item = given.AssumeDead(operation=operation, who=who.name, why=ask.reason)
        await core.turn(lambda tx: tx.ledger(item))
        return views.operation(views.find_operation(operation))

    # -- events -----------------------------------------------------------------------------------------------------

    @api.get("/events")
    async def events(
        _: Viewer,
        since: Annotated[int, Query(ge=-1)] = -1,
        follow: bool = False,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 500,
        detail: bool = False,
        last_event_id: Annotated[str, Header()] = "",
        accept: Annotated[str, Header()] = "",
    ) -> Response:
        """With ``since`` (or ``Last-Event-ID``): what came after it, a ``gap`` first where some are no longer kept.
        Without: the newest ones. ``detail``: each step on the way too."""
        if last_event_id:
            resumed = whole(last_event_id)
            if resumed is None:
                raise Invalid(f"not an event's id: {last_event_id!r}", where="Last-Event-ID", expected="a whole number")
            since = resumed
        if not (follow or "text/event-stream" in accept):
            journal = core.journal
            found = journal.newest(limit, detail=detail) if since < 0 else journal.since(since, limit, detail=detail)
            return Response(_json(found), media_type="application/json")
        start = max(0, core.journal.last - limit) if since < 0 else since
        return StreamingResponse(_follow(core, start, detail=detail), media_type="text/event-stream")

    # -- login ------------------------------------------------------------------------------------------------------

    @api.post("/login-codes")
    async def login_code(who: Viewer, asked: view.AskLogin | None = None) -> view.LoginCode:
        wanted = asked or view.AskLogin()
        user = os.geteuid() if wanted.user is None else wanted.user
        code, name = door.logins.code(wanted.purpose, user, core.monotonic(), who)
        return view.LoginCode(code=code, expires_s=CODE_VALID_S, id=name)

    @api.get("/login-codes/{name}")
    async def login_state(name: str, _: Viewer) -> view.LoginState:
        return door.logins.state(name, core.monotonic())

    @api.post("/login")
    async def login(request: view.Login, _: Viewer) -> dict[str, str]:
        who = door.logins.use(request.code, "page", request.user, core.monotonic(), time.time())
        return {"token": door.tokens.open_session(who, core.monotonic())}

    # -- access -----------------------------------------------------------------------------------------------------

    @api.get("/access")
    async def access(_: Admin) -> list[view.AccessView]:
        return door.tokens.access.all()

    @api.post("/access")
    async def grant(who: Admin, ask: view.Grant) -> view.Granted:
        if door.tokens.taken(ask.name):
            raise Invalid(
                f"{ask.name!r} is the name of a party of the cluster itself", where="name", expected="another"
            )
        token = await asyncio.to_thread(door.tokens.grant, ask.name, ask.role, ask.valid_s, who.name)
        words = f"is granted the role {ask.role} for {ask.valid_s / 3600:.0f} h by {who.name}"
        await core.turn(lambda tx: tx.event("access", ask.name, words))
        found = next(one for one in door.tokens.access.all() if one.name == ask.name)
        return view.Granted(access=found, token=token)

    @api.delete("/access/{name}")
    async def revoke(name: str, who: Admin) -> dict[str, Any]:
        await asyncio.to_thread(door.tokens.access.remove, name)
        door.tokens.end_sessions(name)
        door.calls.end(name)
        await core.turn(lambda tx: tx.event("access", name, f"is revoked by {who.name}"))
        return {}

    return api


def _json(events: list[Event]) -> bytes:
    return msgspec.json.encode(events)


async def _follow(core: Driver, since: int, *, detail: bool) -> AsyncIterator[bytes]:
    """Server-sent events with ids, so that a reader resumes where it was; a comment keeps idle connections open."""
    stream = core.journal.follow(since, detail=detail)
    pending: asyncio.Future[list[Event]] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(stream))
            done, _ = await asyncio.wait({pending}, timeout=15.0)
            if not done:
                yield b": still here\n\n"
                continue
            batch, pending = pending.result(), None
            yield b"".join(b"id: %d\ndata: %b\n\n" % (event.sequence, msgspec.json.encode(event)) for event in batch)
    finally:
        if pending:
            pending.cancel()
