"""Retention must not overtake the reader: when what it has not read comes near the age or the size at which Kafka
deletes, no more is stored.

With retention by size, storing more is what deletes the unread. With retention by time it is only the clock; but then,
too, a second that is not acknowledged is still the aircraft's, and one that is would be lost soon after. Either way
somebody has to be told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HOLD_AT: Final = 0.8
"""Of the retention: from here on nothing is taken."""
GO_ON_AT: Final = 0.7
"""Below this it is taken again."""


@dataclass(frozen=True, slots=True)
class Retention:
    """What a topic keeps of each partition; negative: without bound."""

    time_ms: int = -1
    bytes: int = -1


@dataclass(frozen=True, slots=True)
class Unread:
    """What the reader has still to read of a partition."""

    partition: int
    messages: int
    about_bytes: int
    oldest_age_ms: int


def danger(retention: Retention, unread: Unread, *, held: bool) -> str:
    """Why nothing more should be stored; empty when all is well."""
    limit = GO_ON_AT if held else HOLD_AT
    if retention.time_ms > 0 and unread.oldest_age_ms > limit * retention.time_ms:
        return (
            f"partition {unread.partition}: the oldest unread reading is {unread.oldest_age_ms // 1_000} s old, "
            f"and is deleted after {retention.time_ms // 1_000} s"
        )
    if retention.bytes > 0 and unread.about_bytes > limit * retention.bytes:
        return (
            f"partition {unread.partition}: about {unread.about_bytes >> 20} MiB are unread, "
            f"and no more than {retention.bytes >> 20} MiB are kept"
        )
    return ""
