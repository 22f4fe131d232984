"""Waiting until a cluster is up: the keeper's processes run, the master answers, nodes and packages are registered.

On a busy machine that takes minutes. It is waited for as long as it moves: each part that is there for the first time
gives it its time anew, and what is missing is said all the time. Only when nothing has moved for :data:`STILL_S` is it
given up: then a part is broken, or the machine stands still.
"""

import time
from typing import Any, Final

from upcall.cli import keeping
from upcall.cli.event_stream import EventStream
from upcall.cli.output import duration
from upcall.cli.session import Session
from upcall.cluster.folder import Cluster
from upcall.protocol.errors import Conflict, NotNow
from upcall.protocol.operator import Status

STILL_S: Final = 300.0
"""Longer than any one part takes to come on a machine that is used ten times over."""
LOOK_S: Final = 0.25
"""Between two attempts while nobody answers who could tell."""
REFRESH_S: Final = 2.0
"""So often the keeper is looked at: when it ends, there will be no master to tell of anything."""
MASTER: Final = "the master"
REGISTERED: Final = frozenset({"up", "draining", "drained", "cordoned"})


class KeeperEnded(Conflict):
    """Nobody is left who could start what is waited for."""


class Coming:
    """What has been there since the wait began, and since when nothing new has come."""

    def __init__(self, now_s: float) -> None:
        self.began_s = self._moved_s = now_s
        self._seen: set[str] = set()

    def look(self, there: set[str], now_s: float) -> None:
        """One that ends and is started again is nothing new: it would move for ever."""
        if there - self._seen:
            self._seen |= there
            self._moved_s = now_s

    def still_s(self, now_s: float) -> float:
        return now_s - self._moved_s


def until_up(session: Session, found: Cluster) -> None:
    """Raises what is missing when nothing moves any more, or nobody is left who could start it."""
    coming = Coming(time.monotonic())
    wanted = {one.name for one in found.nodes}
    with session.out.progress() as progress, EventStream(session.client, settle_s=LOOK_S / 2) as event_stream:
        while True:
            wait_s = REFRESH_S
            processes = keeping.processes_of(session.folder)
            there = {f"process {one['name']}" for one in processes if one.get("identity")}
            try:
                # Asked once: while nobody answers, there is something else to look at.
                status = Status.model_validate(session.client.call("GET", "/v1/status"))
                registered = wanted & {one.name for one in status.nodes if one.state in REGISTERED}
                there |= {"master", *(f"node {name}" for name in registered)}
                words = f"nodes registered: {len(registered)} of {len(wanted)}"
                missing = ", ".join(sorted(wanted - registered))
                if wanted <= registered and not status.packages_registered:
                    words, missing = "nodes are registered; packages are not yet", "the host"
                elif wanted <= registered:
                    return
            except NotNow:
                words, missing, wait_s = "waiting for the master", MASTER, LOOK_S
                if keeping.master_gave_up(session.folder):
                    raise Conflict(
                        f"the master cannot use this data folder: {keeping.last_words(session.folder)}",
                        where=str(session.folder.database),
                        expected="the records as they were (a copy put back), or another data folder",
                    ) from None
            now_s = time.monotonic()
            coming.look(there, now_s)
            words += again(processes)
            kept = keeping.running(session.folder)
            if coming.still_s(now_s) > STILL_S or not kept:
                last = f"; its last words: {keeping.last_words(session.folder)}" if missing == MASTER else ""
                raise (Conflict if kept else KeeperEnded)(
                    f"{words} after {duration(now_s - coming.began_s)}, and nothing has moved for"
                    f" {duration(coming.still_s(now_s))} (missing: {missing}){last}",
                    where=str(session.folder.root / "logs"),
                    expected="what the logs there say to be mended, then `upcall up` again",
                )
            still = f" (missing: {missing}; nothing new for {duration(coming.still_s(now_s))})"
            progress.show(lambda words=words + still: _spinner(words), (words,))  # type: ignore[misc]
            event_stream.wait(wait_s)


def again(processes: list[dict[str, Any]]) -> str:
    """Which of ours end and are started again: they are what is waited for."""
    said = [f"{one['name']} ended with {one['last_exit']}" for one in processes if one["restarts"] and one["last_exit"]]
    return f"; {', '.join(said)}, and is started again" if said else ""


def _spinner(words: str):  # type: ignore[no-untyped-def]
    from rich.spinner import Spinner
    from rich.text import Text

    return Spinner("dots", text=Text(f" {words}"), style="yellow")
