"""Puts the master together: store, cores, doors."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi_offline import FastAPIOffline

from upcall import __version__
from upcall.cluster.folder import Cluster, DataFolder
from upcall.master import (
    action_api,
    finalizing,
    goals,
    guests,
    host_api,
    maintenance_api,
    operator_api,
    package_api,
    platform_api,
    revision_api,
    revisions,
    secret_api,
    service_api,
    services,
    startup,
    steady_clock,
    stores,
    substrates,
    volume_api,
)
from upcall.master.context import tell_names
from upcall.master.documentation import DocumentationGate, Readers, session_of
from upcall.master.driver import Driver
from upcall.master.events import Journal, kept_events
from upcall.master.ground import Ground
from upcall.master.housekeeping import Housekeeping
from upcall.master.http import LOCAL_HOSTS, Calls, Gate, install_error_handlers, told_when_durable
from upcall.master.http import principal_of as principal
from upcall.master.leaving import Leaving
from upcall.master.logins import Logins
from upcall.master.metrics import exposition
from upcall.master.notify import Notifier
from upcall.master.published import publish
from upcall.master.schedules import Schedules
from upcall.master.secrets import Secrets
from upcall.master.service_calls import ServiceCalls
from upcall.master.streams import Streams
from upcall.master.tokens import Principal, Tokens
from upcall.master.views import Views
from upcall.protocol.errors import Unauthorised
from upcall.substrate.machines import Machines
from upcall.transport.http import Headers

CLOCK_EVERY_S: Final = 5.0


@dataclass(frozen=True)
class Master:
    """The parts that the doors and tests reach for."""

    app: FastAPI
    core: Driver
    views: Views
    tokens: Tokens
    readers: Readers
    housekeeping: Housekeeping
    machines: Machines


def make(folder: DataFolder, cluster: Cluster, make_machines: substrates.Make | None = None) -> Master:
    """Everything but the socket. ``make_machines``: who has the machines; without, whom ``cluster.json`` names. Raises
    what the store and the data folder raise."""
    store = stores.opened(folder, cluster)
    keep = stores.keeping(folder, cluster, store)
    tokens, secrets = Tokens(folder.tokens, keep=keep, owner=cluster.owner), Secrets(folder.secret_values, keep)
    journal = Journal(cluster.cluster, kept_events(store, cluster.cluster))
    streams, hosts = Streams(), Streams()
    ground = Ground(lambda: core, secrets, tokens)
    machines = (make_machines or substrates.chosen(cluster))(folder, cluster, ground)
    notifier = Notifier(streams, machines.send)
    clock = steady_clock.SteadyClock(folder.database.with_name(steady_clock.FILE))
    core = Driver(store, journal, lambda core: machines.substrate(core.state.substrate_records), notifier, wall=clock)
    views = Views(core, machines, streams)
    housekeeping = Housekeeping(core)
    host_door = host_api.HostDoor(core, hosts)
    deriving = goals.HostsDerive(core, hosts)
    service_calls = ServiceCalls(core, streams, machines, secrets, deriving)
    core.after_turn.append(revisions.follow)
    core.after_turn.append(finalizing.follow)
    Schedules(core, service_calls.actions)
    core.after_turn.append(services.finish_uninstalls)
    core.after_turn.append(guests.follow)
    core.after_turn.append(host_door.assign_changes)
    core.after_turn.append(Leaving(core, machines).rule)
    core.after_turn.append(tell_names)
    core.on_reload = lambda: _say_again(core, machines, service_calls, host_door)
    core.prove = machines.prove
    logins, readers, calls = Logins(), Readers(), Calls()
    operator = operator_api.OperatorDoor(
        core, views, host_door, service_calls, cluster, machines, tokens, secrets, logins, calls
    )

    def authenticate(authorization: str) -> Principal:
        return tokens.authenticate(authorization, core.monotonic())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        core.start()
        await startup.finish(core, folder, tokens.owner)
        machines.start()
        beside = [asyncio.create_task(one) for one in (housekeeping.run(), core.watch(), _telling(core, clock))]
        yield
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        _disconnect(streams, hosts, machines)
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
    app.include_router(secret_api.router(core, secrets, principal))
    app.include_router(revision_api.router(core, views, service_calls, principal))
    app.include_router(platform_api.router(core, views, principal))
    app.include_router(action_api.router(service_calls, core, views, principal))
    app.include_router(volume_api.router(core, views, machines, principal))
    app.include_router(maintenance_api.router(operator, principal))
    app.include_router(host_api.router(host_door, deriving, principal))
    app.include_router(package_api.router(core, housekeeping, principal))
    app.include_router(service_api.router(service_calls, principal))
    for router in machines.routers():
        app.include_router(router)
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
    return Master(app, core, views, tokens, readers, housekeeping, machines)


async def _telling(core: Driver, clock: steady_clock.SteadyClock) -> None:
    """That the machine's clock jumped. Until it is cancelled."""
    while True:
        for text in clock.news():
            core.post(lambda tx, text=text: tx.event("alert", "clock", text, alert=True))  # type: ignore[misc]
        await asyncio.sleep(CLOCK_EVERY_S)


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


def _say_again(core: Driver, machines: Machines, services: ServiceCalls, hosts: host_api.HostDoor) -> None:
    """The records were read anew. Nobody's connection ends with it: all that only they know is asked for on it."""
    machines.say_again()
    services.show_again()
    core.post(lambda tx: tx.turn.after.append(hosts.assign_now))


def _disconnect(streams: Streams, hosts: Streams, machines: Machines) -> None:
    streams.close_all()
    hosts.close_all()
    machines.close()
