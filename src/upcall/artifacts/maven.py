"""Java libraries by Maven coordinates, fetched by ``jgo``.

The lock has already decided which jars; nothing is resolved here. Each jar is asked for by its full coordinate, a few
at a time, lands in a scratch repository, is judged by its SHA-256 and moves into the cache, so an interrupted fetch
goes on with the jar it stopped at.

``classpath`` lists the jars one by one in sorted order, because a class archive is valid only for the exact text of
the class path it was made with, and refuses folders on it.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from upcall.artifacts.errors import NotCached
from upcall.artifacts.kinds import Job, Realised, register
from upcall.artifacts.lock import Lock, LockedFile, parse_lock

PARALLEL = 6
"""Jars are small and many: a few connections hide the round trips without troubling the registry."""
ATTEMPTS = 3


class Maven:
    needs_siblings = False

    def realise(self, job: Job) -> Realised:
        lock = parse_lock(job.data, digest=job.artifact.lock, where=f"lock of {job.artifact.name}")
        key = f"maven-{job.artifact.lock}"
        tree = job.cache.tree(key)
        if tree is None or not _whole(tree, lock):
            with job.cache.locked(key, job.meter):
                tree = job.cache.tree(key)
                if tree is None or not _whole(tree, lock):
                    tree = self._make(job, lock, key)
        jars = [str(tree / file.name) for file in sorted(lock.files, key=lambda file: file.name)]
        return Realised(tree, {"classpath": ":".join(jars)})

    def _make(self, job: Job, lock: Lock, key: str) -> Path:
        name = job.artifact.name
        missing = [file for file in lock.files if not job.cache.has(file)]
        if missing:
            size = sum(file.size for file in missing)
            if job.cache.offline:
                raise NotCached(name, f"{len(missing)} of {len(lock.files)} jars", "the network is switched off")
            job.cache.need_space(size, name)
            job.meter.begin(f"fetching {len(missing)} jars of {lock.name} {lock.version}", size)
            self._fetch(job, missing, key)
        with job.cache.making(key) as folder:
            for file in lock.files:
                job.cache.verify(file, name)
                job.cache.link(file, folder / file.name)
        return job.cache.root / "trees" / key

    def _fetch(self, job: Job, missing: list[LockedFile], key: str) -> None:
        scratch = job.cache.root / "partial" / f"{key}.repository"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()

        def one(file: LockedFile) -> None:
            job.meter.check()
            path = _download(job.artifact.name, file, scratch)
            job.cache.put(path, file, job.artifact.name)
            job.meter.add(file.size, fetched=True)

        pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="maven")
        try:
            for result in [pool.submit(one, file) for file in missing]:
                result.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            shutil.rmtree(scratch, ignore_errors=True)


def _whole(tree: Path, lock: Lock) -> bool:
    try:
        return all((tree / file.name).stat().st_size == file.size for file in lock.files)
    except FileNotFoundError:
        return False


def _download(artifact: str, file: LockedFile, scratch: Path) -> Path:
    """Ask the resolver for one jar. Its repositories are its own business (and its user's configuration)."""
    import requests
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=scratch, timeout=60)
    context.remote_repos.update(GlobalSettings.load().repositories)
    group, name, packaging, *classifier, version = file.source.split(":")
    wanted = context.project(group, name).at_version(version).artifact("".join(classifier), packaging)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return Path(wanted.resolve())
        except (OSError, RuntimeError, requests.RequestException) as error:
            # A half-written jar must not be taken for a whole one by the next attempt.
            if wanted.cached_path is not None:
                wanted.cached_path.unlink(missing_ok=True)
            if attempt == ATTEMPTS:
                raise NotCached(artifact, file.name, _reason(error)) from error
    raise AssertionError("unreachable")


def _reason(error: Exception) -> str:
    """Tell 'no network' from 'no such file' without printing an address."""
    import requests

    if isinstance(error, requests.RequestException):
        return f"the registry cannot be reached ({type(error).__name__})"
    if isinstance(error, OSError):
        return str(error.strerror)
    return "the registry does not have it"


register("maven", Maven())
