"""Which files of a lock this machine takes, and where ``uv`` would get them.

``uv`` is asked to resolve the locked requirements and to write down what it found (``pylock.toml``), so everything
that configures its indexes counts: their addresses, their order, mirrors, pages of links, proxies. It lists only what
fits the interpreter; the lock has the last word on what is taken, and the bytes then come by
:mod:`~upcall.artifacts.transfer`. What lies on this machine already (a folder of links), or is not as the lock has it,
is left to ``uv``, which installs it or says what is wrong.

A distribution stays in the cache's ``files`` only until a tree holds its contents: see :func:`drop_installed`.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from upcall.artifacts.cache import Cache
from upcall.artifacts.kinds import Job
from upcall.artifacts.lock import Lock, LockedFile
from upcall.artifacts.python_tool import explain_network, find_uv, requirements, run_uv, uv_environment

INDEX_VARIABLES: Final = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_ADDRESS = re.compile(r"https?://[^\s,]+")
_OLD_GLIBC = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}


@dataclass(frozen=True)
class Located:
    """One distribution that ``uv`` would install here: its file, and its address when there is one to fetch from."""

    file: LockedFile
    address: str


def locate(
    job: Job, lock: Lock, python: str, scratch: Path, *, purpose: str = "", made_for: Sequence[str] = ()
) -> dict[str, Located | None] | None:
    """By requirement, what is needed here (nothing where uv has to see for itself). None when uv cannot say. What
    builds a source runs here, whatever the result is ``made_for``."""
    files = [file for file in lock.files if file.purpose == purpose]
    wanted, answer = scratch / "asked.txt", scratch / "pylock.toml"
    wanted.write_text(requirements(files, purpose=purpose))
    command = [
        find_uv(), "pip", "compile", "--quiet", "--no-progress", "--no-config", "--no-deps", "--no-header",
        "--python", python, *made_for, "--format", "pylock.toml", "--output-file", str(answer), str(wanted),
    ]  # fmt: skip
    code, errors = run_uv(job, command, uv_environment(job.cache.root / "uv"))
    if code != 0:
        explain_network(job.artifact.name, errors)
        return None
    packages = tomllib.loads(answer.read_text()).get("packages", [])
    answer.unlink()  # it holds addresses
    by_name = {file.name: file for file in files}
    passwords = index_passwords(os.environ)
    found: dict[str, Located | None] = {}
    for package in packages:
        source = f"{package['name']}=={package.get('version', '')}"
        best = max(_offers(package, by_name), key=lambda one: preference(one.file.name), default=None)
        if best is None or best.file.source != source or not best.address.startswith(("http://", "https://")):
            found[source] = None
        else:
            found[source] = Located(best.file, with_password(best.address, passwords))
    return found if found.keys() <= {file.source for file in files} else None


def _offers(package: Mapping[str, Any], locked: Mapping[str, LockedFile]) -> Iterator[Located]:
    """The locked files among those that uv lists: wheels, else the source."""
    wheels = [one for row in package.get("wheels", []) if (one := _offer(row, locked))]
    sdist = package.get("sdist")
    yield from wheels or [one for row in ([sdist] if sdist else []) if (one := _offer(row, locked))]


def _offer(row: Mapping[str, Any], locked: Mapping[str, LockedFile]) -> Located | None:
    address = str(row.get("url", ""))
    file = locked.get(str(row.get("name") or unquote(urlsplit(address).path.rsplit("/", 1)[-1])))
    if file is None or row.get("hashes", {}).get("sha256", file.sha256) != file.sha256:
        return None
    return Located(file, address)


def preference(name: str) -> tuple[bool, bool, bool, int, tuple[int, int]]:
    """Among wheels that all fit, larger is better: made for this interpreter, for this machine, for a newer system."""
    if not name.endswith(".whl"):
        return (False, False, False, 0, (0, 0))
    python, abi, platform = name.removesuffix(".whl").split("-")[-3:]
    minor = max((int(one) for one in re.findall(r"cp3(\d+)", python)), default=0)
    glibc = [(int(major), int(minor)) for major, minor in re.findall(r"manylinux_(\d+)_(\d+)_", platform)]
    glibc += [version for tag, version in _OLD_GLIBC.items() if f"{tag}_" in platform]
    return (abi not in ("none", "abi3"), abi == "abi3", platform != "any", minor, max(glibc, default=(0, 0)))


def index_passwords(environment: Mapping[str, str]) -> dict[str, str]:
    """Names and passwords that stand in the indexes' addresses, by host. uv uses them for the files there, too."""
    found: dict[str, str] = {}
    for variable in INDEX_VARIABLES:
        for address in _ADDRESS.findall(environment.get(variable, "")):
            credentials, at, host = urlsplit(address).netloc.rpartition("@")
            if at:
                found.setdefault(host.lower(), credentials)
    return found


def with_password(address: str, passwords: Mapping[str, str]) -> str:
    parts = urlsplit(address)
    if parts.netloc.lower() not in passwords:
        return address
    return urlunsplit(parts._replace(netloc=f"{passwords[parts.netloc.lower()]}@{parts.netloc}"))


def drop_installed(cache: Cache, lock: Lock) -> None:
    """A finished tree holds all that its distributions held, so these need not stay beside it.

    Where the tree keeps only some files of them, the distribution is the only copy of the rest, and another lock may
    want another file of it; it stays until nobody used it for long.
    """
    if not lock.kept:
        for file in lock.files:
            cache.drop(file)
