"""Fetching: from blobs to a folder, shared by processes, cut short, repeated."""

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from upcall.artifacts.cache import Cache
from upcall.artifacts.errors import ArtifactError, Cancelled, LockInvalid, Mismatch, NoSpace
from upcall.artifacts.fetch import afetch, fetch
from upcall.artifacts.lock import digest_of
from upcall.artifacts.progress import Progress
from upcall.protocol.declaration import Artifact

Local = Callable[..., tuple[Artifact, dict[str, bytes]]]


def test_local_files_become_a_folder(cache: Cache, local: Local) -> None:
    artifact, blobs = local({"bin/tool": b"#!/bin/sh\n", "data.txt": b"x"})
    realised = fetch([artifact], cache, blobs.__getitem__)["things"]
    assert (realised.path / "bin" / "tool").read_bytes() == b"#!/bin/sh\n"
    assert (realised.path / "data.txt").read_bytes() == b"x"


def test_the_second_time_nothing_is_asked_for_but_the_lock(cache: Cache, local: Local) -> None:
    artifact, blobs = local({"data.txt": b"x"})
    first = fetch([artifact], cache, blobs.__getitem__)
    asked: list[str] = []

    def source(digest: str) -> bytes:
        asked.append(digest)
        return blobs[digest]

    assert fetch([artifact], cache, source) == first
    assert asked == [artifact.lock]


def test_a_file_that_is_not_the_locked_one_is_refused_with_both_hashes(cache: Cache, local: Local) -> None:
    artifact, blobs = local({"data.txt": b"right"})
    wrong = {**blobs, digest_of(b"right"): b"wrong"}
    with pytest.raises(Mismatch) as caught:
        fetch([artifact], cache, wrong.__getitem__)
    message = str(caught.value)
    assert "things" in message
    assert "data.txt" in message
    assert digest_of(b"right") in message
    assert digest_of(b"wrong") in message
    assert list((cache.root / "trees").iterdir()) == []
    assert list((cache.root / "partial").iterdir()) == []
    assert fetch([artifact], cache, blobs.__getitem__)["things"].path.is_dir(), "the right one still works"


def test_a_lock_that_is_not_the_named_one_is_refused(cache: Cache, local: Local) -> None:
    artifact, _ = local({"data.txt": b"x"})
    with pytest.raises(LockInvalid):
        fetch([artifact], cache, lambda _digest: b"{}")


def test_an_unknown_kind_names_those_that_are_known(cache: Cache) -> None:
    with pytest.raises(ArtifactError, match="floppy") as caught:
        fetch([Artifact(name="x", kind="floppy", lock="0" * 64)], cache, lambda _digest: b"")
    assert "maven" in caught.value.problem.expected


def test_progress_ends_with_all_of_it(cache: Cache, local: Local) -> None:
    artifact, blobs = local({"a": b"x" * 1000, "b": b"y" * 500})
    seen: list[Progress] = []
    fetch([artifact], cache, blobs.__getitem__, seen.append)
    assert seen[-1].finished
    assert (seen[-1].done_bytes, seen[-1].total_bytes) == (1500, 1500)


def test_a_stop_leaves_nothing_half_done(cache: Cache, local: Local) -> None:
    artifact, blobs = local({"a": b"1", "b": b"2", "c": b"3"})
    stop = threading.Event()

    def source(digest: str) -> bytes:
        if digest != artifact.lock:
            stop.set()
        return blobs[digest]

    with pytest.raises(Cancelled):
        fetch([artifact], cache, source, stop=stop)
    assert list((cache.root / "trees").iterdir()) == []
    assert list((cache.root / "partial").iterdir()) == []


async def test_cancelling_the_awaiting_task_stops_the_fetch(cache: Cache, local: Local) -> None:
    artifact, blobs = local({"a": b"1", "b": b"2"})
    begun, release = threading.Event(), threading.Event()

    def source(digest: str) -> bytes:
        if digest != artifact.lock:
            begun.set()
            release.wait(180)
        return blobs[digest]

    task = asyncio.create_task(afetch([artifact], cache, source))
    await asyncio.to_thread(begun.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    with cache.locked(f"files-{artifact.lock}"):  # whoever was at it has given up
        assert cache.tree(f"files-{artifact.lock}") is None


async def test_many_fetches_at_once_leave_the_loop_the_threads_that_they_wait_for(cache: Cache, local: Local) -> None:
    """As when all members of a node come back at the same instant, and each asks for its lock."""
    artifact, blobs = local({"a": b"1"})
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))

    def source(digest: str) -> bytes:
        return asyncio.run_coroutine_threadsafe(asyncio.to_thread(blobs.__getitem__, digest), loop).result(30)

    fetched = await asyncio.wait_for(asyncio.gather(*(afetch([artifact], cache, source) for _ in range(3))), 30)
    assert len({str(one["things"].path) for one in fetched}) == 1


def test_what_does_not_fit_on_the_disk_is_refused_before(
    cache: Cache, local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, blobs = local({"a": b"1"})
    monkeypatch.setattr("upcall.artifacts.cache.SPARE_BYTES", 1 << 60)
    with pytest.raises(NoSpace, match="MiB are free"):
        fetch([artifact], cache, blobs.__getitem__)


def test_a_cache_that_cannot_be_written_says_which(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArtifactError, match="this is no folder") as caught:
        Cache(tmp_path / "file")
    assert str(tmp_path / "file") in str(caught.value)


def _fetch_counting(root: str, artifact: Artifact, blobs: dict[str, bytes], counted: str) -> None:
    def source(digest: str) -> bytes:
        if digest != artifact.lock:
            with Path(counted).open("a") as file:
                file.write(f"{digest}\n")
        return blobs[digest]

    fetch([artifact], Cache(Path(root)), source)


def test_processes_at_the_same_time_fetch_once(tmp_path: Path, cache: Cache, local: Local) -> None:
    artifact, blobs = local({f"file-{number}": bytes([number]) * 1000 for number in range(50)})
    counted = tmp_path / "counted"
    context = multiprocessing.get_context("spawn")
    arguments = (str(cache.root), artifact, blobs, str(counted))
    processes = [context.Process(target=_fetch_counting, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(counted.read_text().splitlines()) == 50


def _fetch_and_die(root: str, artifact: Artifact, blobs: dict[str, bytes]) -> None:
    def source(digest: str) -> bytes:
        if digest == digest_of(b"last"):
            os.kill(os.getpid(), signal.SIGKILL)
        return blobs[digest]

    fetch([artifact], Cache(Path(root)), source)


def test_after_a_kill_in_the_middle_the_next_one_finishes(cache: Cache, local: Local) -> None:
    artifact, blobs = local({"a": b"first", "b": b"last"})
    process = multiprocessing.get_context("spawn").Process(
        target=_fetch_and_die, args=(str(cache.root), artifact, blobs)
    )
    process.start()
    process.join(120)
    assert process.exitcode == -9
    assert cache.tree(f"files-{artifact.lock}") is None
    realised = fetch([artifact], cache, blobs.__getitem__)["things"]
    assert (realised.path / "b").read_bytes() == b"last"
    assert list((cache.root / "partial").iterdir()) == []


def test_what_nobody_used_for_long_is_dropped_and_the_rest_stays(cache: Cache, local: Local) -> None:
    old, old_blobs = local({"a": b"old"}, "old")
    new, new_blobs = local({"a": b"new"}, "new")
    for artifact, blobs in ((old, old_blobs), (new, new_blobs)):
        fetch([artifact], cache, blobs.__getitem__)
    long_ago = time.time() - 400 * 86_400
    os.utime(cache.root / "trees" / f"files-{old.lock}", (long_ago, long_ago))
    assert cache.prune() == 3
    assert cache.tree(f"files-{old.lock}") is None
    assert cache.tree(f"files-{new.lock}") is not None
    assert fetch([old], cache, old_blobs.__getitem__)["old"].path.is_dir()
