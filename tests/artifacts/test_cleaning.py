"""What of a cache may go, and what stays whoever asks."""

import fcntl
import os
import time
from pathlib import Path

import pytest

from upcall.artifacts import cleaning
from upcall.artifacts.cache import Cache

KEY = "maven-" + "a" * 64
LONG_AGO = time.time() - 90 * 86_400


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A tree that shows one download, another download that nothing shows, and what a crash has left."""
    cache = Cache(tmp_path / "cache")
    tree = cache.root / "trees" / KEY
    tree.mkdir()
    for name in ("b" * 64, "c" * 64):
        folder = cache.root / "files" / name[:2]
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x" * 100)
    (tree / "a.jar").hardlink_to(cache.file_path("b" * 64))
    (tree / "made").write_bytes(b"y" * 10)
    (cache.root / "partial" / f"{KEY}.old-1").mkdir()
    (cache.root / "uv").mkdir()
    (cache.root / "uv" / "own").write_bytes(b"z" * 7)
    for path in [tree, *(cache.root / "files").glob("*/*"), *(cache.root / "partial").iterdir()]:
        os.utime(path, (LONG_AGO, LONG_AGO))
    return cache


def cleaned(cache: Cache) -> tuple[int, list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    freed = cleaning.clean(cache, lambda one: True, lambda one, why: told.append((one.key[:7], why)))
    return freed, told


def test_each_byte_is_counted_once_and_where_it_is_shown(cache: Cache) -> None:
    found = {one.key: (one.kind, one.size_bytes) for one in cleaning.entries(cache)}
    assert found == {
        KEY: ("maven", 110),
        "b" * 64: ("downloads", 0),
        "c" * 64: ("downloads", 100),
        f"{KEY}.old-1": ("left behind", 0),
    }
    assert cleaning.others(cache) == {"uv": 7}


def test_all_of_it_goes_and_a_download_with_the_tree_that_showed_it(cache: Cache) -> None:
    freed, told = cleaned(cache)
    assert freed == 210
    assert not any(why for _, why in told)
    assert cleaning.entries(cache) == []
    assert list((cache.root / "files").glob("*/*")) == []
    assert (cache.root / "uv" / "own").is_file(), "what others keep here is theirs"


def test_what_somebody_is_at_work_on_stays(cache: Cache) -> None:
    descriptor = os.open(cache.root / "locks" / KEY, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        freed, told = cleaned(cache)
    finally:
        os.close(descriptor)
    assert freed == 100
    assert (KEY[:7], "somebody is at work on it") in told
    assert (cache.root / "trees" / KEY / "made").is_file()


def test_what_is_looked_at_meanwhile_stays(cache: Cache) -> None:
    told: list[str] = []

    def goes(one: cleaning.Entry) -> bool:
        if one.key == KEY:
            cache.tree(KEY)  # Somebody launches a task from it.
        return one.key == KEY

    assert cleaning.clean(cache, goes, lambda one, why: told.append(why)) == 0
    assert told == ["it was looked at just now"]
    assert cache.tree(KEY) is not None


def test_a_download_that_a_tree_shows_stays_with_it(cache: Cache) -> None:
    (one,) = [one for one in cleaning.entries(cache) if one.key == "c" * 64]
    (cache.root / "trees" / "other").hardlink_to(one.path)
    os.utime(one.path, (LONG_AGO, LONG_AGO))
    assert cleaning.clean(cache, lambda each: each.key == one.key, lambda each, why: None) == 0
    assert one.path.is_file()
