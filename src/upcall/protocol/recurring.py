"""When something comes again: maintenance windows, and schedules.

A window is written ``sat 02:00-04:00``: days (none: each one; weekdays ``sat``, ``mon-fri``, ``sat,sun``; a date of
each year ``feb 28``), from and until. One whose end is not after its begin goes over midnight. A schedule is an
interval (``7 days``), days with one time (``sun 03:00``), or five fields of cron (``0 3 * * sun``).

Both hold in a stated time zone. Where clocks are put forward a time that is left out comes at once after the gap; where
they are put back a time that comes twice counts once, and a window over it is as long as its clock says that it is.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from upcall.protocol.errors import Invalid

DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
UNITS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 7 * 86_400}
WINDOW_WORDS: Final = "`sat 02:00-04:00`, `mon-fri 22:00-05:00`, `02:00-04:00` (each day) or `feb 28 02:00-04:00`"
EVERY_WORDS: Final = "`7 days`, `12 hours`, `sun 03:00`, five fields of cron (`0 3 * * sun`), or `never`"
DAY_S: Final = 86_400.0
NEVER: Final = "never"
SHORTEST_S: Final = 10.0
"""Of an interval."""
LOOKED_AT: Final = 400
"""Times that are looked at for the longest wait: each day for more than a year."""

_WINDOW: Final = re.compile(r"(?:(?P<days>.*?)\s+)?(?P<begin>\d{1,2}:\d{2})\s*-\s*(?P<end>\d{1,2}:\d{2})")
_INTERVAL: Final = re.compile(r"(?P<count>\d+)\s*(?P<unit>second|minute|hour|day|week)s?")
_TIMED: Final = re.compile(r"(?:(?P<days>.*?)\s+)?(?P<time>\d{1,2}:\d{2})")


@dataclass(frozen=True)
class Span:
    """One time that a window is open; wall time."""

    begin_s: float
    end_s: float


@dataclass(frozen=True)
class Window:
    text: str
    zone: ZoneInfo
    cron: str
    """When it opens."""
    end: tuple[int, int]

    def spans(self, from_s: float) -> Iterator[Span]:
        """Those that end after this moment, in their order."""
        for begin in _times(self.cron, self.zone, from_s - 2 * 86_400):
            span = Span(begin.timestamp(), self._until_s(begin))
            if span.end_s > from_s:
                yield span

    def _until_s(self, begin: datetime) -> float:
        hour, minute = self.end
        day = begin.replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
        end = (day + timedelta(hours=hour, minutes=minute)).replace(tzinfo=self.zone)
        if end.timestamp() <= begin.timestamp():
            end = (day + timedelta(days=1, hours=hour, minutes=minute)).replace(tzinfo=self.zone)
        return end.timestamp()


@dataclass(frozen=True)
class Windows:
    """All windows of a service; none: it is always open."""

    windows: tuple[Window, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.windows)

    def next(self, from_s: float) -> Span:
        """The one that is open, or the next; of several that are open, the one that stays so for longest."""
        spans = [next(window.spans(from_s)) for window in self.windows]
        now = [span for span in spans if span.begin_s <= from_s]
        return max(now, key=lambda span: span.end_s) if now else min(spans, key=lambda span: span.begin_s)

    def upcoming(self, from_s: float, count: int) -> list[Span]:
        found = sorted(
            (span for window in self.windows for span in islice(window.spans(from_s), count)),
            key=lambda span: span.begin_s,
        )
        return found[:count]

    def longest_s(self, from_s: float) -> float:
        return _of_windows(self, from_s // DAY_S)[0]

    def longest_closed_s(self, from_s: float) -> float:
        """The longest between two of them."""
        return _of_windows(self, from_s // DAY_S)[1]

    def __str__(self) -> str:
        zone = self.windows[0].zone.key if self.windows else ""
        return f"{', '.join(window.text for window in self.windows)} {zone}".strip()


@lru_cache(maxsize=1024)
def _of_windows(windows: Windows, day: float) -> tuple[float, float]:
    """The longest of them, and the longest between two, from this day on."""
    spans = windows.upcoming(day * DAY_S, LOOKED_AT)
    open_until_s, closed_s = spans[0].end_s, 0.0
    for span in spans[1:]:
        closed_s = max(closed_s, span.begin_s - open_until_s)
        open_until_s = max(open_until_s, span.end_s)
    return max(span.end_s - span.begin_s for span in spans), closed_s


@dataclass(frozen=True)
class Every:
    """A schedule: an interval, or times of the calendar."""

    text: str
    zone: ZoneInfo
    interval_s: float = 0.0
    cron: str = ""

    def after(self, wall_s: float) -> float:
        """When it comes next, once it came at this moment."""
        if self.interval_s:
            return wall_s + self.interval_s
        return next(_times(self.cron, self.zone, wall_s)).timestamp()

    def longest_s(self, from_s: float) -> float:
        """From one time to the next, at most."""
        if self.interval_s:
            return self.interval_s
        times = [time.timestamp() for time in islice(_times(self.cron, self.zone, from_s), LOOKED_AT)]
        return max((after - before for before, after in pairwise(times)), default=0.0)


@lru_cache(maxsize=1024)
def zone_named(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Invalid(
            f"no time zone {name!r}", where="time_zone", expected="a name like Europe/Berlin, or UTC"
        ) from None


@lru_cache(maxsize=4096)
def windows(texts: tuple[str, ...], zone: str) -> Windows:
    """All of them, or the error that names the one that is none."""
    return Windows(tuple(_window(text, zone_named(zone)) for text in texts))


@lru_cache(maxsize=4096)
def every(text: str, zone: str, where: str = "schedules") -> Every:
    """The schedule, or the error that says why it is none."""
    words, known = text.strip().lower(), zone_named(zone)
    if found := _INTERVAL.fullmatch(words):
        interval_s = float(int(found["count"]) * UNITS[found["unit"]])
        if interval_s < SHORTEST_S:
            raise Invalid(f"{text!r} is too often", where=where, expected=f"{SHORTEST_S:g} seconds or more")
        return Every(text, known, interval_s=interval_s)
    if found := _TIMED.fullmatch(words):
        cron = _cron(found["days"] or "", _time(found["time"], text, where), text, where, EVERY_WORDS)
    elif len(words.split()) == 5:
        cron = words
    else:
        raise Invalid(f"{text!r} is no schedule", where=where, expected=EVERY_WORDS)
    _must_come(cron, text, where, EVERY_WORDS)
    return Every(text, known, cron=cron)


def interval_s(text: str) -> float:
    """``10 days`` in seconds."""
    found = _INTERVAL.fullmatch(text.strip().lower())
    if found is None:
        raise Invalid(f"{text!r} is no time", where="within", expected="`10 days`, `2 hours`")
    return float(int(found["count"]) * UNITS[found["unit"]])


def _window(text: str, zone: ZoneInfo) -> Window:
    found = _WINDOW.fullmatch(text.strip().lower())
    if found is None:
        raise Invalid(f"{text!r} is no window", where="windows", expected=WINDOW_WORDS)
    begin, end = (_time(found[name], text, "windows") for name in ("begin", "end"))
    if begin == end or begin == (24, 0):
        raise Invalid(f"the window {text!r} has no length", where="windows", expected="00:00-24:00 for a whole day")
    cron = _cron(found["days"] or "", begin, text, "windows", WINDOW_WORDS)
    _must_come(cron, text, "windows", WINDOW_WORDS)
    return Window(text.strip(), zone, cron, end)


def _time(text: str, whole: str, where: str) -> tuple[int, int]:
    hour, minute = (int(part) for part in text.split(":"))
    if minute > 59 or hour > 24 or (hour == 24 and minute):
        raise Invalid(f"{text} in {whole!r} is no time of the day", where=where, expected="00:00 to 24:00")
    return hour, minute


def _cron(days: str, time: tuple[int, int], whole: str, where: str, expected: str) -> str:
    hour, minute = time
    parts = days.split()
    if len(parts) == 2 and parts[0] in MONTHS and parts[1].isdigit():
        return f"{minute} {hour % 24} {parts[1]} {MONTHS.index(parts[0]) + 1} *"
    if not parts or parts == ["daily"]:
        return f"{minute} {hour % 24} * * *"
    found: set[int] = set()
    for part in "".join(parts).split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise Invalid(f"{days!r} in {whole!r} are no days", where=where, expected=expected)
        one = DAYS.index(first)
        count = (DAYS.index(last) - one) % 7 if dash else 0
        found |= {(one + more) % 7 for more in range(count + 1)}
    return f"{minute} {hour % 24} * * {','.join(map(str, sorted(found)))}"


def _must_come(cron: str, text: str, where: str, expected: str) -> None:
    try:
        next(CronSim(cron, datetime(2000, 1, 1)))
    except CronSimError as error:
        day = "Bad day-of-month" in str(error)
        said = f"{text!r} never comes" if day else f"{text!r} is no time: {str(error).lower()}"
        raise Invalid(said, where=where, expected=expected) from None
    except StopIteration:
        raise Invalid(f"{text!r} never comes", where=where, expected=expected) from None


def _times(cron: str, zone: ZoneInfo, after_s: float) -> Iterator[datetime]:
    return CronSim(cron, datetime.fromtimestamp(after_s, zone))


def moments(zone: str, wall_s: float) -> str:
    """A moment in words, with its time zone."""
    return datetime.fromtimestamp(wall_s, zone_named(zone)).strftime("%a %Y-%m-%d %H:%M %Z")


def within_reach(
    of: str, text: str, texts: Sequence[str], zone: str, within_s: float, takes_s: float, now_s: float
) -> None:
    """Refuses a schedule that would not come in time, or would not have the time that it takes."""
    known, open_ = every(text, zone, f"schedules.{of}"), windows(tuple(texts), zone)
    if not open_:
        return
    limit_s = within_s or known.longest_s(now_s)
    closed_s = open_.longest_closed_s(now_s)
    if closed_s > limit_s:
        raise Invalid(
            f"{of} has to come within {_days(limit_s)}, and between two windows ({open_}) lie up to {_days(closed_s)}",
            where="windows",
            expected="windows that come more often, or another schedule",
        )
    longest_s = open_.longest_s(now_s)
    if takes_s > longest_s:
        raise Invalid(
            f"{of} takes {_days(takes_s)}, and the longest window ({open_}) is {_days(longest_s)}",
            where="windows",
            expected=f"a window of {_days(takes_s)} or more",
        )


def _days(seconds: float) -> str:
    for unit, size in reversed(UNITS.items()):
        if seconds >= size and unit != "week":
            count = seconds / size
            return f"{count:.3g} {unit}{'' if count == 1 else 's'}"
    return f"{seconds:g} seconds"
