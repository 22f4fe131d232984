"""Starts a driver, and ends it the way its application wants.

A driver is two processes: Spark's JVM, and below it the application in Python. SIGTERM would reach the JVM alone,
which pulls the session away from under the application. So it comes here, goes to the application, which may finish
its batch and stop its session, and the JVM ends when the application has ended.

    driver_start.py APPLICATION JAVA ARGUMENT...
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue


def application_of(jvm: int, application: str) -> list[int]:
    """The children of the JVM that run the application."""
    found = []
    for thread in Path(f"/proc/{jvm}/task").iterdir():
        with suppress(OSError):
            for child in (thread / "children").read_text().split():
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                if os.fsencode(application) in words:
                    found.append(int(child))
    return found


def pass_on(jvm: int, application: str, asked: "SimpleQueue[None]") -> None:
    while True:
        asked.get()
        targets: list[int] = []
        with suppress(OSError):
            targets = application_of(jvm, application)
        for pid in targets or [jvm]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def main() -> int:
    application, *command = sys.argv[1:]
    asked: SimpleQueue[None] = SimpleQueue()
    # Before there is a JVM that could be left behind. Of all queues this one may be filled by a handler.
    signal.signal(signal.SIGTERM, lambda _number, _frame: asked.put(None))
    jvm = subprocess.Popen(command)
    threading.Thread(target=pass_on, args=(jvm.pid, application, asked), daemon=True).start()
    code = jvm.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
