"""A store with a flight in it, for the page's tests: what the driver of the real one would answer, row by row.

A run goes on by the wall clock; how far behind it is and how much of the fault plan was found stands in a small file
that the test writes (:class:`Stored`). Run as a program it serves the real page process; only the driver's session and
the recording's download are other ones::

    python stored_flight.py <state file> <recording> --data <folder>
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from upcall.fastdata import sensors
from upcall.fastdata.detect.episodes import Episode, EpisodeKind, health_of
from upcall.fastdata.faults import Fault, FaultKind, schedule
from upcall.fastdata.login import Login
from upcall.fastdata.runs import MICROS, Run
from upcall.fastdata.schema import HOUR_S, SENSORS_PER_STRIP

BITS_A_READING = 6


@dataclass(frozen=True)
class Stored:
    """What the store holds, in so far as a test decides it."""

    run: Run | None = None
    behind_s: int = 1
    """Seconds since the last complete one."""
    found: int = 0
    """So many of the faults that the plan began since second `from_s` are found."""
    from_s: int = 0
    missing: int = 0
    answers: bool = True
    user: str = ""
    password: str = ""
    """Who comes otherwise is turned away; empty: nobody is asked who he is."""

    def write(self, path: Path) -> None:
        """As a whole, or not at all."""
        said = {**asdict(self), "run": self.run.to_json() if self.run else None}
        path.with_suffix(".new").write_text(json.dumps(said))
        path.with_suffix(".new").replace(path)

    @classmethod
    def read(cls, path: Path) -> "Stored":
        said = json.loads(path.read_text())
        return cls(**{**said, "run": Run.from_json(said["run"]) if said["run"] else None})

    def second(self) -> int:
        """The last that all blocks have."""
        return 0 if self.run is None else self.run.seconds_due(time.time_ns() // 1_000) - 1 - self.behind_s

    def labels(self) -> list[Fault]:
        """Those that are found, the first begun first."""
        assert self.run is not None
        labels = schedule(self.run, self.from_s, 1_000)
        return [one for one in labels if one.begin_sample >= self.from_s * self.run.rate_hz][: self.found]

    def episodes(self) -> list[Episode]:
        return [self._episode(label) for label in self.labels()] if self.run is not None else []

    def _episode(self, label: Fault) -> Episode:
        assert self.run is not None
        begin, end = label.begin_sample // self.run.rate_hz, label.end_sample // self.run.rate_hz
        now, well = self.second(), level(label.sensor)
        lasts = end > now and label.kind is not FaultKind.SPIKE
        noise = float(sensors.TABLE.noise_units[label.sensor])
        return Episode(
            run_id=self.run.run_id,
            sensor=label.sensor,
            kind=EpisodeKind(label.kind.value),
            begin=begin,
            end=now + 1 if lasts else max(end, begin + 1),
            is_open=lasts,
            seen=begin + 1,
            severity=float(abs(label.magnitude_sigma) or 1),
            confidence=0.97,
            neighbours_quiet=49,
            reading=well + label.magnitude_sigma * noise,
            neighbours_say=well,
        )


def level(sensor: int) -> float:
    """What a sensor reads while it is well."""
    return float(sensors.SHEETS[sensors.kind_of(sensor)].zero + sensor % 50)


class Session:
    """The driver's session, over the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.cluster = SimpleNamespace(shutdown=lambda: None)

    def prepare(self, query: str) -> SimpleNamespace:
        return SimpleNamespace(query=query)

    def execute(self, prepared: SimpleNamespace, values: tuple[Any, ...]) -> list[Any]:
        stored = Stored.read(self._path)
        if not stored.answers:
            from cassandra.cluster import NoHostAvailable

            raise NoHostAvailable("Unable to connect to any servers", {})
        table = prepared.query.split("FROM ")[1].split()[0]
        return list(getattr(self, f"_{table}")(stored, *values)) if stored.run else []

    def _runs(self, stored: Stored, _fleet: str) -> Iterator[Any]:
        assert stored.run is not None
        yield SimpleNamespace(record=stored.run.to_json())

    def _blocks(self, stored: Stored, run_id: str) -> Iterator[Any]:
        assert stored.run is not None
        if run_id != stored.run.run_id:
            return
        health = np.zeros(sensors.SENSORS, np.uint8)
        for episode in stored.episodes():
            if episode.is_open:
                health[episode.sensor] = health_of(episode)
        for block in stored.run.block_numbers:
            yield SimpleNamespace(
                block=block,
                second=stored.second(),
                rate_hz=stored.run.rate_hz,
                missing=stored.missing,
                means=np.zeros(sensors.SENSORS_PER_BLOCK, np.float32).tobytes(),
                health=health[sensors.block_slice(block)].tobytes(),
            )

    def _position(self, stored: Stored, _topic: str) -> Iterator[Any]:
        assert stored.run is not None
        readings = max(0, stored.second() + 1) * stored.run.rate_hz * stored.run.sensors
        counted = dict.fromkeys(("frames", "corrupt", "future", "behind", "short"), 0)
        yield SimpleNamespace(readings=readings, packed_bytes=readings * BITS_A_READING // 8, **counted)

    def _episodes_by_time(self, stored: Stored, _run: str, hour: int, first: int, last: int) -> Iterator[Any]:
        for one in sorted(stored.episodes(), key=lambda one: -one.begin):
            if one.begin // HOUR_S == hour and first <= one.begin <= last:
                row = {name: getattr(one, name) for name in one.__slots__ if name not in ("begin", "end", "kind")}
                yield SimpleNamespace(begin_second=one.begin, end_second=one.end, kind=one.kind.value, **row)

    def _seconds(self, stored: Stored, _run: str, strip: int, hour: int, first: int, last: int) -> Iterator[Any]:
        assert stored.run is not None
        ill = {one.sensor: one for one in stored.episodes()}
        members = range(strip * SENSORS_PER_STRIP, (strip + 1) * SENSORS_PER_STRIP)
        for second in range(max(first, hour * HOUR_S), min(last, stored.second(), (hour + 1) * HOUR_S - 1) + 1):
            mean = np.array([self._mean(sensor, second, ill.get(sensor)) for sensor in members], np.float32)
            noise = sensors.TABLE.noise_units[members.start : members.stop].astype(np.float32)
            values = np.stack([mean, mean - 2 * noise, mean + 2 * noise, noise]).tobytes()
            yield SimpleNamespace(second=second, count=stored.run.rate_hz, values=values)

    @staticmethod
    def _mean(sensor: int, second: int, ill: Episode | None) -> float:
        noise = float(sensors.TABLE.noise_units[sensor])
        slow = level(sensor) + 3 * noise * np.sin(second / 40)
        off = ill is not None and ill.begin <= second < ill.end and ill.kind is not EpisodeKind.NOISE
        return float(slow + (ill.severity * noise if off and ill is not None else 0))


def started(flight: Any, ago_s: int, **more: Any) -> Run:
    """A run over this flight that began so long ago."""
    known: dict[str, Any] = {"flight": flight.name, "flight_digest": flight.digest, "seed": 1, "rate_hz": 128}
    begin_s = more.get("begin_s", 0)
    start_us = time.time_ns() // 1_000 - ago_s * MICROS
    return Run(**{**known, "start_us": start_us, "seconds": flight.seconds - begin_s, **more})


def main() -> int:
    state, recording = Path(sys.argv[1]), Path(sys.argv[2])
    sys.argv[1:] = sys.argv[3:]
    from cassandra.cluster import NoHostAvailable

    from upcall.fastdata import tab
    from upcall.fastdata.queries import Queries
    from upcall.web.__main__ import main as page

    def connect(*_: Any, login: Login | None = None, **__: Any) -> Queries:
        stored = Stored.read(state)
        if stored.user and login != (stored.user, stored.password):
            raise NoHostAvailable(f"AuthenticationFailed for {login and login.user}", {})
        return Queries(Session(state))

    Queries.connect = connect  # type: ignore[method-assign]
    tab.fetch_recording = lambda _callsign: recording  # type: ignore[assignment, misc]
    return page()


if __name__ == "__main__":
    sys.exit(main())
