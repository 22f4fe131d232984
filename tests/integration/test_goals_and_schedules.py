"""A service of one's own that is asked for by goals and does something by a schedule, on a real cluster."""

import json
from pathlib import Path
from typing import Any

import pytest
from real_cluster import WAIT_S, Cluster

TENDED = str(Path(__file__).parent / "packages" / "tended.py")


@pytest.fixture(scope="module")
def tended(cluster: Cluster) -> Cluster:
    said = cluster.refused("install", TENDED, "--goal", "survive=1-node", "--set", "count=1")
    assert "count=1 contradicts the goal survive=1-node: one of two is left, on 3 nodes" in said
    assert cluster.client.services() == []
    cluster.upcall("install", TENDED, "--goal", "survive=1-node", "--goal", "greeting=good day")
    return cluster


def explained(cluster: Cluster) -> dict[str, Any]:
    said = json.loads(cluster.upcall("explain", "tended", "--all", "-o", "json").stdout)
    return {row["option"]: (row["value"], row["from"]) for row in said["options"]}


def test_what_follows_from_goals_runs_and_says_whose_word_it_is(tended: Cluster) -> None:
    tended.until_ready("tended.web-0", "tended.web-1")
    found = explained(tended)
    assert found["count"] == (2, "goal survive")
    assert found["words"] == ("GOOD DAY", "goal greeting")
    assert found["goals.greeting"] == ("good day", "person")
    assert found["replace_after_s"] == (600.0, "default")
    table = tended.upcall("explain", "tended").stdout
    assert "one of two is left, on 3 nodes" in table
    assert "in revision 1" in table


def test_another_goal_is_an_update_and_rollback_brings_the_first_back(tended: Cluster) -> None:
    shown = tended.upcall("update", "tended", "--goal", "greeting=good night", "--dry-run").stdout
    assert "GOOD NIGHT" in shown
    tended.upcall("update", "tended", "--goal", "greeting=good night")
    assert explained(tended)["words"] == ("GOOD NIGHT", "goal greeting")
    tended.upcall("rollback", "tended")
    assert explained(tended)["words"] == ("GOOD DAY", "goal greeting")


def test_a_platform_file_states_goals_and_applied_again_changes_nothing(tended: Cluster, tmp_path: Path) -> None:
    text = tended.upcall("export").stdout
    assert "goals:" in text
    assert "words" not in text  # what follows is not written: it follows again
    file = tmp_path / "platform.yaml"
    file.write_text(text)
    assert "nothing differs" in tended.upcall("apply", "-f", str(file), "--dry-run").stdout


def test_what_is_due_is_shown_and_done_by_itself(tended: Cluster) -> None:
    assert "1 day" in tended.upcall("schedule", "list", "tended").stdout
    said = tended.refused("update", "tended", "--set", "schedules.sweep=feb 30 03:00")
    assert "'feb 30 03:00' never comes" in said
    said = tended.refused("update", "tended", "--goal", "greeting=x", "--in-window")
    assert "tended has no maintenance windows to wait for" in said
    tended.upcall("window", "tended", "00:00-24:00", "--zone", "Europe/Berlin")
    assert "00:00-24:00 (Europe/Berlin)" in tended.upcall("window", "tended").stdout
    tended.upcall("update", "tended", "--set", "schedules.sweep=10 seconds")

    def swept() -> bool:
        shown = json.loads(tended.upcall("schedule", "list", "-o", "json").stdout)
        return any(one["name"] == "sweep" and one["outcome"] == "done" for one in shown)

    tended.until("it was swept", swept, WAIT_S)
    runs = tended.client.get("/v1/services/tended/actions")
    assert runs[0]["who"] == "its schedule"
    tended.upcall("update", "tended", "--set", "schedules.sweep=never")
    assert "never (as you said)" in tended.upcall("service", "show", "tended").stdout
