"""Local files: what a package brings along itself (a program, a small data set), addressed by content like the rest.

The lock lists them; their bytes are blobs that the package registered, so they arrive on any machine by their hash
without a registry.
"""

from pathlib import Path

from upcall.artifacts.errors import Mismatch
from upcall.artifacts.kinds import Job, Realised, register
from upcall.artifacts.lock import Lock, digest_of, parse_lock


class Files:
    needs_siblings = False

    def realise(self, job: Job) -> Realised:
        lock = parse_lock(job.data, digest=job.artifact.lock, where=f"lock of {job.artifact.name}")
        key = f"files-{job.artifact.lock}"
        tree = job.cache.tree(key)
        if tree is None:
            with job.cache.locked(key, job.meter):
                tree = job.cache.tree(key) or self._make(job, lock, key)
        properties = {"file": str(tree / lock.files[0].name)} if len(lock.files) == 1 else {}
        return Realised(tree, properties)

    def _make(self, job: Job, lock: Lock, key: str) -> Path:
        job.cache.need_space(lock.bytes_total, job.artifact.name)
        job.meter.begin(f"copying {lock.name}", lock.bytes_total)
        with job.cache.making(key) as folder:
            for file in lock.files:
                data = job.blobs(file.sha256)
                if (got := digest_of(data)) != file.sha256:
                    raise Mismatch(job.artifact.name, file.name, expected=file.sha256, got=got)
                target = folder / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
                job.meter.add(len(data))
        return job.cache.root / "trees" / key


register("files", Files())
