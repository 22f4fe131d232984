"""Services whose code is not called, because it stopped the whole host (:mod:`upcall.service.standing_still`).

To call it is to stop all services once more, for as long as it takes to notice. So it is written down, and outlives the
host: the code is called again when it is another (an edited file, another version, another life of the name), under
other options, when a person restarts a member of it, or after a while, which is twice as long each time.
"""

import contextlib
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from upcall.protocol import service as wire
from upcall.service import standing_still
from upcall.service.standing_still import Culprit

AGAIN_FIRST_S: Final = 600.0
AGAIN_MAX_S: Final = 86_400.0
STEADY_S: Final = 3600.0
"""Called for so long without stopping the host again, it is as if it never had."""
ASKED_MAX: Final = 100
SOURCES_MAX: Final = 100
"""The newest are remembered."""

_SHA256: Final = re.compile("[0-9a-f]{64}")


class Bar(msgspec.Struct, frozen=True, omit_defaults=True):
    """One service's."""

    assignment: wire.Assignment
    words: str
    since: float
    times: int = 1
    """In a row."""
    called: float = 0.0
    """Since when it is called again all the same; 0: it is not."""
    asked: tuple[str, ...] = ()
    """Operations of persons for which it was called again."""


class Bars(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is written down."""

    services: dict[str, Bar] = {}
    sources: dict[str, str] = {}
    """SHA-256 of files that were only tried, or asked about goals -> what of them it was, in words."""


class Barred:
    """Of one host."""

    def __init__(self, folder: Path, seen: Path | None, clock: Callable[[], float] = time.time) -> None:
        """``folder``: the host's own. ``seen``: where it stands if the host before this one did not turn."""
        self._file, self._seen, self._clock = folder / "barred.json", seen, clock
        known = Bars()
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            known = msgspec.json.decode(self._file.read_bytes(), type=Bars)
        self._bars, self._sources = dict(known.services), dict(known.sources)
        self._culprits = standing_still.taken(seen) if seen is not None else []

    def hear(self, assigned: Mapping[str, wire.Assignment]) -> dict[str, str]:
        """All that this host is to run (nothing: another host does); who stopped the one before, in words. A bar is of
        one code: of another there is none."""
        if not assigned:
            return {}
        bars, now = self._bars, self._clock()
        for name, bar in [*bars.items()]:
            if assigned.get(name) != bar.assignment or (bar.called and now - bar.called > STEADY_S):
                del bars[name]
        stopped: dict[str, str] = {}
        for culprit in self._culprits:
            names = [name for name, assignment in assigned.items() if _is_of(culprit, assignment)]
            stopped |= dict.fromkeys(names, culprit.words)
            if not names:
                self._sources |= dict.fromkeys(_sources(culprit), culprit.words)
        for name, words in stopped.items():
            before = bars.get(name)
            times, asked = (before.times + 1, before.asked) if before is not None else (1, ())
            bars[name] = Bar(assigned[name], words, now, times, asked=asked)
        self._sources = dict([*self._sources.items()][-SOURCES_MAX:])
        self._write()
        if self._seen is not None:
            standing_still.forget(self._seen)
            self._culprits = []
        return stopped

    def why(self, service: str) -> str:
        """Why its code is not called; empty: it is."""
        bar = self._bars.get(service)
        if bar is None or bar.called:
            return ""
        return (
            f"{bar.words} kept the interpreter to itself, and with it every service here: its host was ended and"
            f" started anew without it. None of its code is called until its file or its options are others, a person"
            f" restarts a member of it, or {_duration(_pause_s(bar))} are over"
        )

    def why_not_tried(self, source: str) -> str:
        """The same of files that nothing runs yet."""
        words = self._sources.get(source)
        return f"{words} kept the interpreter to itself, and with it every service here" if words else ""

    def is_due(self, service: str) -> bool:
        """It was long enough ago to be called again."""
        bar = self._bars.get(service)
        return bar is None or self._clock() - bar.since > _pause_s(bar)

    def asked(self, service: str, operation: str) -> bool:
        """A person's operation of this id wants it to be called; each is heard once."""
        bar = self._bars.get(service)
        if not operation or bar is None or operation in bar.asked:
            return False
        self._bars[service] = msgspec.structs.replace(bar, asked=(*bar.asked[-ASKED_MAX:], operation))
        return True

    def call_again(self, service: str) -> None:
        if (bar := self._bars.get(service)) is not None:
            self._bars[service] = msgspec.structs.replace(bar, called=self._clock())
            self._write()

    def _write(self) -> None:
        if not (self._bars or self._sources or self._file.exists()):
            return
        beside = self._file.with_suffix(".new")
        with contextlib.suppress(OSError):  # A full disk: known to this host alone.
            self._file.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(msgspec.json.encode(Bars(self._bars, self._sources)))
            beside.replace(self._file)


def _is_of(culprit: Culprit, assignment: wire.Assignment) -> bool:
    """Not of an older edit of its files. Where nobody knows whose thread it was: of each service with such files."""
    if culprit.service and culprit.service != assignment.service:
        return False
    if assignment.source:
        return assignment.source in _sources(culprit)
    return bool(culprit.service) or any(_has(assignment, file) for file in culprit.files)


def _sources(culprit: Culprit) -> list[str]:
    """The folders of files that came over the wire are named by their SHA-256."""
    return [part for file in culprit.files for part in Path(file).parts if _SHA256.fullmatch(part)]


def _has(assignment: wire.Assignment, file: str) -> bool:
    """Of a package that is installed in the host: its folder, or its file."""
    names = assignment.entry.partition(":")[0].split(".")
    path = Path(file).with_suffix("")
    return path.parts[-len(names) :] == tuple(names) or path.parts[-len(names) : -1] == tuple(names[:-1]) != ()


def _pause_s(bar: Bar) -> float:
    return min(AGAIN_FIRST_S * 2.0 ** min(bar.times - 1, 20), AGAIN_MAX_S)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"
