"""The files of a package: what it locks, what is made of that, and how declarations name both.

A lock file lies below ``lock/``; any other file that a declaration names lies below ``blobs/``. What is *made* on the
machine itself (a class archive, compiled Java) is a wish in place of a lock file; :meth:`PackageFiles.makes` gives
these. All of it is known by its SHA-256. What lies below ``versions/<version>/`` is of this version alone, and comes
before what all versions share (:mod:`upcall.service.versions`).
"""

import hashlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from upcall.protocol.declaration import Artifact
from upcall.protocol.errors import NotFound
from upcall.protocol.training import Compiled, Training, render_training
from upcall.service import versions

PARTS = ("lock", "blobs")
"""Folders of files that declarations may name."""


class PackageFiles:
    """The part of a service's class that is about its package's own files."""

    version: ClassVar[str] = "0.1.0"
    """Where the package has a folder ``versions/``: the newest in it."""
    _artifacts: ClassVar[tuple[Artifact, ...]] = ()
    """Once for each class: a package's files do not change under its version."""

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
        kind = kind or str(json.loads(cls._files()[path].read_bytes())["kind"])
        return Artifact(name=name, kind=kind, lock=digest, options=dict(options or {}))

    @classmethod
    def artifacts(cls) -> tuple[Artifact, ...]:
        """All of them: what ``lock/`` locks, each by its file's name, and what is made of it."""
        if "_artifacts" not in vars(cls):
            names = [Path(path) for path in cls._files()]
            locked = (cls.artifact(path.stem) for path in names if path.match("lock/*.json") and len(path.parts) == 2)
            cls._artifacts = (*locked, *map(_made, cls.makes()))
        return cls._artifacts

    @classmethod
    def blobs(cls) -> dict[str, bytes]:
        """All that its declarations may name by SHA-256: the files below ``lock/`` and ``blobs/``, and what it
        ``makes``."""
        contents = [file.read_bytes() for file in cls._files().values()]
        return {hashlib.sha256(data).hexdigest(): data for data in (*contents, *map(render_training, cls.makes()))}

    @classmethod
    def libraries(cls) -> bytes:
        """The lock of what its tasks import in the platform's own Python (``{{python}}``) beyond what the platform
        does: for an image of the package. On a machine it comes with the installation. Empty: nothing."""
        return b""

    @classmethod
    def blob(cls, path: str) -> str:
        """SHA-256 of a file below ``lock/`` or ``blobs/`` of the package's folder, as declarations name it."""
        file = cls._files().get(path)
        if file is None:
            raise NotFound(
                f"no file {path!r}", where=cls.__name__, expected="a file below lock/ or blobs/ of the package"
            )
        return hashlib.sha256(file.read_bytes()).hexdigest()

    @classmethod
    def _files(cls) -> dict[str, Path]:
        """``lock/queue.json`` and the like, in this version."""
        found: dict[str, Path] = {}
        for folder in (cls.folder(), cls.folder() / versions.FOLDER / cls.version):
            files = sorted(file for part in PARTS for file in (folder / part).rglob("*") if file.is_file())
            found |= {file.relative_to(folder).as_posix(): file for file in files}
        return dict(sorted(found.items()))


def _made(wish: Training | Compiled) -> Artifact:
    return Artifact(name=wish.name, kind=wish.kind, lock=hashlib.sha256(render_training(wish)).hexdigest())
