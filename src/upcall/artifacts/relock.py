"""For maintainers: make lock files anew, or for the first time.

    python -m upcall.artifacts.relock                              every lock of the catalog, from its own ``wanted``
    python -m upcall.artifacts.relock src/.../lock/NAME.json       just these
    python -m upcall.artifacts.relock FILE --kind maven --name NAME --version 4.3.1 \\
        --wanted GROUP:ARTIFACT:4.3.1 --leave-out 'GROUP*'

A lock remembers what was wanted and what is left out, so no other file describes it. Nothing of an address is
written: the resolvers know their registries. Files for machines we do not run on are dropped.
"""

import argparse
import fnmatch
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from upcall.artifacts.cache import Cache, hash_file
from upcall.artifacts.errors import LockInvalid
from upcall.artifacts.fetch import fetch
from upcall.artifacts.kinds import Relocking, kind_named
from upcall.artifacts.lock import FORMAT, Lock, LockedFile, digest_of, parse_lock, render_lock
from upcall.artifacts.python_tool import find_uv
from upcall.protocol.declaration import Artifact

PYTHON_MINIMUM = "3.11"
PYTHON_TAGS = re.compile(r"-(py3|py2\.py3|cp3\d+)-(none|abi3|cp31[1-4])-")
LINUX_TAGS = re.compile(r"-any\.whl$|manylinux[^-]*_(x86_64|aarch64)\.whl$")
BUILD_TAG = re.compile(r"-(\d+)-(?=(?:py|cp)\d)")
BUILD = "build:"
"""Prefix of a wanted requirement that is needed only to build another one from its source."""


def resolve_maven(wanted: Iterable[str], left_out: Iterable[str]) -> list[LockedFile]:
    """All jars of the coordinates and of what they need at run time."""
    from jgo.config import GlobalSettings
    from jgo.maven import Dependency, MavenContext

    with tempfile.TemporaryDirectory(prefix="relock-") as scratch:
        context = MavenContext(repo_cache=Path(scratch), timeout=60)
        context.remote_repos.update(GlobalSettings.load().repositories)
        asked = []
        for coordinate in wanted:
            group, name, version = coordinate.split(":")
            # raw: as Maven itself does it. Else each wish would also manage the versions of all the others.
            asked.append(Dependency(context.project(group, name).at_version(version).artifact(), raw=True))
        inputs, transitive = context.resolver.resolve(asked)
        chosen: dict[tuple[str, str, str], Any] = {}
        for dependency in [*inputs, *transitive]:
            short = ":".join(filter(None, (dependency.groupId, dependency.artifactId, dependency.classifier)))
            if dependency.type == "jar" and not any(fnmatch.fnmatch(short, pattern) for pattern in left_out):
                chosen.setdefault((dependency.groupId, dependency.artifactId, dependency.classifier), dependency)

        def one(dependency: Any) -> LockedFile:
            path = Path(dependency.artifact.resolve())
            parts = [dependency.groupId, dependency.artifactId, "jar", dependency.classifier, dependency.version]
            return LockedFile(
                name=path.name,
                sha256=hash_file(path),
                size=path.stat().st_size,
                source=":".join(part for part in parts if part),
            )

        with ThreadPoolExecutor(6) as pool:
            return list(pool.map(one, chosen.values()))


def resolve_python(wanted: Iterable[str], *, dependencies: bool) -> list[LockedFile]:
    """All files of the requirements that fit some machine and Python we support."""
    plain = [line for line in wanted if not line.startswith(BUILD)]
    files = _compile(plain, dependencies=dependencies, purpose="")
    if build := [line.removeprefix(BUILD) for line in wanted if line.startswith(BUILD)]:
        files += _compile(build, dependencies=True, purpose="build")
    return files


def _compile(lines: list[str], *, dependencies: bool, purpose: str) -> list[LockedFile]:
    with tempfile.TemporaryDirectory(prefix="relock-") as scratch:
        asked = Path(scratch) / "wanted.in"
        asked.write_text("\n".join(lines) + "\n")
        answer = Path(scratch) / "pylock.toml"
        command = [
            find_uv(), "pip", "compile", "--quiet", "--no-config", "--universal", "--python-version", PYTHON_MINIMUM,
            "--format", "pylock.toml", "--output-file", str(answer), str(asked),
        ]  # fmt: skip
        subprocess.run(command if dependencies else [*command, "--no-deps"], check=True)
        packages = tomllib.loads(answer.read_text())["packages"]
    files = []
    for package in packages:
        wheels = newest_builds(
            row
            for row in package.get("wheels", [])
            if PYTHON_TAGS.search(name_of(row)) and LINUX_TAGS.search(name_of(row))
        )
        marker = package.get("marker", "")
        for machine in ("x86_64", "aarch64"):
            if f"platform_machine == '{machine}'" == marker:
                wheels = [row for row in wheels if name_of(row).endswith((f"_{machine}.whl", "-any.whl"))]
        for row in wheels or [package["sdist"]]:
            files.append(
                LockedFile(
                    name=name_of(row),
                    sha256=row["hashes"]["sha256"],
                    size=row["size"],
                    source=f"{package['name']}=={package['version']}",
                    marker=marker,
                    purpose=purpose,
                )
            )
    return files


def newest_builds(wheels: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without those that were built again since for the same interpreter and machine."""
    newest: dict[str, tuple[int, dict[str, Any]]] = {}
    for row in wheels:
        build = BUILD_TAG.search(name_of(row))
        number, same = (int(build[1]) if build else -1), BUILD_TAG.sub("-", name_of(row))
        if same not in newest or number > newest[same][0]:
            newest[same] = number, row
    return [row for _, row in newest.values()]


def name_of(row: dict[str, Any]) -> str:
    return str(row.get("name") or row["url"].rsplit("/", 1)[-1])


def relock(lock: Lock) -> Lock:
    """The same wish, resolved now, as its kind does it."""
    kind = kind_named(lock.kind)
    if not isinstance(kind, Relocking):
        raise LockInvalid(
            f"a lock of kind {lock.kind!r} follows from no wish", where=lock.name, expected="its own maker"
        )
    return kind.relock(lock)


def relock_maven(lock: Lock) -> Lock:
    return _replace(lock, files=resolve_maven(lock.wanted, lock.left_out))


def relock_python(lock: Lock) -> Lock:
    """Fetched once, for what is kept of it and how large it becomes."""
    fresh = _replace(lock, files=resolve_python(lock.wanted, dependencies=lock.kind == "environment"), kept=())
    with tempfile.TemporaryDirectory(prefix="relock-") as scratch:
        data = render_lock(fresh)
        artifact = Artifact(name=lock.name, kind=lock.kind, lock=digest_of(data))
        tree = fetch([artifact], Cache(Path(scratch)), lambda _: data)[lock.name].path
        kept = []
        for file in lock.kept:
            path = tree / file.name
            kept.append(LockedFile(name=file.name, sha256=hash_file(path), size=path.stat().st_size))
        unpacked = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    return _replace(fresh, kept=kept, unpacked_bytes=unpacked)


def _replace(lock: Lock, *, files: list[LockedFile] | None = None, **changes: Any) -> Lock:
    import msgspec

    if files is not None:
        changes["files"] = tuple(files)
    if "kept" in changes:
        changes["kept"] = tuple(changes["kept"])
    return msgspec.structs.replace(lock, **changes)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m upcall.artifacts.relock", description="Make lock files anew.")
    parser.add_argument("files", nargs="*", type=Path, help="lock files (default: all of the catalog)")
    parser.add_argument(
        "--kind", help="make a new lock of this kind (maven, wheels, java, environment, or one that is installed)"
    )
    parser.add_argument("--name")
    parser.add_argument("--version")
    parser.add_argument("--wanted", action="append", default=[], help="coordinate or requirement (again for more)")
    parser.add_argument("--leave-out", action="append", default=[], help="pattern of group:artifact to leave out")
    parser.add_argument("--keep", action="append", default=[], help="file inside the wheel that is wanted")
    given = parser.parse_args(arguments)
    files: list[Path] = given.files
    if given.kind:
        if len(files) != 1 or not (given.name and given.version and given.wanted):
            parser.error("a new lock needs one file, --name, --version and --wanted")
        kept = tuple(LockedFile(name=name, sha256="0" * 64, size=0) for name in given.keep)
        wish = Lock(
            format=FORMAT, kind=given.kind, name=given.name, version=given.version,
            wanted=tuple(given.wanted), left_out=tuple(given.leave_out), kept=kept,
        )  # fmt: skip
        locks = {files[0]: wish}
    else:
        files = files or sorted((Path(__file__).parent.parent).glob("*/**/lock/*.json"))
        locks = {path: parse_lock(path.read_bytes(), where=str(path)) for path in files}
    for path, lock in locks.items():
        made = relock(lock)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(render_lock(made))
        print(f"{path}: {len(made.files)} files, {made.bytes_total >> 20} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
