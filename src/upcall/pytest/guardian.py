"""Ends a cluster of tests when nobody uses it any more, however its users ended; then ends itself.

    python -m upcall.pytest.guardian FOLDER GUARD      GUARD: the descriptor of its lock, taken by who started it

It is in a session of its own, so neither Ctrl-C nor a closed terminal reaches it. It sleeps in the kernel until the
last user is gone, and for as long as the cluster is to be kept after that. What ends is thrown away: nothing is asked,
nothing is put away in order.
"""

import os
import select
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from upcall.keeper import ending
from upcall.keeper.sweeping import Sweep
from upcall.pytest.holding import Lock, Place, locked, woken

LOOK_S: Final = 0.02
PIPE_BYTES: Final = 4096
KILLED_S: Final = 60.0
"""What does not die of SIGKILL within that is stuck in the kernel."""


def main(root: str, guard: str) -> int:
    os.set_inheritable(int(guard), False)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    place = Place(Path(root))
    users, bell = Lock(place.users), _bell(place)
    while True:
        users.take()
        users.let_go()
        if not users.is_there():
            return 0  # Somebody else has ended it.
        if (left_s := kept_until(place) - time.time()) > 0:
            if select.select([bell], [], [], left_s)[0]:
                os.read(bell, PIPE_BYTES)
            continue
        with locked(place.door):
            # Who came meanwhile has passed the door before.
            if users.is_there() and users.try_take():
                clear(place)
                remove_door(place)
                return 0


def _bell(place: Place) -> int:
    """By which it is woken while it sleeps (:func:`upcall.pytest.holding.woken`). Both ends are held open here: a pipe
    that nobody writes to is at its end for ever. It is made with the cluster: where it is not there, that is gone."""
    return os.open(place.wake, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def kept_until(place: Place) -> float:
    """By the clock on the wall: so long after its last use."""
    try:
        return place.users.stat().st_mtime + float(place.keep.read_text())
    except (OSError, ValueError):
        return 0.0


def clear(place: Place) -> None:
    """Everything of it, whoever runs it: processes, then files. Its caller has passed the door, and lets nobody in."""
    with woken(place):
        end(place.data)
        until = time.monotonic() + KILLED_S
        while place.root.exists() and time.monotonic() < until:
            # A process that died a moment ago may still have been writing.
            shutil.rmtree(place.root, ignore_errors=True)


def remove_door(place: Place) -> None:
    """Of a cluster that is gone; whoever waits at this door makes a new one."""
    with suppress(FileNotFoundError):
        place.door.unlink()


def end(data: Path) -> None:
    """Nobody who stands by for a keeper begins another one, and all that carries the folder's mark is killed."""
    if (data / "keeper").is_dir():
        ending.write(str(data), ending.ALL)
    sweep = Sweep(str(data), grace_s=0.0)
    until = time.monotonic() + KILLED_S
    while not sweep.look() and time.monotonic() < until:
        time.sleep(LOOK_S)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
