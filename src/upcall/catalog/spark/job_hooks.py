"""Runs at the start of a job's own Python (as ``sitecustomize``): what ends the job is said in one line, at its end.

A job's exception may have a message of many lines (a query's plan, the whole trace of a Java), and Spark's own log says
more while the driver ends. So the line that says why is written once more, in words that nobody else writes.
"""

import runpy
import sys
from pathlib import Path
from types import TracebackType

ENDED_BY = "upcall: ended by "
TRACE = "Traceback (most recent call last):"
CAUSED = "Caused by: "
OF_JAVA = "JVM stacktrace:"
"""What comes after it is said before it, in a person's words."""
CHARS_MAX = 400


def reason(error: BaseException) -> str:
    """What an exception says, in a line: of what another Python raised its last one, of a Java's the root."""
    kind, said = type(error).__name__, str(error).partition(OF_JAVA)[0]
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if TRACE in said:
        left = [line for line in said.rpartition(TRACE)[2].splitlines() if line[:1].strip()]
        return left[-1].strip() if left else kind
    if causes := [line for line in lines if line.startswith(CAUSED)]:
        return causes[-1].removeprefix(CAUSED)
    if raised := [line for line in lines if line.startswith(": ")]:
        return raised[0].removeprefix(": ")
    return f"{kind}: {lines[0]}" if lines else kind


def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.__excepthook__(kind, error, trace)
    try:
        said = reason(error)[:CHARS_MAX]
    except Exception:
        said = kind.__name__
    sys.stderr.write(f"{ENDED_BY}{said}\n")


def begin(own: Path) -> None:
    """``own``: what each of Spark's Python processes runs at its start; it has the same name, and comes after this."""
    if own.is_file():
        runpy.run_path(str(own))
    sys.excepthook = tell


if __name__ == "sitecustomize":
    begin(Path(__file__).resolve().parent.parent / "python" / "sitecustomize.py")
