"""Starting a supervisor, and asking a running one.

One supervisor for a data folder: it has its lock (:mod:`upcall.keeper.lock`) for as long as it lives. What one that was
killed left running is ended before anything is started; of those that stand by, one is left until another does.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import time
from typing import Any, NoReturn

from upcall.keeper import delegation, ending, linux, lock, private, records, sockets, spec
from upcall.keeper.identity import Identity
from upcall.keeper.lock import Lock
from upcall.keeper.spec import SpecInvalid
from upcall.keeper.supervisor import Supervisor

READY = "ready\n"


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
    """Whether a supervisor serves the folder, or is being started. Asks the locks, which cannot lie."""
    return lock.kept(data_folder)


def detach(data_folder: str, handed: int = -1) -> int:
    """Starts a supervisor that outlives the caller and its terminal; returns once it listens. ``handed``: the lock, if
    the caller has it.

    Executed anew rather than forked on: the caller may have threads, open files and memory that it should not keep.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _detached(data_folder, read, write, handed)
    os.close(write)
    os.waitpid(child, 0)
    said = b""
    while part := os.read(read, 4096):
        said += part
    os.close(read)
    if said == READY.encode():
        return 0
    raise CannotKeep(said.decode(errors="replace").strip() or "the supervisor died at its start")


def _detached(data_folder: str, read: int, write: int, handed: int) -> NoReturn:
    """The forked child: a session of its own, a second fork, and the program anew."""
    try:
        os.close(read)
        os.setsid()
        if os.fork() > 0:
            os._exit(0)
        os.set_inheritable(write, True)
        if handed >= 0:
            os.set_inheritable(handed, True)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        program = (
            "import sys; from upcall.keeper import start; sys.exit(start.serve(sys.argv[1], *map(int, sys.argv[2:])))"
        )
        os.execv(sys.executable, [sys.executable, "-c", program, data_folder, str(write), str(handed)])
    finally:
        os._exit(127)


def serve(data_folder: str, report: int = -1, handed: int = -1) -> int:
    """Is the supervisor until it ends. ``report``: a pipe that is told ``ready``, or why not, and closed."""
    data_folder = os.path.realpath(data_folder)
    try:
        for folder in (data_folder, os.path.join(data_folder, "keeper"), os.path.join(data_folder, "logs")):
            private.make(folder)
        supervisor = _begin(data_folder, handed)
    except (CannotKeep, SpecInvalid, private.NotPrivate, OSError) as error:
        why = _why(error, data_folder)
        if report < 0:
            raise CannotKeep(why) from None
        _tell(report, why)
        return 1
    _tell(report, READY)
    supervisor.run()
    return 0


def serve_again(data_folder: str, report: str, handed: str, held: str) -> int:
    """As :func:`serve`, for one that died; started by who stood by for it, with the lock and the sockets. It makes no
    folder: one that is not there was deleted, and with it everything ends."""
    try:
        ours_alone = ending.read(data_folder) == ending.OURS
        supervisor = None if ours_alone else _begin(data_folder, int(handed), json.loads(held))
    except (CannotKeep, SpecInvalid, private.NotPrivate, OSError) as error:
        _tell(int(report), _why(error, data_folder))
        return 1
    _tell(int(report), READY)
    if supervisor is None:
        _end_children_of_the_last(data_folder, frozenset())
    else:
        supervisor.run()
    return 0


def _tell(report: int, words: str) -> None:
    """Who waits for it may be dead by now. It is closed when this process ends, or keeps from now on: not before."""
    if report >= 0:
        with contextlib.suppress(OSError):
            os.write(report, words.encode())
        if words == READY:
            os.close(report)


def _begin(data_folder: str, handed: int, held: dict[str, int] | None = None) -> Supervisor:
    """``held``: the sockets of the one before us, whose death somebody stood by for."""
    _have_lock(data_folder, handed)
    delegation.make_room()
    linux.become_subreaper()
    linux.name_process("upcall-keeper")
    os.chdir("/")
    os.umask(0o027)
    left = {} if held is None else _standing_by(data_folder)
    _end_children_of_the_last(data_folder, frozenset(left.values()))
    return Supervisor(data_folder, held, left)


def _why(error: Exception, data_folder: str) -> str:
    if not isinstance(error, OSError):
        return str(error)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"the data folder is not writable: {error.filename}: {error.strerror}"
    return f"{error.filename or data_folder}: {error.strerror}"


def _have_lock(data_folder: str, handed: int) -> None:
    """Never closed: it is had as long as this process lives. Children do not inherit it."""
    if handed >= 0:
        Lock.handed(handed)
        return
    made = Lock.made(data_folder)
    if made.take():
        return
    made.close()
    pid = _status(data_folder).get("supervisor", {}).get("pid", "unknown")
    raise CannotKeep(
        f"upcall runs already in {data_folder} (keeper pid {pid}); `upcall down` ends it, or choose another data folder"
    )


def _status(data_folder: str) -> dict[str, Any]:
    return records.read(os.path.join(data_folder, "keeper", "status.json")) or {}


def _kept_by_the_last(data_folder: str) -> dict[str, Identity]:
    listed = _status(data_folder).get("processes", ())
    return {str(child["name"]): Identity.from_json(child["identity"]) for child in listed if child["identity"]}


def _standing_by(data_folder: str) -> dict[str, Identity]:
    """One of those that stand by, if another one will be there to do it when this one is replaced."""
    wanted = [process.name for process in spec.load(data_folder).values() if process.stands_by]
    kept = _kept_by_the_last(data_folder)
    listed = _status(data_folder).get("processes", ())
    able = [str(one["name"]) for one in listed if one.get("stands_by") and str(one["name"]) in wanted]
    alive = {name: kept[name] for name in able if name in kept and kept[name].alive()}
    best = sorted(alive, key=lambda name: alive[name].pid != os.getppid())
    return {best[0]: alive[best[0]]} if best and len(wanted) > 1 else {}


def _end_children_of_the_last(data_folder: str, spared: frozenset[Identity]) -> None:
    """Most die with their supervisor, and those that stand by do not; this waits until they are dead, so that no port
    is still taken and no lock."""
    identities = [identity for identity in _kept_by_the_last(data_folder).values() if identity not in spared]
    deadline = time.monotonic() + 30.0
    while sum(identity.send(signal.SIGKILL) for identity in identities) and time.monotonic() < deadline:
        time.sleep(0.02)
