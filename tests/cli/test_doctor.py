"""What `upcall doctor` says: of this machine as it is, and of machines that lack something."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fake_master import FakeMaster
from upcall import __version__
from upcall.agent import boxes, cgroups
from upcall.agent import features as of_agent
from upcall.artifacts import reaching
from upcall.cli import doctor, features, main

Said = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    monkeypatch.setenv("UPCALL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("UPCALL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "_tried", lambda data: ["no-memory-limits", "landlock", "group-kill"])

    def say(*words: str) -> tuple[int, dict[str, Any]]:
        code = main.run(["doctor", *words, "-o", "json"])
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return code, {**found, **{one["what"]: one for one in found["findings"]}}

    return say


def test_it_says_where_everything_lies_and_makes_nothing(said: Said, tmp_path: Path) -> None:
    code, found = said()
    assert code == 0
    assert found["data"] == f"{tmp_path / 'data'} (no cluster yet)"
    assert found["cache"] == str(tmp_path / "cache")
    assert found["upcall"].startswith(__version__)
    assert "cluster.json" in found["configuration"]
    assert list(tmp_path.iterdir()) == []


def test_what_is_weaker_comes_with_what_to_do_and_is_no_error(said: Said) -> None:
    code, found = said()
    assert code == 0
    assert found["memory-limits"]["state"] == "weaker"
    assert "takes it from the others" in found["memory-limits"]["weaker"]
    assert "Delegate=yes" in found["memory-limits"]["do"]
    assert found["landlock"]["state"] == "good"
    assert "own-user" not in found, "what nobody said is not known"


def test_what_a_cluster_cannot_do_without_is_exit_code_one(
    said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("UPCALL_DATA", str(tmp_path / "a file"))
    code, found = said()
    assert code == 1
    assert found["data folder"]["state"] == "missing"
    assert "a space" in found["data folder"]["weaker"]
    monkeypatch.setenv("UPCALL_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("upcall.cli.machine.memory_mib", lambda: 1500)
    code, found = said()
    assert (code, found["memory"]["state"]) == (1, "missing")
    assert "a machine with" in found["memory"]["do"]


def test_a_page_that_is_not_installed_is_weaker(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "has_page", lambda: False)
    code, found = said()
    assert (code, found["page"]["state"]) == (0, "weaker")
    assert "upcall[web]" in found["page"]["do"]


def test_a_registry_that_does_not_answer_is_said_with_its_reason(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = [reaching.Reached("one", "https://one", ""), reaching.Reached("two", "", "no route to host")]
    monkeypatch.setattr(reaching, "all_of", lambda: heard)
    assert "one" not in said()[1], "nobody is asked unless it is wanted"
    code, found = said("--registries")
    assert code == 0
    assert (found["one"]["state"], found["two"]["state"]) == ("good", "weaker")
    assert found["two"]["found"] == "no route to host"


def test_of_a_cluster_that_runs_its_nodes_are_believed(
    folder: Path, master: FakeMaster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upcall.cli.keeping.running", lambda folder: True)
    for node in master.nodes.values():
        node.features = ["no-landlock", "memory-limits"]
    assert main.run(["doctor", "--data", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "cluster upcall-test, up" in out
    assert "landlock: a task may read and change what you may" in out


def test_a_folder_that_cannot_be_read_is_said(said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "cluster.json").write_text("{")
    code, found = said()
    assert "cannot be read" in found["data"]
    assert (code, found["data folder"]["state"]) == (1, "missing")


# -- what there is for tasks ------------------------------------------------------------------------------------------


def test_every_feature_of_a_node_has_words(tmp_path: Path) -> None:
    """Whatever agents say, on this machine or another, is known here: else a lack would be passed over."""
    names = {name.removeprefix("no-") for name in of_agent.found(tmp_path)}
    places = boxes.Places(tmp_path, "node")
    for box in (boxes.Boxes(places, None, landlock=False), boxes.Boxes(places, None, landlock=True, off=True)):
        names |= {name.removeprefix("no-") for name in box.features}
    names |= {name.removeprefix("no-") for name in cgroups.V1({}).features}
    assert names == set(features.FEATURES)
    for words in features.FEATURES.values():
        assert all(words)


def test_what_would_be_found_is_what_an_agent_says_and_nothing_is_left(tmp_path: Path) -> None:
    found = of_agent.found(tmp_path)
    assert doctor._tried(tmp_path) == list(found)
    assert list(tmp_path.iterdir()) == []
