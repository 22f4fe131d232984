"""Where the tests find a Chromium: the machine's own, else Debian's packages unpacked into a cache folder.

Nothing is installed and no root is needed: apt resolves what is missing against this machine (with package lists of
its own, kept in the cache), the packages are unpacked side by side, and the browser gets their libraries by
``LD_LIBRARY_PATH``. Where that does not work, :func:`chromium` says why, and the tests that need it are skipped with
these words.

``python tests/browser.py`` prepares it and prints the path.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("UPCALL_TEST_CACHE") or Path.home() / ".cache" / "upcall-tests") / "chromium"
PACKAGES = ("chromium", "fonts-dejavu-core", "fontconfig-config", "libfontconfig1")
DOWNLOAD_TIMEOUT_S = 600.0
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.*",
)
"""Quiet, and shut off: every name but loopback's address fails, so a page that wants the network shows it."""


@dataclass(frozen=True)
class Browser:
    path: str
    environment: dict[str, str]


class NoBrowser(Exception):
    """The reason is the message."""


def chromium() -> Browser:
    """The browser, prepared when it has to be; raises :class:`NoBrowser`."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (found := shutil.which(name)) is not None:
            return Browser(found, {})
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        root = CACHE / "root"
        if not (CACHE / "complete").exists():
            _unpack(root)
            (CACHE / "complete").write_text("1\n")
    return _in(root)


def _unpack(root: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise NoBrowser("no Chromium here, and without apt-get and dpkg-deb it cannot be unpacked from packages")
    lists, debs = CACHE / "lists", CACHE / "debs"
    for folder in (lists / "partial", debs / "partial", root):
        folder.mkdir(parents=True, exist_ok=True)
    options = ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={debs}", "-o", "APT::Sandbox::User="]
    options += ["-o", "Debug::NoLocking=true"]
    _run(["apt-get", *options, "-q", "update"], "package lists could not be fetched")
    plan = _run(
        ["apt-get", *options, "-q", "-s", "--no-install-recommends", "install", *PACKAGES],
        "Chromium is not among this system's packages (Debian has it; Ubuntu's is a snap)",
    )
    wanted = re.findall(r"^Inst (\S+) .*?\((\S+)", plan, flags=re.MULTILINE)
    _run(
        ["apt-get", *options, "-q", "download", *(f"{name}={version}" for name, version in wanted)], "no download", debs
    )
    for package in sorted(debs.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(package), str(root)], f"{package.name} cannot be unpacked")
        package.unlink()


def _in(root: Path) -> Browser:
    binary = root / "usr/lib/chromium/chromium"
    if not binary.exists():
        raise NoBrowser(f"the unpacked packages hold no Chromium; remove {CACHE} to try again")
    libraries = [
        str(path) for path in (*root.glob("usr/lib/*-linux-gnu"), *root.glob("lib/*-linux-gnu")) if path.is_dir()
    ]
    libraries += [str(Path(one) / "pulseaudio") for one in libraries if (Path(one) / "pulseaudio").is_dir()]
    environment = {"LD_LIBRARY_PATH": ":".join(libraries), "XDG_DATA_DIRS": f"{root}/usr/share:/usr/share"}
    if not Path("/etc/fonts/fonts.conf").exists():
        environment["FONTCONFIG_FILE"] = str(_fonts(root))
    return Browser(str(binary), environment)


def _fonts(root: Path) -> Path:
    """A minimal font configuration: the packaged one names folders of the machine that these fonts are not in."""
    path = CACHE / "fonts.conf"
    path.write_text(
        "<?xml version='1.0'?><!DOCTYPE fontconfig SYSTEM 'fonts.dtd'><fontconfig>"
        f"<dir>{root}/usr/share/fonts</dir><dir>/usr/share/fonts</dir><cachedir>{CACHE}/fontcache</cachedir>"
        "</fontconfig>"
    )
    return path


def _run(command: list[str], what: str, folder: Path | None = None) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, cwd=folder, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoBrowser(f"{what}: {error}") from None
    if done.returncode != 0:
        raise NoBrowser(f"{what}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


if __name__ == "__main__":
    try:
        print(chromium().path)
    except NoBrowser as reason:
        sys.exit(f"no browser: {reason}")
