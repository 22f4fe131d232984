"""Installing locked Python distributions, for all kinds that come from the Python registry.

``uv`` installs exactly the locked versions, each judged by the hashes of every file that fits some supported machine
(``--require-hashes``). The files themselves are fetched before, as ``uv`` itself locates them
(:mod:`~upcall.artifacts.distributions`), by :mod:`~upcall.artifacts.transfer`, so a killed fetch goes on inside the
file it stopped in. Then ``uv`` takes them from a folder, with no network and with a cache for this one time: what it
unpacks is hard-linked into the tree, and what it builds a source from (three times its size) is gone afterwards.

What cannot be fetched so (an index that wants what only ``uv`` knows, a folder of links) ``uv`` gets itself, with a
cache of its own inside ours that stays, and goes on with the distribution it stopped at.
"""

import os
import platform
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from upcall.artifacts.cache import Cache
from upcall.artifacts.connection import Refused
from upcall.artifacts.distributions import Located, locate
from upcall.artifacts.errors import NotCached
from upcall.artifacts.kinds import Job
from upcall.artifacts.lock import Lock, LockedFile
from upcall.artifacts.python_tool import check_build, explain, find_uv, requirements, run_uv, uv_environment
from upcall.artifacts.target import Target
from upcall.artifacts.transfer import Transfers

PARALLEL: Final = 4
SOURCE_SCRATCH: Final = 3
"""Times its size: a source's unpacked copy, its build's, and the wheel's, as measured with one of 455 MB."""


def install(
    job: Job, lock: Lock, folder: Path, *, python: str, into: Sequence[str] = (), target: Target | None = None
) -> None:
    """Fetch and install the lock's distributions for ``python``, or for what the ``target`` has instead. ``folder`` is
    the tree being made."""
    check_build(job.artifact.name, lock, target.machine if target else platform.machine())
    with tempfile.TemporaryDirectory(prefix=".install-", dir=folder) as path:
        scratch = Path(path)
        (scratch / "links").mkdir()
        job.cache.need_space(_unpacked_bytes(lock), job.artifact.name)
        made_for = target.words if target else ()
        where = ["--python", python, *made_for, *into]
        if job.cache.offline:
            _uv_install(job, lock, lock.files, where, scratch, "--offline", *_cached(job.cache, lock, scratch))
            return
        needed, fetched = _fetch(job, lock, python, scratch, made_for)
        if fetched:
            reach = ["--offline", "--no-index", "--find-links", str(scratch / "links")]
            _uv_install(job, lock, _of(lock, fetched), where, scratch, *reach)
        if left := needed - fetched:
            _uv_install(job, lock, _of(lock, left), where, scratch)


def _fetch(job: Job, lock: Lock, python: str, scratch: Path, made_for: Sequence[str]) -> tuple[set[str], set[str]]:
    """The requirements that have to be installed here, and those of them for which all files are in the links now."""
    job.meter.begin(f"looking up {lock.name} {lock.version}", 0)
    found = locate(job, lock, python, scratch, made_for=made_for)
    if not found:
        return {file.source for file in lock.files if not file.purpose}, set()
    sources = {source for source, one in found.items() if one is not None and not one.file.name.endswith(".whl")}
    tools = (locate(job, lock, python, scratch, purpose="build") if sources else None) or {}
    ready = _bring(job, lock, [one for one in (*found.values(), *tools.values()) if one is not None], scratch / "links")
    fetched = {source for source, one in found.items() if one is not None and one.file.name in ready}
    if not tools or any(one is None or one.file.name not in ready for one in tools.values()):
        fetched -= sources  # what builds them has to come from an index
    return set(found), fetched


def _bring(job: Job, lock: Lock, wanted: list[Located], links: Path) -> set[str]:
    """Fetch these; the names of those that came."""
    ready: set[str] = set()
    transfers = Transfers(job.cache, job.meter, job.artifact.name)
    missing = [one.file for one in wanted if not job.cache.has(one.file)]
    building = sum(one.file.size * SOURCE_SCRATCH for one in wanted if ".tar." in one.file.name)
    transfers.begin(f"fetching {lock.name} {lock.version}", missing, besides_bytes=_unpacked_bytes(lock) + building)

    def one(located: Located) -> None:
        try:
            transfers.bring(located.file, [located.address], links / located.file.name)
        except Refused:
            return
        except NotCached:
            if job.cache.part_bytes(located.file):
                raise
            return  # uv reached the index, and we reached nothing of it: it may know a way (a proxy of its own)
        ready.add(located.file.name)

    # The largest first: the small ones fit beside it.
    transfers.side_by_side(PARALLEL, one, sorted(wanted, key=lambda located: -located.file.size))
    return ready


def _cached(cache: Cache, lock: Lock, scratch: Path) -> list[str]:
    """With no network: what a fetch that did not come to its end left here, besides the user's own folders."""
    links = scratch / "links"
    for file in lock.files:
        if cache.has(file):
            with suppress(FileNotFoundError):
                cache.link(file, links / file.name)
    if not any(links.iterdir()):
        return []
    folders = [*filter(None, os.environ.get("UV_FIND_LINKS", "").split(",")), str(links)]
    return [word for folder in folders for word in ("--find-links", folder)]


def _uv_install(
    job: Job, lock: Lock, files: Sequence[LockedFile], target: Sequence[str], scratch: Path, *reach: str
) -> None:
    """Run ``uv pip install``, with progress, and turn its failures into ours."""
    wanted = scratch / "wanted.txt"
    wanted.write_text(requirements(files))
    command = [
        find_uv(), "pip", "install", "--quiet", "--no-progress", "--no-config", "--no-deps", "--require-hashes",
        "--requirements", str(wanted), *reach, *target,
    ]  # fmt: skip
    if build := [file for file in lock.files if file.purpose == "build"]:
        constraints = scratch / "build.txt"
        constraints.write_text(requirements(build, purpose="build"))
        command += ["--build-constraints", str(constraints)]
    local = "--offline" in reach
    job.meter.begin(f"{'unpacking' if local else 'fetching'} {lock.name} {lock.version}", _unpacked_bytes(lock))
    environment = uv_environment(scratch / "uv" if "--no-index" in reach else job.cache.root / "uv")
    code, errors = run_uv(job, command, environment, lambda size: job.meter.add(size, fetched=not local))
    if code != 0:
        explain(job.artifact.name, errors)


def _unpacked_bytes(lock: Lock) -> int:
    return lock.unpacked_bytes or max(lock.bytes_total, 1)


def _of(lock: Lock, sources: Collection[str]) -> list[LockedFile]:
    return [file for file in lock.files if file.source in sources and not file.purpose]
