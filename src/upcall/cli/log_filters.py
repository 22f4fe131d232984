"""Which lines of a log are shown: those that match, that are new enough, that are grave enough.

What a system writes is its own. Its times and levels are found where systems write them, near the beginning of a line;
a line that bears none (of a stack trace, say) belongs to the one before. Times without a zone are the machine's own, as
the systems write them.
"""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal

from upcall.protocol.patterns import compiled

Level = Literal["debug", "info", "warning", "error"]

HEAD: Final = 160
"""Characters of a line in which its time and its level stand."""
GRAVITY: Final = {
    **dict.fromkeys(("TRACE", "DEBUG", "FINE"), 0),
    **dict.fromkeys(("INFO", "NOTICE", "LOG"), 1),
    **dict.fromkeys(("WARN", "WARNING"), 2),
    **dict.fromkeys(("ERROR", "SEVERE", "CRITICAL", "FATAL", "PANIC"), 3),
}
AT_LEAST: Final[dict[Level, int]] = {"debug": 0, "info": 1, "warning": 2, "error": 3}

_LEVEL = re.compile(rf"\b({'|'.join(GRAVITY)})\b")
_ISO = re.compile(r"\b(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,]\d+)? ?(Z|UTC|GMT|[+-]\d\d:?\d\d)?")
_SHORT = re.compile(r"\b(\d\d)/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d)\b")
"""A year of two digits, then month and day."""
_NAMED = re.compile(r"\b(\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d)\b")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def written_at(line: str) -> float | None:
    """The time that stands in the line."""
    head = line[:HEAD]
    try:
        if found := _ISO.search(head):
            at = datetime(*map(int, found.groups()[:6]))  # type: ignore[arg-type]
            return _in_zone(at, found[7] or "")
        if found := _SHORT.search(head):
            year, *rest = map(int, found.groups())
            return datetime(2000 + year, *rest).timestamp()  # type: ignore[arg-type]
        if (found := _NAMED.search(head)) and found[2] in _MONTHS:
            day, year, hour, minute, second = (int(found[each]) for each in (1, 3, 4, 5, 6))
            return datetime(year, _MONTHS.index(found[2]) + 1, day, hour, minute, second).timestamp()
    except (ValueError, OverflowError):
        pass  # Looks like a time, and is none.
    return None


def _in_zone(at: datetime, zone: str) -> float:
    if not zone:
        return at.timestamp()
    if zone in ("Z", "UTC", "GMT"):
        return at.replace(tzinfo=UTC).timestamp()
    sign = -1 if zone[0] == "-" else 1
    return at.replace(tzinfo=UTC).timestamp() - sign * (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60)


class Wanted:
    """What a person wants of the lines of any member."""

    def __init__(self, grep: str = "", since_s: float = 0.0, level: Level | None = None) -> None:
        self.matches: Callable[[str], bool] | None = None
        if grep:
            pattern = compiled(grep, "--grep")
            self.matches = lambda line: pattern.search(line) is not None
        self.oldest = time.time() - since_s if since_s else 0.0
        self.gravity = AT_LEAST[level] if level else 0

    def __bool__(self) -> bool:
        return bool(self.matches or self.oldest or self.gravity)


class Sieve:
    """Of one member: a line that says nothing of its time or its level has those of the line before."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self.new = True
        """Nothing says that the line before is too old."""
        self.timed = False
        """Whether a line has said its time yet."""
        self._grave = not wanted.gravity

    def keeps(self, line: str) -> bool:
        wanted = self._wanted
        if wanted.oldest and (at := written_at(line)) is not None:
            self.new, self.timed = at >= wanted.oldest, True
        if wanted.gravity and (found := _LEVEL.search(line[:HEAD])):
            self._grave = GRAVITY[found[1]] >= wanted.gravity
        return self.new and self._grave and (wanted.matches is None or wanted.matches(line))
