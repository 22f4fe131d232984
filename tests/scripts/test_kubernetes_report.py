"""The report about Kubernetes: figures out of what tests note, and that each promise can be broken."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.kubernetes import __main__ as report
from benchmarks.kubernetes import paths, suites
from benchmarks.kubernetes.sabotages import SABOTAGES

PASSED = """<?xml version="1.0"?>
<testsuites><testsuite name="{commit}">
<testcase classname="tests.kubernetes.test_paths" name="test_one[kafka]">
<properties><property name="package" value="kafka"/><property name="path" value="delete"/></properties></testcase>
<testcase classname="tests.kubernetes.test_paths" name="test_two[kafka]">
<properties><property name="package" value="kafka"/><property name="path" value="eviction"/></properties>
{failure}</testcase>
<testcase classname="tests.kubernetes.test_paths" name="test_one[cassandra]">
<properties><property name="package" value="cassandra"/><property name="path" value="delete"/></properties></testcase>
<testcase classname="tests.kubernetes.test_replicas" name="test_killed">
<properties><property name="failover_s_killed" value="9.5"/></properties></testcase>
</testsuite></testsuites>
"""
NOW = "0" * 40


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `make kubernetes` left of this very commit."""
    monkeypatch.setattr(suites, "FOLDER", tmp_path)
    monkeypatch.setattr(suites, "commit", lambda: NOW)
    file = tmp_path / "played.xml"
    file.write_text(PASSED.format(commit=NOW, failure=""))
    return file


def test_what_a_test_notes_is_a_figure(suite: Path) -> None:
    assert suites.noted(["tests/kubernetes/test_replicas.py"]) == {"failover_s_killed": 9.5}


def test_the_least_of_all_packages_counts(suite: Path) -> None:
    assert paths.measure(None) == {
        "paths_claimed_equals_observed": 1,
        "paths_cassandra": "1 of 1",
        "paths_kafka": "2 of 2",
    }


def test_a_way_that_is_not_as_it_is_claimed_is_named(suite: Path) -> None:
    suite.write_text(PASSED.format(commit=NOW, failure='<failure message="told otherwise"/>'))
    found = paths.measure(None)
    assert (found["paths_kafka"], found["paths_otherwise"]) == ("1 of 2", "kafka: eviction")
    with pytest.raises(suites.Failed, match="told otherwise"):
        suites.noted([paths.FILE])


def test_what_another_commit_left_does_not_count(suite: Path) -> None:
    suite.write_text(PASSED.format(commit="1" * 40, failure=""))
    assert suites._before([paths.FILE]) is None


def test_every_cell_promises_something_and_every_sabotage_breaks_what_its_cell_promises() -> None:
    assert report.CELLS.keys() == report.PROMISES.keys()
    for sabotage in SABOTAGES.values():
        assert sabotage.breaks in {promise.name for promise in report.PROMISES[sabotage.cell]}
        compile(sabotage.lines, "sitecustomize.py", "exec")


def test_every_promise_but_one_that_only_reports_has_what_breaks_it() -> None:
    broken = {sabotage.breaks for sabotage in SABOTAGES.values()}
    promised = {promise.name for cell in report.PROMISES.values() for promise in cell}
    alike = {"drain_lost_upcalls", "scale_takeover_s", "scale_node_ratio", "scale_silence_ratio"}
    assert promised - broken == {"pods_per_s", *alike}
