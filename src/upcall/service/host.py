"""The service host: runs the code of services against the master.

    python -m upcall.service.host --master <data>/run/master.sock --token-file token --data folder

It registers the packages that are installed here (a process of its own builds them), hears which services it should
run, and gives each a thread with an event loop of its own (:mod:`upcall.service.service_thread`): what one service's
code blocks, hangs or crashes stops that service alone. Code in C that keeps the interpreter to itself stops all of
them, until this process is ended and started anew without that code (:mod:`upcall.service.barred`). A service that
fell is started again, ever more slowly; what it knew is at the master, so nothing is lost with the host, and a second
one may take over at any time.
"""

import argparse
import asyncio
import contextlib
import functools
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, Invalid, NotFound, UpcallError
from upcall.service import package, service_thread
from upcall.service.apart import Apart
from upcall.service.attempts import in_words, persistently
from upcall.service.barred import Barred
from upcall.service.connection import Connection
from upcall.service.goals import derive
from upcall.service.hanging import LEFT_MAX, Hangs
from upcall.service.link import MasterAway, encoded
from upcall.service.loading import loaded
from upcall.service.offering import Offer, Refused, built_aside
from upcall.service.service_thread import AWAY, Connect, ServiceThread
from upcall.service.turning import Turning
from upcall.transport.limits import one_heap, raise_open_files

log = logging.getLogger("upcall.host")

DERIVE_S: Final = 25.0
"""For so long the options that follow from goals may be worked out: less than the master waits for them."""


class Host:
    """All services of one host."""

    def __init__(
        self, connect: Connect, data: Path, name: str, offers: Iterator[Offer], turning: Turning | None = None
    ) -> None:
        """``offers``: what is installed here, in the order in which it is registered; each may take its time.
        ``turning``: to whom it is said that this process turns; default: nobody."""
        self._connect = connect
        self._data = data
        self._offers = offers
        self._name = name
        self._services: dict[str, ServiceThread] = {}
        self._changes: dict[str, asyncio.Task[None]] = {}
        self._derivations: set[asyncio.Task[None]] = set()
        self._goals: dict[str, Apart] = {}
        """Of each package."""
        self._left: dict[str, list[ServiceThread]] = {}
        """Of each service, what hung and was left behind."""
        self._turning = turning
        self._barred = Barred(data, turning.seen if turning is not None else None)
        self._heard = asyncio.Event()
        """The master has spoken: before that, packages that are built have nowhere to go."""

    async def run(self) -> None:
        """Until cancelled."""
        connection = self._connect()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._registering(connection))
                group.create_task(self._hearing(connection))
                group.create_task(self._looking())
                if self._turning is not None:
                    group.create_task(self._turning.say())
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
        what = f"from_goals() of {asked.package}"
        try:
            if why := self._barred.why_not_tried(asked.source):
                raise Hangs(why)
            apart = self._goals.setdefault(asked.package, Apart(f"goals of {asked.package}"))
            service = await loaded(connection, asked, self._data / "packages", apart, DERIVE_S)
            reply = wire.DerivedReply(
                derived=await apart.call(derive, service, asked.options, asked.nodes, within_s=DERIVE_S, what=what)
            )
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
        for name, words in self._barred.hear(wanted).items():
            log.error("%s: %s stopped the host before this one, which was ended: its code is not called", name, words)
        for name in [*self._services, *wanted]:
            old, assignment = self._services.get(name), wanted.get(name)
            if (old.assignment if old else None) == assignment:
                continue
            self._abandon(name)  # Other code is wanted, or none: what hung is not.
            new = self._thread(assignment) if assignment else None
            self._exchange(name, new)

    def _thread(self, assignment: wire.Assignment) -> ServiceThread:
        """Its code; or, where it stopped the whole host or too many calls of it hang already, what says so."""
        words = self._barred.why(assignment.service)
        if not words and len(self._still_left(assignment.service)) >= LEFT_MAX:
            words = f"{LEFT_MAX} calls of its code hang, and none of it is called any more until one of them returns"
        sources, barred = self._data / "packages", self._barred.why_not_tried
        return ServiceThread(assignment, self._connect, sources, words, barred=barred)

    def _exchange(self, name: str, new: ServiceThread | None) -> None:
        old = self._services.get(name)
        if new is not None:
            self._services[name] = new
        else:
            del self._services[name]
        change = asyncio.create_task(self._change(name, old, new, self._changes.get(name)))
        self._changes[name] = change
        change.add_done_callback(functools.partial(self._changed, name))

    async def _change(
        self, name: str, old: ServiceThread | None, new: ServiceThread | None, earlier: asyncio.Task[None] | None
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

    # -- code that hangs ----------------------------------------------------------------------------------------------

    async def _looking(self) -> None:
        while True:
            await asyncio.sleep(service_thread.LOOK_S)
            for name, thread in list(self._services.items()):
                if name not in self._changes:
                    self._look(name, thread)

    def _look(self, name: str, thread: ServiceThread) -> None:
        """What hangs holds its thread: another one hears for the service, and calls none of its code. That is called
        again once it has returned, after a while; or under other options, which may be what mends it."""
        if not thread.hangs:
            if hangs := thread.look():
                log.error("%s: %s", name, hangs)
                self._left[name] = [*self._still_left(name), thread]
                self._exchange(name, thread.replaced(hangs))
            return
        if thread.other_options:
            self._abandon(name)
            self._barred.call_again(name)
        elif self._barred.why(name):
            if not (self._barred.asked(name, thread.asked_to_restart) or self._barred.is_due(name)):
                return
            self._barred.call_again(name)
        elif not thread.may_try_again(self._still_left(name)):
            return
        new = self._thread(thread.assignment)
        new.hung_times = thread.hung_times
        self._exchange(name, new)

    def _still_left(self, name: str) -> list[ServiceThread]:
        left = [each for each in self._left.pop(name, ()) if each.holds]
        if left:
            self._left[name] = left
        return left

    def _abandon(self, name: str) -> None:
        for thread in self._still_left(name):
            thread.abandon()


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
    one_heap()
    offers = built_aside()
    turning = Turning()

    async def until_told() -> None:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await Host(connect, given.data, given.name, offers, turning).run()

    asyncio.run(until_told())
    logging.shutdown()
    sys.stdout.flush()
    # Threads of an expert's blocking client may hang for ever; the interpreter would wait for them.
    os._exit(0)


if __name__ == "__main__":
    main()
