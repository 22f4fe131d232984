"""Tables on terminals of every width, and lines that wait."""

import sys

import pytest

from upcall.cli.output import Output, fitted, nearest
from upcall.cli.printing import COLOUR
from upcall.protocol.errors import Problem
from upcall.protocol.nearest import LISTED_MAX

COLUMNS = ("member", "state", "address", "ports", "memory", "cpu", "reason")
ROW = ["kafka.broker-0.4", "held", "127.249.164.10", "client:9092 controller:9093", "0 MiB of 448 MiB", "0.00", "ended"]


def test_words_stay_whole_and_what_is_spared_most_easily_goes_first() -> None:
    assert fitted(COLUMNS, [ROW], 200) == [16, 5, 14, 27, 16, 4, 6]
    assert fitted(COLUMNS, [ROW], 80) == [16, 5, 14, 15, 8, 4, 6]
    assert fitted(COLUMNS, [ROW], 75) == [16, 5, 14, 15, 9, 0, 6]
    assert fitted(COLUMNS, [ROW], 50) == [16, 5, 0, 17, 0, 0, 6]


def test_a_column_in_which_nothing_stands_is_the_first_to_go_and_nobody_is_told() -> None:
    empty = [*ROW[:3], "", ROW[4], "", ROW[6]]
    assert fitted(COLUMNS, [empty], 200) == [16, 5, 14, 5, 16, 3, 6]
    assert fitted(COLUMNS, [empty], 55) == [16, 5, 14, 0, 6, 0, 6]


def test_an_error_on_a_narrow_terminal_goes_on_as_far_in_as_it_began(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    right = "lower-case letters, digits and single dashes between them"
    Output().problem(Problem(code="invalid", message="not a name: 'x'", where="name", expected=right))
    said = COLOUR.sub("", capsys.readouterr().err).splitlines()
    assert said[0].rstrip() == "error: not a name: 'x'"
    assert [line[:2] for line in said[1:]] == ["  "] * 3
    assert max(map(len, said)) <= 40


def test_a_word_that_would_fill_the_screen_is_cut_with_its_length(capsys: pytest.CaptureFixture[str]) -> None:
    Output().problem(Problem(code="not_found", message=f"no service {'x' * 5000!r}"))
    assert capsys.readouterr().err == f"error: no service 'xxx{'x' * 56}... (5002 characters)\n"


def test_a_line_in_which_only_the_seconds_change_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Output().progress() as progress:
        for line in ("op-1 stop a.m-0: a: asked 1 s ago", "op-1 stop a.m-0: a: asked 2 s ago", "op-1 stop a.m-0: done"):
            progress.line(line)
    assert capsys.readouterr().err.splitlines() == ["op-1 stop a.m-0: a: asked 1 s ago", "op-1 stop a.m-0: done"]


def test_what_is_known_in_several_versions_is_named_once() -> None:
    assert nearest("zzz", ["kafka", "spark", "kafka"]) == "kafka or spark"
    assert nearest("zzz", ["kafka", "spark", "log"]) == "one of kafka, log, spark"


def test_where_too_many_are_known_the_nearest_are_named() -> None:
    many = [f"aa-{number:02}.bb" for number in range(LISTED_MAX + 10)]
    assert nearest("q", [*many, "zz.quite-another"]).startswith("one of zz.quite-another, ")
