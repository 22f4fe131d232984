"""Is a process a task's? Where we are not root, tasks have our user, and the kernel lets them connect to our sockets.

The keeper asks the same of who comes to it (:mod:`upcall.keeper.sockets`), and shares no code with clients.
"""

from pathlib import Path
from typing import Final

SHIM: Final = b"upcall-shim"
"""What a shim calls itself (:mod:`upcall.keeper.sockets`)."""
ANCESTORS_MAX: Final = 1000


def below_a_shim(process: int) -> bool:
    """Its shim is a subreaper, so what a task starts cannot leave it. A process that is gone by now counts as a task's;
    one that calls itself a shim only shuts itself out."""
    for _ in range(ANCESTORS_MAX):
        if process <= 1:
            return False
        try:
            text = Path(f"/proc/{process}/stat").read_bytes()
        except OSError:
            return True
        name, fields = text[text.index(b"(") + 1 : text.rindex(b")")], text[text.rindex(b")") + 2 :].split()
        if name == SHIM:
            return True
        process = int(fields[1])
    return True
