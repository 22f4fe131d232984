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
    at = process
    for _ in range(ANCESTORS_MAX):
        if at <= 1:
            return False
        found = _name_and_parent(at)
        if found is None and at != process:
            at = process  # This ancestor has just ended, and what it had begun has another parent.
            continue
        if found is None or found[0] == SHIM:
            return True
        at = found[1]
    return True


def _name_and_parent(process: int) -> tuple[bytes, int] | None:
    """None: it has ended."""
    try:
        text = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:
        return None
    end = text.rindex(b")")
    return text[text.index(b"(") + 1 : end], int(text[end + 2 :].split()[1])
