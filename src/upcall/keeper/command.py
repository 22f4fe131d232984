"""The last steps before a task's command runs, in the child that the shim forked for it."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from typing import Any, NoReturn

from upcall.keeper import box, linux

TASK_OOM_SCORE = 200
"""Raised, so that under memory pressure of the whole machine a task goes before we do."""


def become(request: dict[str, Any], shim: int, output: tuple[int, int], go: int, failed: int) -> NoReturn:
    """The shim's forked child becomes the command. Never returns; says on ``failed`` why it could not."""
    doing = "prepare to execute"
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        linux.die_with_parent(signal.SIGKILL)
        if os.getppid() != shim:
            os._exit(127)
        if not os.read(go, 1):  # The shim died, or could not write the record.
            os._exit(127)
        for procs in request.get("cgroups", ()):
            doing = f"enter the cgroup {procs}"
            with open(procs, "w", encoding="ascii") as file:
                file.write("0")
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(str(TASK_OOM_SCORE))
        os.dup2(_input(request.get("input", "")), 0)
        os.dup2(output[0], 1)
        os.dup2(output[1], 2)
        if inside := request.get("box"):
            doing = "enter its box"
            box.enter(inside)
            linux.die_with_parent(signal.SIGKILL)  # The kernel forgot it with the change of user.
            if os.getppid() != shim:
                os._exit(127)
        doing = f"enter the folder {request['cwd']}"
        os.chdir(request["cwd"])
        os.umask(0o027)
        doing = f"execute {request['argv'][0]}"
        execute(request["argv"], request["env"])
    except OSError as error:
        os.write(failed, f"cannot {doing}: {error.strerror}".encode())
    except BaseException as error:
        os.write(failed, f"cannot {doing}: {error}".encode())
    finally:
        os._exit(127)


def execute(argv: list[str], env: dict[str, str]) -> NoReturn:
    """Looks for the program where a shell would, and says what a shell would: "Permission denied" for a program that
    is there and may not be executed, "No such file" where nothing of the name is to be seen. A folder of PATH that
    may not be searched is not the program's fault."""
    program = argv[0]
    if "/" in program:
        os.execve(program, argv, env)
    failure: OSError | None = None
    for folder in env.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder or os.curdir, program)
        try:
            os.execve(path, argv, env)
        except OSError as error:
            if failure is None and os.path.lexists(path):
                failure = error
    raise failure or FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)


def _input(text: str) -> int:
    """A descriptor that gives ``text`` and then ends."""
    if not text:
        return os.open(os.devnull, os.O_RDONLY)
    memory = os.memfd_create("input")
    os.write(memory, text.encode())
    os.lseek(memory, 0, os.SEEK_SET)
    return memory
