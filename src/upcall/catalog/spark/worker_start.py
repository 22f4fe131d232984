"""Starts a worker, and ends it empty.

A worker's stop has begun when SIGTERM comes, and not before: whoever was asked whether it may be stopped has changed
nothing yet. SIGTERM would end the worker with its executors in the middle of their tasks. So it comes here, and the
worker is told first that it is decommissioned (SIGPWR, Spark's own word for it): the master gives it no more work, the
executors end their tasks, hand over what they keep, and leave. When they have left, or the time for it is over, the
worker gets its SIGTERM.

    worker_start.py LIMIT_S JAVA ARGUMENT...
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

LOOK_EVERY_S = 0.2


def children(pid: int) -> set[str]:
    found: set[str] = set()
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found.update((thread / "children").read_text().split())
    return found


def empty_and_end(worker: int, limit_s: float, asked: "SimpleQueue[None]") -> None:
    asked.get()  # Once is enough.
    with suppress(ProcessLookupError):
        os.kill(worker, signal.SIGPWR)
        end_s = time.monotonic() + limit_s
        while children(worker) and time.monotonic() < end_s:
            time.sleep(LOOK_EVERY_S)
        os.kill(worker, signal.SIGTERM)


def main() -> int:
    limit_s, *command = sys.argv[1:]
    asked: SimpleQueue[None] = SimpleQueue()
    # Before there is a worker that could be left behind. Of all queues this one may be filled by a handler.
    signal.signal(signal.SIGTERM, lambda _number, _frame: asked.put(None))
    worker = subprocess.Popen(command)
    threading.Thread(target=empty_and_end, args=(worker.pid, float(limit_s), asked), daemon=True).start()
    code = worker.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
