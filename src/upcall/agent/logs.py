"""Reading and following what a task wrote, across the rotated files: one stream, or both in the order in which they
came (:mod:`upcall.agent.merging`)."""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from upcall.agent.merging import STREAMS as BOTH
from upcall.agent.merging import Mark, Merging
from upcall.agent.places import Places
from upcall.agent.tail import FILES_MAX, Tail
from upcall.agent.watching import Watching
from upcall.keeper.logs import ORDER
from upcall.protocol import read_before
from upcall.protocol.agent import ENDED_KEPT_S
from upcall.protocol.errors import Invalid, NotFound
from upcall.protocol.last_words import LINES_MAX as LINES_KEPT

LINES_MAX = 10_000
PART_BYTES_MAX = 64 * 1024
"""Of one reply; what is longer comes in several."""
READ_BYTES_MAX = 4 * 1024 * 1024
SKIPPED = "[upcall: this reader was slower than the log; what was rotated away meanwhile is missing here]\n"

STREAMS = {"stdout": ("stdout",), "stderr": ("stderr",), "both": BOTH}
LOOKS_MAX = 20
"""At files that are rotated while they are looked at."""
LOOK_AGAIN_S = 0.005
CATCH_UP_MAX = 5
"""Parts of a stream that is written while it is read."""


class Asked(NamedTuple):
    """What a reader wants."""

    stream: str
    lines: int
    follow: bool = False
    after: str = ""
    """Of these lines only what stands after those of this mark (:mod:`upcall.protocol.read_before`)."""


class LogEnd(NamedTuple):
    """What a log ends with."""

    data: bytes
    inode: int = 0
    """Of the file that is written; 0 when there is none."""
    size: int = 0
    """So far it was read."""


def last_lines(path: Path, lines: int) -> bytes:
    """The last lines of a log, from its rotated files too where that is needed."""
    return _end(path, lines).data


def _end(path: Path, lines: int) -> LogEnd:
    lines = min(max(lines, 0), LINES_MAX)
    data, inode, size = b"", 0, 0
    for number in range(FILES_MAX):
        part = path if number == 0 else path.with_name(f"{path.name}.{number}")
        with contextlib.suppress(FileNotFoundError), part.open("rb") as file:
            end, this = file.seek(0, 2), os.fstat(file.fileno()).st_ino
            if number == 0:
                inode, size = this, end
            elif this == inode:
                continue  # It was rotated after it was read.
            file.seek(max(0, end - READ_BYTES_MAX + len(data)))
            data = file.read(min(end, READ_BYTES_MAX - len(data))) + data
        if data.count(b"\n") > lines or len(data) >= READ_BYTES_MAX:
            break
    return LogEnd(_lines(data, lines), inode, size)


def _lines(data: bytes, last: int) -> bytes:
    return b"".join(data.splitlines(keepends=True)[-last:]) if last else b""


def last_words(path: Path) -> list[str]:
    """The last lines, as many as are kept of a task that ended."""
    return last_lines(path, LINES_KEPT).decode(errors="replace").splitlines()


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
    asked: Asked,
    watching: Watching,
    ended: asyncio.Event,
    say: Callable[[str], Awaitable[None]],
) -> None:
    """Says the last lines; with ``follow`` also what comes, until the task has ended (or the reader is cancelled).

    ``say`` returns when there is room for more. Until then nothing is read: what a slow reader has not seen yet waits
    in the log's files, not in anybody's memory, and what is rotated away from under him leaves a mark.
    """
    if asked.stream not in STREAMS:
        raise Invalid(f"unknown stream {asked.stream!r}", where="stream", expected="stdout, stderr or both")
    if asked.stream == "both":
        await _read_both(logs, asked, watching, ended, say)
        return
    path = logs / asked.stream
    end = await asyncio.to_thread(_end, path, asked.lines)
    tail = Tail(path, (end.inode, end.size) if end.inode else None)
    await _say_in_parts(await _unread(end.data, asked), say)
    if asked.follow:
        await _each_change(logs, watching, ended, lambda: _say_all(tail, say))


async def _unread(data: bytes, asked: Asked) -> bytes:
    return await asyncio.to_thread(read_before.after, data, asked.after) if asked.after else data


async def _read_both(
    logs: Path,
    asked: Asked,
    watching: Watching,
    ended: asyncio.Event,
    say: Callable[[str], Awaitable[None]],
) -> None:
    ends, order, marks = await asyncio.to_thread(_snapshot, logs, asked.lines)
    merging = _merging(ends, marks)
    tails = [
        Tail(logs / name, (end.inode, end.size) if end.inode else None) for name, end in zip(BOTH, ends, strict=True)
    ]
    if marks:
        known = await asyncio.to_thread(_caught_up, merging, tails, order)
    else:
        known = merging.unordered()
        if any(end.size for end in ends):
            merging.forget()  # No later mark is of use where it is not known how much came before.
    known = _lines(known + (b"" if asked.follow else merging.end()), asked.lines)
    await _say_in_parts(await _unread(known, asked), say)
    if not asked.follow:
        return
    await _each_change(logs, watching, ended, lambda: _say_merged(merging, tails, order, say))
    await _say_in_parts(merging.end(), say)


def _caught_up(merging: Merging, tails: list[Tail], order: Tail) -> bytes:
    """What can be said of both. One was read after the other: what the task wrote to the first meanwhile comes before
    what was read of the second."""
    said = merging.take(all_of_it=False)
    for _ in range(CATCH_UP_MAX):
        more, _full = _feed(merging, tails)
        merging.mark(_marks(order))
        said += merging.take(all_of_it=not more)
        if not more:
            break
    return said


def last_of_both(logs: Path, lines: int) -> list[str]:
    """The last lines of a task that has ended, in the order in which they came."""
    ends, _, marks = _snapshot(logs, lines, looks=1)  # Nothing is rotated any more.
    merging = _merging(ends, marks)
    known = (merging.take(all_of_it=True) if marks else merging.unordered()) + merging.end()
    return _lines(known, lines).decode(errors="replace").splitlines()


def _merging(ends: Sequence[LogEnd], marks: Sequence[Mark]) -> Merging:
    """Fed with the ends of both streams."""
    starts = marks[-1].starts if marks else (0, 0)
    places = [start + end.size - len(end.data) for start, end in zip(starts, ends, strict=True)]
    merging = Merging((places[0], places[1]))
    for each, end in enumerate(ends):
        merging.feed(each, end.data)
    merging.mark(marks)
    return merging


def _snapshot(logs: Path, lines: int, looks: int = LOOKS_MAX) -> tuple[list[LogEnd], Tail, list[Mark]]:
    """The end of both streams, and their order: of the same files, though they may be rotated meanwhile. No order where
    they were rotated faster than that."""
    for look in range(looks):
        if look:
            time.sleep(LOOK_AGAIN_S)
        ends = [_end(logs / name, lines) for name in BOTH]
        order = _order(logs)
        marks = _marks(order)
        if not marks or all(_is_of(end, inode) for end, inode in zip(ends, marks[-1].inodes, strict=True)):
            return ends, order, marks
    return ends, order, []


def _is_of(end: LogEnd, inode: int) -> bool:
    """Whether it was read from this file. One that is empty has just been begun, and no mark may speak of it yet."""
    return end.inode == inode and (end.size > 0 or not inode)


def _order(logs: Path) -> Tail:
    """From the oldest that is kept."""
    parts = [logs / ORDER, *(logs / f"{ORDER}.{number}" for number in range(1, FILES_MAX))]
    inodes = [part.stat().st_ino for part in parts if part.exists()]
    return Tail(logs / ORDER, (inodes[-1], 0) if inodes else None)


def _marks(order: Tail) -> list[Mark]:
    return [mark for line in order.lines() if (mark := Mark.read(line)) is not None]


async def _say_merged(merging: Merging, tails: list[Tail], order: Tail, say: Callable[[str], Awaitable[None]]) -> None:
    while True:
        more, full = _feed(merging, tails)
        if any(tail.skipped for tail in tails):
            for tail in tails:
                tail.skipped = False
            merging.forget()
            await say(SKIPPED)
        merging.mark(_marks(order))
        await _say_in_parts(merging.take(all_of_it=not more), say)
        if not more and not full:
            return


def _feed(merging: Merging, tails: list[Tail]) -> tuple[bool, bool]:
    """Whether there was more, and whether one has so much that waits for the other that no more of it is read."""
    more = full = False
    for stream, tail in enumerate(tails):
        if merging.waits(stream) >= PART_BYTES_MAX:
            full = True
        elif data := tail.read(PART_BYTES_MAX):
            more = True
            merging.feed(stream, data)
    return more, full


async def _each_change(
    logs: Path, watching: Watching, ended: asyncio.Event, look: Callable[[], Awaitable[None]]
) -> None:
    """Until the task has ended (or the reader is cancelled)."""
    async with watching.folder(logs) as changed:
        over = asyncio.create_task(ended.wait())
        try:
            while True:
                last = ended.is_set()
                changed.clear()
                await look()
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
