"""What the code of one service said: its lines of its host's log, with what belongs to them."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

READ_BYTES_MAX: Final = 4 << 20
"""From the end; what is older is in the file."""
POLL_S: Final = 0.3

_BEGIN = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ +[A-Z]+ +(\S+): (.*)")


class ServiceLines:
    """Picks the lines of one service; what does not begin a line of its own (a traceback) belongs to the one before."""

    def __init__(self, service: str) -> None:
        self._logger, self._named = f"upcall.services.{service}", re.compile(rf"{re.escape(service)}\b(?!-)")
        self._inside = False

    def of(self, line: str) -> bool:
        if begin := _BEGIN.match(line):
            logger, said = begin.groups()
            self._inside = logger == self._logger or (logger == "upcall.host" and bool(self._named.match(said)))
        return self._inside


def lines(log: Path, service: str, last: int, *, follow: bool) -> Iterator[str]:
    """The last so many, and then each as it comes."""
    mine = ServiceLines(service)
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - READ_BYTES_MAX))
        found = [line for line in file.read().decode("utf-8", "replace").splitlines() if mine.of(line)]
        yield from found[-last:] if last else []
        part = b""
        while follow:
            part += file.read(READ_BYTES_MAX)
            whole, end, part = part.rpartition(b"\n")
            if not end:
                time.sleep(POLL_S)
                if log.stat().st_ino != os.fstat(file.fileno()).st_ino or log.stat().st_size < file.tell():
                    return  # begun anew
                continue
            yield from (line for line in whole.decode("utf-8", "replace").split("\n") if mine.of(line))
