"""This process's use of a cluster of tests: it enters, and leaves.

A run of its own has a cluster of its own, which all of its parallel workers share; one that is kept between runs is
shared by all that keep it. Whatever a process that was killed has left lying, and nobody guards, goes when the next one
comes.
"""

import json
import os
import secrets
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from upcall import __version__
from upcall.keeper import private
from upcall.protocol.errors import Conflict, Forbidden, Invalid
from upcall.pytest import guardian
from upcall.pytest.holding import Lock, Place, is_taken, locked, until_ended, until_gone, woken

KEPT: Final = "kept"
RUN: Final = "run-"
NAME_BYTES: Final = 3
"""Of a session: six letters of its topics' names."""


class Use:
    """Until :meth:`leave` the cluster stands."""

    def __init__(self, place: Place, keep_s: float, users: Lock) -> None:
        self.place, self.keep_s = place, keep_s
        self._users = users
        self.name = secrets.token_hex(NAME_BYTES)
        """Part of the name of all that this process makes in the cluster."""
        self._session = Lock(place.sessions / self.name).take()

    def is_alive(self, session: str) -> bool:
        """Whether the process that made something of this name still runs."""
        return is_taken(self.place.sessions / session)

    def forget(self, session: str) -> None:
        with suppress(FileNotFoundError):
            (self.place.sessions / session).unlink()

    def leave(self) -> None:
        """What is kept stays; else, if nobody else uses it, this returns when all of it is gone."""
        with suppress(FileNotFoundError):
            os.utime(self.place.users)
        self.forget(self.name)
        self._session.close()
        if self.keep_s or not self.place.root.exists():
            self._users.close()
            return
        # Opened as long as it is used: then it is there.
        guard = Lock(self.place.guard)
        self._users.close()
        if not until_gone(self.place):
            with locked(self.place.door):
                if not is_taken(self.place.users):
                    guardian.clear(self.place)
                    guardian.remove_door(self.place)
        if self.place.root.exists():
            guard.close()
        else:
            until_ended(guard)


def base(said: str = "") -> Path:
    """Where clusters of tests lie."""
    return (Path(said).expanduser() if said else Path(tempfile.gettempdir())) / f"upcall-pytest-{os.geteuid()}"


def enter(folder: Path, run: str, keep_s: float) -> Use:
    """``run``: of which all workers of one run say the same; a cluster that is kept belongs to none."""
    try:
        private.make(str(folder))
    except private.NotPrivate as error:
        raise Forbidden(f"not a folder of ours: {error.message}", where=error.path, expected=error.expected) from None
    except OSError as error:
        raise Invalid(
            f"clusters of tests cannot lie here: {error.strerror}",
            where=str(folder),
            expected="a folder of your own (`upcall_folder = ...` in pytest's settings, or TMPDIR)",
        ) from None
    sweep(folder)
    place = Place(folder.resolve() / (KEPT if keep_s else f"{RUN}{run}"))
    with locked(place.door):
        if place.root.exists() and not is_taken(place.guard):
            guardian.clear(place)
        return _entered(place, keep_s)


def _entered(place: Place, keep_s: float) -> Use:
    is_new = not place.root.exists()
    if is_new:
        place.sessions.mkdir(parents=True, mode=0o700)
        place.about.write_text(json.dumps({"upcall": __version__, "python": sys.executable}))
    else:
        _check_ours(place)
    users = Lock(place.users)
    try:
        users.take(shared=True)
        os.utime(place.users)
        with woken(place):
            place.keep.write_text(str(keep_s))
        found = Use(place, keep_s, users)
        if is_new:
            _guard(place)
    except BaseException:
        users.close()
        raise
    return found


def _guard(place: Place) -> None:
    """It has its lock, and is woken, from its birth on."""
    os.mkfifo(place.wake, 0o600)
    guard = Lock(place.guard).take()
    try:
        subprocess.Popen(
            [sys.executable, "-m", "upcall.pytest.guardian", str(place.root), str(guard.descriptor)],
            pass_fds=(guard.descriptor,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
    finally:
        guard.hand_over()


def _check_ours(place: Place) -> None:
    """Another installation's cluster runs other code than this one's."""
    try:
        said = json.loads(place.about.read_text())
        theirs, python = str(said["upcall"]), str(said["python"])
    except (OSError, ValueError, KeyError):
        theirs, python = "of an unknown version", "unknown"
    if (theirs, python) == (__version__, sys.executable):
        return
    minutes = float(place.keep.read_text() or 0) / 60 if place.keep.exists() else 0
    raise Conflict(
        f"the cluster that is kept warm for tests is upcall {theirs}'s of {python},"
        f" and this is upcall {__version__} of {sys.executable}",
        where=str(place.root),
        expected=f"that it ends ({minutes:g} minutes after its last use, or `python -m upcall.pytest.end`);"
        " or tests without --upcall-keep",
    )


def sweep(folder: Path) -> None:
    """Clusters that nobody guards any more: their guardian was killed."""
    for door in folder.glob("*.door"):
        place = Place(door.with_suffix(""))
        if is_taken(door) or is_taken(place.guard) or is_taken(place.users):
            continue
        with locked(door):
            if not is_taken(place.guard) and not is_taken(place.users):
                guardian.clear(place)
                guardian.remove_door(place)
