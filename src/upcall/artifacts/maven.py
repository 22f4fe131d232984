"""Java libraries by Maven coordinates.

The lock has already decided which jars; nothing is resolved here. ``jgo`` knows the repositories, by its user's
settings, and where in them a coordinate lies. The bytes come a few jars at a time by
:mod:`~upcall.artifacts.transfer`, judged by SHA-256, so an interrupted fetch goes on inside the jar it stopped in.

``classpath`` lists the jars one by one in sorted order, because a class archive is valid only for the exact text of
the class path it was made with, and refuses folders on it.
"""

from pathlib import Path

from upcall.artifacts.connection import Refused
from upcall.artifacts.errors import NotCached
from upcall.artifacts.kinds import Job, Realised, register
from upcall.artifacts.lock import Lock, LockedFile, parse_lock
from upcall.artifacts.transfer import Transfers

PARALLEL = 6
"""Jars are small and many: a few connections hide the round trips without troubling the registry."""


class Maven:
    needs_siblings = False

    def relock(self, lock: Lock) -> Lock:
        from upcall.artifacts import relock  # What resolves is for maintainers, and slow to load.

        return relock.relock_maven(lock)

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
        return Realised(tree, {"classpath": ":".join(jars), "jars": ",".join(jars)})

    def _make(self, job: Job, lock: Lock, key: str) -> Path:
        name = job.artifact.name
        missing = [file for file in lock.files if not job.cache.has(file)]
        if missing:
            if job.cache.offline:
                raise NotCached(name, f"{len(missing)} of {len(lock.files)} jars", "the network is switched off")
            self._fetch(job, lock, missing)
        with job.cache.making(key) as folder:
            for file in lock.files:
                job.cache.verify(file, name)
                job.cache.link(file, folder / file.name)
        return job.cache.root / "trees" / key

    def _fetch(self, job: Job, lock: Lock, missing: list[LockedFile]) -> None:
        name = job.artifact.name
        transfers = Transfers(job.cache, job.meter, name)
        transfers.begin(f"fetching {len(missing)} jars of {lock.name} {lock.version}", missing)

        def one(file: LockedFile) -> None:
            try:
                transfers.bring(file, addresses(file))
            except Refused as error:
                raise NotCached(name, file.name, str(error)) from None

        transfers.side_by_side(PARALLEL, one, missing)


def _whole(tree: Path, lock: Lock) -> bool:
    try:
        return all((tree / file.name).stat().st_size == file.size for file in lock.files)
    except FileNotFoundError:
        return False


def addresses(file: LockedFile) -> list[str]:
    """Where the resolver would ask for this jar. Its repositories are its own business (and its user's settings)."""
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    context = MavenContext()
    context.remote_repos.update(GlobalSettings.load().repositories)
    group, name, packaging, *classifier, version = file.source.split(":")
    wanted = context.project(group, name).at_version(version).artifact("".join(classifier), packaging)
    path = f"{wanted.component.path_prefix.as_posix()}/{wanted.filename}"
    return [f"{str(base).rstrip('/')}/{path}" for base in context.remote_repos.values()]


register("maven", Maven())
