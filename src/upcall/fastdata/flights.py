"""A recorded flight, second by second, in whole numbers.

What is recorded: positions that an aircraft broadcast (ADS-B), irregularly, as anyone with a receiver may log them.
The flight shown first is AIB232E of 2017-12-13, an Airbus A380 (icao24 3807fa) whose crew drew a Christmas tree over
Germany: 5,412 rows over 19,285 s, with 876 gaps of more than 5 s, the longest 772 s. It stands as
`airbus_tree.json.gz` inside the wheel of `traffic` (Xavier Olive, MIT), of which only this one file is kept; the wheel
is locked by its hash in `lock/flight.json`.

What is made of it: one row for each second from the first position to the last, interpolated between the positions on
either side, the track the short way round. Everything is an integer in a small unit (hundredths of a degree,
millionths for positions), because the modelled readings are derived from these numbers and must have the same bits on
every machine. After the last second the flight is over: whoever flies it again starts a new run.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]

FLIGHT_BYTES_MAX: Final = 64 * 1024 * 1024
ROWS_MAX: Final = 1_000_000
SECONDS_MAX: Final = 20 * 3_600
_FIELDS: Final = ("timestamp", "latitude", "longitude", "altitude", "groundspeed", "track", "vertical_rate")


class FlightError(ValueError):
    """A file that is no recorded flight; says which row and field."""


@dataclass(frozen=True, slots=True, eq=False)
class Flight:
    """All arrays have one entry a second, the first for second 0; `seconds` is the last second's number."""

    name: str
    icao24: str
    digest: str
    """SHA-256 over all arrays: two flights with the same digest give the same readings."""
    start_unix_s: int
    """When the recorded flight was flown."""
    rows: int
    """Recorded positions behind the interpolated seconds."""
    t_s: Int64s
    altitude_ft: Int64s
    speed_kt: Int64s
    """Over ground."""
    track_cdeg: Int64s
    """Hundredths of a degree, unwrapped: it runs on beyond 360 degrees, so that it can be interpolated and
    differenced."""
    vertical_rate_fpm: Int64s
    latitude_udeg: Int64s
    longitude_udeg: Int64s

    @property
    def seconds(self) -> int:
        return len(self.t_s) - 1

    def second_of(self, second: int) -> dict[str, float]:
        """One second for people: degrees, feet, knots. Out of range is the nearest end."""
        at = min(max(second, 0), self.seconds)
        return {
            "t_s": int(self.t_s[at]),
            "altitude_ft": int(self.altitude_ft[at]),
            "speed_kt": int(self.speed_kt[at]),
            "heading_deg": int(self.track_cdeg[at]) % 36_000 / 100,
            "vertical_rate_fpm": int(self.vertical_rate_fpm[at]),
            "latitude": int(self.latitude_udeg[at]) / 1_000_000,
            "longitude": int(self.longitude_udeg[at]) / 1_000_000,
        }


def load_flight(path: Path | str) -> Flight:
    """Reads a recorded flight: a JSON list of rows as `traffic` writes them, plain or gzipped."""
    path = Path(path)
    try:
        rows = json.loads(_read(path))
    except (OSError, EOFError, ValueError) as error:
        raise FlightError(f"{path}: not a recorded flight: {error}") from error
    return flight_of_rows(rows, where=str(path))


def flight_of_rows(rows: Any, where: str = "rows") -> Flight:
    """The flight of a list of rows with `timestamp` in milliseconds. Rows with a field missing are left out."""
    if not isinstance(rows, list) or len(rows) > ROWS_MAX:
        raise FlightError(f"{where}: a list of at most {ROWS_MAX} rows is expected")
    whole = [row for row in rows if isinstance(row, dict) and all(row.get(field) is not None for field in _FIELDS)]
    if len(whole) < 2:
        raise FlightError(
            f"{where}: {len(whole)} complete rows of {len(rows)}: a flight has two at least, with {', '.join(_FIELDS)}"
        )
    recorded = np.array([[_whole_number(row, field, where) for field in _FIELDS] for row in whole], np.int64).T
    stamps = recorded[0]
    if (np.diff(stamps) <= 0).any():
        at = int(np.argmax(np.diff(stamps) <= 0)) + 1
        raise FlightError(f"{where}: row {at} is not later than the row before it")
    if stamps[-1] - stamps[0] > SECONDS_MAX:
        raise FlightError(f"{where}: {stamps[-1] - stamps[0]} s long: a flight has at most {SECONDS_MAX} s")
    recorded[5] = _unwrap(recorded[5])
    t_s = np.arange(stamps[-1] - stamps[0] + 1, dtype=np.int64)
    latitude, longitude, altitude, speed, track, vertical_rate = (
        _interpolate(t_s, stamps - stamps[0], values) for values in recorded[1:]
    )
    digest = hashlib.sha256()
    for array in (t_s, altitude, speed, track, vertical_rate, latitude, longitude):
        digest.update(array.astype("<i8").tobytes())
    return Flight(
        name=str(whole[0].get("callsign") or "unnamed"),
        icao24=str(whole[0].get("icao24") or ""),
        digest=digest.hexdigest(),
        start_unix_s=int(stamps[0]),
        rows=len(whole),
        t_s=t_s,
        altitude_ft=altitude,
        speed_kt=speed,
        track_cdeg=track,
        vertical_rate_fpm=vertical_rate,
        latitude_udeg=latitude,
        longitude_udeg=longitude,
    )


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if zipped else path.open("rb") as file:
        data = file.read(FLIGHT_BYTES_MAX + 1)
    if len(data) > FLIGHT_BYTES_MAX:
        raise FlightError(f"{path}: more than {FLIGHT_BYTES_MAX} bytes")
    return data


# What one unit of a recorded field is in whole numbers.
_UNITS: Final = {"latitude": 1_000_000, "longitude": 1_000_000, "track": 100}


def _whole_number(row: dict[str, Any], field: str, where: str) -> int:
    value = row[field]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e14:
        raise FlightError(f"{where}: {field} is {value!r} in the row of {row['timestamp']}: a number is expected")
    if field == "timestamp":
        return int(value) // 1_000
    return round(value * _UNITS.get(field, 1))


def _unwrap(track_cdeg: Int64s) -> Int64s:
    """Turns of more than half a circle between two rows are turns the other way."""
    steps = np.diff(track_cdeg)
    steps = (steps + 18_000) % 36_000 - 18_000
    return np.concatenate((track_cdeg[:1], track_cdeg[0] + np.cumsum(steps)))


def _interpolate(at: Int64s, known_at: Int64s, known: Int64s) -> Int64s:
    """Linear between the known neighbours, rounded to the nearest, in integers alone."""
    right = np.clip(np.searchsorted(known_at, at, side="left"), 1, len(known_at) - 1)
    t0, t1 = known_at[right - 1], known_at[right]
    span = t1 - t0
    weighted = known[right - 1] * (t1 - at) + known[right] * (at - t0)
    nearest: Int64s = (2 * weighted + span) // (2 * span)
    return nearest
