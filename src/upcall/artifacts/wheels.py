"""Wheels from the Python registry, unpacked into a folder of their own; or single files out of one.

No interpreter is involved: a wheel is a good way to ship a runtime or a data set, and that is how it is used here.
When the lock names ``kept`` files, only these stay, each checked against its own hash.
"""

import shutil
from pathlib import Path

from upcall.artifacts.cache import hash_file
from upcall.artifacts.distributions import drop_installed
from upcall.artifacts.errors import Mismatch
from upcall.artifacts.kinds import Job, Realised, register
from upcall.artifacts.lock import Lock, parse_lock
from upcall.artifacts.python_install import install
from upcall.artifacts.python_tool import interpreter


class Wheels:
    needs_siblings = False

    def relock(self, lock: Lock) -> Lock:
        from upcall.artifacts import relock  # What resolves is for maintainers, and slow to load.

        return relock.relock_python(lock)

    def realise(self, job: Job) -> Realised:
        lock = parse_lock(job.data, digest=job.artifact.lock, where=f"lock of {job.artifact.name}")
        tree = unpacked(job, lock, f"wheels-{job.artifact.lock}")
        properties = {"site": str(tree)}
        if len(lock.kept) == 1:
            properties["file"] = str(tree / lock.kept[0].name)
        return Realised(tree, properties)


def unpacked(job: Job, lock: Lock, key: str) -> Path:
    """The tree of the wheels' files, made if need be."""
    if tree := job.cache.tree(key):
        return tree
    with job.cache.locked(key, job.meter):
        if tree := job.cache.tree(key):
            return tree
        with job.cache.making(key) as folder:
            site = folder / "site"
            install(job, lock, folder, python=interpreter(), into=["--target", str(site)])
            settle(job.artifact.name, lock, site, folder)
        drop_installed(job.cache, lock)
    return job.cache.root / "trees" / key


def settle(artifact: str, lock: Lock, site: Path, folder: Path) -> None:
    """Move what is wanted from the installed site to the tree's top, and drop the rest."""
    if lock.kept:
        for file in lock.kept:
            source = site / file.name
            got = hash_file(source) if source.is_file() else "no such file in the wheel"
            if got != file.sha256:
                raise Mismatch(artifact, file.name, expected=file.sha256, got=got)
            target = folder / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
    else:
        for path in list(site.iterdir()):
            path.rename(folder / path.name)
    shutil.rmtree(site)


register("wheels", Wheels())
