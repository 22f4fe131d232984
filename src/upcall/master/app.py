"""Puts the master together: store, cores, doors."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi_offline import FastAPIOffline

from upcall import __version__
from upcall.cluster.folder import Cluster, DataFolder
from upcall.master import (
    action_api,
    agent_api,
    host_api,
    operator_api,
    package_api,
    service_api,
    services,
    startup,
    volume_api,
)
from upcall.master.agents import Agents
from upcall.master.context import SecretMaker, launch_context, tell_names
from upcall.master.core import Core
from upcall.master.documentation import DocumentationGate, Readers, session_of
from upcall.master.driver import Driver
from upcall.master.events import Journal, kept_events
from upcall.master.housekeeping import Housekeeping
from upcall.master.http import LOCAL_HOSTS, Calls, Gate, install_error_handlers, told_when_durable
from upcall.master.http import principal_of as principal
from upcall.master.logins import Logins
from upcall.master.machines import Machines
from upcall.master.metrics import exposition
from upcall.master.notify import Notifier
from upcall.master.published import publish
from upcall.master.secrets import Secrets
from upcall.master.streams import Streams
from upcall.master.tokens import Principal, Tokens
from upcall.master.views import Views
from upcall.protocol.errors import Unauthorised
from upcall.store.sqlite import SqliteStore
from upcall.substrate.local import LocalSubstrate
from upcall.transport.http import Headers


@dataclass(frozen=True)
class Master:
    """The parts that the doors and tests reach for."""

    app: FastAPI
    core: Driver
    views: Views
    tokens: Tokens
    readers: Readers
    housekeeping: Housekeeping


def make(folder: DataFolder, cluster: Cluster) -> Master:
    """Everything but the socket. Raises what :class:`SqliteStore` and the data folder raise."""
    store = SqliteStore(folder.database)
    tokens, secrets = Tokens(folder.tokens), Secrets(folder.secret_values)
    journal = Journal(cluster.cluster, kept_events(store, cluster.cluster))
    streams, hosts = Streams(), Streams()
    agents = Agents(lambda member: _place_of(core, member))
    notifier = Notifier(streams, agents.send)

    def substrate(core: Core) -> LocalSubstrate:
        return LocalSubstrate(
            core.state.substrate_records,
            prefix=cluster.prefix,
            cluster=cluster.cluster,
            wall=core.wall,
            context=lambda task, declaration: launch_context(core, secrets, maker.make, task, declaration),
        )

    maker = SecretMaker(lambda: core, secrets)
    core = Driver(store, journal, substrate, notifier)
    machines = Machines(folder, cluster, tokens)
    views = Views(core, agents, streams)
    housekeeping = Housekeeping(core)
    host_door = host_api.HostDoor(core, hosts)
    service_door = service_api.ServiceDoor(core, streams, agents, secrets)
    core.after_turn.append(services.finish_uninstalls)
    core.after_turn.append(host_door.assign_changes)
    core.after_turn.append(machines.follow(core, lambda: _local(core)))
    core.after_turn.append(tell_names(lambda: _local(core)))
    core.on_reload = lambda: _say_again(core, agents, service_door, host_door)
    core.prove = lambda node: machines.prove(core, lambda: _local(core), node)
    logins, readers, calls = Logins(), Readers(), Calls()
    operator = operator_api.OperatorDoor(core, views, host_door, service_door, machines, tokens, secrets, logins, calls)
    agent_door = agent_api.AgentDoor(core, agents, lambda: _local(core))

    def authenticate(authorization: str) -> Principal:
        return tokens.authenticate(authorization, core.monotonic())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        core.start()
        await startup.finish(core, folder, tokens.owner)
        beside = [asyncio.create_task(housekeeping.run()), asyncio.create_task(core.watch())]
        yield
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        _disconnect(streams, hosts, agents)
        await core.close()
        await asyncio.to_thread(store.close)

    app = FastAPIOffline(
        title="upcall",
        version=__version__,
        description=(operator_api.__doc__ or "").strip(),
        lifespan=lifespan,
    )
    install_error_handlers(app)
    publish(app)
    app.include_router(operator_api.router(operator, principal))
    app.include_router(action_api.router(service_door.actions, core, views, principal))
    app.include_router(volume_api.router(core, views, lambda: _local(core), principal))
    app.include_router(host_api.router(host_door, principal))
    app.include_router(package_api.router(core, housekeeping, principal))
    app.include_router(service_api.router(service_door, principal))
    app.include_router(agent_api.router(agent_door, core, principal))
    _metrics_route(app, core, views, principal)

    def login_to_read(code: str, user: int | None) -> str:
        logins.use(code, "documentation", user, core.monotonic(), time.time())
        return readers.open(core.monotonic())

    app.add_middleware(
        DocumentationGate,
        authenticate=authenticate,
        reads=lambda session: readers.reads(session, core.monotonic()),
        login=login_to_read,
    )
    own = cluster.url.partition("://")[2].rsplit(":", 1)[0]
    app.add_middleware(Gate, hosts=(own, *LOCAL_HOSTS), authenticate=authenticate, calls=calls)
    return Master(app, core, views, tokens, readers, housekeeping)


def knows(master: Master) -> Callable[[Headers], bool]:
    """Whether the headers of a request say who is there: asked before anything else of it is looked at."""

    def known(headers: Headers) -> bool:
        found = next((value for name, value in headers if name == b"authorization"), b"")
        cookie = next((value for name, value in headers if name == b"cookie"), b"")
        if not found and master.readers.reads(session_of(cookie.decode("latin-1")), master.core.monotonic()):
            return True
        try:
            master.tokens.authenticate(found.decode("latin-1"), master.core.monotonic())
        except Unauthorised:
            return False
        return True

    return known


def _metrics_route(app: FastAPI, core: Driver, views: Views, principal: Callable[[Request], Principal]) -> None:
    @app.get("/metrics", tags=["operator API"], dependencies=[told_when_durable(core.durable)])
    async def metrics(request: Request) -> Response:
        principal(request).must_be("viewer")
        return Response(exposition(views), media_type="text/plain; version=0.0.4; charset=utf-8")


def _say_again(core: Driver, agents: Agents, services: service_api.ServiceDoor, hosts: host_api.HostDoor) -> None:
    """The records were read anew. Nobody's connection ends with it: all that only they know is asked for on it."""
    agents.ask_again()
    services.show_again()
    core.post(lambda tx: tx.turn.after.append(hosts.assign_now))


def _disconnect(streams: Streams, hosts: Streams, agents: Agents) -> None:
    for connections in (streams, hosts, agents):
        connections.close_all()


def _place_of(core: Core, member: str) -> tuple[str, str] | None:
    service, _, name = member.partition(".")
    for view in core.state.ledger.members(service):
        if view.name == name and view.incarnation:
            return f"{member}.{view.incarnation}", core.state.places.get(member, (view.node, ""))[0]
    return None


def _local(core: Core) -> LocalSubstrate:
    assert isinstance(core.substrate, LocalSubstrate)
    return core.substrate
