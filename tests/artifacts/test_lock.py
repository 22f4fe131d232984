"""Locks: one text, refused when damaged."""

from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from upcall.artifacts.errors import LockInvalid
from upcall.artifacts.lock import FORMAT, Lock, LockedFile, digest_of, is_inside, parse_lock, render_lock
from upcall.catalog.cassandra.service import Cassandra
from upcall.catalog.kafka.service import Kafka
from upcall.catalog.spark.service import Spark

A, B = "a" * 64, "b" * 64


def lock(*names: str, sha256: str = A) -> Lock:
    listed = tuple(LockedFile(name=name, sha256=sha256, size=1) for name in names)
    return Lock(format=FORMAT, kind="maven", name="x", version="1", files=listed)


def test_the_same_files_give_the_same_text_in_any_order() -> None:
    assert render_lock(lock("a.jar", "b.jar")) == render_lock(lock("b.jar", "a.jar"))


def test_a_lock_survives_the_way_to_disk_and_back() -> None:
    before = lock("a.jar", "b.jar")
    assert parse_lock(render_lock(before)) == before


def test_a_lock_that_is_not_the_one_named_is_refused_with_both_digests() -> None:
    data = render_lock(lock("a.jar"))
    with pytest.raises(LockInvalid, match=digest_of(data)) as caught:
        parse_lock(data, digest=B, where="lock of x")
    assert caught.value.problem.expected == B


@pytest.mark.parametrize("data", [b"", b"no json", b"[]", b'{"format": 1}', b"\xff\xfe"])
def test_a_damaged_lock_is_one_clear_error(data: bytes) -> None:
    with pytest.raises(LockInvalid):
        parse_lock(data)


def test_a_lock_of_a_future_format_says_so() -> None:
    with pytest.raises(LockInvalid, match="format 99"):
        parse_lock(render_lock(msgspec.structs.replace(lock("a.jar"), format=99)))


@pytest.mark.parametrize("name", ["../up.jar", "/etc/passwd", "a/../../b", "", "a\\b"])
def test_no_name_leaves_its_folder(name: str) -> None:
    assert not is_inside(name)
    with pytest.raises(LockInvalid):
        parse_lock(render_lock(lock(name)))


def test_a_hash_that_is_none_is_refused() -> None:
    with pytest.raises(LockInvalid, match="hash"):
        parse_lock(render_lock(lock("a.jar", sha256="../../x")))


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(LockInvalid, match="twice"):
        parse_lock(render_lock(lock("a.jar", "a.jar")))


def test_the_catalogs_locks_are_whole_and_hold_no_address() -> None:
    found = []
    for package in ("kafka", "cassandra", "spark"):
        for entry in Path(str(files("upcall.catalog") / package)).rglob("lock/*"):
            text = entry.read_text()
            assert "://" not in text, entry
            if entry.name.startswith("settings."):
                continue  # what the locked version knows: facts, not a lock
            parsed = parse_lock(text.encode(), where=entry.name)
            assert parsed.files, entry
            assert render_lock(parsed) == text.encode(), f"{entry} is not as relock writes it"
            found.append(entry.name)
    assert len(found) == 14


def test_the_three_systems_share_one_java_runtime() -> None:
    """In their newest versions."""
    newest = (Kafka, Cassandra, Spark)
    assert len({package.artifact("java").lock for package in newest}) == 1
