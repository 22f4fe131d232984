"""One-shot commands beside a task: tools, preparations of volumes, exec checks.

Each is started by the launcher like a task is, so it has a session, bounded output and a sure end; unlike a task it
has no limits of its own, is bounded by a time, and is ended when the agent starts again, since nobody waits for it
any more.
"""

import asyncio
import contextlib
import itertools
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from upcall.agent.launching import Launching, Started
from upcall.keeper import processes
from upcall.protocol import last_words

OUTPUT_BYTES_MAX = 512 * 1024
"""For each of the two streams; the last part of what was written is kept."""


class Result(NamedTuple):
    code: int | None
    signal: int | None
    output: str
    errors: str
    timed_out: str = ""
    """In words, when it was ended for its time."""

    def trouble(self, fatal: Sequence[str] = ()) -> str | None:
        """None when it ended with 0; else what happened, with the line that says why (``fatal``: expressions of it)."""
        if self.code == 0 and not self.timed_out:
            return None
        what = self.timed_out or (f"ended by signal {self.signal}" if self.signal else f"ended with code {self.code}")
        said = last_words.cause(self._streams(), fatal)
        return f"{what}: {said}" if said else what

    def last_lines(self) -> tuple[str, ...]:
        return last_words.kept(self._streams())

    def _streams(self) -> list[list[str]]:
        return [text.splitlines()[-last_words.LINES_MAX :] for text in (self.errors, self.output)]


class Runs:
    def __init__(self, folder: Path, launching: Launching) -> None:
        self._folder = folder
        self._launching = launching
        self._numbers = itertools.count(1)

    async def run(
        self,
        task: str,
        command: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        timeout_s: float,
        text: str = "",
        box: Mapping[str, Any] | None = None,
        failed_to: Path | None = None,
    ) -> Result:
        """In the task's ``box``. ``CannotStart`` when the command does not even start. Cancelling kills it. What it
        wrote becomes the folder ``failed_to`` unless it succeeds."""
        folder = self._folder / f"{task}~{os.getpid()}-{next(self._numbers)}"
        started: Started | None = None
        result: Result | None = None
        timed_out = ""
        try:
            started = await self._launching.start(
                folder, folder.name, command, env, cwd,
                task=folder.name, input=text, durable=0, box=box, log_bytes=OUTPUT_BYTES_MAX // 2, log_files=2,
            )  # fmt: skip
            try:
                async with asyncio.timeout(timeout_s):
                    await started.over()
            except TimeoutError:
                timed_out = f"did not end within {timeout_s:g} s"
                await self._end(started)
            result = _result(started, timed_out)
            return result
        finally:
            succeeded = result is not None and result.trouble() is None
            await asyncio.shield(self._clean_up(folder, started, None if succeeded else failed_to))

    async def end_leftovers(self) -> None:
        """What an agent before this one was running."""
        for folder in list(self._folder.iterdir()):
            await self._clean_up(folder, None)

    async def _clean_up(self, folder: Path, started: Started | None, logs_to: Path | None = None) -> None:
        started = started or Started.find(folder)
        if started is not None and started.exit_record() is None:
            await self._end(started)
        if logs_to is not None:
            with contextlib.suppress(OSError):
                (folder / "logs").rename(logs_to)
        await asyncio.to_thread(shutil.rmtree, folder, True)

    async def _end(self, started: Started) -> None:
        await self._launching.kill(started)
        await started.over()
        if started.exit_record() is None:  # Its shim was killed: the mark finds what is left.
            node, name = str(self._folder.parent), started.folder.name
            await asyncio.to_thread(processes.kill, lambda: processes.marked(node, name))


def _result(started: Started, timed_out: str) -> Result:
    record = started.exit_record() or {"code": None, "signal": 9}
    logs = started.folder / "logs"
    return Result(record["code"], record["signal"], _text(logs / "stdout"), _text(logs / "stderr"), timed_out)


def _text(path: Path) -> str:
    data = b""
    for part in (path.with_name(f"{path.name}.1"), path):
        with contextlib.suppress(FileNotFoundError):
            data += part.read_bytes()
    return data[-OUTPUT_BYTES_MAX:].decode(errors="replace")
