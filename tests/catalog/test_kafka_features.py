"""Which versions of Kafka can read what a cluster with these levels of its features writes."""

import pytest

from upcall.catalog.kafka import features
from upcall.catalog.kafka.service import Kafka
from upcall.catalog.kafka.settings import facts

DESCRIBED = (
    "Feature: eligible.leader.replicas.version\tSupportedMinVersion: 0\tSupportedMaxVersion: 1\t"
    "FinalizedVersionLevel: 1\tEpoch: 16\t\n"
    "Feature: kraft.version\tSupportedMinVersion: 0\tSupportedMaxVersion: 1\tFinalizedVersionLevel: 1\tEpoch: 16\t\n"
    "Feature: metadata.version\tSupportedMinVersion: 3.3-IV3\tSupportedMaxVersion: 4.3-IV0\t"
    "FinalizedVersionLevel: 4.1-IV1\tEpoch: 16\t\n"
)


def test_the_levels_are_read_as_the_tool_prints_them() -> None:
    found = features.parsed(DESCRIBED)
    assert found == {"eligible.leader.replicas.version": "1", "kraft.version": "1", "metadata.version": "4.1-IV1"}
    with pytest.raises(ValueError, match=r"no level of metadata\.version in: 'Timed out"):
        features.parsed("Timed out")


def test_until_the_levels_are_raised_both_versions_read_what_is_written() -> None:
    levels = features.parsed(DESCRIBED)
    assert features.unreadable("4.1.2", levels) == features.unreadable("4.3.1", levels) == ""


def test_once_they_are_raised_the_old_version_is_told_why_it_is_not() -> None:
    raised = {"metadata.version": "4.3-IV0"}
    assert features.unreadable("4.3.1", raised) == ""
    said = features.unreadable("4.1.2", raised)
    assert said == "metadata.version is at 4.3-IV0, and Kafka 4.1.2 reads up to 4.1-IV1"
    assert "streams.version is at 1" in features.unreadable("4.1.2", {"streams.version": "1"})


def test_what_lies_further_back_than_a_version_begins_takes_one_between(monkeypatch: pytest.MonkeyPatch) -> None:
    known = facts("4.3.1")
    known.features["metadata.version"] = (28, 30)
    monkeypatch.setattr(features, "facts", lambda version: known)
    said = features.unreadable("4.3.1", {"metadata.version": "4.1-IV1"})
    assert said == "metadata.version is at 4.1-IV1, and Kafka 4.3.1 begins at 4.2-IV0: finalize one between them first"


def test_what_a_version_would_raise_is_nothing_once_it_is_raised() -> None:
    assert features.behind("4.3.1", {"metadata.version": "4.1-IV1"}) == ["metadata.version from 4.1-IV1 to 4.3-IV0"]
    assert features.behind("4.3.1", {"metadata.version": "4.3-IV0"}) == []
    assert features.behind("4.1.2", {"metadata.version": "4.3-IV0"}) == []
    assert features.raise_command("4.3.1")[-3:] == ("upgrade", "--release-version", "4.3-IV0")


@pytest.mark.parametrize("version", Kafka.versions())
def test_the_highest_level_of_each_version_is_that_of_its_release(version: str) -> None:
    known = facts(version)
    names = {number: name for name, number in known.levels.items()}
    assert version.startswith(names[known.features["metadata.version"][1]].partition("-")[0])
