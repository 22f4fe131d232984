"""The door for hosts: which of them runs the services' code, and what that is.

A host is a process that has experts' code. Several may be connected; one runs everything, the oldest, and the others
stand by. Each is told all that it runs, again whenever that changes: installed services with their packages, or
nothing.
"""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse

from upcall.master.changes import Changed
from upcall.master.driver import Driver
from upcall.master.goals import HostsDerive
from upcall.master.http import answer, caller, decode
from upcall.master.published import EVENTS, gives, takes
from upcall.master.streams import Streams, read_until_gone
from upcall.master.tokens import Principal
from upcall.master.transaction import Transaction
from upcall.protocol import service as wire
from upcall.protocol.errors import NotFound


class HostDoor:
    """The assignments of the hosts that are connected."""

    def __init__(self, core: Driver, hosts: Streams) -> None:
        self.core, self.hosts = core, hosts
        self.packages_registered = bool(core.state.packages.all())
        """A host has said, now or in an earlier life of the cluster, that all packages it has are registered."""
        self._assignments_version = 0

    def assignments(self, *, run: bool) -> wire.Assignments:
        self._assignments_version += 1
        if not run:
            return wire.Assignments(version=self._assignments_version, services=())
        found = []
        for service in self.core.state.services.values():
            record = service.record
            try:
                package = self.core.state.packages.find(record.package, record.version)
            except NotFound:
                continue
            found.append(
                wire.Assignment(
                    service=record.name,
                    package=record.package,
                    version=record.version,
                    entry=package.entry,
                    source=package.source,
                    installed_at=record.created_at,
                )
            )
        return wire.Assignments(version=self._assignments_version, services=tuple(found))

    def assign_changes(self, tx: Transaction, changed: Changed) -> None:
        """A rule of the core: when the set of services or packages changed, the hosts hear it after the commit. (Who
        connects is told then: see the host's stream.)"""
        if changed.assignments:
            tx.turn.after.append(self.assign_now)

    def assign_now(self) -> None:
        """One host runs everything, the oldest; the others stand by with nothing to run until it is gone. They are told
        so: one that was the oldest before it lost its connection still runs what it had, and the two would fence each
        other off for ever."""
        for place, name in enumerate(self.hosts.names()):
            self.hosts.send(name, self.assignments(run=place == 0))


def router(door: HostDoor, deriving: HostsDerive, principal: Callable[[Request], Principal]) -> APIRouter:
    core = door.core
    api = APIRouter(tags=["service API"])
    Host = Annotated[Principal, Depends(caller(principal, "host", "admin"))]

    @api.get("/v1/host/stream", response_class=StreamingResponse, responses=EVENTS)
    async def host_stream(who: Host, host: str = "host") -> StreamingResponse:
        stream = door.hosts.subscribe(f"{who.name}/{host}")

        def assign(tx: Transaction) -> None:
            tx.turn.after.append(door.assign_now)

        def end() -> None:
            door.hosts.unsubscribe(f"{who.name}/{host}", stream)
            core.post(assign)

        core.post(assign)
        return StreamingResponse(read_until_gone(stream, end), media_type="text/event-stream")

    @api.post("/v1/host/ready", responses=gives(wire.Accepted))
    async def host_ready(_: Host) -> Response:
        door.packages_registered = True
        words = "all that this host has are registered"
        core.post(lambda tx: tx.event("package", "packages", words, detail=True))
        return answer(wire.Accepted())

    @api.post("/v1/host/derived/{question}", openapi_extra=takes(wire.DerivedReply), responses=gives(wire.Accepted))
    async def derived(question: str, _: Host, request: Request) -> Response:
        deriving.replied(question, await decode(request, wire.DerivedReply))
        return answer(wire.Accepted())

    return api
