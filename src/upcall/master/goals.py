"""From goals to options: the master asks the host that runs the services' code, by package and version, so that it is
known before anything is recorded; also of a service that is only to be installed.
"""

import asyncio
from collections.abc import Mapping
from secrets import token_hex
from typing import Any, Final, Protocol

from upcall.master import revisions
from upcall.master.core import Core
from upcall.master.services import find
from upcall.master.streams import Streams
from upcall.master.to_wire import node_view
from upcall.protocol import service as wire
from upcall.protocol.errors import NotFound, NotNow, from_problem
from upcall.protocol.operator import Install, Update

GOALS: Final = "goals"
"""The option."""
TIMEOUT_S: Final = 30.0

Found = dict[str, wire.Derived]


def nodes(core: Core) -> tuple[wire.NodeView, ...]:
    known = (seen.description for seen in core.known_nodes().values())
    return tuple(node_view(each) for each in known if each is not None)


class Deriving(Protocol):
    """Who makes options of goals."""

    async def of(self, package: wire.Package, options: Mapping[str, Any]) -> Found: ...


class HostsDerive:
    """The oldest host, which runs everything."""

    def __init__(self, core: Core, hosts: Streams) -> None:
        self._core, self._hosts = core, hosts
        self._asked: dict[str, asyncio.Future[wire.DerivedReply]] = {}

    async def of(self, package: wire.Package, options: Mapping[str, Any]) -> Found:
        host = next(iter(self._hosts.names()), None)
        if host is None:
            raise NotNow("no host is connected that could make options of goals", where=GOALS, expected="its return")
        question = wire.Derive(
            id=token_hex(8),
            package=package.name,
            version=package.version,
            entry=package.entry,
            source=package.source,
            options=dict(options),
            nodes=nodes(self._core),
        )
        reply = self._asked[question.id] = asyncio.get_running_loop().create_future()
        try:
            self._hosts.send(host, question)
            async with asyncio.timeout(TIMEOUT_S):
                said: wire.DerivedReply = await reply
        except TimeoutError:
            raise NotNow(f"what follows from the goals was not said within {TIMEOUT_S:.0f} s", where=GOALS) from None
        finally:
            del self._asked[question.id]
        if said.problem is not None:
            raise from_problem(said.problem)
        return said.derived

    def replied(self, question: str, reply: wire.DerivedReply) -> None:
        waiting = self._asked.get(question)
        if waiting is None:
            raise NotFound(f"nobody asked {question!r}", where="derived")
        if not waiting.done():
            waiting.set_result(reply)


async def of_install(core: Core, deriving: Deriving, request: Install) -> Found:
    if not request.options.get(GOALS):
        return {}
    return await deriving.of(core.state.packages.find(request.package, request.version), request.options)


async def of_update(
    core: Core, deriving: Deriving, name: str, asked: Update, unregistered: wire.Package | None = None
) -> Found:
    """Of what an update would say; going back, what the earlier revision said holds again. ``unregistered``: the
    package that it would be of."""
    service = find(core, name)
    if asked.back_to is not None:
        return {}
    options = revisions.said(service, asked)
    if not options.get(GOALS):
        return {}
    version = asked.version or service.record.version
    package = unregistered or core.state.packages.find(service.record.package, version)
    return await deriving.of(package, options)
