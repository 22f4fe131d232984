"""Python environments for what a task runs in Python: a virtual environment of its own, made by ``uv`` from the lock.

The environment depends on the interpreter it was made for, so its key names the interpreter's version besides the
lock. Jars that a distribution brings along (``NAME/jars``) are listed as the property ``classpath``. It is made
relocatable, because it is built in one folder and then renamed into place.
"""

import subprocess
from pathlib import Path

from upcall.artifacts.distributions import drop_installed
from upcall.artifacts.errors import ArtifactError
from upcall.artifacts.kinds import Job, Realised, register
from upcall.artifacts.lock import Lock, parse_lock
from upcall.artifacts.python_install import install
from upcall.artifacts.python_tool import find_uv, interpreter

_ASK = "import sys, sysconfig; print(sys.implementation.cache_tag, sysconfig.get_platform())"


class Environments:
    needs_siblings = False

    def relock(self, lock: Lock) -> Lock:
        from upcall.artifacts import relock  # What resolves is for maintainers, and slow to load.

        return relock.relock_python(lock)

    def realise(self, job: Job) -> Realised:
        lock = parse_lock(job.data, digest=job.artifact.lock, where=f"lock of {job.artifact.name}")
        python = interpreter()
        key = f"environment-{job.artifact.lock}-{runtime_of(python)}"
        tree = job.cache.tree(key)
        if tree is None:
            with job.cache.locked(key, job.meter):
                tree = job.cache.tree(key) or self._make(job, lock, key, python)
        site = next((tree / "lib").glob("python*/site-packages"))
        properties = {"site": str(site), "python": str(tree / "bin" / "python")}
        if jars := sorted(site.glob("*/jars/*.jar")):
            properties["classpath"] = ":".join(str(path) for path in jars)
        return Realised(tree, properties)

    def _make(self, job: Job, lock: Lock, key: str, python: str) -> Path:
        with job.cache.making(key) as folder:
            made = subprocess.run(
                [find_uv(), "venv", "--quiet", "--no-config", "--relocatable", "--allow-existing",
                 "--python", python, folder],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if made.returncode != 0:
                raise ArtifactError(f"artifact {job.artifact.name}: no environment could be made: {made.stderr[-500:]}")
            install(job, lock, folder, python=str(folder / "bin" / "python"))
            _compile(folder, job)
        drop_installed(job.cache, lock)
        return job.cache.root / "trees" / key


def _compile(folder: Path, job: Job) -> None:
    """Byte code once, here, instead of in the first start of each worker (into the final folder's names)."""
    job.meter.begin("compiling", 0)
    site = next((folder / "lib").glob("python*/site-packages"))
    subprocess.run(
        [folder / "bin" / "python", "-m", "compileall", "-q", "-j", "0", "-s", str(folder), site],
        capture_output=True, check=False,
    )  # fmt: skip


def runtime_of(python: str) -> str:
    asked = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, check=True)
    return "-".join(asked.stdout.split())


register("environment", Environments())
