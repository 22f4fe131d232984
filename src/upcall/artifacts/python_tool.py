"""``uv``, the tool of the Python registry: how it is found, asked and run, and what its failures mean to us."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import psutil

from upcall.artifacts.errors import ArtifactError, Mismatch, NoBuild, NotCached
from upcall.artifacts.kinds import Job
from upcall.artifacts.lock import Lock, LockedFile

POLL_S = 0.2
_MISMATCH = re.compile(r"Hash mismatch for `(?P<name>[^`]+)`.*?Computed:\s*(?P<got>sha256:[0-9a-f]{64})", re.DOTALL)
_OFFLINE = re.compile(
    r"network connectivity is disabled|network was disabled|error sending request|dns error|failed to lookup|"
    r"Failed to fetch|Connection refused|tunnel error|timed out|Request failed after",
    re.IGNORECASE,
)


def find_uv() -> str:
    """The ``uv`` that came as a Python package, else the one on the PATH."""
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        if found := shutil.which("uv"):
            return found
        raise ArtifactError("uv is not installed", expected="`pip install uv`, where upcall is installed") from error


def requirements(files: Iterable[LockedFile], *, purpose: str = "") -> str:
    """The locked files as a requirements text with hashes, one line a distribution."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for file in files:
        if file.purpose == purpose:
            grouped.setdefault((file.source, file.marker), []).append(file.sha256)
    lines = []
    for (source, marker), hashes in sorted(grouped.items()):
        condition = f" ; {marker}" if marker else ""
        lines.append(f"{source}{condition} " + " ".join(f"--hash=sha256:{value}" for value in sorted(hashes)))
    return "\n".join(lines) + "\n"


def check_build(artifact: str, lock: Lock, machine: str) -> None:
    """Refuse, in our own words, what has no file for this kind of machine."""
    by_source: dict[str, list[str]] = {}
    for file in lock.files:
        # A marker names machines itself ("this version here, that one there"); uv evaluates it.
        if "platform_machine" not in file.marker:
            by_source.setdefault(file.source, []).append(file.name)
    for source, names in by_source.items():
        portable = any(name.endswith((f"_{machine}.whl", "-any.whl")) or ".tar." in name for name in names)
        if not portable:
            kinds = sorted({name.removesuffix(".whl").rsplit("-", 1)[-1] for name in names})
            raise NoBuild(f"{artifact} ({source})", f"Linux on {machine}", kinds)


def interpreter() -> str:
    """The Python that environments are made for: the one below the virtual environment that we run in."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def uv_environment(cache: Path) -> dict[str, str]:
    """Ours, with all that the user configured for uv, but without the environment that we run in."""
    environment = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    return environment | {"UV_CACHE_DIR": str(cache)}


def run_uv(
    job: Job, command: Sequence[str], environment: Mapping[str, str], arrived: Callable[[int], None] | None = None
) -> tuple[int, str]:
    """Run to the end, interruptible; its exit code and what it said. ``arrived`` is told how much more it has written,
    which is its progress, because it unpacks while it downloads."""
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    errors: list[str] = []
    reader = threading.Thread(target=lambda stream=process.stderr: errors.append(stream.read()), daemon=True)
    reader.start()
    seen = 0
    try:
        while process.poll() is None:
            if arrived is not None:
                written = _written_bytes(process.pid)
                arrived(max(0, written - seen))
                seen = max(seen, written)
            job.meter.wait(POLL_S)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        reader.join()
    return process.returncode, "".join(errors)


def _written_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).io_counters().write_chars)
    except (psutil.Error, OSError):
        return 0


def explain(artifact: str, errors: str) -> NoReturn:
    """Turn a failure of uv into ours."""
    if found := _MISMATCH.search(errors):
        raise Mismatch(artifact, found["name"], expected="one of the hashes in its lock", got=found["got"])
    explain_network(artifact, errors)
    last = [line.strip() for line in errors.splitlines() if line.strip()][-6:]
    raise ArtifactError(f"artifact {artifact} could not be installed: {' '.join(last)}", where=artifact)


def explain_network(artifact: str, errors: str) -> None:
    """Raise if what uv said is that it reached nobody."""
    if _OFFLINE.search(errors):
        raise NotCached(artifact, "its Python distributions", "the Python registry cannot be reached")
