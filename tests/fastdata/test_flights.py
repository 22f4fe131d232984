"""Recorded flights: interpolation in whole numbers, and clear refusals."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from practice import practice_flight, practice_rows

from upcall.fastdata.flights import FlightError, flight_of_rows, load_flight
from upcall.fastdata.recordings import LOCKS, fetch_recording, lock_bytes


def a_row(second: int, **changes: Any) -> dict[str, Any]:
    row = {
        "timestamp": second * 1_000,
        "latitude": 50.0,
        "longitude": 8.0,
        "altitude": 1_000.0,
        "groundspeed": 200.0,
        "track": 90.0,
        "vertical_rate": 0.0,
        "callsign": "X1",
        "icao24": "aa",
    }
    return row | changes


def test_every_second_has_a_row_and_recorded_seconds_keep_their_values() -> None:
    rows = practice_rows()
    flight = flight_of_rows(rows)
    assert flight.t_s.tolist() == list(range(1_201))
    assert flight.rows == len(rows) < 420
    for row in rows:
        at = row["timestamp"] // 1_000 - flight.start_unix_s
        assert flight.altitude_ft[at] == row["altitude"]
        assert flight.track_cdeg[at] % 36_000 == row["track"] * 100
        assert flight.latitude_udeg[at] == round(row["latitude"] * 1e6)


def test_gaps_are_interpolated_and_rounded_to_the_nearest() -> None:
    flight = flight_of_rows([a_row(0), a_row(3, altitude=1_010.0, groundspeed=199.0)])
    assert flight.altitude_ft.tolist() == [1_000, 1_003, 1_007, 1_010]
    assert flight.speed_kt.tolist() == [200, 200, 199, 199]


def test_the_track_turns_the_short_way() -> None:
    flight = flight_of_rows([a_row(0, track=350.0), a_row(2, track=10.0), a_row(4, track=350.0)])
    assert flight.track_cdeg.tolist() == [35_000, 36_000, 37_000, 36_000, 35_000]
    assert flight.second_of(1)["heading_deg"] == 0.0


def test_incomplete_rows_are_left_out() -> None:
    flight = flight_of_rows([a_row(0), a_row(1, altitude=None), a_row(2, altitude=1_200.0)])
    assert flight.rows == 2
    assert flight.altitude_ft.tolist() == [1_000, 1_100, 1_200]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ({}, "a list of at most"),
        ([], "0 complete rows"),
        ([a_row(0), a_row(1, track=None)], "1 complete rows of 2"),
        ([a_row(0), a_row(0)], "row 1 is not later"),
        ([a_row(0), a_row(90_000)], "at most"),
        ([a_row(0), a_row(1, altitude="high")], "altitude is 'high'"),
        ([a_row(0), a_row(1, altitude=True)], "altitude is True"),
    ],
)
def test_what_is_no_flight_is_one_clear_error(rows: Any, says: str) -> None:
    with pytest.raises(FlightError, match=says):
        flight_of_rows(rows)


def test_a_file_plain_or_gzipped_is_the_same_flight(tmp_path: Path) -> None:
    text = json.dumps(practice_rows()).encode()
    (tmp_path / "plain.json").write_bytes(text)
    (tmp_path / "zipped.json.gz").write_bytes(gzip.compress(text))
    one, two = load_flight(tmp_path / "plain.json"), load_flight(str(tmp_path / "zipped.json.gz"))
    assert one.digest == two.digest == practice_flight().digest
    assert np.array_equal(one.altitude_ft, two.altitude_ft)


@pytest.mark.parametrize("data", [b"", b"no json", b"\x1f\x8bnot gzip", gzip.compress(b"[]", mtime=0)[:-4]])
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "flight.json.gz"
    path.write_bytes(data)
    with pytest.raises(FlightError, match=r"flight\.json\.gz"):
        load_flight(path)
    with pytest.raises(FlightError, match="missing"):
        load_flight(tmp_path / "missing")


def test_locks_hold_no_address() -> None:
    for callsign in LOCKS:
        assert b"http" not in lock_bytes(callsign)
    with pytest.raises(ValueError, match="AIB232E, ELY1747"):
        lock_bytes("LH400")


@pytest.mark.real
def test_the_recorded_flight_is_the_one_that_is_named() -> None:
    """Fetched from the Python registry or the cache."""
    flight = load_flight(fetch_recording("AIB232E"))
    assert (flight.name, flight.icao24, flight.rows, flight.seconds) == ("AIB232E", "3807fa", 5_412, 19_285)
    assert flight.digest == "46de0d7b8b08c4e77cb1695c7e6d2919194598f6de5d6d30268a53cd3f8e9c95"
    assert (flight.altitude_ft.max(), flight.altitude_ft[-1]) == (43_025, 0)
