"""The door for services: public, for any language; our own host comes through it too.

The code of a service subscribes to its stream, on which it is shown whole sets (what is wanted of it, its members, its
pending operations), and calls back in the service's name: it declares members, answers, proposes. Only the newest
subscription may call; one that was replaced is fenced off by its stream's id. What each call does is in
:mod:`~upcall.master.service_calls`; what a service hears is put into the wire's words in
:mod:`~upcall.master.to_wire`.
"""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import Response, StreamingResponse

from upcall.master.http import answer, caller, decode, told_when_durable
from upcall.master.published import EVENTS, gives, takes
from upcall.master.service_calls import ServiceCalls
from upcall.master.streams import read_until_gone
from upcall.master.tokens import Principal
from upcall.protocol import service as wire


def router(calls: ServiceCalls, principal: Callable[[Request], Principal]) -> APIRouter:
    api = APIRouter(tags=["service API"])
    Host = Annotated[Principal, Depends(caller(principal, "host", "admin"))]

    def current_stream(name: str, _: Host, upcall_stream: Annotated[str, Header()] = "") -> str:
        """The service's name, once its caller is known to be the newest subscription."""
        calls.streams.check(name, upcall_stream)
        return name

    Current = Annotated[str, Depends(current_stream)]

    @api.get("/v1/service/{name}/stream", response_class=StreamingResponse, responses=EVENTS)
    async def service_stream(name: str, _: Host) -> StreamingResponse:
        stream = calls.subscribe(name)
        events = read_until_gone(stream, lambda: calls.unsubscribe(name, stream))
        return StreamingResponse(events, media_type="text/event-stream")

    @api.put("/v1/service/{name}/members", openapi_extra=takes(wire.Declare), responses=gives(wire.Accepted))
    async def declare(name: Current, request: Request) -> Response:
        return answer(await calls.declare(name, await decode(request, wire.Declare)))

    @api.put("/v1/service/{name}/starts", openapi_extra=takes(wire.Starts), responses=gives(wire.Accepted))
    async def starts(name: Current, request: Request) -> Response:
        return answer(await calls.starts(name, await decode(request, wire.Starts)))

    @api.put("/v1/service/{name}/endpoints", openapi_extra=takes(wire.Endpoints), responses=gives(wire.Accepted))
    async def endpoints(name: Current, request: Request) -> Response:
        return answer(await calls.endpoints(name, await decode(request, wire.Endpoints)))

    @api.post(
        "/v1/service/{name}/credentials", openapi_extra=takes(wire.AskCredentials), responses=gives(wire.Credentials)
    )
    async def ask_credentials(name: Current, request: Request) -> Response:
        body = await decode(request, wire.AskCredentials)
        return answer(await calls.credentials(name, body.reference))

    @api.put("/v1/service/{name}/plans", openapi_extra=takes(wire.Plans), responses=gives(wire.Accepted))
    async def plans(name: Current, request: Request) -> Response:
        return answer(await calls.plans(name, await decode(request, wire.Plans)))

    @api.put("/v1/service/{name}/health", openapi_extra=takes(wire.Health), responses=gives(wire.Accepted))
    async def health(name: Current, request: Request) -> Response:
        return answer(await calls.health(name, await decode(request, wire.Health)))

    @api.post("/v1/service/{name}/propose", openapi_extra=takes(wire.Propose), responses=gives(wire.Accepted))
    async def propose(name: Current, request: Request) -> Response:
        return answer(await calls.propose(name, await decode(request, wire.Propose)))

    @api.post("/v1/service/{name}/answers", openapi_extra=takes(wire.Answers), responses=gives(wire.Accepted))
    async def answers(name: Current, request: Request) -> Response:
        return answer(await calls.answers(name, await decode(request, wire.Answers)))

    @api.post("/v1/service/{name}/withdraw", openapi_extra=takes(wire.Withdraw), responses=gives(wire.Accepted))
    async def withdraw(name: Current, request: Request) -> Response:
        return answer(await calls.withdraw(name, await decode(request, wire.Withdraw)))

    @api.post("/v1/service/{name}/confirm/{operation}", responses=gives(wire.Accepted))
    async def confirm(name: Current, operation: str) -> Response:
        return answer(await calls.confirm(name, operation))

    @api.post("/v1/service/{name}/fail/{operation}", openapi_extra=takes(wire.Failed), responses=gives(wire.Accepted))
    async def fail(name: Current, operation: str, request: Request) -> Response:
        return answer(await calls.fail(name, operation, await decode(request, wire.Failed)))

    @api.post(
        "/v1/service/{name}/working/{operation}", openapi_extra=takes(wire.Working), responses=gives(wire.Accepted)
    )
    async def working(name: Current, operation: str, request: Request) -> Response:
        return answer(await calls.working(name, operation, await decode(request, wire.Working)))

    @api.post("/v1/service/{name}/rescale", openapi_extra=takes(wire.Rescale), responses=gives(wire.Accepted))
    async def rescale(name: Current, request: Request) -> Response:
        return answer(await calls.rescale(name, await decode(request, wire.Rescale)))

    @api.post("/v1/service/{name}/fits", openapi_extra=takes(wire.Declare), responses=gives(wire.Fits))
    async def fits(name: Current, request: Request) -> Response:
        return answer(calls.fits(name, await decode(request, wire.Declare)))

    @api.post("/v1/service/{name}/differ", openapi_extra=takes(wire.Declare), responses=gives(wire.Differ))
    async def differ(name: Current, request: Request) -> Response:
        return answer(calls.differ(name, await decode(request, wire.Declare)))

    @api.post("/v1/service/{name}/retarget", openapi_extra=takes(wire.Retarget), responses=gives(wire.Accepted))
    async def retarget(name: Current, request: Request) -> Response:
        return answer(await calls.retarget(name, await decode(request, wire.Retarget)))

    @api.post("/v1/service/{name}/resize", openapi_extra=takes(wire.Resize), responses=gives(wire.Resized))
    async def resize(name: Current, request: Request) -> Response:
        return answer(await calls.resize(name, await decode(request, wire.Resize)))

    @api.post("/v1/service/{name}/back", openapi_extra=takes(wire.Back), responses=gives(wire.Accepted))
    async def back(name: Current, request: Request) -> Response:
        return answer(await calls.back(name, await decode(request, wire.Back)))

    @api.post("/v1/service/{name}/notes", openapi_extra=takes(wire.Note), responses=gives(wire.Accepted))
    async def note(name: Current, request: Request) -> Response:
        return answer(await calls.note(name, await decode(request, wire.Note)))

    @api.post("/v1/service/{name}/run", openapi_extra=takes(wire.RunTool), responses=gives(wire.ToolResult))
    async def run(name: Current, request: Request) -> Response:
        return answer(await calls.run(name, await decode(request, wire.RunTool)))

    @api.get(
        "/v1/service/{name}/state/{key:path}",
        dependencies=[told_when_durable(calls.core.durable)],
        responses=gives(wire.StateEntry),
    )
    async def read_state(name: Current, key: str) -> Response:
        return answer(calls.read_state(name, key))

    @api.put(
        "/v1/service/{name}/state/{key:path}", openapi_extra=takes(wire.StateWrite), responses=gives(wire.StateEntry)
    )
    async def write_state(name: Current, key: str, request: Request) -> Response:
        return answer(await calls.write_state(name, key, await decode(request, wire.StateWrite)))

    @api.delete("/v1/service/{name}/state/{key:path}", responses=gives(wire.Accepted))
    async def delete_state(name: Current, key: str, version: int | None = None) -> Response:
        return answer(await calls.delete_state(name, key, version))

    @api.post("/v1/service/{name}/granted/{action}", responses=gives(wire.Granted))
    async def granted(name: Current, action: str) -> Response:
        return answer(calls.granted(name, action))

    @api.post(
        "/v1/service/{name}/replies/{action}", openapi_extra=takes(wire.ActionReply), responses=gives(wire.Accepted)
    )
    async def reply(name: Current, action: str, request: Request) -> Response:
        return answer(await calls.reply(name, action, await decode(request, wire.ActionReply)))

    @api.post(
        "/v1/service/{name}/progress/{action}",
        openapi_extra=takes(wire.ActionProgress),
        responses=gives(wire.Accepted),
    )
    async def progress(name: Current, action: str, request: Request) -> Response:
        return answer(await calls.progress(name, action, await decode(request, wire.ActionProgress)))

    return api
