"""What is published of the doors: one OpenAPI document, so that any language can speak to them.

The operator API's models describe themselves to the framework. The service and agent APIs are msgspec types, decoded
from the raw body (their errors name the field), so their schemas are added here, from the same types: ``takes`` and
``gives`` at each call, and the messages of the agents' WebSocket, for which OpenAPI has no word, as components that the
extension ``x-agent-api`` names. Every error of every call is a :class:`Problem`.
"""

from typing import Any, Final

import msgspec
from fastapi import FastAPI

from upcall.protocol import agent, service
from upcall.protocol.errors import Problem

REF: Final = "#/components/schemas/"
SERVICE_CALLS: Final = (
    service.Package, service.Declare, service.Starts, service.Endpoints, service.Plans, service.Health, service.Propose,
    service.Answers, service.Withdraw, service.Accepted, service.Back, service.Note, service.RunTool,
    service.ToolResult, service.StateEntry, service.StateWrite, service.ActionReply, service.AskCredentials,
    service.Credentials, service.ActionProgress, service.Failed, service.Retarget, service.Fits, service.Working,
    service.Rescale, service.Granted, service.DerivedReply, service.Differ, service.Resize, service.Resized,
)  # fmt: skip
UNIONS: Final[dict[str, Any]] = {
    "service.StreamEvent": service.StreamEvent,
    "agent.FromAgent": agent.FromAgent,
    "agent.ToAgent": agent.ToAgent,
}
"""Tagged unions: what is sent on streams."""
BEARER: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of this cluster: of its operator, its hosts or its agents (files below `secrets/` of the "
    "data folder), or of a browser's session.",
}
TAGS: Final = [
    {"name": "operator API", "description": "For people and programs: what they ask, and all that there is to see."},
    {
        "name": "service API",
        "description": "For the code of services, in any language: one stream from the master, whole sets with "
        "versions, and these calls. All but the streams carry the newest stream's id in `Upcall-Stream`.",
    },
    {
        "name": "agent API",
        "description": "For agents: one WebSocket, `/v1/agent`, that the agent opens with its token. JSON messages "
        "tagged by `type`; their schemas are `agent.FromAgent` and `agent.ToAgent` (see `x-agent-api`).",
    },
]
_JSON: Final = "application/json"
_PROBLEM: Final = {
    "description": "What was wrong, where, and what would be right.",
    "content": {_JSON: {"schema": {"$ref": f"{REF}Problem"}}},
}


def takes(kind: Any, media: str = _JSON) -> dict[str, Any]:
    """For a route's ``openapi_extra``: the body that it reads itself."""
    return {"requestBody": {"required": True, "content": {media: {"schema": _schema_of(kind)}}}}


def gives(kind: Any, media: str = _JSON) -> dict[int | str, dict[str, Any]]:
    """For a route's ``responses``: what it answers when all is well."""
    return {200: {"description": "As asked.", "content": {media: {"schema": _schema_of(kind)}}}}


def _schema_of(kind: Any) -> dict[str, Any]:
    if kind is bytes:
        return {"type": "string", "format": "binary"}
    if kind is dict:
        return {"type": "object"}
    return {"$ref": f"{REF}{kind if isinstance(kind, str) else f'service.{kind.__name__}'}"}


EVENTS: Final = gives("service.StreamEvent", "text/event-stream")
"""Server-sent events; the data of each is one of these."""


def publish(app: FastAPI) -> None:
    """Completes the document that the framework makes of the routes."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(made())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # The framework's own form of an error, which is not ours.
        schemas.pop(name, None)
    schemas |= _schemas("", Problem) | _schemas("service.", *SERVICE_CALLS)
    for name, union in UNIONS.items():
        prefix = name.partition(".")[0] + "."
        (schemas[name],), found = msgspec.json.schema_components([union], ref_template=f"{REF}{prefix}{{name}}")
        schemas |= {prefix + part: schema for part, schema in found.items()}
    components["securitySchemes"] = {"bearer": BEARER}
    document["security"] = [{"bearer": []}]
    document["tags"] = TAGS
    document["x-agent-api"] = {
        "path": "/v1/agent",
        "protocol": "websocket",
        "fromAgent": {"$ref": f"{REF}agent.FromAgent"},
        "toAgent": {"$ref": f"{REF}agent.ToAgent"},
    }
    for calls in document["paths"].values():
        for call in calls.values():
            call["responses"].pop("422", None)
            call["responses"]["default"] = _PROBLEM
    return document


def _schemas(prefix: str, *kinds: Any) -> dict[str, Any]:
    _, found = msgspec.json.schema_components(kinds, ref_template=f"{REF}{prefix}{{name}}")
    return {prefix + name: schema for name, schema in found.items()}
