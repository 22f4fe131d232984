"""Where things lie in an image, and the index by which our part in the pod finds them.

    /upcall/artifacts/KIND-LOCK/    one realised lock: the same place in every image that has it
    /upcall/artifacts.json          which artifact of which lock is where, and the properties that commands name
    /upcall/libraries/              what our code imports
    /upcall/ours/upcall/            our code

A pod asks by an artifact's kind and lock, not by its name: a launch names the locks it counts on, and an image that was
made from others has to be known for that, before anything is started from it.
"""

from typing import Final

import msgspec

ROOT: Final = "upcall"
ARTIFACTS: Final = f"{ROOT}/artifacts"
INDEX: Final = f"{ROOT}/artifacts.json"
LIBRARIES: Final = f"{ROOT}/libraries"
OURS: Final = f"{ROOT}/ours"
ENTRY: Final = "upcall.kubernetes.pod"
"""The module of our part in a pod: what an image runs."""
USER: Final = 65_532
"""Nobody in particular, and not root: a cluster may choose another, and nothing in the image is his either."""
FORMAT: Final = 1


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact in the image: what :class:`upcall.artifacts.kinds.Realised` is on a machine of our own."""

    kind: str
    lock: str
    path: str
    properties: dict[str, str] = {}


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """What is in an image, for whoever runs in it."""

    format: int
    package: str
    version: str
    artifacts: dict[str, Placed]
    """By the name that the package's declarations give it."""


def place(kind: str, lock: str) -> str:
    """The folder of a lock. Half of a hash is enough of one, and a class path has a hundred of them."""
    return f"{ARTIFACTS}/{kind}-{lock[:32]}"


def render(index: Index) -> bytes:
    return msgspec.json.format(msgspec.json.encode(index, order="sorted"), indent=1) + b"\n"
