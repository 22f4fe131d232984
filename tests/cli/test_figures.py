"""What was promised of a figure: held, broken, or reported only on a machine that is not the reference."""

import json
from pathlib import Path

import pytest

from upcall.cli import figures, machine
from upcall.cli.figures import Promise, Report

SOON = Promise("seconds_to_it", "at most 90 s", lambda value: value <= 90, "reference")
NONE_LEFT = Promise("left", "none", lambda value: value == 0)


@pytest.fixture(autouse=True)
def reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "cores", lambda: 2.0)
    monkeypatch.setattr(figures, "calibrate", lambda: 0.1)


def report(**found: object) -> Report:
    return Report("target", (SOON, NONE_LEFT), figures=dict(found), _calibration_before_s=0.1)


def test_what_holds_is_written_and_ends_well() -> None:
    assert report(seconds_to_it=43.9, left=0).finish() == 0
    assert json.loads(Path("build/target.json").read_text())["seconds_to_it"] == 43.9


def test_a_broken_promise_names_the_figure_and_what_was_promised() -> None:
    judged = report(seconds_to_it=91.0, left=2).judge()
    assert judged.broken == ["seconds_to_it is 91, promised: at most 90 s", "left is 2, promised: none"]
    assert report(seconds_to_it=91.0, left=0).finish() == 1


def test_seconds_bind_on_the_reference_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 8.0)
    judged = report(seconds_to_it=91.0, left=0).judge()
    assert (judged.broken, judged.verdicts["seconds_to_it"]) == ([], "reported only: at most 90 s")
    slow = report(seconds_to_it=91.0, left=0)
    monkeypatch.setattr(machine, "cores", lambda: 2.0)
    monkeypatch.setattr(figures, "calibrate", lambda: 0.3)
    assert slow.judge().broken == []


def test_correctness_binds_everywhere_and_a_figure_that_is_missing_does_not_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 8.0)
    assert report(seconds_to_it=1.0).judge().broken == ["left is None, promised: none"]
