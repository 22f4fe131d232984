"""A start of the master tells the one before it, also where that one has nothing to write.

Who has taken a start number puts a file of that name beside the database, by renaming: whoever watches the folder for
renames is woken by it, and by nothing that he writes himself. It is a call to look and no more; what counts is the
number in the database. Where it cannot be written, or nobody tells of it (no inotify left, a file system of another
machine), looking now and then finds the same later.
"""

import contextlib
from pathlib import Path

from upcall.keeper import linux


def announce(database: Path, start: int) -> None:
    with contextlib.suppress(OSError):
        made = database.with_name(f"{database.name}.start.new")
        made.write_text(f"{start}\n")
        made.chmod(0o600)
        made.replace(database.with_name(f"{database.name}.start"))


class Starts:
    """``descriptor`` is readable once somebody may have started; :meth:`heard` before each look."""

    def __init__(self, database: Path) -> None:
        """``OSError`` where nobody tells."""
        self._inotify = linux.Inotify()
        try:
            self._inotify.watch(str(database.parent), linux.IN_MOVED_TO)
        except OSError:
            self._inotify.close()
            raise
        self.descriptor = self._inotify.descriptor

    def heard(self) -> None:
        self._inotify.read()

    def close(self) -> None:
        self._inotify.close()
