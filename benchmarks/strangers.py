"""Another user of the machine: a forked child that gives up who it was, tries something, and tells what it got.

Forked, not executed: the interpreter may lie in a folder that he may not enter. He has a number and no name; nobody has
to make him.
"""

import encodings.idna  # loaded before he is who he is, and may not read it any more
import encodings.latin_1  # noqa: F401
import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any, Final

USER: Final = 54_321
END_S: Final = 60.0


class Stranger:
    """Runs ``does(*given)`` as him. What it returns (JSON) is what he got; nothing of worth is an empty text."""

    def __init__(self, does: Callable[..., Any], *given: Any) -> None:
        read, write = os.pipe()
        self._read = read
        self._child = os.fork()
        if self._child == 0:
            self._be(does, given, read, write)
        os.close(write)

    @staticmethod
    def _be(does: Callable[..., Any], given: tuple[Any, ...], read: int, write: int) -> None:
        try:
            os.close(read)
            os.chdir("/")
            os.setsid()
            os.setgroups([])
            os.setgid(USER)
            os.setuid(USER)
            got = does(*given)
            with os.fdopen(write, "w") as report:
                json.dump(got, report)
        except BaseException as error:
            print(f"a stranger fell: {error!r}", flush=True)
            os._exit(1)
        os._exit(0)

    def got(self, within_s: float = END_S) -> Any:
        """Waits for his end."""
        with os.fdopen(self._read) as report:
            until = time.monotonic() + within_s
            while (ended := os.waitpid(self._child, os.WNOHANG)) == (0, 0):
                if time.monotonic() > until:
                    os.kill(self._child, signal.SIGKILL)
                    until += END_S
                time.sleep(0.02)
            said = report.read()
        if ended[1] != 0 or not said:
            raise RuntimeError("a stranger did not come to his end")
        return json.loads(said)
