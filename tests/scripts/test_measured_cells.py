"""Long measurements are made of cells that are kept; what of them is promised, and that each check can fail."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import cells
from benchmarks.availability import __main__ as availability
from benchmarks.availability import events, plot
from benchmarks.cells import Asked, Kept
from benchmarks.operations import __main__ as operations
from benchmarks.operations.stage import ROWS, Stage, State

from upcall.catalog.cassandra.service import Cassandra
from upcall.catalog.kafka.service import Kafka
from upcall.service import package

COMMIT = "a" * 40
SYSTEMS: dict[str, type[Kafka] | type[Cassandra]] = {"kafka": Kafka, "cassandra": Cassandra}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "BUILD", tmp_path)
    for name in (cells.CELLS, cells.ROUNDS, cells.SABOTAGE):
        monkeypatch.delenv(name, raising=False)


def test_a_cell_is_taken_up_again_by_the_same_commit_alone() -> None:
    Kept("operations", COMMIT).keep("one", {"failed": 0})
    assert Kept("operations", COMMIT).find("one") == {"failed": 0}
    assert Kept("operations", "b" * 40).find("one") is None
    assert Kept("availability", COMMIT).find("one") is None


def test_what_a_tree_gave_that_differs_from_its_commit_is_never_taken_up() -> None:
    dirty = Kept("operations", f"{COMMIT}-dirty")
    dirty.keep("one", {"failed": 0})
    assert dirty.find("one") is None


def test_cells_are_chosen_by_name_in_their_own_order_and_a_wrong_name_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    known = ["a", "b", "c"]
    assert cells.chosen(known, ["a"]) == ["a"]
    monkeypatch.setenv(cells.ROUNDS, "1")
    assert cells.chosen(known, ["a"]) == known
    monkeypatch.setenv(cells.CELLS, "c,a")
    assert cells.chosen(known, ["a"]) == ["a", "c"]
    monkeypatch.setenv(cells.CELLS, "d")
    with pytest.raises(Asked, match="one of a, b, c"):
        cells.chosen(known, ["a"])


def test_of_several_rounds_the_worst_counts() -> None:
    assert cells.worst([{"failed": 0, "with": ""}, {"failed": 3, "with": "x"}]) == {"failed": 3, "with": "x"}
    assert cells.worst([{"failed": 0}, {"broke": "no quorum"}]) == {"broke": "no quorum"}


def test_cells_share_a_cluster_until_one_breaks_and_only_what_came_to_its_end_is_kept() -> None:
    clusters: list[list[str]] = []

    @contextmanager
    def opened(first: str) -> Iterator[cells.Measure]:
        clusters.append([])

        def measure(cell: str) -> cells.Figures:
            clusters[-1].append(cell)
            if cell == "b" and len(clusters) == 1:
                raise ValueError("no quorum\nin detail")
            return {"failed": 0}

        yield measure

    kept = Kept("operations", COMMIT)
    first = cells.played(["a", "b", "c"], kept, 1, opened)
    assert first == {"a": {"failed": 0}, "b": {"broke": "ValueError: no quorum"}, "c": {"failed": 0}}
    assert clusters == [["a", "b"], ["c"]]
    again = cells.played(["a", "b", "c"], kept, 1, opened)
    assert again["b"] == {"failed": 0}
    assert clusters[2:] == [["b"]]


def test_without_a_cluster_every_cell_that_is_left_says_why() -> None:
    @contextmanager
    def opened(first: str) -> Iterator[cells.Measure]:
        raise OSError("no room")
        yield lambda cell: {}

    broke = {"broke": "OSError: no room"}
    assert cells.played(["a", "b"], Kept("operations", COMMIT), 1, opened) == {"a": broke, "b": broke}


@pytest.mark.parametrize("stage", operations.STAGES)
def test_each_system_has_every_row_or_says_why_it_has_none(stage: type[Stage]) -> None:
    assert {*stage.rows, *stage.none} == set(ROWS)
    assert not stage.rows.keys() & stage.none.keys()


def test_a_row_that_a_system_has_no_meaning_for_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(cells.CELLS, "spark_volume_lost")
    assert operations.main() == 2
    assert "spark_volume_lost is not known here" in capsys.readouterr().err


def test_a_sabotage_that_a_system_does_not_have_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(cells.CELLS, "cassandra_rolling_restart")
    monkeypatch.setenv(cells.SABOTAGE, "writes-twice")
    assert operations.main() == 2
    assert "writes-twice is nothing for cassandra" in capsys.readouterr().err


@pytest.mark.parametrize("stage", operations.STAGES)
def test_each_row_begins_where_one_before_it_may_end(stage: type[Stage]) -> None:
    assert set(stage.rows) <= set(ROWS)
    states = {row.at for row in stage.rows.values()}
    assert states <= {State(stage.begins_with(each), stage.few) for each in states} | {
        row.leaves for row in stage.rows.values()
    }


@pytest.mark.parametrize("stage", operations.STAGES)
def test_a_sabotaged_service_loads(stage: type[Stage], tmp_path: Path) -> None:
    assert set(stage.sabotages) <= set(operations.SABOTAGES)
    for text in filter(None, stage.sabotages.values()):
        file = tmp_path / "sabotaged.py"
        file.write_text(text)
        built = package.build(file)
        assert built.package.name == f"{stage.system}-sabotaged"
        assert set(SYSTEMS[stage.system].blobs()) <= set(built.blobs), "its locked artifacts are the catalog's"


@pytest.mark.parametrize("version", [events.OLD, events.NEW])
def test_the_played_ways_are_one_package_of_the_catalogs_versions(version: str, tmp_path: Path) -> None:
    built = package.build(events.package(tmp_path), version)
    assert (built.package.name, built.package.version) == ("kafka-played", version) or version in built.package.version
    assert "way" in built.package.options_schema["properties"]
    assert Kafka.versions() == (events.OLD, events.NEW)


def test_only_upcalls_is_promised_anything_and_its_time_is_held_against_readiness_of_the_same_run() -> None:
    wanted = ["drain_upcalls_down", "drain_readiness_down", "drain_blind_down"]
    promised = {promise.name: promise for promise in availability.promises(wanted)}
    ours = {f"drain_upcalls_down_{name}" for name in ("failed_requests", "lost", "under_min_isr_s")}
    assert set(promised) == ours | {"drain_down_to_readiness"}
    figures = {"drain_upcalls_down": {"duration_s": 8.0}, "drain_readiness_down": {"duration_s": 10.0}}
    ratio = availability.ratios(figures)["drain_down_to_readiness"]
    assert ratio == 0.8
    assert not promised["drain_down_to_readiness"].holds(ratio)


def test_the_picture_shows_what_was_measured_and_nothing_else() -> None:
    drawn = plot.draw({"drain_blind_down": {"duration_s": 8.0, "failed_requests": 1200}})
    assert "8 s, 1,200 failed" in drawn
    assert "drain, one broker down" in drawn
    assert "upcalls" not in drawn
