"""Reading and following what a task wrote, across the rotated files."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from upcall.agent.last_words import LINES_MAX as LINES_KEPT
from upcall.agent.places import Places
from upcall.agent.tail import FILES_MAX, Tail
from upcall.agent.watching import Watching
from upcall.protocol.agent import ENDED_KEPT_S
from upcall.protocol.errors import Invalid, NotFound

LINES_MAX = 10_000
PART_BYTES_MAX = 64 * 1024
"""Of one reply; what is longer comes in several."""
READ_BYTES_MAX = 4 * 1024 * 1024
SKIPPED = "[upcall: this reader was slower than the log; what was rotated away meanwhile is missing here]\n"

STREAMS = {"stdout": ("stdout",), "stderr": ("stderr",), "both": ("stdout", "stderr")}


def last_lines(path: Path, lines: int) -> bytes:
    """The last lines of a log, from its rotated files too where that is needed."""
    lines = min(max(lines, 0), LINES_MAX)
    data = b""
    for number in range(FILES_MAX):
        part = path if number == 0 else path.with_name(f"{path.name}.{number}")
        with contextlib.suppress(FileNotFoundError):
            data = _end_of(part, READ_BYTES_MAX - len(data)) + data
        if data.count(b"\n") > lines or len(data) >= READ_BYTES_MAX:
            break
    return b"".join(data.splitlines(keepends=True)[-lines:]) if lines else b""


def last_words(path: Path) -> list[str]:
    """The last lines, as many as are kept of a task that ended."""
    return last_lines(path, LINES_KEPT).decode(errors="replace").splitlines()


def _end_of(path: Path, bytes_max: int) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - bytes_max))
        return file.read(bytes_max)


def kept(places: Places, task: str) -> tuple[Path, str]:
    """The folder of what the task wrote. Before it wrote anything: of what its member wrote the last time, and a line
    that says so."""
    own = places.logs(task)
    if own.is_dir():
        return own, ""
    member, _, number = task.rpartition(".")
    earlier = [
        int(word)
        for folder in places.tasks.glob(f"{member}.*")
        if (word := folder.name.removeprefix(f"{member}.")).isdigit() and int(word) < int(number or 0)
    ]
    for before in sorted(earlier, reverse=True):
        if (found := places.logs(f"{member}.{before}")).is_dir():
            return found, f"[upcall: {task} has written nothing yet; this is of {member}.{before}]\n"
    raise NotFound(
        f"no logs of {task} are kept on this node",
        where="logs",
        expected=f"`upcall why {member}`, which says how it is; logs are there of a task that has begun to write, and"
        f" ended less than {ENDED_KEPT_S / 86_400:.0f} days ago",
    )


async def read(
    logs: Path,
    stream: str,
    lines: int,
    follow: bool,
    watching: Watching,
    ended: asyncio.Event,
    say: Callable[[str], Awaitable[None]],
) -> None:
    """Says the last lines; with ``follow`` also what comes, until the task has ended (or the reader is cancelled).

    ``say`` returns when there is room for more. Until then nothing is read: what a slow reader has not seen yet waits
    in the log's files, not in anybody's memory, and what is rotated away from under him leaves a mark.
    """
    if stream not in STREAMS:
        raise Invalid(f"unknown stream {stream!r}", where="stream", expected="stdout, stderr or both")
    paths = [logs / name for name in STREAMS[stream]]
    tails = [Tail.at_end(path) for path in paths] if follow else []
    for path in paths:
        await _say_in_parts(await asyncio.to_thread(last_lines, path, lines), say)
    if not follow:
        return
    async with watching.folder(logs) as changed:
        over = asyncio.create_task(ended.wait())
        try:
            while True:
                last = ended.is_set()
                changed.clear()
                for tail in tails:
                    await _say_all(tail, say)
                if last:
                    return
                grew = asyncio.create_task(changed.wait())
                await asyncio.wait({grew, over}, return_when=asyncio.FIRST_COMPLETED)
                grew.cancel()
        finally:
            over.cancel()


async def _say_all(tail: Tail, say: Callable[[str], Awaitable[None]]) -> None:
    while data := tail.read(PART_BYTES_MAX):
        if tail.skipped:
            tail.skipped = False
            await say(SKIPPED)
        await say(data.decode(errors="replace"))


async def _say_in_parts(data: bytes, say: Callable[[str], Awaitable[None]]) -> None:
    for start in range(0, len(data), PART_BYTES_MAX):
        await say(data[start : start + PART_BYTES_MAX].decode(errors="replace"))
