"""One service in a host: a thread with an event loop of its own, its connection, and whoever starts it again.

What the service's code blocks holds this thread alone. The host looks from outside whether it still turns
(:meth:`ServiceThread.look`); what has not for :data:`LOOKS` looks, because an expert's method does not return, is left
behind, and another thread stands in for it (:mod:`upcall.service.stand_in`).
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from upcall.protocol import service as wire
from upcall.protocol.errors import NotNow, Unauthorised
from upcall.service import hanging, trying
from upcall.service.apart import Apart
from upcall.service.attempts import persistently
from upcall.service.blame import line_of
from upcall.service.connection import Connection
from upcall.service.hanging import marked
from upcall.service.link import Fenced, MasterAway
from upcall.service.loading import Trials, loaded
from upcall.service.runner import Runner
from upcall.service.service import Service
from upcall.service.stand_in import StandIn, stand_in

log = logging.getLogger("upcall.host")

AWAY: Final = (MasterAway, NotNow, Fenced, Unauthorised)
"""The master is away, busy, or believes somebody else: it may be otherwise soon."""

STOP_TIMEOUT_S: Final = 5.0
"""For a service's code to end; what still hangs is left behind, and ends with the process."""

LOOK_S: Final = 5.0
"""How often it is looked whether the threads of services still turn."""
LOOKS: Final = 4
"""In a row at which one did not: where the machine stood still, one of them is lost and not the whole time."""
IMPORT_S: Final = 60.0
"""For so long the import of a service's code may take: it may be large, and the machine slow."""

AGAIN_MIN_S: Final = 60.0
AGAIN_MAX_S: Final = 600.0
"""After code that hung has returned, before it is called again; twice as long each time in a row."""

EXITED_PAUSE_MIN_S: Final = 1.0
EXITED_PAUSE_MAX_S: Final = 60.0

Connect = Callable[[], Connection]


class ServiceThread:
    """One service: a thread, its event loop, its connection, and whoever starts it again when it fell."""

    def __init__(
        self,
        assignment: wire.Assignment,
        connect: Connect,
        sources: Path,
        hangs: str = "",
        instead_of: "ServiceThread | None" = None,
        barred: Callable[[str], str] = lambda source: "",
    ) -> None:
        """``hangs``: its code does, in words; what is said in its place. ``instead_of``: the thread that it holds.
        ``barred``: of a source that is to be tried, why it is not (:mod:`upcall.service.barred`)."""
        self.assignment = assignment
        self.hangs, self.instead_of = hangs, instead_of
        self.hung_times = 0
        """In a row."""
        self._connect = connect
        self._sources, self._barred = sources, barred
        # A daemon: code that hangs for ever does not keep the process alive.
        self._thread = threading.Thread(
            target=marked(assignment.service, self._main), name=assignment.service, daemon=True
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._running = threading.Event()
        self._stopped = threading.Event()
        self._runner: Runner | None = None
        self._apart = Apart(assignment.service)
        self._trials = Trials(sources, assignment.service, barred)
        self._import_hangs = ""
        self._turned = True
        self._missed = 0
        self._waited_s = 0.0
        self._began_s = time.monotonic()

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

    # -- whether it hangs ---------------------------------------------------------------------------------------------

    @property
    def holds(self) -> bool:
        """What was called has not returned."""
        return self._thread.is_alive() or self._apart.holds

    def look(self) -> str:
        """What of its code hangs, in words; empty: nothing. From the host's own thread, every :data:`LOOK_S`."""
        if self._import_hangs or self._loop is None:
            return self._import_hangs
        if self._turned:
            self._turned, self._missed, self._waited_s = False, 0, hanging.waited_s(self._thread)
            try:
                self._loop.call_soon_threadsafe(self._turns)
            except RuntimeError:  # It has ended: whoever starts it again does.
                self._turned = True
            return ""
        before_s, self._waited_s = self._waited_s, hanging.waited_s(self._thread)
        if self._waited_s - before_s > LOOK_S / 2:
            return ""  # It would go on: the machine has too much to do.
        self._missed += 1
        where = hanging.stand(self._thread) if self._missed >= LOOKS else None
        return f"{where} has taken longer than {LOOK_S * LOOKS:g} s" if where else ""

    def _turns(self) -> None:
        self._turned = True

    def replaced(self, hangs: str) -> "ServiceThread":
        """What stands in for it."""
        words = f"{hangs}: none of its code is called any more until that returns"
        found = ServiceThread(self.assignment, self._connect, self._sources, words, self, self._barred)
        lasted = time.monotonic() - self._began_s > AGAIN_MAX_S
        found.hung_times = 1 if lasted else self.hung_times + 1
        return found

    def may_try_again(self, left: "list[ServiceThread]") -> bool:
        """Of a stand-in: what hung has returned (``left``: who has not), and a while has passed. Where it stands in for
        too many of them: one has."""
        returned = self.instead_of not in left if self.instead_of is not None else len(left) < hanging.LEFT_MAX
        pause_s = min(AGAIN_MIN_S * 2 ** (self.hung_times - 1), AGAIN_MAX_S)
        return returned and time.monotonic() - self._began_s > pause_s

    @property
    def other_options(self) -> bool:
        """Of a stand-in: the service has others than those under which its code hangs."""
        standing_in = self._standing_in()
        return standing_in is not None and standing_in.others

    @property
    def asked_to_restart(self) -> str:
        """Of a stand-in: the newest operation by which a person restarts a member; empty: none."""
        standing_in = self._standing_in()
        return standing_in.restart if standing_in is not None else ""

    def _standing_in(self) -> StandIn | None:
        service = self._runner.service if self._runner is not None else None
        return service if isinstance(service, StandIn) else None

    def abandon(self) -> None:
        """What hangs here is not wanted any more, whatever it gives."""
        hanging.abandon(self._thread)

    # -- its life -----------------------------------------------------------------------------------------------------

    def _main(self) -> None:
        name, pause_s = self.assignment.service, EXITED_PAUSE_MIN_S
        while not self._stopped.is_set():
            try:
                asyncio.run(self._supervised())
                return
            except asyncio.CancelledError:
                return
            except hanging.Abandoned:
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
        self._turned = True
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
        service = await self._code(connection)

        async def load(revision: wire.Revision) -> type[Service] | None:
            within_s = service.answer_timeout_s * trying.OWN_PART
            return await self._trials.load(connection, revision, within_s) if revision.source else None

        runner = self._runner = Runner(service, name, connection, version=self.assignment.version, load=load)
        try:
            await persistently(f"{name} is not subscribed", runner.run, on=AWAY, log=log)
        finally:
            await runner.close()

    async def _code(self, connection: Connection) -> type[Service]:
        if self.hangs:
            hung = self.instead_of._runner if self.instead_of is not None else None
            return stand_in(self.assignment.package, self.hangs, hung.heard_options if hung is not None else None)
        try:
            return await loaded(connection, self.assignment, self._sources, self._apart, IMPORT_S)
        except hanging.Hangs as hangs:
            self._import_hangs = hangs.problem.message
            await asyncio.Event().wait()  # The host looks, and replaces it.
            raise
