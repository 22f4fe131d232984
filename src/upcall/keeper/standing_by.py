"""A process of ours that stands by: when the keeper dies, it starts another one.

It waits for the keeper's lock, in a thread, in the kernel, which wakes one of those who wait when the keeper is dead,
however it died. Who has the lock decides alone. It hands it on, with the sockets that were held for our processes, to
the keeper that it starts, so nobody else begins one or takes an address meanwhile; then it waits for the lock again,
until it is replaced itself: it goes when another stands by (:mod:`upcall.keeper.supervisor`), so at every moment
somebody does.

Who was started by no keeper (a pod, a test) stands by for nobody. Code that is not ours must not run in a process that
stands by: if it kept the interpreter to itself, the lock would be had by somebody who can do nothing with it.
"""

from __future__ import annotations

import _thread
import contextlib
import json
import os
import sys
import time
from typing import NoReturn

from upcall.keeper import linux, processes, sockets
from upcall.keeper.listening import VARIABLE as LISTENING
from upcall.keeper.lock import Lock
from upcall.keeper.logs import RotatingLog

VARIABLE = "UPCALL_STANDS_BY"
"""``{"folder", "name", "held": {address: descriptor}}``; the keeper writes it."""
AGAIN_FIRST_S, AGAIN_MAX_S = 0.5, 15.0
"""After a keeper that could not begin; doubled each time."""
TELL_S = 10.0
GONE_EXIT, FALLEN_EXIT = 3, 4
PROGRAM = "import sys; from upcall.keeper import start; sys.exit(start.serve_again(*sys.argv[1:]))"


def begin() -> None:
    """From now on; called once, by the main thread (the signal at the keeper's death is that thread's)."""
    said = os.environ.pop(VARIABLE, "")
    if not said:
        return
    value = json.loads(said)
    folder, name = str(value["folder"]), str(value["name"])
    try:
        lock = Lock.opened(folder)
        Lock.shared(folder)  # never closed
    except FileNotFoundError:
        return  # The folder is being deleted: it dies with its keeper.
    linux.die_with_parent(0)
    _thread.start_new_thread(_stand_by, (folder, name, _sockets(value["held"]), lock))


def _sockets(inherited: dict[str, int]) -> dict[str, int]:
    """Descriptors of our own: this process may close those that it listens on."""
    mine = {int(entry.partition("=")[2]) for entry in os.environ.get(LISTENING, "").split(",") if entry}
    held = {address: os.dup(number) for address, number in inherited.items()}
    for number in set(inherited.values()) - mine:
        os.close(number)
    return held


def _stand_by(folder: str, name: str, held: dict[str, int], lock: Lock) -> NoReturn:
    """Whatever goes wrong here ends this process, which lets the lock go: the next one that waits has it."""
    log = RotatingLog(os.path.join(folder, "logs", "keeper.log"))
    try:
        started = 0
        while True:
            _tell(folder, name)
            lock.wait()
            _reap(started)
            started = _started(folder, name, held, lock, log)
            # The lock is the new keeper's; who waits for it opens it anew.
            lock.close()
            lock = Lock.opened(folder)
    except FileNotFoundError:
        os._exit(GONE_EXIT)
    except BaseException as error:
        _write(log, f"{name} cannot stand by: {type(error).__name__}: {error}")
        os._exit(FALLEN_EXIT)


def _started(folder: str, name: str, held: dict[str, int], lock: Lock, log: RotatingLog) -> int:
    """Tried again and again; the pid of the one that has begun."""
    again_s = AGAIN_FIRST_S
    while True:
        if not lock.is_of(folder):
            os._exit(GONE_EXIT)
        _write(log, f"the keeper is dead; {name} starts another one")
        pid, failed = _start(folder, held, lock, log)
        if not failed:
            return pid
        _reap(pid)
        _write(log, f"it did not start, and is tried again in {again_s:g} s: {failed}")
        time.sleep(again_s)
        again_s = min(again_s * 2, AGAIN_MAX_S)


def _tell(folder: str, name: str) -> None:
    """A keeper that is dead by now is not told; its death is noticed in the next line."""
    said = {"do": "stands_by", "name": name, "pid": os.getpid()}
    with contextlib.suppress(OSError, ValueError):
        sockets.ask(os.path.join(folder, "keeper", "keeper.sock"), said, TELL_S)


def _start(folder: str, held: dict[str, int], lock: Lock, log: RotatingLog) -> tuple[int, str]:
    """A keeper that has the lock and the sockets: its pid, and why it did not begin, if it did not."""
    read, write = os.pipe()
    handed = [lock.descriptor, write, *held.values()]
    own = (LISTENING, processes.FOLDER_MARK)
    environment = {key: text for key, text in os.environ.items() if key not in own}
    environment[processes.FOLDER_MARK] = folder
    # If it falls, it says why there.
    errors = log.path if os.access(log.path, os.W_OK) else os.devnull
    words = [folder, str(write), str(lock.descriptor), json.dumps(held, separators=(",", ":"))]
    try:
        for descriptor in handed:
            os.set_inheritable(descriptor, True)
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", PROGRAM, *words],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, errors, os.O_WRONLY | os.O_APPEND, 0),
            ],
            setsid=True,
        )
    except OSError as error:
        os.close(write)
        os.close(read)
        return 0, f"{error.filename or 'the system'}: {error.strerror}"
    finally:
        for descriptor in handed:
            if descriptor != write:
                os.set_inheritable(descriptor, False)
    os.close(write)
    said = b""
    while part := os.read(read, 4096):
        said += part
    os.close(read)
    return pid, "" if said == b"ready\n" else said.decode(errors="replace").strip() or "it died at its start"


def _reap(pid: int) -> None:
    """One that this process started, and that is dead."""
    if pid:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _write(log: RotatingLog, words: str) -> None:
    log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {words}\n".encode())
