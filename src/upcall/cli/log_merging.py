"""The logs of several members as one: each line whole, with whose it is, as they come.

Each member is followed by a thread of its own (:mod:`upcall.cli.log_following`: over its restarts, and over those of
agent and master), which hands whole lines to the one that prints. Who belongs to a service is looked at whenever the
event stream tells of a change, so a member that comes, or that is started again after its end, is followed too.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from upcall.cli import log_following
from upcall.cli.event_stream import EventStream
from upcall.cli.log_filters import Sieve, Wanted
from upcall.client.blocking import Client
from upcall.protocol.errors import Conflict, NotFound, NotNow, UpcallError
from upcall.protocol.operator import TaskView

WAITING_MAX: Final = 1000
"""Lines that wait to be printed: whoever prints slowly holds those who read, and nobody's memory grows."""
LOOK_S: Final = 10.0
"""So often it is looked unasked who is there."""
FOLLOWED_MAX: Final = 100
"""Members at once: each is a connection to the master."""


class Line(NamedTuple):
    member: str
    text: str
    aside: bool = False
    """No line of the log, but what became of the member."""


class Source:
    """What is read of any member."""

    def __init__(self, client: Client, stream: str, lines: int, wanted: Wanted) -> None:
        self.client, self.wanted, self.lines = client, wanted, lines
        self._stream = stream

    def all(self, name: str) -> Iterator[str]:
        """Whatever the filters."""
        return log_following.log(self.client, name, self.lines, self._stream, follow=False)

    def last(self, name: str, sieve: Sieve, shown: deque[str]) -> list[str]:
        """The last lines that are wanted, of what is there; ``shown`` gets the last of all."""
        among = log_following.AGAIN if self.wanted else self.lines
        kept: deque[str] = deque(maxlen=self.lines)
        for line in log_following.log(self.client, name, among, self._stream, follow=False):
            shown.append(line)
            if sieve.keeps(line):
                kept.append(line)
            elif not sieve.new:
                kept.clear()  # What came before it is older still.
        return list(kept)

    def followed(
        self, name: str, note: Callable[[str], None], sieve: Sieve, shown: deque[str], *, from_start: bool = False
    ) -> Iterator[str]:
        """``from_start``: of one that comes while it is followed nothing is left out."""
        if self.wanted and not shown and not from_start:
            yield from self.last(name, sieve, shown)
        lines = log_following.AGAIN if from_start else self.lines
        for line in log_following.followed(self.client, name, lines, self._stream, note, shown):
            if sieve.keeps(line):
                yield line


class _Following:
    """One member, as long as it is followed."""

    def __init__(self, wanted: Wanted, *, from_start: bool) -> None:
        self.sieve, self.shown = Sieve(wanted), log_following.latest()
        self.from_start = from_start
        self.read = ""
        """The task that was read to its end."""
        self.thread: threading.Thread | None = None

    @property
    def goes_on(self) -> bool:
        return self.thread is not None and self.thread.is_alive()


class Merging:
    """A context; ``members`` says who is there now."""

    def __init__(self, source: Source, members: Callable[[], Sequence[TaskView]]) -> None:
        self._source, self._members = source, members
        self._lines: queue.Queue[Line | None] = queue.Queue(WAITING_MAX)
        self._over = threading.Event()
        self._following: dict[str, _Following] = {}
        self._told: set[str] = set()

    def __enter__(self) -> "Merging":
        threading.Thread(target=self._watch, daemon=True, name="members").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def lines(self) -> Iterator[Line]:
        """Until nobody is left of whom something could come."""
        while (line := self._lines.get()) is not None:
            yield line

    # -- threads ----------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        try:
            self._look_who_is_there()
        finally:
            self._say(None)  # Whoever prints waits for that, whatever ended the look.

    def _look_who_is_there(self) -> None:
        first = True
        with EventStream(self._source.client) as event_stream:
            while not self._over.is_set():
                try:
                    found = self._members()
                except NotNow:
                    pass  # Who is followed is followed on; the next look says who else is there.
                except UpcallError as error:
                    self._say(Line("", str(error), aside=True))
                    break
                else:
                    self._begin(found, first=first)
                    first = False
                    if self._all_at_their_end(found):
                        break
                event_stream.wait(LOOK_S)

    def _all_at_their_end(self, found: Iterable[TaskView]) -> bool:
        known = self._following
        if any(one.goes_on for one in known.values()):
            return False
        read = {member: one.read for member, one in known.items()}
        return all(one.state in log_following.AT_ITS_END and read.get(one.member) == one.task for one in found)

    def _begin(self, found: Iterable[TaskView], *, first: bool) -> None:
        for one in found:
            known = self._following.get(one.member)
            if known is None:
                known = self._following[one.member] = _Following(self._source.wanted, from_start=not first)
            if known.goes_on or known.read == one.task:
                continue
            if known.read:  # It was at its end, and is started again.
                known = self._following[one.member] = _Following(self._source.wanted, from_start=True)
            if sum(each.goes_on for each in self._following.values()) >= FOLLOWED_MAX:
                self._tell_once("", f"{FOLLOWED_MAX} members are followed, and no more; name those that are wanted")
                return
            known.thread = threading.Thread(target=self._follow, args=(one, known), daemon=True, name=one.member)
            known.thread.start()

    def _follow(self, one: TaskView, known: _Following) -> None:
        def note(words: str) -> None:
            self._say(Line(one.member, words, aside=True))

        try:
            lines = self._source.followed(one.member, note, known.sieve, known.shown, from_start=known.from_start)
            for line in lines:
                if known.from_start:
                    self._tell_once(one.member, f"{one.task} is followed too")
                self._say(Line(one.member, line))
                if self._over.is_set():
                    return
            known.read = self._newest(one)
        except NotFound:
            known.from_start = True  # It has written nothing yet: all that comes is new.
            if one.state not in log_following.RUNS:
                known.read = one.task
        except (NotNow, Conflict):
            pass  # Who carries its lines is away for a moment: the next look goes on.
        except UpcallError as error:
            note(str(error))
            known.read = one.task

    def _newest(self, one: TaskView) -> str:
        try:
            return self._source.client.task(one.member).task
        except (NotFound, NotNow):
            return one.task

    def _tell_once(self, member: str, words: str) -> None:
        if words not in self._told:
            self._told.add(words)
            self._say(Line(member, words, aside=True))

    def _say(self, line: Line | None) -> None:
        while not self._over.is_set():
            try:
                self._lines.put(line, timeout=1.0)
            except queue.Full:
                continue
            return
