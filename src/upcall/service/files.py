"""The files of a package: what it locks, what is made of that, and how declarations name both.

A lock file lies below ``lock/``; any other file that a declaration names lies below ``blobs/``. What is *made* on the
machine itself (a class archive, compiled Java) is a wish in place of a lock file; :meth:`PackageFiles.makes` gives
these. All of it is known by its SHA-256.
"""

import hashlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path

from upcall.protocol.declaration import Artifact
from upcall.protocol.errors import NotFound
from upcall.protocol.training import Compiled, Training, render_training


class PackageFiles:
    """The part of a service's class that is about its package's own files."""

    @classmethod
    def folder(cls) -> Path:
        """The folder of the package's own files."""
        return Path(inspect.getfile(cls)).resolve().parent

    @classmethod
    def makes(cls) -> tuple[Training | Compiled, ...]:
        """What is made of its locked artifacts on the machine that runs it, in this order. Each is an artifact too."""
        return ()

    @classmethod
    def artifact(
        cls, name: str, *, kind: str = "", lock: str = "", options: Mapping[str, str] | None = None
    ) -> Artifact:
        """The artifact that ``lock/<name>.json`` of the package's folder locks; its kind stands in the lock file."""
        path = f"lock/{lock or f'{name}.json'}"
        digest = cls.blob(path)
        kind = kind or str(json.loads((cls.folder() / path).read_bytes())["kind"])
        return Artifact(name=name, kind=kind, lock=digest, options=dict(options or {}))

    @classmethod
    def artifacts(cls) -> tuple[Artifact, ...]:
        """All of them: what ``lock/`` locks, each by its file's name, and what is made of it."""
        if cls not in _artifacts:
            locked = (cls.artifact(file.stem) for file in sorted((cls.folder() / "lock").glob("*.json")))
            _artifacts[cls] = (*locked, *map(_made, cls.makes()))
        return _artifacts[cls]

    @classmethod
    def blobs(cls) -> dict[str, bytes]:
        """All that its declarations may name by SHA-256: the files below ``lock/`` and ``blobs/``, and what it
        ``makes``."""
        files = [file for part in ("lock", "blobs") for file in sorted((cls.folder() / part).rglob("*"))]
        contents = [file.read_bytes() for file in files if file.is_file()]
        return {hashlib.sha256(data).hexdigest(): data for data in (*contents, *map(render_training, cls.makes()))}

    @classmethod
    def blob(cls, path: str) -> str:
        """SHA-256 of a file below ``lock/`` or ``blobs/`` of the package's folder, as declarations name it."""
        file = cls.folder() / path
        if not path.startswith(("lock/", "blobs/")) or not file.is_file():
            raise NotFound(
                f"no file {path!r}", where=cls.__name__, expected="a file below lock/ or blobs/ of the package"
            )
        return hashlib.sha256(file.read_bytes()).hexdigest()


_artifacts: dict[type[PackageFiles], tuple[Artifact, ...]] = {}
"""Of each class, once: a package's files do not change under its version."""


def _made(wish: Training | Compiled) -> Artifact:
    return Artifact(name=wish.name, kind=wish.kind, lock=hashlib.sha256(render_training(wish)).hexdigest())
