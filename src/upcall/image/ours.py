"""Our part of an image: this program as it runs here, and what it imports, from a lock of its own.

The libraries are the locked ones and not those of this machine, so an image does not depend on who builds it. Our
code is what is installed here, without what Python made of it. Of its installation the version and the entry points
are kept, because parts of it are found by them; the rest tells of this machine.
"""

import importlib.metadata
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

import upcall
from upcall.artifacts.lock import digest_of, parse_lock
from upcall.artifacts.sealed import Placed
from upcall.image.base import Python
from upcall.image.layers import Contents, Data, Link, tree
from upcall.image.placing import LIBRARIES, OURS, PROGRAM, PYTHON
from upcall.image.realising import Part, Wish, installed, of_python
from upcall.protocol.declaration import Artifact

LOCKS: Final = Path(__file__).parent / "lock"


def libraries(wish: Wish) -> Part:
    """What our code imports, for the image's Python."""
    data = (LOCKS / "libraries.json").read_bytes()
    digest = digest_of(data)
    lock = parse_lock(data, digest=digest, where="lock of our libraries")
    artifact = Artifact(name=lock.name, kind="wheels", lock=digest)
    folder = installed(replace(wish, artifacts=(artifact,), blobs=lambda _: data), artifact, lock)
    placed = Placed(kind="libraries", lock=digest, path=f"/{LIBRARIES}")
    return Part("libraries", placed, tree(folder, LIBRARIES, of_python), folder.name, "libraries of upcall")


def more_libraries(wish: Wish, data: bytes) -> Part:
    """What tasks of a package import beside that, which run in our Python. It lies where ours do."""
    digest = digest_of(data)
    lock = parse_lock(data, digest=digest, where="lock of a package's libraries")
    artifact = Artifact(name=lock.name, kind="wheels", lock=digest)
    folder = installed(replace(wish, artifacts=(artifact,), blobs=lambda _: data), artifact, lock)
    placed = Placed(kind="libraries", lock=digest, path=f"/{LIBRARIES}")
    return Part(lock.name, placed, tree(folder, LIBRARIES, of_python), folder.name, lock.name)


def python(base: Python) -> Contents:
    """The base's Python, told where our code and its libraries are by its own place: so it finds them however a task
    starts it, and no other Python does, which tasks have of their own. A variable would reach those."""
    minor = ".".join(base.version.split(".")[:2])
    return {
        PROGRAM: Link(base.path),
        f"{PYTHON}/pyvenv.cfg": Data(f"home = {PurePosixPath(base.path).parent}\nversion = {base.version}\n".encode()),
        f"{PYTHON}/lib/python{minor}/site-packages/upcall.pth": Data(f"/{OURS}\n/{LIBRARIES}\n".encode()),
    }


def code() -> Contents:
    """The program, and how it is found."""
    contents = dict(tree(Path(upcall.__file__).parent, f"{OURS}/upcall", _of_nobody))
    described = f"{OURS}/upcall-{upcall.__version__}.dist-info"
    contents[f"{described}/METADATA"] = Data(
        f"Metadata-Version: 2.1\nName: upcall\nVersion: {upcall.__version__}\n".encode()
    )
    points = importlib.metadata.distribution("upcall").read_text("entry_points.txt") or ""
    contents[f"{described}/entry_points.txt"] = Data(points.encode())
    return contents


def _of_nobody(name: str) -> bool:
    """What editors and tools leave in a checkout."""
    return name.rpartition("/")[2].startswith(".") or name.endswith((".pyc", "~"))
