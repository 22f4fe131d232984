"""What the aircraft keeps: frames that nobody acknowledged yet, in the order in which they were taken, at most so many
seconds of all sensors.

Acknowledged is forgotten: nobody can ask for it again. When the buffer is full the oldest frames go, and are counted,
because that is a loss. After a reconnect everything that is kept is sent again, from the oldest on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from upcall.fastdata.link import FrameKey

IN_FLIGHT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Sent and not yet acknowledged on one connection: beyond it, sending more only fills other people's memory."""


@dataclass(slots=True)
class Kept:
    frame: bytes
    readings: int
    sent: bool = False


class Backlog:
    """Bounded by readings: `capacity_readings` is the seconds to keep times all readings of a second."""

    def __init__(self, capacity_readings: int) -> None:
        assert capacity_readings > 0
        self.capacity_readings = capacity_readings
        self._kept: dict[FrameKey, Kept] = {}
        self._unsent: deque[FrameKey] = deque()
        self.readings = 0
        self.bytes = 0
        self.in_flight_bytes = 0
        self.acknowledged_readings = 0
        self.acknowledged_frames = 0
        self.dropped_readings = 0
        self.dropped_frames = 0

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, key: FrameKey, frame: bytes, readings: int) -> None:
        """Keeps a frame; drops the oldest ones while there is no room for it."""
        assert key not in self._kept, f"{key} was taken twice"
        while self._kept and self.readings + readings > self.capacity_readings:
            oldest = next(iter(self._kept))
            self.dropped_readings += self._forget(oldest).readings
            self.dropped_frames += 1
        self._kept[key] = Kept(frame, readings)
        self._unsent.append(key)
        self.readings += readings
        self.bytes += len(frame)

    def count_dropped(self, readings: int) -> None:
        """Readings that were never taken, because the buffer could not have held them."""
        self.dropped_readings += readings

    def acknowledge(self, keys: Iterable[FrameKey]) -> None:
        """Forgets these. One that is not kept (acknowledged twice, or dropped meanwhile) changes nothing."""
        for key in keys:
            if key in self._kept:
                self.acknowledged_readings += self._forget(key).readings
                self.acknowledged_frames += 1

    def next_to_send(self) -> tuple[FrameKey, bytes] | None:
        """The oldest frame that was not sent on this connection; none while too much is under way."""
        while self._unsent and self.in_flight_bytes < IN_FLIGHT_BYTES_MAX:
            key = self._unsent.popleft()
            kept = self._kept.get(key)
            if kept is not None:
                kept.sent = True
                self.in_flight_bytes += len(kept.frame)
                return key, kept.frame
        return None

    def connection_lost(self) -> None:
        """Whatever was sent may not have arrived: all of it is to be sent again."""
        for kept in self._kept.values():
            kept.sent = False
        self._unsent = deque(self._kept)
        self.in_flight_bytes = 0

    def ordinals(self) -> set[int]:
        """Runs of which frames are kept."""
        return {key.ordinal for key in self._kept}

    def _forget(self, key: FrameKey) -> Kept:
        kept = self._kept.pop(key)
        self.readings -= kept.readings
        self.bytes -= len(kept.frame)
        if kept.sent:
            self.in_flight_bytes -= len(kept.frame)
        return kept
