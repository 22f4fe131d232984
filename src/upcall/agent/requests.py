"""What the master asks for and awaits an answer to: tools beside a task, and its logs. Bounded in number."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from upcall.agent import logs, tools
from upcall.agent.machine import Machine
from upcall.agent.task import Task
from upcall.protocol.agent import LOG_PARTS_AHEAD, ReadLog, Reply, Run
from upcall.protocol.errors import UpcallError

log: Final = logging.getLogger(__name__)

AT_ONCE_MAX = 64


class Requests:
    def __init__(self, machine: Machine, tasks: Mapping[str, Task], answer: Callable[[Reply], None]) -> None:
        self._machine = machine
        self._tasks = tasks
        self._answer = answer
        self._working: dict[str, asyncio.Task[None]] = {}
        self._room: dict[str, asyncio.Semaphore] = {}
        """Of each log that is read: parts that may still be sent before the master says that one was taken."""

    def run(self, request: Run) -> None:
        self._serve(request.request, self._run(request))

    def read_log(self, request: ReadLog) -> None:
        self._serve(request.request, self._read_log(request))

    def taken(self, request: str) -> None:
        if room := self._room.get(request):
            room.release()

    def drop_readers(self) -> None:
        """Another connection: whoever read logs over the one before has been told that it broke."""
        for request in list(self._room):
            self.stop(request)

    def stop(self, request: str) -> None:
        if working := self._working.get(request):
            working.cancel()

    async def close(self) -> None:
        working = list(self._working.values())
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)

    def _serve(self, request: str, work: Coroutine[Any, Any, None]) -> None:
        """A request that is repeated while it is being served is served once."""
        if request in self._working or len(self._working) >= AT_ONCE_MAX:
            work.close()
            if request not in self._working:
                self._answer(Reply(request=request, error=f"{AT_ONCE_MAX} requests are being served; ask again later"))
            return
        task = asyncio.create_task(self._guarded(request, work))
        self._working[request] = task
        task.add_done_callback(lambda _: self._working.pop(request, None))

    async def _guarded(self, request: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            self._answer(Reply(request=request))  # It was told to stop.
            raise
        except (UpcallError, OSError) as error:
            self._answer(Reply(request=request, error=str(error)))
        except Exception as error:
            log.exception("request %s failed", request)
            self._answer(Reply(request=request, error=f"{type(error).__name__}: {error}"))

    async def _run(self, request: Run) -> None:
        self._answer(await tools.run(self._machine, self._tasks.get(request.task), request))

    async def _read_log(self, request: ReadLog) -> None:
        room = self._room[request.request] = asyncio.Semaphore(LOG_PARTS_AHEAD)

        async def say(text: str) -> None:
            await room.acquire()
            self._answer(Reply(request=request.request, output=text, last=False))

        try:
            folder, note = await asyncio.to_thread(logs.kept, self._machine.places, request.task)
            task = self._tasks.get(request.task) if not note else None
            over = task.over if task is not None else _set_event()
            if note:
                await say(note)
            asked = logs.Asked(request.stream, request.lines, request.follow, request.after)
            await logs.read(folder, asked, self._machine.watching, over, say)
        finally:
            del self._room[request.request]
        self._answer(Reply(request=request.request))


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
