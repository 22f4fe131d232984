"""A flight for tests, made up of whole numbers: no recording is kept in the repository, and most tests need none."""

from typing import Any

from upcall.fastdata.flights import Flight, flight_of_rows
from upcall.fastdata.runs import Run

START_US = 1_700_000_000_000_000


def practice_rows(seconds: int = 1_200) -> list[dict[str, Any]]:
    """Take-off, climb with two turns, cruise, descent; a row every 3 s and a gap of a minute."""
    rows = []
    for second in range(0, seconds + 1, 3):
        if seconds // 2 < second < seconds // 2 + 60:
            continue
        climb = min(second, seconds - second)
        rows.append(
            {
                "timestamp": (1_600_000_000 + second) * 1_000,
                "icao24": "abc123",
                "callsign": "TEST1",
                "altitude": float(min(600 + climb * 40, 38_000)),
                "groundspeed": float(min(140 + climb // 2, 400)),
                "track": float((350 + max(0, second - 200) // 3) % 360),
                "vertical_rate": 2_400.0 if second < seconds // 3 else 0.0 if second < 2 * seconds // 3 else -1_800.0,
                "latitude": 50.0 + second / 10_000,
                "longitude": 8.0 + second / 20_000,
            }
        )
    return rows


def practice_flight(seconds: int = 1_200) -> Flight:
    return flight_of_rows(practice_rows(seconds))


def practice_run(recorded: Flight, **changes: Any) -> Run:
    said: dict[str, Any] = {
        "flight": recorded.name,
        "flight_digest": recorded.digest,
        "seed": 7,
        "rate_hz": 128,
        "start_us": START_US,
        "seconds": recorded.seconds,
    }
    return Run(**(said | changes))
