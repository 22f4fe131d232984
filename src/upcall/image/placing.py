"""Where things lie in an image, and the index by which our part in the pod finds them.

    /upcall/artifacts/KIND-LOCK/    one realised lock: the same place in every image that has it
    /upcall/artifacts.json          which artifact of which lock is where, and the properties that commands name
    /upcall/libraries/              what our code imports
    /upcall/ours/upcall/            our code
    /upcall/python/                 the base's Python, which finds both

The index is read by :mod:`upcall.artifacts.sealed`.
"""

from typing import Final

from upcall.artifacts import sealed

ROOT: Final = "upcall"
ARTIFACTS: Final = f"{ROOT}/artifacts"
INDEX: Final = str(sealed.INDEX).removeprefix("/")
LIBRARIES: Final = f"{ROOT}/libraries"
OURS: Final = f"{ROOT}/ours"
PYTHON: Final = f"{ROOT}/python"
PROGRAM: Final = f"{PYTHON}/bin/python"
ENTRY: Final = "upcall.kubernetes.pod"
"""The module of our part in a pod: what an image runs."""
USER: Final = 65_532
"""Nobody in particular, and not root: a cluster may choose another, and nothing in the image is his either."""
POD_USER: Final = 10_001
"""As whom our pods say that they run."""


def place(kind: str, lock: str) -> str:
    """The folder of a lock. Half of a hash is enough of one, and a class path has a hundred of them."""
    return f"{ARTIFACTS}/{kind}-{lock[:32]}"
