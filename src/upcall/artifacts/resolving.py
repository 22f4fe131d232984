"""What somebody's own program needs, as locks: his requirements and his Maven coordinates, resolved once.

Python requirements are resolved beside what an environment has anyway: in its versions where they fit, and what it has
in just that version is left out. A lock that was made is kept in the cache by what it was made of: the same wish is
never resolved twice, so it gives the same files for ever, and needs no network any more. Only wheels are taken: what
would have to be built is somebody's code that runs before anybody asked for it, and builds otherwise elsewhere.
"""

import json
import re
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from upcall.artifacts.cache import Cache
from upcall.artifacts.errors import NotCached, NotResolved
from upcall.artifacts.kinds import Job
from upcall.artifacts.lock import FORMAT, Lock, LockedFile, digest_of, parse_lock, render_lock
from upcall.artifacts.progress import Meter
from upcall.artifacts.python_tool import explain_network, find_uv, interpreter, run_uv, uv_environment
from upcall.artifacts.relock import LINUX_TAGS, PYTHON_TAGS, name_of, newest_builds, resolve_maven
from upcall.protocol.declaration import Artifact
from upcall.protocol.errors import Invalid

FOLDER: Final = "resolved"
"""Of the cache."""
REQUIREMENTS: Final = "requirements"
PACKAGES: Final = "packages"
COORDINATE: Final = re.compile(r"[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+:[A-Za-z0-9_.+-]+")
_INCLUDED: Final = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[ =]\s*(\S+)", re.MULTILINE)
_HASH: Final = re.compile(r"--hash[ =]sha256:([0-9a-f]{64})")
_NAME: Final = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_TELLS: Final = re.compile(r"^\s*(?:error|cause|hint): ")
_NO_SOLUTION: Final = "No solution found"
_TIMEOUT_WORDS: Final = re.compile(r"connect|resolve|network|timed out|unreachable|Max retries", re.IGNORECASE)
_VERSION: Final = re.compile(r"-\d[^/]*\.jar$")


def digests_asked_for(text: str) -> dict[str, set[str]]:
    """Of a file of requirements: the hashes that stand at one, by its name."""
    found: dict[str, set[str]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        name, hashes = _NAME.match(line), _HASH.findall(line)
        if name and hashes:
            found.setdefault(_plain(name[1]), set()).update(hashes)
    return found


def texts_of(files: Iterable[Path]) -> dict[str, str]:
    """Of these files, and of those that they include. Raises ``Invalid`` for one that cannot be read."""
    found: dict[str, str] = {}
    left = [Path(file) for file in files]
    while left:
        path = left.pop()
        if str(path) in found:
            continue
        try:
            found[str(path)] = path.read_text(encoding="utf-8")
        except OSError as error:
            raise Invalid(f"{path}: {error.strerror}", where=str(path), expected="a file of requirements") from None
        except UnicodeDecodeError:
            raise Invalid(f"{path} is not text", where=str(path), expected="a file of requirements") from None
        left += [path.parent / name for name in _INCLUDED.findall(found[str(path)])]
    return found


def libraries(files: Sequence[Path], more: Sequence[str], base: Lock, cache: Cache, meter: Meter) -> bytes | None:
    """The lock of what these files and ``more`` requirements want beyond ``base``; nothing, if that has all of it."""
    texts = texts_of(files)
    key = [REQUIREMENTS, sorted(texts.values()), sorted(more), digest_of(render_lock(base)), _python()]
    data = _once(cache, key, lambda: _libraries(files, texts, more, base, cache, meter))
    return data if parse_lock(data).files else None


def _libraries(
    files: Sequence[Path], texts: Mapping[str, str], more: Sequence[str], base: Lock, cache: Cache, meter: Meter
) -> bytes:
    _must_reach(cache, REQUIREMENTS)
    meter.begin("looking up what is required", 0)
    wheels = _without_sources(base)
    try:
        packages = _compiled(files, more, base, wheels, cache, meter)
    except _NoSolution:
        # In other versions than those that are there anyway: a person's own word counts.
        packages = _compiled(files, more, base, frozenset(), cache, meter)
    there = {file.source for file in base.files}
    found = [file for package in packages for file in _files(package) if file.source not in there]
    for text in texts.values():
        found = _of_hashes(found, digests_asked_for(text))
    wanted = tuple(line for text in texts.values() for line in text.splitlines() if _NAME.match(line))
    lock = Lock(
        format=FORMAT, kind="libraries", name=REQUIREMENTS, version="of a job", wanted=(*wanted, *more),
        files=tuple(found),
    )  # fmt: skip
    return render_lock(lock)


class _NoSolution(Invalid):
    pass


def _compiled(
    files: Sequence[Path], more: Sequence[str], base: Lock, pinned: Iterable[LockedFile], cache: Cache, meter: Meter
) -> list[dict[str, Any]]:
    pinned = list(pinned)
    with tempfile.TemporaryDirectory(prefix="resolve-") as scratch:
        folder = Path(scratch)
        answer, besides = folder / "pylock.toml", folder / "besides.txt"
        besides.write_text("\n".join(more) + "\n")
        # What is there as a source alone (it takes minutes to build) is there, in its version.
        (folder / "there.txt").write_text("\n".join(sorted(_sources(base))) + "\n")
        lines = {f"{file.source} ; {file.marker}" if file.marker else file.source for file in pinned}
        (folder / "versions.txt").write_text("\n".join(sorted(lines)) + "\n")
        command = [
            find_uv(), "pip", "compile", "--quiet", "--no-config", "--no-header", "--python", interpreter(),
            "--python-version", _python(),
            "--only-binary", ":all:", "--excludes", str(folder / "there.txt"),
            "--constraints", str(folder / "versions.txt"), "--format", "pylock.toml", "--output-file", str(answer),
            *map(str, files), str(besides),
        ]  # fmt: skip
        artifact = Artifact(name=REQUIREMENTS, kind="libraries", lock=digest_of(b""))
        job = Job(artifact, b"", cache, meter, lambda _: b"", {}, {})
        code, errors = run_uv(job, command, uv_environment(cache.root / "uv"))
        if code == 0:
            packages: list[dict[str, Any]] = tomllib.loads(answer.read_text()).get("packages", [])
            return packages
        if _NO_SOLUTION not in errors or "network was disabled" in errors:
            _explain_network(errors)
    said = _in_a_line(errors)
    where = str(files[0]) if files else "what the job requires"
    kind = _NoSolution if _NO_SOLUTION in errors and pinned else Invalid
    raise kind(said, where=where, expected="requirements that the Python registry can meet with wheels")


def _files(package: Mapping[str, Any]) -> list[LockedFile]:
    name, version = str(package["name"]), str(package.get("version", ""))
    rows = [{**row, "size": _size(row)} for row in package.get("wheels", [])]
    fitting = newest_builds(
        row for row in rows if PYTHON_TAGS.search(name_of(row)) and LINUX_TAGS.search(name_of(row)) and row["size"]
    )
    if not fitting:
        raise Invalid(
            f"{name} {version} has no wheel in the Python registry for these machines", where=name,
            expected="a requirement by name; a wheel or folder of your own is the job itself",
        )  # fmt: skip
    source = f"{name}=={version}"
    return [
        LockedFile(name=name_of(row), sha256=row["hashes"]["sha256"], size=row["size"], source=source)
        for row in fitting
    ]


def _size(row: Mapping[str, Any]) -> int:
    """Of a wheel in a folder of links (``UV_FIND_LINKS``) it is not told."""
    if "size" not in row and (address := urlsplit(str(row.get("url", "")))).scheme == "file":
        return Path(unquote(address.path)).stat().st_size
    return int(row.get("size", 0))


def _of_hashes(files: Sequence[LockedFile], asked: Mapping[str, set[str]]) -> list[LockedFile]:
    """Where hashes were asked for, the files that have one of them; none of a requirement is an error."""
    kept = [file for file in files if file.sha256 in asked.get(_plain(file.source.partition("==")[0]), {file.sha256})]
    for file in files:
        if not any(file.source == each.source for each in kept):
            got = ", ".join(sorted(f"sha256:{each.sha256}" for each in files if each.source == file.source))
            raise Invalid(
                f"{file.source}: no file of it has a hash that the requirements ask for", where=REQUIREMENTS,
                expected=f"one of {got}",
            )  # fmt: skip
    return kept


def _sources(base: Lock) -> set[str]:
    """Names of what a lock has as a source alone."""
    wheels = {file.source for file in base.files if file.name.endswith(".whl")}
    return {_plain(file.source.partition("==")[0]) for file in base.files if file.source not in wheels}


def _without_sources(base: Lock) -> list[LockedFile]:
    return [file for file in base.files if file.name.endswith(".whl") and not file.purpose]


def jars(
    coordinates: Sequence[str], left_out: Sequence[str], there: Iterable[str], cache: Cache, meter: Meter
) -> bytes:
    """The lock of these Maven packages with all that they need; without what is ``left_out`` (patterns), and without
    what is ``there`` (names of jar files), in whatever version."""
    must_be_coordinates(coordinates)
    known = {_VERSION.sub("", name) for name in there}
    key = [PACKAGES, sorted(coordinates), sorted(left_out), sorted(known)]
    return _once(cache, key, lambda: _jars(coordinates, left_out, known, cache, meter))


def must_be_coordinates(names: Iterable[str]) -> None:
    for each in names:
        if not COORDINATE.fullmatch(each):
            raise Invalid(f"{each!r} is no Maven package", where=PACKAGES, expected="group:artifact:version")


def _jars(coordinates: Sequence[str], left_out: Sequence[str], known: set[str], cache: Cache, meter: Meter) -> bytes:
    _must_reach(cache, PACKAGES)
    meter.begin("looking up Maven packages", 0)
    try:
        found = resolve_maven(coordinates, left_out)
    except Exception as error:  # of the resolver, which has no errors of its own
        said = " ".join(str(error).split())
        if _TIMEOUT_WORDS.search(f"{type(error).__name__} {said}"):
            raise NotResolved(PACKAGES, "the Maven repository cannot be reached") from None
        raise Invalid(
            f"no Maven package {', '.join(coordinates)} could be resolved: {said[:300]}", where=PACKAGES,
            expected="group:artifact:version, as the repository has it",
        ) from None  # fmt: skip
    asked = {tuple(each.split(":")) for each in coordinates}
    kept = [file for file in found if file.source.split(":")[1] not in known or _coordinate(file) in asked]
    lock = Lock(
        format=FORMAT, kind="maven", name=PACKAGES, version="of a job", wanted=tuple(coordinates),
        left_out=tuple(left_out), files=tuple(kept),
    )  # fmt: skip
    return render_lock(lock)


def _coordinate(file: LockedFile) -> tuple[str, ...]:
    parts = file.source.split(":")
    return parts[0], parts[1], parts[-1]


def _once(cache: Cache, key: Sequence[Any], make: Callable[[], bytes]) -> bytes:
    """Made when it is wanted for the first time; whole or not there."""
    path = cache.root / FOLDER / f"{digest_of(json.dumps(key).encode())}.json"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    data = make()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)
    return data


def _must_reach(cache: Cache, what: str) -> None:
    if cache.offline:
        raise NotResolved(what, "the network is switched off")


def _explain_network(errors: str) -> None:
    try:
        explain_network(REQUIREMENTS, errors)
    except NotCached:
        raise NotResolved(REQUIREMENTS, "the Python registry cannot be reached") from None


def _in_a_line(errors: str) -> str:
    told = [_TELLS.sub("", line).strip() for line in errors.splitlines() if _TELLS.match(line)]
    return ": ".join(told)[:600] or " ".join(errors.split())[-600:] or "uv failed"


def _python() -> str:
    """Of the environment that the libraries are put before: the interpreter that ours are made for."""
    asked = [interpreter(), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
