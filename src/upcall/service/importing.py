"""The import of somebody's file where a person waits for it: not in silence, and not for ever.

Whatever stands at the top of a file runs when it is imported, and may wait for a machine that is gone. It runs in a
thread of its own, so that it can be seen where it stands; a command that gives up leaves the thread to the process's
end.
"""

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from upcall.service import hanging

R = TypeVar("R")

TOLD_S: Final = 5.0
"""After so long it is said what is waited for."""
IMPORT_S: Final = 30.0
"""For so long it may take, not counted while the machine gave it no processor."""
LOOK_S: Final = 0.5


def imported(function: Callable[[], R], what: str, note: Callable[[str], None]) -> R:
    """What ``function`` returns or raises; :class:`~upcall.service.hanging.Hangs`, with the file and the line, where it
    does neither in time."""
    found: list[R] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.append(function())
        except SystemExit as ended:  # Raised on, it would end the command without a word.
            raised.append(RuntimeError(f"it calls sys.exit({ended.code!r})").with_traceback(ended.__traceback__))
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name=f"import of {what}", daemon=True)
    thread.start()
    taken_s, told = 0.0, False
    while True:
        waited_s = hanging.waited_s(thread)
        thread.join(LOOK_S)
        if not thread.is_alive():
            break
        if hanging.waited_s(thread) - waited_s < LOOK_S / 2:
            taken_s += LOOK_S
        where = str(hanging.stand(thread) or f"importing {what}").rstrip(",")
        if taken_s >= IMPORT_S:
            raise hanging.Hangs(f"{where} has taken longer than {IMPORT_S:g} s")
        if taken_s >= TOLD_S and not told:
            told = True
            note(f"{where}: has taken {TOLD_S:g} s so far, and may take {IMPORT_S:g} s")
    if raised:
        raise raised[0]
    return found[0]
