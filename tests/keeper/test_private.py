"""Folders that are ours alone: made so, closed where they were open, refused where somebody else had a hand in them."""

import os
import stat
from pathlib import Path

import pytest

from upcall.artifacts.cache import Cache
from upcall.artifacts.errors import ArtifactError
from upcall.client.folder import cluster_of, token_of
from upcall.cluster.folder import DataFolder
from upcall.keeper import private
from upcall.protocol.errors import Forbidden

pytestmark = pytest.mark.root

SOMEBODY = 54_321
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_is_closed_to_others_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        private.make(str(tmp_path / "a" / "b"))
    finally:
        os.umask(before)
    assert mode(tmp_path / "a" / "b") == 0o700


def test_loose_modes_of_what_is_ours_are_taken_back(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    for path in (folder.root, folder.tokens, folder.root / "master"):
        path.mkdir()
        path.chmod(0o755)
    folder.make_private()
    assert {mode(path) for path in (folder.root, folder.tokens, folder.root / "master")} == {0o700}


def test_a_folder_that_everybody_could_write_to_is_refused_with_the_way_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    (tmp_path / "secrets").mkdir()
    with pytest.raises(private.NotPrivate, match="chmod -R go-w"):
        private.make(str(tmp_path))
    (tmp_path / "secrets").rmdir()
    private.make(str(tmp_path))
    assert mode(tmp_path) == 0o700


def test_a_link_or_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(private.NotPrivate, match="no folder"):
            private.make(str(tmp_path / name))


@as_root
def test_a_data_folder_of_somebody_else_is_accepted_by_nobody(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.make_private()
    folder.cluster_file.write_text("{}")
    os.chown(folder.root, SOMEBODY, SOMEBODY)
    for attempt in (folder.make_private, folder.load_cluster, lambda: cluster_of(folder)):
        with pytest.raises(Forbidden, match=f"belongs to user {SOMEBODY}"):
            attempt()


@as_root
@pytest.mark.parametrize("name", ["cluster.json", "secrets/page.token", "later"])
def test_a_file_of_somebody_else_is_refused_in_a_folder_that_is_closed_by_now(tmp_path: Path, name: str) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.make_private()
    (folder.root / name).parent.mkdir(exist_ok=True)
    (folder.root / name).write_text("{}")
    os.chown(folder.root / name, SOMEBODY, SOMEBODY)
    with pytest.raises(Forbidden, match=f"belongs to user {SOMEBODY}"):
        folder.make_private()
    if name == "cluster.json":
        with pytest.raises(Forbidden, match=f"belongs to user {SOMEBODY}"):
            folder.load_cluster()


@as_root
def test_a_token_that_somebody_else_put_there_is_not_sent(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.make_private()
    folder.tokens.mkdir()
    folder.token_file("operator").write_text("his")
    folder.token_file("operator").chmod(0o600)
    os.chown(folder.token_file("operator"), SOMEBODY, SOMEBODY)
    with pytest.raises(Forbidden, match="somebody else"):
        token_of(folder)


@as_root
def test_what_somebody_else_left_in_a_folder_that_was_open_to_a_group_is_found(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.make_private()
    folder.tokens.mkdir()
    folder.tokens.chmod(0o770)
    folder.token_file("operator").write_text("his")
    os.chown(folder.token_file("operator"), SOMEBODY, SOMEBODY)
    with pytest.raises(Forbidden, match="belongs to"):
        folder.make_private()


def test_the_cache_is_closed_to_others_and_its_locks_too(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o755)
    cache = Cache(tmp_path / "cache")
    with cache.locked("some-key"):
        assert mode(cache.root / "locks" / "some-key") == 0o600
    assert {mode(path) for path in (cache.root, *cache.root.iterdir())} == {0o700}


@as_root
@pytest.mark.parametrize("name", ["", "trees", "locks"])
def test_a_cache_of_somebody_else_is_refused(tmp_path: Path, name: str) -> None:
    Cache(tmp_path / "cache")
    os.chown(tmp_path / "cache" / name, SOMEBODY, SOMEBODY)
    with pytest.raises(ArtifactError, match=r"not to be trusted.*belongs to"):
        Cache(tmp_path / "cache")


def test_nothing_of_ours_uses_a_fixed_name_in_the_shared_temporary_folder() -> None:
    root = Path(__file__).parents[2]
    files = [*root.glob("src/**/*.py"), *root.glob("scripts/*.*"), root / "Makefile"]
    offenders = [str(file) for file in files for word in ("/tmp/", "mktemp(") if word in file.read_text()]
    assert offenders == []
