"""Packages of the Debian distribution, unpacked side by side into a folder that could stand for ``/``.

For the lowest layer of an image: a C library, a Python and what these need. ``apt-get`` knows its archive, which
versions it has and whether it is the one that it says; it is run with lists of its own in the cache, so no root is
needed and nothing of this machine's packages counts, and it can be asked for another processor's. The lock has the
last word on what is taken.

Nothing of a package is run: its files are taken, the scripts of its installation are not. What is documentation is left
behind but for the licenses. A processor is chosen by the artifact's option ``machine``, else it is this one.

Debian's archive has the newest version of each package alone. A lock of last year names what is not there any more, and
says so: then it has to be made anew (:meth:`Debian.relock`), or something else has to be stood on.
"""

import io
import lzma
import os
import platform
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from upcall.artifacts.cache import Cache
from upcall.artifacts.errors import ArtifactError, NotCached
from upcall.artifacts.kinds import Job, Realised, register
from upcall.artifacts.lock import Lock, LockedFile, parse_lock
from upcall.artifacts.progress import Meter

ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
LISTS_FRESH_S: Final = 3600.0
"""How long the archive's lists count as what it has."""
TIMEOUT_S: Final = 600.0
FROM_TOP: Final = re.compile(r"^(bin|sbin|lib|lib64)/")
"""Folders that are links to those in ``usr`` on every system of today, and not yet so in packages of this release."""
LEFT_OUT: Final = re.compile(
    r"usr/share/(man|info|locale|lintian|bug|doc-base|menu|pixmaps|applications|debconf)/|usr/share/doc/.*/(?!copyright$)[^/]*$"
)
_FOUND = re.compile(r"^'[^']*' (?P<name>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})$", re.MULTILINE)


class Debian:
    needs_siblings = False

    def realise(self, job: Job) -> Realised:
        lock = parse_lock(job.data, digest=job.artifact.lock, where=f"lock of {job.artifact.name}")
        machine = job.artifact.options.get("machine") or platform.machine()
        key = f"debian-{job.artifact.lock}-{machine}"
        tree = job.cache.tree(key)
        if tree is None:
            with job.cache.locked(key, job.meter):
                tree = job.cache.tree(key) or self._make(job, lock, key, machine)
        return Realised(tree)

    def relock(self, lock: Lock) -> Lock:
        import msgspec

        cache = Cache()
        files: dict[str, LockedFile] = {}
        for machine in ARCHITECTURES:
            apt = _Apt(cache, machine, Meter(lock.name))
            apt.update(0.0)
            for package in lock.wanted:
                found = apt.located(package, _marker(machine))
                if found.name in files:  # one for all processors
                    found = msgspec.structs.replace(found, marker="")
                files[found.name] = found
        return msgspec.structs.replace(lock, files=tuple(files.values()))

    def _make(self, job: Job, lock: Lock, key: str, machine: str) -> Path:
        wanted = [file for file in lock.files if file.marker in ("", _marker(machine))]
        if not wanted:
            raise ArtifactError(f"artifact {job.artifact.name} has no packages for {machine}", where=lock.name)
        missing = [file for file in wanted if not job.cache.has(file)]
        if missing:
            job.cache.need_space(sum(file.size for file in wanted) * 5, job.artifact.name)
            _fetch(job, missing, machine)
        job.meter.begin(f"unpacking {lock.name} {lock.version}", sum(file.size for file in wanted))
        with job.cache.making(key) as folder:
            for file in wanted:
                unpack(job.cache.file_path(file.sha256), folder)
                job.meter.add(file.size)
        for file in wanted:
            job.cache.drop(file)
        return job.cache.root / "trees" / key


def _marker(machine: str) -> str:
    return f"platform_machine == '{machine}'"


def _fetch(job: Job, missing: Sequence[LockedFile], machine: str) -> None:
    if job.cache.offline:
        raise NotCached(job.artifact.name, missing[0].name, "the network is not to be used")
    apt = _Apt(job.cache, machine, job.meter)
    apt.update(LISTS_FRESH_S)
    job.meter.begin(f"fetching {len(missing)} packages", sum(file.size for file in missing))
    folder = apt.folder / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    for file in missing:
        apt.download(file, folder)
        with job.cache.locked(f"file-{file.sha256}", job.meter, says=""):
            job.cache.put(folder / file.name, file, job.artifact.name)
        job.meter.add(file.size, fetched=True)


class _Apt:
    """``apt-get`` for a processor, with lists of its own."""

    def __init__(self, cache: Cache, machine: str, meter: Meter) -> None:
        self.architecture = ARCHITECTURES[machine]
        self.folder = cache.root / "apt" / self.architecture
        self._cache, self._meter = cache, meter
        if shutil.which("apt-get") is None:
            raise ArtifactError(
                "packages of the distribution cannot be fetched: there is no apt-get here",
                where="PATH",
                expected="a machine with it, or something else to stand on (an image)",
            )

    def update(self, fresh_s: float) -> None:
        """Fetch the lists of what there is, unless they are so fresh."""
        mark = self.folder / "updated"
        with self._cache.locked(f"apt-{self.architecture}", self._meter):
            if mark.exists() and time.time() - mark.stat().st_mtime < fresh_s:
                return
            for name in ("lists/partial", "archives/partial"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            self._meter.begin("looking up packages", 0)
            self._run("update")
            mark.touch()

    def located(self, package: str, marker: str) -> LockedFile:
        """The package as the archive has it now."""
        said = self._run("download", "--print-uris", package)
        found = _FOUND.search(said)
        if found is None:
            raise ArtifactError(f"{package} is not found in the archive: {said[-300:]}", where=package)
        version = found["name"].split("_")[1].replace("%3a", ":")
        return LockedFile(
            name=found["name"],
            sha256=found["sha256"],
            size=int(found["size"]),
            source=f"{package}={version}",
            marker=marker,
        )

    def download(self, file: LockedFile, folder: Path) -> None:
        self._run("download", file.source, where=folder)
        if not (folder / file.name).is_file():
            raise NotCached(file.source, file.name, "it was fetched under another name")

    def _run(self, *words: str, where: Path | None = None) -> str:
        options = {
            "Dir::State::Lists": self.folder / "lists",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": self.folder,
            "APT::Sandbox::User": "",
            "Debug::NoLocking": "true",
            "APT::Architecture": self.architecture,
            "APT::Architectures": self.architecture,
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        }
        command = [
            "apt-get",
            "-q",
            *(word for key, value in options.items() for word in ("-o", f"{key}={value}")),
            *words,
        ]
        environment = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=where, timeout=TIMEOUT_S, env=environment, check=False
        )
        if done.returncode != 0:
            last = " ".join(line.strip() for line in done.stderr.splitlines() if line.startswith("E:"))[-400:]
            if "was not found" in last or "Unable to locate" in last:
                raise ArtifactError(
                    f"the archive has not, or no longer, {words[-1]}",
                    where=f"packages for {self.architecture}",
                    expected="the lock made anew (python -m upcall.artifacts.relock), or something else to stand on",
                )
            raise NotCached("of packages", words[-1], last or f"apt-get ended with {done.returncode}")
        return done.stdout


def unpack(package: Path, folder: Path) -> None:
    """The files of a package, laid into ``folder``."""
    with tarfile.open(fileobj=io.BytesIO(_files(package))) as tar:
        for member in tar:
            name = FROM_TOP.sub(r"usr/\1/", member.name.removeprefix("./"))
            if member.isdir() or LEFT_OUT.match(name):
                continue
            target = folder / name
            if ".." in target.parts:
                raise ArtifactError(f"{package.name} has a file outside: {member.name}", where=str(package))
            target.parent.mkdir(parents=True, exist_ok=True)
            if member.issym():
                target.symlink_to(member.linkname)
            elif member.islnk():
                shutil.copy2(folder / FROM_TOP.sub(r"usr/\1/", member.linkname.removeprefix("./")), target)
            elif member.isfile() and (data := tar.extractfile(member)) is not None:
                target.write_bytes(data.read())
                target.chmod(0o755 if member.mode & 0o100 else 0o644)


def _files(package: Path) -> bytes:
    """The archive of files in a package, which is an ``ar`` of three."""
    data = package.read_bytes()
    for name, part in _members(data):
        if name == "data.tar.xz":
            return lzma.decompress(part)
        if name == "data.tar":
            return part
    raise ArtifactError(
        f"{package.name} is no package that can be unpacked", where=str(package), expected="data.tar.xz"
    )


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    at = 8
    while data.startswith(b"!<arch>\n") and at + 60 <= len(data):
        name, size = data[at : at + 16].decode().strip().rstrip("/"), int(data[at + 48 : at + 58])
        yield name, data[at + 60 : at + 60 + size]
        at += 60 + size + size % 2


register("debian", Debian())
