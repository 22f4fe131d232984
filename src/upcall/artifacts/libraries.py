"""Python libraries that somebody's own program needs beside an environment that is there anyway.

A folder to be put before that environment's own (``site``), and the same as one archive that is not compressed
(``archive``), for processes elsewhere that see no folder of ours. The lock holds what the environment lacks and no more
(:mod:`upcall.artifacts.resolving`).
"""

import subprocess
import zipfile
from pathlib import Path
from typing import Final

from upcall.artifacts.distributions import drop_installed
from upcall.artifacts.environments import runtime_of
from upcall.artifacts.kinds import Job, Realised, register
from upcall.artifacts.lock import Lock, parse_lock
from upcall.artifacts.python_install import install
from upcall.artifacts.python_tool import interpreter

SITE: Final = "site"
ARCHIVE: Final = "libraries.zip"
COMPILED: Final = "__pycache__"


class Libraries:
    needs_siblings = False

    def realise(self, job: Job) -> Realised:
        lock = parse_lock(job.data, digest=job.artifact.lock, where=f"lock of {job.artifact.name}")
        python = interpreter()
        key = f"libraries-{job.artifact.lock}-{runtime_of(python)}"
        tree = job.cache.tree(key)
        if tree is None:
            with job.cache.locked(key, job.meter):
                tree = job.cache.tree(key) or self._make(job, lock, key, python)
        return Realised(tree, {"site": str(tree / SITE), "archive": str(tree / ARCHIVE)})

    def _make(self, job: Job, lock: Lock, key: str, python: str) -> Path:
        with job.cache.making(key) as folder:
            site = folder / SITE
            install(job, lock, folder, python=python, into=["--target", str(site)])
            _pack(site, folder / ARCHIVE)
            job.meter.begin("compiling", 0)
            subprocess.run(
                [python, "-m", "compileall", "-q", "-j", "0", "-s", str(folder), site], capture_output=True, check=False
            )
        drop_installed(job.cache, lock)
        return job.cache.root / "trees" / key


def _pack(site: Path, archive: Path) -> None:
    """Not compressed: it is written once and read from the same machine's memory."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED, strict_timestamps=False) as into:
        for path in sorted(site.rglob("*")):
            if path.is_file() and COMPILED not in path.parts:
                into.write(path, path.relative_to(site))


register("libraries", Libraries())
