"""Which lines of a log are shown, by what systems themselves write in them."""

import time
from datetime import UTC, datetime

import pytest

from upcall.cli.log_filters import Sieve, Wanted, written_at
from upcall.protocol.errors import Invalid

LOCAL = datetime(2026, 3, 4, 5, 6, 7).timestamp()
ZONED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("line", "at"),
    [
        ("[2026-03-04 05:06:07,123] INFO [broker] started", LOCAL),
        ("INFO  [main] 2026-03-04 05:06:07,123 CassandraDaemon.java:1 - up", LOCAL),
        ("26/03/04 05:06:07 WARN TaskSetManager: lost", LOCAL),
        ("4711:M 04 Mar 2026 05:06:07.123 * Ready to accept connections", LOCAL),
        ("2026-03-04 05:06:07.123 UTC [12] LOG:  checkpoint", ZONED),
        ("2026-03-04T05:06:07Z hello", ZONED),
        ("2026-03-04T07:06:07+02:00 hello", ZONED),
        ("2026-13-44 05:06:07 no such day", None),
        ("\tat org.example.Thing.run(Thing.java:12)", None),
        ("x" * 200 + " 2026-03-04 05:06:07", None),
    ],
)
def test_the_time_of_a_line_is_found_where_systems_write_it(line: str, at: float | None) -> None:
    assert written_at(line) == at


def test_what_belongs_to_a_line_goes_with_it() -> None:
    sieve = Sieve(Wanted(level="warning"))
    lines = ["begins", "INFO up", "ERROR broken", "  at a.b.C", "Caused by: it", "DEBUG on", "  more", "WARN careful"]
    assert [line for line in lines if sieve.keeps(line)] == lines[2:5] + lines[7:]


def test_old_lines_and_what_belongs_to_them_are_left_out() -> None:
    now = time.time()
    lines = [
        time.strftime("%Y-%m-%d %H:%M:%S old", time.localtime(now - 3600)),
        "  of it",
        time.strftime("%Y-%m-%d %H:%M:%S new", time.localtime(now - 60)),
        "  of that",
    ]
    sieve = Sieve(Wanted(since_s=600))
    assert [line for line in lines if sieve.keeps(line)] == lines[2:]


def test_filters_hold_together_and_an_expression_takes_linear_time() -> None:
    sieve = Sieve(Wanted(grep="(a+)+$", level="error"))
    assert sieve.keeps("ERROR aaa")
    assert not sieve.keeps("INFO aaa")
    assert not sieve.keeps("ERROR " + "a" * 50_000 + "b")
    with pytest.raises(Invalid, match="regular expression"):
        Wanted(grep="(?=x)")
