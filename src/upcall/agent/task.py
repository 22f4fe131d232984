"""Drives one task through its life: events in, :mod:`~upcall.agent.lifecycle` decides, effects out.

All decisions are in the table. This file is what performs them: coroutines that wait for something and feed what
happened back in.
"""

import asyncio
import contextlib
import logging
import shutil
import signal
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, cast

from upcall.agent import bring_up, checks, logs
from upcall.agent.bring_up import Fetched
from upcall.agent.checkpoint import TaskRecord
from upcall.agent.launching import CannotStart, Started
from upcall.agent.lifecycle import RUNS, Effect, Event, State, step
from upcall.agent.machine import Machine
from upcall.agent.render import render_all
from upcall.agent.volumes import WithoutData
from upcall.keeper import processes
from upcall.protocol import last_words
from upcall.protocol.agent import TaskExit
from upcall.protocol.declaration import Check
from upcall.protocol.errors import UpcallError

log: Final = logging.getLogger(__name__)

PROGRESS_EVERY_S = 5.0
"""Between two tellings of a start's progress, at most."""
PROVE_AGAIN_MAX_S = 2.0
"""Between two looks whether what is left of a task is dead at last."""


class Task:
    def __init__(
        self,
        machine: Machine,
        record: TaskRecord,
        changed: Callable[["Task"], None],
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        """``changed`` is called after each change of state."""
        self.record = record
        self.id = record.launch.task
        self.started: Started | None = None
        self._machine = machine
        self._changed = changed
        self._secrets = secrets or {}
        self._fetched: Fetched | None = None
        self._bringing_up: asyncio.Task[None] | None = None
        self._checking: set[asyncio.Task[None]] = set()
        self._others: set[asyncio.Task[None]] = set()
        self._not_ready = "no answer yet"
        self._watched = False
        self._late_at_s = 0.0
        self._heeding: asyncio.Task[None] | None = None
        self.over = asyncio.Event()
        """Set once it has ended."""
        if record.state == "ended":
            self.over.set()

    @property
    def state(self) -> State:
        return cast(State, self.record.state)

    @property
    def runs(self) -> bool:
        return self.state in RUNS

    # -- events in ------------------------------------------------------------------------------------------------

    def launch(self) -> None:
        self._feed("launch")

    def end(self, grace_s: float, reason: str) -> None:
        if self.state in ("ending", "ended"):
            return
        self.record.grace_s, self.record.end_reason = grace_s, reason
        self._feed("end", reason)

    def take_over(self) -> asyncio.Task[None] | None:
        """Goes on with a task that an agent before this one started. The watch that proves its death is returned when
        it is dead already."""
        self.started = Started.find(self._machine.places.task(self.id))
        if self.started is None:
            self.record.exit = TaskExit(reason=self.record.end_reason or "the agent ended before the task started")
            self._set("ended")
            return None
        alive = self.started.shim.alive()
        if self.state in ("placed", "fetching", "starting"):
            self._set("running")
        watch = self._spawn(self._others, self._watch_exit(self.started))
        if not alive:
            return watch
        log.info("%s taken over: %s, pid %d", self.id, self.state, self.started.process.pid)
        again: dict[str, Effect] = {"running": "await_ready", "ending": "terminate"}
        late = self.state == "unready" and not self.record.was_ready
        self._perform("await_ready" if late else again.get(self.state, "watch_health"))
        return None

    def _feed(self, event: Event, reason: str = "") -> None:
        decided = step(self.state, event)
        if decided is None:
            return
        self._set(decided.state, reason)
        for effect in decided.effects:
            self._perform(effect)

    def _set(self, state: State, reason: str = "") -> None:
        if (state, reason) == (self.record.state, self.record.reason):
            return
        self.record.state, self.record.reason = state, reason
        log.info("%s is %s%s", self.id, state, f": {reason}" if reason else "")
        if state == "ended":
            self.over.set()
        self._changed(self)

    # -- effects out ----------------------------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        match effect:
            case "fetch":
                self._bring_up(self._fetch())
            case "start":
                self._bring_up(self._start())
            case "cancel":
                assert self._bringing_up is not None
                self._bringing_up.cancel()
            case "await_ready":
                self._spawn(self._checking, self._await_ready())
                self._late_at_s = self._deadline_s()
                self._spawn(self._checking, self._tell_when_late())
                if self.record.launch.declaration.progress:
                    self._heeding = self._spawn(self._checking, self._heed_progress())
            case "watch_health":
                self._has_been_ready()
                if self.record.launch.declaration.health is not None and not self._watched:
                    self._watched = True
                    self._spawn(self._checking, self._watch_health(self.record.launch.declaration.health))
            case "terminate":
                self._stop_checking()
                self._spawn(self._others, self._terminate())
            case "kill":
                self._spawn(self._others, self._kill())
            case "settle":
                self._stop_checking()
                self._spawn(self._others, asyncio.to_thread(self._settle))

    def _bring_up(self, stage: Coroutine[Any, Any, None]) -> None:
        self._bringing_up = self._spawn(self._others, stage)
        self._bringing_up.add_done_callback(self._never_begun)

    def _never_begun(self, stage: "asyncio.Task[None]") -> None:
        """Cancelled in the very step of the loop in which it was asked for, a stage runs no line of its own: it is
        answered for here."""
        if stage.cancelled():
            self._secrets = {}
            self._not_started(self.record.end_reason)

    async def _fetch(self) -> None:
        try:
            self._fetched = await bring_up.fetch(self._machine, self.record.launch)
        except asyncio.CancelledError:
            self._not_started(self.record.end_reason)
        except Exception as error:
            self._cannot_start(error)
        else:
            self._feed("fetched")

    async def _start(self) -> None:
        assert self._fetched is not None
        try:
            started = await bring_up.start(self._machine, self.record, self._secrets, self._fetched)
        except asyncio.CancelledError:
            # The wish to end may have met the start: then there is a process, and it is ended like any other.
            found = Started.find(self._machine.places.task(self.id))
            if found is None:
                self._not_started(self.record.end_reason)
                return
            started = found
        except Exception as error:
            self._cannot_start(error)
            return
        finally:
            self._secrets = {}
        self.started = started
        self._spawn(self._others, self._watch_exit(started))
        self._feed("started", self.record.reason if self.state == "ending" else "")

    def _cannot_start(self, error: Exception) -> None:
        lines = error.problem.details.get("lines", ()) if isinstance(error, UpcallError) else ()
        # While it is being ended, nothing was to come of it any more.
        failed = self.state != "ending"
        self._not_started(_words(error), lines, failed=failed, without_data=failed and isinstance(error, WithoutData))

    def _not_started(
        self, reason: str, lines: tuple[str, ...] = (), *, failed: bool = False, without_data: bool = False
    ) -> None:
        self.record.exit = TaskExit(reason=reason, lines=lines, not_started=failed, without_data=without_data)
        self._feed("failed", reason)

    async def _await_ready(self) -> None:
        """However late it comes: that is for the master to judge."""
        check = self.record.launch.declaration.ready
        try:
            if check is None:
                pass
            elif check.log:
                self._not_ready = f"no line matches {check.log!r} yet"
                await checks.until_logged(check.log, self._logs, self._machine.watching, "ready")
            else:
                await checks.until_ready(check, self._probe(check, "ready"), self._heard)
        except UpcallError as error:
            self._feed("late", str(error))
        else:
            self._feed("passed")

    def _deadline_s(self) -> float:
        return asyncio.get_running_loop().time() + self.record.launch.declaration.start_timeout_s

    async def _tell_when_late(self) -> None:
        while (left_s := self._late_at_s - asyncio.get_running_loop().time()) > 0:  # noqa: ASYNC110 - it may have moved
            await asyncio.sleep(left_s)
        timeout_s = self.record.launch.declaration.start_timeout_s
        self._feed("late", f"not ready within {timeout_s:g} s: {self._not_ready}")

    async def _heed_progress(self) -> None:
        """A start that tells that it goes on is not late: here, and for the master, which hears of it."""
        declaration = self.record.launch.declaration
        every_s = min(PROGRESS_EVERY_S, declaration.start_timeout_s / 4)
        where = self._machine.watching
        async for line in checks.lines_like(declaration.progress, self._logs, where, "progress", every_s):
            if self.state not in ("running", "unready"):
                return
            self._late_at_s = self._deadline_s()
            self.record.progress += 1
            self.record.reason = last_words.plain(line).strip()[: last_words.LINE_CHARS_MAX]
            self._changed(self)

    def _heard(self, reason: str) -> None:
        self._not_ready = reason

    @property
    def _logs(self) -> Path:
        return self._machine.places.logs(self.id)

    def _has_been_ready(self) -> None:
        health = self.record.launch.declaration.health
        if health is not None and health.log and not self.record.was_ready:
            self.record.logged = checks.written_so_far(self._logs)
        self.record.was_ready = True
        if holding := bring_up.holding_data(self.record.launch.declaration):
            self._spawn(self._others, self._mark_served(holding))
        if self._heeding is not None:
            self._heeding.cancel()
            self._heeding = None

    async def _mark_served(self, volumes: list[str]) -> None:
        launch = self.record.launch
        try:
            member = bring_up.member_id(launch.task)
            await asyncio.to_thread(self._machine.volumes.mark_served, member, launch.fence, volumes)
        except (UpcallError, OSError) as error:
            log.warning("%s: its volumes are not marked as those that it served with: %s", self.id, _words(error))

    async def _watch_health(self, check: Check) -> None:
        try:
            if check.log:
                after = self.record.logged
                stream = await checks.until_logged(check.log, self._logs, self._machine.watching, "health", after)
                self._feed("failed", f"a line of its {stream} matches {check.log!r}")
                return
            probe = self._probe(check, "health")
        except UpcallError as error:
            self._feed("failed", str(error))
            return
        await checks.watch_health(check, probe, lambda: self._feed("passed"), lambda why: self._feed("failed", why))

    def _probe(self, check: Check, where: str) -> checks.Probe:
        launch = self.record.launch
        return checks.make_probe(check, launch.address, launch.declaration.ports, self._check_by_command, where)

    async def _check_by_command(self, command: tuple[str, ...], timeout_s: float) -> str | None:
        try:
            rendered = render_all(command, self.record.names, "check")
            sandbox = self._machine.places.sandbox(self.id)
            box = await asyncio.to_thread(
                self._machine.boxes.around, self.record.launch, self.record.names, rendered[0]
            )
            result = await self._machine.runs.run(self.id, rendered, self.record.env, sandbox, timeout_s, box=box)
        except (UpcallError, OSError) as error:
            return _words(error)
        return result.trouble()

    async def _terminate(self) -> None:
        assert self.started is not None
        with contextlib.suppress(OSError):
            await self._machine.launching.signal(self.started, signal.SIGTERM)
        grace_s = self.record.grace_s if self.record.grace_s >= 0 else 0.0
        await asyncio.sleep(grace_s)
        if self.state == "ending":
            why = "; ".join(filter(None, (self.record.end_reason, f"killed after its grace of {grace_s:g} s")))
            self.record.end_reason = why
            self._feed("grace_over", why)

    async def _kill(self) -> None:
        assert self.started is not None
        with contextlib.suppress(OSError):
            await self._machine.launching.kill(self.started)
        await asyncio.to_thread(self._machine.groups.kill, self.record.groups)

    async def _watch_exit(self, started: Started) -> None:
        """The end of the task, once it is proven."""
        session = started.process.pid if started.shim.alive() else None
        await started.over()
        record = started.exit_record()
        wait_s = 0.05
        while not await asyncio.to_thread(self._nothing_left, record is None, session):
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, PROVE_AGAIN_MAX_S)
        self.record.exit = await asyncio.to_thread(self._exit, record)
        self._feed("exited", self.record.exit.reason)

    def _nothing_left(self, without_record: bool, session: int | None) -> bool:
        """Kills what is left; whether that was nothing. With an exit record only the group is looked at: the shim saw
        all its descendants end before it wrote it. A session's number belongs to the task only while we watch: one of
        a task that died long ago may be a stranger's by now."""
        left = not self._machine.groups.kill(self.record.groups)
        if without_record:
            node = str(self._machine.places.node)
            if session is not None:
                left |= bool(processes.kill(lambda: processes.in_session(session), rounds=1))
            left |= bool(processes.kill(lambda: processes.marked(node, self.id), rounds=1))
        return not left

    def _exit(self, record: Mapping[str, Any] | None) -> TaskExit:
        """Blocking. An end that was wished needs no explanation; any other comes with what the task said last."""
        limit_mib = self.record.memory_mib or self.record.launch.declaration.resources.memory_mib
        reason = self.record.end_reason
        code, number = (record["code"], record["signal"]) if record is not None else (None, int(signal.SIGKILL))
        if self.state == "ending" or code == 0:
            return TaskExit(code=code, signal=number, reason=reason)
        streams = [logs.last_words(self._logs / name) for name in ("stderr", "stdout")]
        if self._machine.groups.out_of_memory_kills(self.record.groups):
            reason = f"out of memory (limit {limit_mib} MiB)"
        elif record is None:
            reason = "its shim was killed, and the task with it"
        elif code is not None:
            reason = last_words.cause(streams, self.record.launch.declaration.fatal)
        said = logs.last_of_both(self._logs, last_words.LINES_MAX)
        return TaskExit(code=code, signal=number, reason=reason, lines=last_words.kept([said]))

    def _settle(self) -> None:
        self._machine.groups.remove(self.record.groups)
        shutil.rmtree(self._machine.places.task(self.id) / "secrets", ignore_errors=True)
        shutil.rmtree(self._machine.places.sandbox(self.id) / "tmp", ignore_errors=True)

    # -- coroutines -----------------------------------------------------------------------------------------------

    def _spawn(self, among: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        among.add(task)
        task.add_done_callback(among.discard)
        task.add_done_callback(self._look_at)
        return task

    def _look_at(self, task: "asyncio.Task[None]") -> None:
        """Nothing fails silently."""
        if not task.cancelled() and (error := task.exception()):
            log.error("the driver of %s failed", self.id, exc_info=error)

    def _stop_checking(self) -> None:
        current = asyncio.current_task()
        for task in self._checking:
            if task is not current:
                task.cancel()

    async def let_go(self) -> None:
        """The agent ends; the task does not."""
        working = [*self._checking, *self._others]
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)


def _words(error: BaseException) -> str:
    """What a person reads about a failed bring-up."""
    if isinstance(error, CannotStart):
        return error.problem.message
    if isinstance(error, UpcallError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or 'the disk'}: {error.strerror or error}"
    return f"{type(error).__name__}: {error}"
