"""A package's artifacts: the lock files in its ``lock`` folder and its trainings, as declarations and as blobs."""

import hashlib
from collections.abc import Iterable
from importlib.resources import files

import msgspec

from upcall.protocol.declaration import Artifact
from upcall.protocol.training import Compiled, Training, render_training


def locked(package: str, name: str) -> tuple[Artifact, bytes]:
    """The artifact that ``lock/<name>.json`` of the package describes, and the lock's text."""
    data = (files(package) / "lock" / f"{name}.json").read_bytes()
    kind = msgspec.json.decode(data, type=_Head).kind
    return Artifact(name=name, kind=kind, lock=hashlib.sha256(data).hexdigest()), data


def made(wish: Training | Compiled) -> tuple[Artifact, bytes]:
    """The artifact that is made on the machine itself (a class archive, a compiled jar), and the wish's text."""
    data = render_training(wish)
    return Artifact(name=wish.name, kind=wish.kind, lock=hashlib.sha256(data).hexdigest()), data


def blobs(pairs: Iterable[tuple[Artifact, bytes]]) -> dict[str, bytes]:
    """What the package registers with the master."""
    return {artifact.lock: data for artifact, data in pairs}


class _Head(msgspec.Struct):
    kind: str
