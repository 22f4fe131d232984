"""Programs that tests need and the machine may lack: Debian's packages, unpacked into a cache folder.

Nothing is installed and no root is needed: apt resolves what is missing against this machine (with package lists of
its own, kept in the cache), the packages are unpacked side by side, and their programs get their libraries by
``LD_LIBRARY_PATH``. Where that does not work, :class:`NotThere` says why, and the tests that need it are skipped with
these words.
"""

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

CACHE = Path(os.environ.get("UPCALL_TEST_CACHE") or Path.home() / ".cache" / "upcall-tests")
DOWNLOAD_TIMEOUT_S = 600.0


class NotThere(Exception):
    """The reason is the message."""


def unpacked(name: str, *packages: str) -> Path:
    """The folder that stands for ``/``, with these packages and all that they need. Kept in the cache under `name`."""
    cache = CACHE / name
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (cache / "complete").exists():
            _unpack(cache, packages)
            (cache / "complete").write_text("1\n")
    return cache / "root"


def libraries(root: Path) -> list[str]:
    """Folders of ``LD_LIBRARY_PATH``."""
    return [str(path) for path in (*root.glob("usr/lib/*-linux-gnu"), *root.glob("lib/*-linux-gnu")) if path.is_dir()]


def _unpack(cache: Path, packages: tuple[str, ...]) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise NotThere("without apt-get and dpkg-deb it cannot be unpacked from packages")
    lists, debs, root = cache / "lists", cache / "debs", cache / "root"
    for folder in (lists / "partial", debs / "partial", root):
        folder.mkdir(parents=True, exist_ok=True)
    options = ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={debs}", "-o", "APT::Sandbox::User="]
    options += ["-o", "Debug::NoLocking=true"]
    _run(["apt-get", *options, "-q", "update"], "package lists could not be fetched")
    plan = _run(
        ["apt-get", *options, "-q", "-s", "--no-install-recommends", "install", *packages],
        f"{', '.join(packages)}: not among this system's packages",
    )
    wanted = re.findall(r"^Inst (\S+) .*?\((\S+)", plan, flags=re.MULTILINE)
    _run(
        ["apt-get", *options, "-q", "download", *(f"{name}={version}" for name, version in wanted)], "no download", debs
    )
    for package in sorted(debs.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(package), str(root)], f"{package.name} cannot be unpacked")
        package.unlink()


def _run(command: list[str], what: str, folder: Path | None = None) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, cwd=folder, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotThere(f"{what}: {error}") from None
    if done.returncode != 0:
        raise NotThere(f"{what}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout
