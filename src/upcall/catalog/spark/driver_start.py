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
from contextlib import suppress
from pathlib import Path
from types import FrameType


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


def main() -> int:
    application, *command = sys.argv[1:]
    jvm = subprocess.Popen(command)

    def end(_number: int, _frame: FrameType | None) -> None:
        targets: list[int] = []
        with suppress(OSError):
            targets = application_of(jvm.pid, application)
        for pid in targets or [jvm.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    code = jvm.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
