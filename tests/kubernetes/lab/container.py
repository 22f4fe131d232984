"""``python -m lab.container COMMAND...``: a container as far as one process can be one.

Its end is the end of all that it began, however that hid itself; it passes SIGTERM on to its first process and to
nobody else, and is killed with SIGUSR1 (also by the kernel, when whoever started it is no more). It ends as its first
process did, which is the code that a kubelet reads.
"""

import contextlib
import os
import signal
import sys

from upcall.keeper import linux, processes


def main(command: list[str]) -> int:
    linux.die_with_parent(signal.SIGUSR1)
    linux.become_subreaper()
    first = os.fork()
    if first == 0:
        os.setsid()
        os.execvp(command[0], command)

    def stop(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(first, signal.SIGTERM)

    def kill(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(first, signal.SIGKILL)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGUSR1, kill)
    status = None
    while status is None:
        pid, found = os.wait()
        if pid == first:
            status = found
    processes.kill(lambda: processes.descendants(os.getpid(), processes.table()))
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
