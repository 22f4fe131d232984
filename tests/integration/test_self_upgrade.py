"""``upcall`` itself is upgraded over a running cluster: tasks never stop, and an older one leaves a newer one's alone.

The tests follow each other on one data folder, which goes from one release to the next.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from other_release import TIMEOUT_S, Release, installed

from live_files import content, files
from upcall import __version__
from upcall.cli import keeping
from upcall.client.folder import folder_at
from upcall.keeper.identity import Identity

HELLO = Path(__file__).parents[2] / "examples" / "hello.py"
RELEASES = (__version__, "7.9.0", "7.10.0", "8.0.0", "8.1.0")
"""In their order, which is that of numbers, not of texts."""
NEXT = RELEASES[1]


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Release]:
    root = tmp_path_factory.mktemp("releases")
    return {version: installed(root / version, version) for version in RELEASES}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, releases: dict[str, Release]) -> Iterator[Path]:
    """A cluster that the present release keeps, with a service of two members."""
    root = tmp_path_factory.mktemp("cluster").resolve() / "data"
    good(releases[__version__], root, "up", "--nodes", "2", "--memory-mib-per-node", "512")
    good(releases[__version__], root, "install", str(HELLO), "--set", "count=2")
    yield root
    keeping.end(folder_at(root))


def good(release: Release, data: Path, *words: str) -> str:
    done = release.upcall(data, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def until(what: str, look: Callable[[], Any]) -> Any:
    end_s = time.monotonic() + TIMEOUT_S
    while not (found := look()):
        assert time.monotonic() < end_s, what
        time.sleep(0.05)
    return found


def tasks(data: Path) -> dict[str, tuple[Identity, Identity]]:
    """Each task that runs: its process and what holds it, by pid and start time."""
    found = {}
    for path in files(data, "tasks/*/running.json"):
        if not (text := content(path)):
            continue
        said = json.loads(text)
        both = Identity.from_json(said["task"]), Identity.from_json(said["shim"])
        if all(one.alive() for one in both):
            found[path.parent.name] = both
    return found


def pythons(data: Path) -> set[str]:
    """Whose interpreter each of our own processes runs."""
    spec = json.loads((data / "keeper" / "spec.json").read_bytes())
    return {one["argv"][0] for one in spec["processes"]}


def test_one_up_of_the_next_release_takes_a_running_cluster_over_and_no_task_notices(
    releases: dict[str, Release], data: Path
) -> None:
    before = tasks(data)
    assert len(before) == 2
    said = good(releases[NEXT], data, "up")
    assert f"upgraded from upcall {__version__} to {NEXT}" in said
    assert tasks(data) == before
    assert pythons(data) == {str(releases[NEXT].python)}
    assert keeping.release(folder_at(data)) == NEXT
    assert until("both are known to be ready", lambda: len(now(releases[NEXT], data)) == 2)
    # And it works on: the next release brings a change to them, one after the other.
    good(releases[NEXT], data, "update", "hello", "--set", "greeting=servus")
    assert tasks(data) != before


def now(release: Release, data: Path) -> list[str]:
    shown = json.loads(good(release, data, "task", "list", "-o", "json"))
    return [one["member"] for one in shown if one["state"] == "ready"]


@pytest.mark.parametrize("words", [("up",), ("status",), ("down",), ("install", str(HELLO), "--name", "other")])
def test_an_older_release_leaves_a_newer_ones_cluster_alone_and_names_both(
    releases: dict[str, Release], data: Path, words: tuple[str, ...]
) -> None:
    before, cluster = tasks(data), (data / "cluster.json").read_bytes()
    refused = releases[__version__].upcall(data, *words)
    assert refused.returncode == 1
    assert refused.stderr.count("error: ") == 1
    assert f"upcall {NEXT} keeps this data folder, and this is upcall {__version__}" in refused.stderr
    assert f"upcall {NEXT} or newer" in refused.stderr
    assert (tasks(data), (data / "cluster.json").read_bytes()) == (before, cluster)


@pytest.mark.long
@pytest.mark.parametrize(("newest", "left"), [(RELEASES[2], "the keeper"), (RELEASES[3], "nobody")])
def test_a_takeover_that_is_killed_in_the_middle_is_finished_by_the_next_up(
    releases: dict[str, Release], data: Path, newest: str, left: str
) -> None:
    """While it lets the processes of the older release go: of these the keeper is left, or none."""
    before = tasks(data)
    folder = folder_at(data)
    keeper = Identity.from_json(json.loads((data / "keeper" / "status.json").read_bytes())["supervisor"])
    taking = releases[newest].begin(data, "up")
    try:
        if left == "the keeper":
            until("one of ours has ended", lambda: any(not one["identity"] for one in kept(data)))
        else:
            until("the keeper has ended", lambda: not keeper.alive())
    finally:
        taking.send_signal(signal.SIGKILL)
        taking.communicate(timeout=TIMEOUT_S)
    said = releases[newest].upcall(data, "up")
    finished = said.returncode == 1 and "this cluster is up already" in said.stderr
    assert said.returncode == 0 or finished, said.stderr
    assert (tasks(data), keeping.release(folder)) == (before, newest)
    assert until("both are known to be ready", lambda: len(now(releases[newest], data)) == 2)


def kept(data: Path) -> list[dict[str, Any]]:
    return list(json.loads((data / "keeper" / "status.json").read_bytes())["processes"])


@pytest.mark.long
def test_a_cluster_that_is_down_is_the_next_releases_with_its_next_up(releases: dict[str, Release], data: Path) -> None:
    before, newest = releases[RELEASES[3]], releases[RELEASES[4]]
    good(before, data, "down")
    assert f"upgraded from upcall {before.version} to {newest.version}" in good(newest, data, "up")
    until("both are ready", lambda: len(now(newest, data)) == 2)
    good(newest, data, "down")
    assert f"upcall {newest.version} keeps this data folder" in before.upcall(data, "up").stderr
