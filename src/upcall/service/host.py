"""The service host: runs the code of services against the master.

    python -m upcall.service.host --master <data>/run/master.sock --token-file token --data folder

It registers the packages that are installed here (a process of its own builds them), hears which services it should
run, and gives each a thread with an event loop of its own: what one service's code blocks, hangs or crashes stops that
service alone. A service that fell is started again, ever more slowly; what it knew is at the master, so nothing is lost
with the host, and a second one may take over at any time.
"""

import argparse
import asyncio
import contextlib
import functools
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, Invalid, NotFound, NotNow, Unauthorised, UpcallError
from upcall.service import package
from upcall.service.attempts import in_words, persistently
from upcall.service.blame import line_of
from upcall.service.connection import Connection
from upcall.service.goals import derive
from upcall.service.link import Fenced, MasterAway, encoded
from upcall.service.offering import Offer, Refused, built_aside
from upcall.service.runner import Runner
from upcall.service.service import Service
from upcall.transport.limits import raise_open_files

log = logging.getLogger("upcall.host")

AWAY: Final = (MasterAway, NotNow, Fenced, Unauthorised)
"""The master is away, busy, or believes somebody else: it may be otherwise soon."""

STOP_TIMEOUT_S: Final = 5.0
"""For a service's code to end; what still hangs is left behind, and ends with the process."""

EXITED_PAUSE_MIN_S: Final = 1.0
EXITED_PAUSE_MAX_S: Final = 60.0

Connect = Callable[[], Connection]


class Host:
    """All services of one host."""

    def __init__(self, connect: Connect, data: Path, name: str, offers: Iterator[Offer]) -> None:
        """``offers``: what is installed here, in the order in which it is registered; each may take its time."""
        self._connect = connect
        self._data = data
        self._offers = offers
        self._name = name
        self._services: dict[str, ServiceThread] = {}
        self._changes: dict[str, asyncio.Task[None]] = {}
        self._derivations: set[asyncio.Task[None]] = set()
        self._heard = asyncio.Event()
        """The master has spoken: before that, packages that are built have nowhere to go."""

    async def run(self) -> None:
        """Until cancelled."""
        connection = self._connect()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._registering(connection))
                group.create_task(self._hearing(connection))
        finally:
            await asyncio.gather(*(thread.stop() for thread in self._services.values()))
            await connection.close()

    # -- packages ---------------------------------------------------------------------------------------------------

    async def _registering(self, connection: Connection) -> None:
        """One package after the other; one that cannot be built is left out, and the log says why."""
        await self._heard.wait()
        while (offer := await asyncio.to_thread(next, self._offers, None)) is not None:
            if isinstance(offer, Refused):
                log.warning("package %s cannot be offered: %s", offer.what, offer.why)
            else:
                await self._register(connection, offer)

        async def ready() -> None:
            await connection.call("POST", "/v1/host/ready")

        what = "the packages are registered, and nobody heard it"
        try:
            await persistently(what, ready, on=AWAY, log=log)
        except UpcallError as error:
            # Said for those who wait for it; the services that run here must not end with it.
            log.warning("%s: %s", what, error)

    async def _register(self, connection: Connection, built: package.Built) -> None:
        what = f"package {built.package.name} {built.package.version} was not registered"
        try:
            await persistently(what, functools.partial(register, connection, built), on=AWAY, log=log)
        except UpcallError as error:
            log.warning("%s: %s", what, error)

    # -- services ---------------------------------------------------------------------------------------------------

    async def _hearing(self, connection: Connection) -> None:
        async def hear() -> None:
            async for event in connection.events(f"/v1/host/stream?host={quote(self._name, safe='')}"):
                self._heard.set()
                if isinstance(event, wire.Assignments):
                    self._assign({one.service: one for one in event.services})
                elif isinstance(event, wire.Derive):
                    task = asyncio.create_task(self._derive(connection, event))
                    self._derivations.add(task)
                    task.add_done_callback(self._derivations.discard)
            raise MasterAway("the stream of assignments ended")

        await persistently("no assignments", hear, on=(Exception,), log=log)

    async def _derive(self, connection: Connection, asked: wire.Derive) -> None:
        """What follows from goals; also of a service that is not there yet."""
        try:
            service = await loaded(connection, asked, self._data / "packages")
            reply = wire.DerivedReply(derived=await asyncio.to_thread(derive, service, asked.options, asked.nodes))
        except UpcallError as refused:
            reply = wire.DerivedReply(problem=refused.problem)
        except Exception as error:
            log.exception("goals of %s", asked.package)
            said = Conflict(f"the code of {asked.package} {asked.version} raised {in_words(error)}", where="goals")
            reply = wire.DerivedReply(problem=said.problem)
        body = encoded(reply)
        try:
            await connection.call("POST", f"/v1/host/derived/{quote(asked.id, safe='')}", body)
        except (UpcallError, MasterAway) as error:
            log.warning("what follows from goals was not heard: %s", error)

    def _assign(self, wanted: dict[str, wire.Assignment]) -> None:
        """What changed is stopped and started anew; what did not is left alone. Nobody waits for one that hangs but
        its own successor."""
        for name in [*self._services, *wanted]:
            old, assignment = self._services.get(name), wanted.get(name)
            if (old.assignment if old else None) == assignment:
                continue
            new = ServiceThread(assignment, self._connect, self._data / "packages") if assignment else None
            if new is not None:
                self._services[name] = new
            else:
                del self._services[name]
            change = asyncio.create_task(self._change(name, old, new, self._changes.get(name)))
            self._changes[name] = change
            change.add_done_callback(functools.partial(self._changed, name))

    async def _change(
        self, name: str, old: "ServiceThread | None", new: "ServiceThread | None", earlier: asyncio.Task[None] | None
    ) -> None:
        if earlier is not None:
            await asyncio.wait([earlier])
        if old is not None:
            await old.stop()
        if new is not None and self._services.get(name) is new:
            new.start()

    def _changed(self, name: str, change: asyncio.Task[None]) -> None:
        if self._changes.get(name) is change:
            del self._changes[name]


async def register(connection: Connection, built: package.Built) -> None:
    """The manifest; and the blobs before it where the master lacks them."""
    manifest = built.package
    path = f"/v1/packages/{quote(manifest.name, safe='')}/{quote(manifest.version, safe='')}"
    body = msgspec.json.encode(manifest)
    try:
        await connection.call("PUT", path, body)
    except (Invalid, NotFound):
        if not built.blobs:
            raise
        for digest, data in built.blobs.items():
            await connection.call("PUT", f"/v1/blobs/{digest}", data, timeout_s=120.0)
        await connection.call("PUT", path, body)


class ServiceThread:
    """One service: a thread, its event loop, its connection, and whoever starts it again when it fell."""

    def __init__(self, assignment: wire.Assignment, connect: Connect, sources: Path) -> None:
        self.assignment = assignment
        self._connect = connect
        self._sources = sources
        # A daemon: code that hangs for ever does not keep the process alive.
        self._thread = threading.Thread(target=self._main, name=assignment.service, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._running = threading.Event()
        self._stopped = threading.Event()

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        if self._thread.ident is None:
            return  # never started
        self._stopped.set()
        await asyncio.to_thread(self._running.wait, STOP_TIMEOUT_S)
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._task.cancel)
        await asyncio.to_thread(self._thread.join, STOP_TIMEOUT_S)
        if self._thread.is_alive():
            log.warning("%s: its code still hangs; it is left behind", self.assignment.service)

    def _main(self) -> None:
        name, pause_s = self.assignment.service, EXITED_PAUSE_MIN_S
        while not self._stopped.is_set():
            try:
                asyncio.run(self._supervised())
                return
            except asyncio.CancelledError:
                return
            except SystemExit as ended:
                # It ends an event loop from wherever it is raised: this one, and no other service's.
                where = line_of(ended)
                own = logging.getLogger(f"upcall.services.{name}")
                own.error("its code called sys.exit (%s); it is started again in %g s", where, pause_s)
                self._stopped.wait(pause_s)
                pause_s = min(2 * pause_s, EXITED_PAUSE_MAX_S)
            except Exception:
                log.exception("%s: its thread ended", name)
                return

    async def _supervised(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._running.set()
        name = self.assignment.service
        connection = self._connect()
        try:
            await persistently(f"{name} fell", lambda: self._once(connection), on=(Exception,), log=log)
        finally:
            await connection.close()

    async def _once(self, connection: Connection) -> None:
        """One life of the service's code: subscription after subscription, until something unforeseen ends it."""
        name = self.assignment.service
        service = await loaded(connection, self.assignment, self._sources)

        async def load(revision: wire.Revision) -> type[Service] | None:
            return await loaded(connection, revision, self._sources) if revision.source else None

        runner = Runner(service, name, connection, version=self.assignment.version, load=load)
        try:
            await persistently(f"{name} is not subscribed", runner.run, on=AWAY, log=log)
        finally:
            await runner.close()


async def loaded(
    connection: Connection, what: wire.Assignment | wire.Derive | wire.Revision, sources: Path
) -> type[Service]:
    """The code of a package in its version; an own one's is fetched once."""
    if not what.source:
        return await asyncio.to_thread(package.load, what.entry, version=what.version)
    folder = sources / what.source
    if not folder.is_dir():
        data = await connection.call("GET", f"/v1/blobs/{what.source}", timeout_s=120.0)
        folder = await asyncio.to_thread(package.unpack, data, what.source, sources)
    return await asyncio.to_thread(package.load, what.entry, folder, what.source, what.version)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="upcall.service.host", description="Runs the code of services.")
    parser.add_argument("--master", required=True, type=Path, help="the master's socket")
    parser.add_argument("--token-file", required=True, type=Path, help="file with the host's token")
    parser.add_argument("--data", required=True, type=Path, help="folder for the sources of packages")
    parser.add_argument("--name", default="host", help="name of this host")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def connect() -> Connection:
        # Read anew each time: a token may be changed while the host runs.
        return Connection(given.master, given.token_file.read_text().strip(), host=given.name)

    raise_open_files()
    offers = built_aside()

    async def until_told() -> None:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await Host(connect, given.data, given.name, offers).run()

    asyncio.run(until_told())
    logging.shutdown()
    sys.stdout.flush()
    # Threads of an expert's blocking client may hang for ever; the interpreter would wait for them.
    os._exit(0)


if __name__ == "__main__":
    main()
