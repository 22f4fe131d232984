"""The agent's side of the launcher, and what a started process is to the agent: a folder and two identities.

The launcher is asked over its Unix socket; one that died is started again and asked once more, which is safe because
a start is idempotent. Whether a process ended is not asked at all: a pidfd of its shim tells it.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from upcall.keeper import begin, processes, records, sockets
from upcall.keeper.identity import Identity
from upcall.protocol.errors import UpcallError

ANSWER_BYTES_MAX = 1 << 20


class CannotStart(UpcallError):
    """The launcher could not start a command; the message says why."""

    code = "cannot_start"


class Started:
    """A process (with its shim), running or ended, found again by its folder."""

    def __init__(self, folder: Path, running: Mapping[str, Any]) -> None:
        self.folder = folder
        self.shim = Identity.from_json(running["shim"])
        self.process = Identity.from_json(running["task"])

    @classmethod
    def find(cls, folder: Path) -> "Started | None":
        running = records.read(str(folder / records.RUNNING))
        return cls(folder, running) if running else None

    def exit_record(self) -> dict[str, Any] | None:
        return records.read(str(self.folder / records.EXIT))

    async def over(self) -> None:
        """Returns when the shim is dead, which is after it wrote the exit record, or instead of it."""
        pidfd = self.shim.open()
        if pidfd is None:
            return
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        loop.add_reader(pidfd, done.set)
        try:
            await done.wait()
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)


class Launching:
    def __init__(self, node_folder: Path, data_folder: Path) -> None:
        self._node = node_folder
        self._data = data_folder
        self._turn = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def start(
        self,
        folder: Path,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        *,
        task: str,
        **more: Any,
    ) -> Started:
        """``task`` marks the process as this task's, so that it is found whatever dies around it."""
        folder.mkdir(parents=True, exist_ok=True)
        env = {**env, processes.FOLDER_MARK: str(self._node), processes.TASK_MARK: task}
        request = {"do": "start", "folder": str(folder), "name": name, "argv": list(argv), "env": env, "cwd": str(cwd)}
        answer = await self._ask({**request, **more})
        if "error" in answer:
            raise CannotStart(answer["error"], where=name)
        return Started(folder, answer["running"])

    async def signal(self, started: Started, number: signal.Signals, to: str = "task") -> None:
        await self._ask({"do": "signal", "folder": str(started.folder), "signal": int(number), "to": to})

    async def kill(self, started: Started) -> None:
        """All of it, at once; ``started.over()`` says when it is done."""
        await self.signal(started, signal.SIGTERM, to="shim")

    async def keep(self) -> None:
        """A launcher that died is started again; its shims never noticed. Costs nothing while it lives."""
        if self._stream is None or self._stream[0].at_eof():
            await self.ready()

    async def ready(self) -> None:
        """A launcher runs and answers."""
        await self._ask({"do": "list"})

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """An exchange that began is finished, also when the asking task is cancelled meanwhile."""
        work = asyncio.ensure_future(self._ask_in_turn(request))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            raise

    async def _ask_in_turn(self, request: dict[str, Any]) -> dict[str, Any]:
        async with self._turn:
            try:
                return await self._exchange(request)
            except (OSError, EOFError):
                await self._close()
                await asyncio.to_thread(self._start_again)
                return await self._exchange(request)

    async def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._stream is None:
            path = begin.socket_of(str(self._node))
            with sockets.short_address(path) as address:
                self._stream = await asyncio.open_unix_connection(address, limit=ANSWER_BYTES_MAX)
        reader, writer = self._stream
        writer.write(json.dumps(request).encode() + b"\n")
        await writer.drain()
        line = await reader.readline()
        if not line:
            raise EOFError("the launcher closed the connection")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _start_again(self) -> None:
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.1)
        self._process = begin.start_launcher(str(self._node), str(self._data))

    async def _close(self) -> None:
        if self._stream is not None:
            self._stream[1].close()
            self._stream = None

    async def close(self) -> None:
        await self._close()
