"""The test cluster's program: every part of Kubernetes in one file, built from Go modules.

``python -m lab.building`` (``make kubernetes``) builds it, once for each version; then it lies in the user's cache.
What goes into it is pinned by ``binary/go.mod`` and verified by the hashes in ``binary/go.sum``. A build that is broken
off goes on where it was, because Go keeps what it has compiled. To take another version: change it in ``go.mod``, then
``go mod tidy`` there.
"""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from upcall.artifacts.cache import default_root

SOURCE: Final = Path(__file__).with_name("binary")
PARTS: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl")
FREE_BYTES: Final = 6 << 30
"""What Go's own caches take the first time, and the program."""
FETCH_S: Final = 600.0
"""Some 200 MB; a network that swallows everything would be waited for without end."""
FORGED: Final = "SECURITY ERROR"
"""Go's words where a module is not the one that is pinned: that is a fault, and no lack."""
NOT_HERE: Final = os.EX_UNAVAILABLE
"""The exit code where no program can be made on this machine, through no fault of what it is made from."""


class Missing(Exception):
    """There is no program, and none can be made; the message says what to do."""


def version() -> str:
    """Of Kubernetes, without the ``v``."""
    return in_go_mod(SOURCE, r"k8s\.io/kubernetes v(\S+)")


def go_needed() -> str:
    return in_go_mod(SOURCE, r"(?m)^go (\d+\.\d+)")


def folder() -> Path:
    """Where the parts lie, or will."""
    return folder_of(SOURCE, version())


def folder_of(source: Path, name: str) -> Path:
    """Its name says what it was made from."""
    made_from = hashlib.sha256()
    for each in (one for one in ("go.mod", "go.sum", "main.go") if (source / one).exists()):
        made_from.update((source / each).read_bytes())
    return default_root() / "kubernetes" / f"{name}-{platform.machine()}-{made_from.hexdigest()[:12]}"


def built() -> Path:
    """The folder with the parts in it. Raises :class:`Missing`."""
    if not (found := folder()).is_dir():
        raise Missing(f"the test cluster's Kubernetes {version()} is not built yet; `make kubernetes` builds it")
    return found


def build() -> Path:
    """Takes a quarter of an hour on two cores, the first time."""
    major, minor, _ = version().split(".")
    facts = {"gitVersion": f"v{version()}", "gitMajor": major, "gitMinor": minor}
    says = {f"k8s.io/component-base/version.{name}": value for name, value in facts.items()}
    how_long = f"Kubernetes {version()}: some 15 minutes on two cores"
    return build_from(SOURCE, folder(), {"kubernetes": "."}, says, how_long, dict.fromkeys(PARTS, "kubernetes"))


def build_from(
    source: Path,
    target: Path,
    programs: Mapping[str, str],
    says: Mapping[str, str],
    what: str,
    links: Mapping[str, str],
) -> Path:
    """``programs``: what is made of which package. ``says``: variables of theirs. ``what``: for a person who waits.
    ``links``: more names of programs."""
    with _alone(target.parent):
        if target.is_dir():
            return target
        go = _go()
        if (free := shutil.disk_usage(target.parent).free) < FREE_BYTES:
            raise Missing(f"to build it {FREE_BYTES >> 30} GiB must be free, and {free >> 30} are")
        partial = target.with_name(target.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        print(f"building with {go}, once: {what}", file=sys.stderr)
        # What the user has set for other projects (a workspace, flags, C) is not for this one.
        environment = os.environ | {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
        _fetch(source, go, environment)
        flags = " ".join(f"-X {name}={value}" for name, value in says.items())
        command = [go, "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {flags}"]
        for name, package in programs.items():
            subprocess.run([*command, "-o", str(partial / name), package], cwd=source, env=environment, check=True)
        for name, program in links.items():
            (partial / name).symlink_to(program)
        partial.rename(target)
    return target


def _fetch(source: Path, go: str, environment: Mapping[str, str]) -> None:
    """The modules, apart from what is made of them: a network that is not there is no fault of a build."""
    command = [go, "mod", "download"]
    # Go writes down the hashes of modules that are not needed too, and a program is known by these files.
    with tempfile.TemporaryDirectory() as copies:
        for name in ("go.mod", "go.sum"):
            shutil.copy(source / name, copies)
        try:
            done = subprocess.run(
                command, cwd=copies, env=environment, stderr=subprocess.PIPE, text=True, timeout=FETCH_S, check=False
            )
        except subprocess.TimeoutExpired:
            minutes = FETCH_S / 60
            raise Missing(f"its Go modules were not fetched within {minutes:.0f} minutes; what came is kept") from None
    sys.stderr.write(done.stderr)
    if FORGED in done.stderr:
        done.check_returncode()
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or [f"go mod download ended with {done.returncode}"]
        raise Missing(f"its Go modules cannot be fetched (GOPROXY says from where): {words[-1]}")


def _go() -> str:
    needed = go_needed()
    how = f"install Go {needed} or newer (a distribution's package, or Go's own download), or name one: GO=/path/to/go"
    found = shutil.which(os.environ.get("GO") or "go")
    if found is None:
        raise Missing(f"`go` is missing, which builds the test cluster's Kubernetes: {how}")
    said = subprocess.run([found, "version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"go(\d+)\.(\d+)", said)
    if match is None or (int(match[1]), int(match[2])) < tuple(map(int, needed.split("."))):
        raise Missing(f"{found} says `{said.strip()}`: {how}")
    return found


@contextmanager
def _alone(where: Path) -> Iterator[None]:
    """One build at a time; whoever comes second finds it made."""
    where.mkdir(parents=True, exist_ok=True)
    with (where / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def in_go_mod(source: Path, pattern: str) -> str:
    match = re.search(pattern, (source / "go.mod").read_text())
    assert match is not None, f"{pattern} is not in go.mod"
    return match[1]


if __name__ == "__main__":
    try:
        print(build())
    except Missing as missing:
        print(f"make kubernetes: {missing}", file=sys.stderr)
        sys.exit(NOT_HERE)
    except subprocess.CalledProcessError as failed:
        sys.exit(f"make kubernetes: go build ended with {failed.returncode}; what it compiled is kept, so try again")
