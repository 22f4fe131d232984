"""Tables on terminals of every width, and lines that wait."""

import pytest

from upcall.cli.output import Output, fitted, nearest

COLUMNS = ("member", "state", "address", "ports", "memory", "cpu", "reason")
ROW = ["kafka.broker-0.4", "held", "127.249.164.10", "client:9092 controller:9093", "0 MiB of 448 MiB", "0.00", "ended"]


def test_words_stay_whole_and_what_is_spared_most_easily_goes_first() -> None:
    assert fitted(COLUMNS, [ROW], 200) == [16, 5, 14, 27, 16, 4, 6]
    assert fitted(COLUMNS, [ROW], 80) == [16, 5, 14, 15, 8, 4, 6]
    assert fitted(COLUMNS, [ROW], 75) == [16, 5, 14, 15, 9, 0, 6]
    assert fitted(COLUMNS, [ROW], 50) == [16, 5, 0, 17, 0, 0, 6]


def test_a_line_in_which_only_the_seconds_change_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Output().progress() as progress:
        for line in ("op-1 stop a.m-0: a: asked 1 s ago", "op-1 stop a.m-0: a: asked 2 s ago", "op-1 stop a.m-0: done"):
            progress.line(line)
    assert capsys.readouterr().err.splitlines() == ["op-1 stop a.m-0: a: asked 1 s ago", "op-1 stop a.m-0: done"]


def test_what_is_known_in_several_versions_is_named_once() -> None:
    assert nearest("zzz", ["kafka", "spark", "kafka"]) == "kafka or spark"
    assert nearest("zzz", ["kafka", "spark", "log"]) == "one of kafka, log, spark"
