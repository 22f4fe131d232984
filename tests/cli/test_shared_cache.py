"""`upcall cache`: nothing that may be in use goes, and nobody is surprised."""

import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from upcall.artifacts.cache import Cache
from upcall.cli.cache_use import use_of
from upcall.cli.main import application
from upcall.keeper.processes import FOLDER_MARK

DAY_S = 86_400.0
DIGEST = secrets.token_hex(32)
"""In no other test that runs now."""
OLD, NEW = f"maven-{DIGEST}", f"java-{secrets.token_hex(32)}"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("UPCALL_CACHE", str(tmp_path / "cache"))
    cache = Cache()
    for key, days in ((OLD, 60), (NEW, 2)):
        tree = cache.root / "trees" / key
        tree.mkdir()
        (tree / "file").write_bytes(b"x" * (1 << 20))
        at = time.time() - days * DAY_S
        os.utime(tree, (at, at))
    return cache


def run(line: str) -> Result:
    return CliRunner().invoke(application("cache"), line.split())


def there(cache: Cache) -> list[str]:
    return sorted(path.name for path in (cache.root / "trees").iterdir())


def test_its_size_by_kind(cache: Cache) -> None:
    found = json.loads(run("cache size -o json").stdout)
    assert (found["bytes"], {one["kind"]: one["bytes"] for one in found["entries"]}) == (
        2 << 20,
        {"maven": 1 << 20, "java": 1 << 20},
    )
    assert "2.0 MiB" in run("cache size").stdout


def test_a_dry_run_says_what_would_go_and_changes_nothing(cache: Cache) -> None:
    assert "1.0 MiB would be freed" in run("cache clean --dry-run").stdout
    assert "2.0 MiB would be freed" in run("cache clean --all --dry-run").stdout
    assert there(cache) == sorted([OLD, NEW])


def test_without_a_person_and_without_a_word_nothing_goes(cache: Cache) -> None:
    said = run("cache clean")
    assert said.exit_code == 1
    assert "--yes" in said.stderr
    assert there(cache) == sorted([OLD, NEW])
    assert "two answers" in run("cache clean --unused --all --yes").stderr


def test_what_nobody_has_looked_at_for_long_goes_or_all(cache: Cache) -> None:
    assert "dropped 1 part, 1.0 MiB" in run("cache clean --yes").stdout
    assert there(cache) == [NEW]
    assert "nothing to drop" in run("cache clean --yes").stdout
    assert [one["key"] for one in json.loads(run("cache clean --all --yes -o json").stdout)["dropped"]] == [NEW]
    assert there(cache) == []


def test_what_a_process_runs_from_stays(cache: Cache) -> None:
    command = [sys.executable, "-c", "print(1, flush=True); input()", str(cache.root / "trees" / OLD / "file")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        said = run("cache clean --all --yes")
        process.communicate(b"\n")
    assert "kept, since it may be in use: 1 part" in said.stderr
    assert there(cache) == [OLD]


def test_what_a_running_cluster_was_made_from_stays_although_nothing_runs_from_it_now(
    cache: Cache, tmp_path: Path
) -> None:
    node = tmp_path / "data" / "nodes" / "node-1"
    node.mkdir(parents=True)
    (node / "checkpoint.json").write_text(json.dumps({"artifacts": [{"lock": DIGEST}]}))
    command = [sys.executable, "-c", "print(1, flush=True); input()"]
    environment = {**os.environ, FOLDER_MARK: str(node)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert tmp_path / "data" in use_of(cache.root).clusters
        run("cache clean --all --yes")
        process.communicate(b"\n")
    assert there(cache) == [OLD]
