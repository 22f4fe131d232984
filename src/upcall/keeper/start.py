"""Starting a supervisor, and asking a running one.

One supervisor for a data folder: it holds a lock for as long as it lives, and the kernel drops the lock with the
process, however it ended. What a supervisor that was killed left running is ended before anything is started.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
import time
from typing import Any, NoReturn

from upcall.keeper import delegation, linux, private, records, sockets
from upcall.keeper.identity import Identity
from upcall.keeper.spec import SpecInvalid
from upcall.keeper.supervisor import Supervisor

LOCK_TRIES = 5
"""Somebody who only asks whether one runs (:func:`runs`) holds the lock for an instant."""
LOCK_AGAIN_S = 0.05


class CannotKeep(Exception):
    """Why there is no supervisor for a folder; a sentence for a person."""


class DoesNotAnswer(CannotKeep):
    """There is one, and it is silent."""


def ask(data_folder: str, do: str, timeout_s: float | None = 60.0, **more: Any) -> dict[str, Any]:
    """Asks the folder's supervisor. :class:`CannotKeep` when none runs or it refuses."""
    path = os.path.join(os.path.realpath(data_folder), "keeper", "keeper.sock")
    try:
        answer = sockets.ask(path, {"do": do, **more}, timeout_s)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise CannotKeep(f"nothing runs in {data_folder}") from None
    except TimeoutError:
        raise DoesNotAnswer(f"the keeper of {data_folder} did not answer {do} within {timeout_s} s") from None
    except OSError as error:
        raise CannotKeep(f"the keeper of {data_folder} did not answer {do}: {error}") from None
    if "error" in answer:
        raise CannotKeep(str(answer["error"]))
    return answer


def runs(data_folder: str) -> bool:
    """Whether a supervisor serves the folder. Asks the lock, which cannot lie."""
    path = os.path.join(data_folder, "keeper", "lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def detach(data_folder: str) -> int:
    """Starts a supervisor that outlives the caller and its terminal; returns once it listens.

    Executed anew rather than forked on: the caller may have threads, open files and memory that it should not keep.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _detached(data_folder, read, write)
    os.close(write)
    os.waitpid(child, 0)
    said = b""
    while part := os.read(read, 4096):
        said += part
    os.close(read)
    if said == b"ready\n":
        return 0
    raise CannotKeep(said.decode(errors="replace").strip() or "the supervisor died at its start")


def _detached(data_folder: str, read: int, write: int) -> NoReturn:
    """The forked child: a session of its own, a second fork, and the program anew."""
    try:
        os.close(read)
        os.setsid()
        if os.fork() > 0:
            os._exit(0)
        os.set_inheritable(write, True)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        program = "import sys; from upcall.keeper import start; sys.exit(start.serve(sys.argv[1], int(sys.argv[2])))"
        os.execv(sys.executable, [sys.executable, "-c", program, data_folder, str(write)])
    finally:
        os._exit(127)


def serve(data_folder: str, report: int = -1) -> int:
    """Is the supervisor until it ends. ``report``: a pipe that is told ``ready``, or why not, and closed."""
    try:
        supervisor = _begin(os.path.realpath(data_folder))
    except CannotKeep as error:
        if report < 0:
            raise
        os.write(report, str(error).encode())
        return 1
    if report >= 0:
        os.write(report, b"ready\n")
        os.close(report)
    supervisor.run()
    return 0


def _begin(data_folder: str) -> Supervisor:
    keeper = os.path.join(data_folder, "keeper")
    try:
        for folder in (data_folder, keeper, os.path.join(data_folder, "logs")):
            private.make(folder)
        _lock(keeper, data_folder)
        delegation.make_room()
        linux.become_subreaper()
        linux.name_process("upcall-keeper")
        os.chdir("/")
        os.umask(0o027)
        _end_children_of_the_last(keeper)
        return Supervisor(data_folder)
    except (SpecInvalid, private.NotPrivate) as error:
        raise CannotKeep(str(error)) from None
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise CannotKeep(f"the data folder is not writable: {error.filename}: {error.strerror}") from None
        raise CannotKeep(f"{error.filename or data_folder}: {error.strerror}") from None


def _lock(keeper: str, data_folder: str) -> None:
    """Never closed: it is held as long as this process lives. Children do not inherit it."""
    descriptor = os.open(os.path.join(keeper, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(LOCK_AGAIN_S)
    status = records.read(os.path.join(keeper, "status.json")) or {}
    pid = status.get("supervisor", {}).get("pid", "unknown")
    os.close(descriptor)
    raise CannotKeep(
        f"upcall runs already in {data_folder} (keeper pid {pid}); `upcall down` ends it, or choose another data folder"
    )


def _end_children_of_the_last(keeper: str) -> None:
    """They die with their supervisor; this waits for it, so that no port is still taken."""
    status = records.read(os.path.join(keeper, "status.json")) or {}
    identities = [Identity.from_json(child["identity"]) for child in status.get("processes", ()) if child["identity"]]
    deadline = time.monotonic() + 30.0
    while sum(identity.send(signal.SIGKILL) for identity in identities) and time.monotonic() < deadline:
        time.sleep(0.02)
