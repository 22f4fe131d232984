"""A member's log, followed over its restarts, and over those of agent and master, until it is at its end.

A stream of lines says nothing of why it ended: the member may have ended, or who carries its lines. So the member is
looked at then, and read on: from its next incarnation's beginning, or from after the last lines that were shown.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlencode

from upcall.client import paths
from upcall.client.blocking import Client
from upcall.protocol import read_before
from upcall.protocol.errors import Conflict, NotFound, NotNow
from upcall.protocol.operator import TaskView

AGAIN: Final = 10_000
"""Lines among which they are looked for."""
PAUSE_S: Final = 1.0
RUNS: Final = ("starting", "running", "ready", "unready", "ending")
AT_ITS_END: Final = ("finished", "failed")


def latest() -> deque[str]:
    """For the last lines of a log, by which it is gone on."""
    return deque(maxlen=read_before.LINES)


def log(
    client: Client,
    name: str,
    lines: int,
    stream: str,
    *,
    follow: bool,
    after: str = "",
    unfinished: Callable[[str], None] | None = None,
) -> Iterator[str]:
    """``name``: of a member, or of a task. ``after``: of these lines only what stands after those of this mark."""
    query = urlencode({"lines": lines, "stream": stream, "follow": str(follow).lower(), "after": after})
    return client.lines(paths.of("tasks", name, "logs") + f"?{query}", unfinished=unfinished)


def followed(
    client: Client,
    name: str,
    lines: int,
    stream: str,
    note: Callable[[str], None],
    shown: deque[str] | None = None,
) -> Iterator[str]:
    """``note`` is told which incarnation follows. One task that is named is followed to its own end. ``shown``: the
    last lines that somebody has seen already, after which it is begun; it is kept up to date."""
    shown = latest() if shown is None else shown
    cut: list[str] = []
    """A line whose end was not heard: the next stream says it again from its beginning, if there is one."""

    def said(of: str, first: int, mark: str) -> Iterator[str]:
        def unfinished(text: str) -> None:
            cut[:] = [text]

        for line in log(client, of, first, stream, follow=True, after=mark, unfinished=unfinished):
            cut.clear()
            shown.append(line)
            yield line

    seen = _seen(client, name)
    first, mark = (AGAIN, read_before.mark(shown)) if shown else (lines, "")
    begun = True
    try:
        yield from said(name, first, mark)
    except NotFound:
        if seen is None or seen.state not in ("wanted", *RUNS):
            raise
        begun = False  # It is just being started: who follows it waits for its first line.
    task = seen.task if seen else ""
    while seen is not None and (seen := _seen(client, name)) is not None:
        if seen.task != task:
            if name == task:
                break
            yield from cut
            cut.clear()
            if begun:
                note(f"{task} has ended; {seen.task} follows")
            task, known = seen.task, False
            shown.clear()
        elif seen.state in AT_ITS_END or (name == task and seen.state not in RUNS):
            break
        else:
            known = begun
        if seen.state in RUNS:
            try:
                again = AGAIN if shown or not known else 0
                yield from said(task, again, read_before.mark(shown))
                begun = True
            except (NotNow, NotFound, Conflict):
                pass  # Agent or master is away for a moment, or it has left: the next look says which.
        time.sleep(PAUSE_S)
    yield from cut


def _seen(client: Client, name: str) -> TaskView | None:
    """None: nobody has this name, or it has left."""
    try:
        return client.task(name)
    except NotFound:
        return None
