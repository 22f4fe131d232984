"""The door for services: public, for any language; our own host comes through it too.

The code of a service subscribes to its stream, on which it is shown whole sets (what is wanted of it, its members, its
pending operations), and calls back in the service's name: it declares members, answers, proposes. Only the newest
subscription may call; one that was replaced is fenced off by its stream's id. What a service says on the wire is put
into the ledger's words here; what it hears is put into the wire's in :mod:`~upcall.master.notify`.
"""

import asyncio
from collections.abc import Callable
from secrets import token_hex
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import Response, StreamingResponse

from upcall.master import said, services, whereabouts
from upcall.master.actions import Actions
from upcall.master.credentials import credentials
from upcall.master.driver import Driver
from upcall.master.http import answer, caller, decode, told_when_durable
from upcall.master.notify import members_event, operations_event, wanted_event
from upcall.master.published import EVENTS, gives, takes
from upcall.master.secrets import NotMade, Secrets
from upcall.master.streams import Stream, Streams, read_until_gone
from upcall.master.tokens import Principal
from upcall.master.transaction import Transaction
from upcall.operations import inputs as given
from upcall.operations.table import KINDS
from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, Invalid, NotNow, Stale, TooLarge
from upcall.substrate.machines import Machines

CONTROL_TIMEOUT_S: Final = 30.0
ANSWERS_MAX: Final = 1000
TOOL_TIMEOUT_MAX_S: Final = 3600.0


class ServiceDoor:
    """Subscriptions, and what people ask of a service."""

    def __init__(self, core: Driver, streams: Streams, machines: Machines, secrets: Secrets) -> None:
        self.core, self.streams, self.machines, self.secrets = core, streams, machines, secrets
        self.actions = Actions(core, streams)
        self._controls: dict[str, asyncio.Future[wire.ActionReply]] = {}

    # -- streams ----------------------------------------------------------------------------------------------------

    def subscribe(self, service: str) -> Stream:
        services.find(self.core, service)
        stream = self.streams.subscribe(service)

        def subscribed(tx: Transaction) -> None:
            tx.event("service", service, "its code is connected", service=service)
            self._show_all(tx, service)

        self.core.post(subscribed)
        return stream

    def show_again(self) -> None:
        """The records were read anew: whoever is subscribed sees whole sets again, on the stream that he has."""
        for service in self.streams.names():
            if service in self.core.state.services:
                self.core.post(lambda tx, service=service: self._show_all(tx, service))  # type: ignore[misc]
            else:
                self.streams.close(service)  # its install was never recorded

    def _show_all(self, tx: Transaction, service: str) -> None:
        known = services.find(self.core, service)
        tx.ledger(given.HostSubscribed(service=service))
        for event in (
            wanted_event(self.core, known),
            members_event(self.core, known),
            operations_event(self.core, service),
            *self.actions.show_again(service),
        ):
            tx.turn.after.append(lambda event=event: self.streams.send(service, event))  # type: ignore[misc]

    def unsubscribe(self, service: str, stream: Stream) -> None:
        if not self.streams.unsubscribe(service, stream) or service not in self.core.state.services:
            return

        def gone(tx: Transaction) -> None:
            tx.event("service", service, "its code is disconnected; its tasks run on", service=service)
            tx.ledger(given.HostUnsubscribed(service=service))

        self.core.post(gone)

    # -- credentials ------------------------------------------------------------------------------------------------

    async def credentials(self, service: str, reference: str) -> wire.Credentials:
        """How the service's own code (empty: a person) logs in to an endpoint; a password is made at its first use."""
        try:
            return credentials(self.core, self.secrets, service, reference)
        except NotMade as error:
            await asyncio.to_thread(self.secrets.make, str(error.problem.details["name"]))
            return credentials(self.core, self.secrets, service, reference)

    # -- plans ------------------------------------------------------------------------------------------------------

    async def control(self, service: str, name: str, arguments: dict[str, Any], who: str) -> None:
        """Hands the control of a plan to the service's code and waits for its reply."""
        if not self.streams.connected(service):
            raise NotNow(f"the code of {service} is not connected", where=service, expected="its host to come back")
        action = wire.Action(id=token_hex(8), name=name, arguments=arguments, who=who)
        reply = self._controls[action.id] = asyncio.get_running_loop().create_future()
        try:
            self.streams.send(service, action)
            replied = await asyncio.wait_for(reply, CONTROL_TIMEOUT_S)
        except TimeoutError:
            raise NotNow(f"{service} has not answered {name!r} within {CONTROL_TIMEOUT_S:.0f} s") from None
        finally:
            del self._controls[action.id]
        if not replied.ok:
            raise Conflict(replied.error or f"{name} failed", where=f"{service} {name}")

    def controlled(self, action: str, reply: wire.ActionReply) -> bool:
        """Whether this was the reply to the control of a plan."""
        waiting = self._controls.get(action)
        if waiting and not waiting.done():
            waiting.set_result(reply)
        return waiting is not None


def _kind(kind: str) -> Any:
    """A kind that there is; whether a service may propose it is the ledger's to say."""
    if kind not in KINDS:
        known = ", ".join(name for name, each in KINDS.items() if each.by_services)
        raise Invalid(f"no kind of operation: {kind!r}", where="kind", expected=f"one of {known}")
    return kind


def router(door: ServiceDoor, principal: Callable[[Request], Principal]) -> APIRouter:
    core = door.core
    api = APIRouter(tags=["service API"])
    Host = Annotated[Principal, Depends(caller(principal, "host", "admin"))]

    def current_stream(name: str, _: Host, upcall_stream: Annotated[str, Header()] = "") -> str:
        """The service's name, once its caller is known to be the newest subscription."""
        door.streams.check(name, upcall_stream)
        return name

    Current = Annotated[str, Depends(current_stream)]

    @api.get("/v1/service/{name}/stream", response_class=StreamingResponse, responses=EVENTS)
    async def service_stream(name: str, _: Host) -> StreamingResponse:
        stream = door.subscribe(name)
        events = read_until_gone(stream, lambda: door.unsubscribe(name, stream))
        return StreamingResponse(events, media_type="text/event-stream")

    @api.put("/v1/service/{name}/members", openapi_extra=takes(wire.Declare), responses=gives(wire.Accepted))
    async def declare(name: Current, request: Request) -> Response:
        body = await decode(request, wire.Declare)
        version = await core.turn(lambda tx: services.declare(tx, name, body))
        return answer(wire.Accepted(version=version))

    @api.put("/v1/service/{name}/endpoints", openapi_extra=takes(wire.Endpoints), responses=gives(wire.Accepted))
    async def endpoints(name: Current, request: Request) -> Response:
        body = await decode(request, wire.Endpoints)
        await core.turn(lambda tx: services.set_endpoints(tx, name, body))
        return answer(wire.Accepted())

    @api.post(
        "/v1/service/{name}/credentials", openapi_extra=takes(wire.AskCredentials), responses=gives(wire.Credentials)
    )
    async def ask_credentials(name: Current, request: Request) -> Response:
        body = await decode(request, wire.AskCredentials)
        return answer(await door.credentials(name, body.reference))

    @api.put("/v1/service/{name}/plans", openapi_extra=takes(wire.Plans), responses=gives(wire.Accepted))
    async def plans(name: Current, request: Request) -> Response:
        body = await decode(request, wire.Plans)
        await core.turn(lambda tx: services.set_plans(tx, name, body))
        return answer(wire.Accepted())

    @api.post("/v1/service/{name}/propose", openapi_extra=takes(wire.Propose), responses=gives(wire.Accepted))
    async def propose(name: Current, request: Request) -> Response:
        body = await decode(request, wire.Propose)
        proposal = given.Propose(
            kind=_kind(body.kind),
            asked_by=name,
            scope=name,
            reason=body.reason,
            service=name,
            members=(body.member,) if body.member else (),
            key=f"{name}/{body.key}",
        )
        outcome = await core.turn(lambda tx: tx.ledger(proposal))
        return answer(wire.Accepted(operation=outcome.operation))

    @api.post("/v1/service/{name}/answers", openapi_extra=takes(wire.Answers), responses=gives(wire.Accepted))
    async def answers(name: Current, request: Request) -> Response:
        body = await decode(request, wire.Answers)
        if len(body.answers) > ANSWERS_MAX:
            raise TooLarge(f"{len(body.answers)} answers", expected=f"at most {ANSWERS_MAX}")
        item = said.answers(name, body)
        try:
            await core.turn(lambda tx: tx.ledger(item))
        except Stale:
            # With the refusal comes the current set.
            door.streams.send(name, operations_event(core, name))
            raise
        return answer(wire.Accepted())

    @api.post("/v1/service/{name}/withdraw", openapi_extra=takes(wire.Withdraw), responses=gives(wire.Accepted))
    async def withdraw(name: Current, request: Request) -> Response:
        body = await decode(request, wire.Withdraw)

        def take_back(tx: Transaction) -> None:
            for operation in body.operations:
                tx.ledger(given.WithdrawAnswer(service=name, operation=operation))

        await core.turn(take_back)
        return answer(wire.Accepted())

    @api.post("/v1/service/{name}/confirm/{operation}", responses=gives(wire.Accepted))
    async def confirm(name: Current, operation: str) -> Response:
        await core.turn(lambda tx: tx.ledger(given.Confirm(service=name, operation=operation)))
        return answer(wire.Accepted(operation=operation))

    @api.post("/v1/service/{name}/back", openapi_extra=takes(wire.Back), responses=gives(wire.Accepted))
    async def back(name: Current, request: Request) -> Response:
        body = await decode(request, wire.Back)
        await core.turn(lambda tx: tx.ledger(said.back(name, body)))
        return answer(wire.Accepted())

    @api.post("/v1/service/{name}/notes", openapi_extra=takes(wire.Note), responses=gives(wire.Accepted))
    async def note(name: Current, request: Request) -> Response:
        body = await decode(request, wire.Note)
        await core.turn(lambda tx: services.note(tx, name, body))
        return answer(wire.Accepted(operation=body.operation))

    @api.post("/v1/service/{name}/run", openapi_extra=takes(wire.RunTool), responses=gives(wire.ToolResult))
    async def run(name: Current, request: Request) -> Response:
        body = await decode(request, wire.RunTool)
        if not 0 < body.timeout_s <= TOOL_TIMEOUT_MAX_S:
            raise Invalid(f"a timeout of {body.timeout_s} s", where="timeout_s", expected=f"up to {TOOL_TIMEOUT_MAX_S}")
        task, node = whereabouts.of_task(core, f"{name}.{body.member}")
        return answer(await door.machines.run(task, node, body))

    @api.get(
        "/v1/service/{name}/state/{key:path}",
        dependencies=[told_when_durable(core.durable)],
        responses=gives(wire.StateEntry),
    )
    async def read_state(name: Current, key: str) -> Response:
        return answer(services.read_memory(core, name, key))

    @api.put(
        "/v1/service/{name}/state/{key:path}", openapi_extra=takes(wire.StateWrite), responses=gives(wire.StateEntry)
    )
    async def write_state(name: Current, key: str, request: Request) -> Response:
        body = await decode(request, wire.StateWrite)
        return answer(await core.turn(lambda tx: services.write_memory(tx, name, key, body)))

    @api.delete("/v1/service/{name}/state/{key:path}", responses=gives(wire.Accepted))
    async def delete_state(name: Current, key: str, version: int | None = None) -> Response:
        await core.turn(lambda tx: services.delete_memory(tx, name, key, version))
        return answer(wire.Accepted())

    @api.post(
        "/v1/service/{name}/replies/{action}", openapi_extra=takes(wire.ActionReply), responses=gives(wire.Accepted)
    )
    async def reply(name: Current, action: str, request: Request) -> Response:
        body = await decode(request, wire.ActionReply)
        if not door.controlled(action, body):
            await core.turn(lambda tx: door.actions.replied(tx, name, action, body))
        return answer(wire.Accepted())

    @api.post(
        "/v1/service/{name}/progress/{action}",
        openapi_extra=takes(wire.ActionProgress),
        responses=gives(wire.Accepted),
    )
    async def progress(name: Current, action: str, request: Request) -> Response:
        body = await decode(request, wire.ActionProgress)
        await core.turn(lambda tx: door.actions.progressed(tx, name, action, body))
        return answer(wire.Accepted())

    return api
