"""Anomalies as episodes: one sensor, one kind of fault, from when to when, how bad, how sure, and what its neighbours
say.

An episode is not a row for each bad second but one row, written when it opens, now and then while it lasts, and when
it closes, always under the same key (run, sensor, kind, begin). Its begin is a function of the stored seconds, so a
process that takes over after a crash writes the same key again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from upcall.fastdata.sensors import NEIGHBOURS


class EpisodeKind(StrEnum):
    STEP = "step"
    SPIKE = "spike"
    STUCK = "stuck"
    NOISE = "noise"
    DRIFT = "drift"


REPORT_S: Final = 10
"""A lasting episode is written again after so many seconds."""
COMMON_MAX: Final = 5
"""More neighbours than this showing the same at once: it is the aircraft, or the group's reference, not one sensor."""


@dataclass(frozen=True, slots=True)
class Episode:
    """Seconds are those of the run; `end` is the first second that is well again, or the next one while it lasts."""

    run_id: str
    sensor: int
    kind: EpisodeKind
    begin: int
    end: int
    is_open: bool
    seen: int
    """The second whose scores told of it."""
    severity: float
    """In sigmas of the sensor's data sheet: the size of a step, spike or drift. For `noise` the ratio to the stated
    deviation; for `stuck` the share of readings that repeat."""
    confidence: float
    """0.75 at the threshold, towards 1 above it; less where neighbours are disturbed too."""
    neighbours_quiet: int
    """How many of its neighbours show nothing at the same time."""
    reading: float
    """What the sensor read when the episode was seen: the mean of a second, in its unit."""
    neighbours_say: float
    """What it should have read, by its neighbours and its own past."""
    base: float = 0.0
    """The level before, and the gain by which it is compared: what its end is judged by."""
    gain: float = 0.0

    @property
    def key(self) -> tuple[str, int, str, int]:
        return (self.run_id, self.sensor, self.kind.value, self.begin)

    @property
    def settled(self) -> int:
        """The last second whose scores it was judged by, when it opened or closed."""
        if self.is_open or self.kind is EpisodeKind.SPIKE:
            return self.seen
        return max(self.seen, self.end if self.kind is EpisodeKind.STUCK else self.end + 1)

    def lasting(self, second: int, severity: float) -> Episode:
        return replace(self, end=second + 1, severity=max(self.severity, severity))

    def closed(self, end: int) -> Episode:
        return replace(self, end=max(end, self.begin + 1), is_open=False)


def confidence(margin: float, neighbours_quiet: int) -> float:
    """`margin`: the score over its threshold, at least 1."""
    own = 1.0 - 0.5 ** (2.0 * max(margin, 1.0))
    return float(own * (0.5 + 0.5 * neighbours_quiet / (NEIGHBOURS - 1)))


KINDS: Final = tuple(EpisodeKind)
_SEVERITY_MAX: Final = 31


def health_of(episode: Episode) -> int:
    """One byte: kind (1 to 5) times 32, plus the severity."""
    return (KINDS.index(episode.kind) + 1) * 32 + min(_SEVERITY_MAX, int(episode.severity))
